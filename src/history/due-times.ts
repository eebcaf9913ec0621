/**
 * When values with a time to live may be gone. Only the log's time counts, which answers tell: a value is never gone before the
 * time at which it is due, and nobody is shown it from that time on.
 */
import type { Contradiction } from './contradictions.ts';
import { Kind, type Known, type Puts } from './register.ts';
import type { Operation } from './types.ts';

/**
 * For each value, by its number: from when on it may be gone. Of a put whose answer was lost nobody may ever be told the time; then
 * it may be gone at any time, which accepts too much and never too little.
 */
export function dueTimes(operations: readonly Operation[], puts: ReadonlyMap<string, Puts>): Float64Array {
  const dueAt = new Float64Array(puts.size).fill(Infinity);
  const told = toldByReaders(operations);
  for (const operation of operations) {
    if (operation.op !== 'put' || operation.ttl === undefined) continue;
    const ofValue = puts.get(operation.input ?? '');
    if (ofValue === undefined) continue;
    const due = expiryOf(operation) ?? (ofValue.count === 1 ? told.get(operation.input ?? '') : undefined);
    dueAt[ofValue.value] = Math.min(dueAt[ofValue.value] ?? Infinity, due ?? -Infinity);
  }
  return dueAt;
}

function toldByReaders(operations: readonly Operation[]): Map<string, number> {
  const told = new Map<string, number>();
  for (const { output } of operations) {
    if (output !== null && 'value' in output && output.expiresAt !== undefined)
      told.set(output.value, output.expiresAt);
  }
  return told;
}

/** An answer that tells a time which can't be: when it was already over, or another than others were told. */
export function wrongExpiry(known: readonly Known[], puts: ReadonlyMap<string, Puts>): Contradiction | undefined {
  const byRevision = new Map<number, Known>();
  for (const one of known) {
    const { operation, kind, revision, return: returned } = one;
    const expiresAt = expiryOf(operation);
    if (expiresAt === undefined) continue;
    const alone = (reason: string): Contradiction => ({ reason, operations: [operation], at: returned });
    if (kind === Kind.seesValue && expiresAt !== 0 && operation.at !== undefined && operation.at >= expiresAt) {
      return alone(`it read a value that was due ${operation.at - expiresAt} ms of log time before`);
    }
    const { output } = operation;
    const put =
      kind === Kind.writes ? operation : onlyPut(puts, output !== null && 'value' in output ? output.value : '');
    if (put !== undefined && (put.ttl === undefined) !== (expiresAt === 0)) {
      return alone(expiresAt === 0 ? 'it lost its time to live' : 'it is due, though it was put for ever');
    }
    if (revision === undefined) continue;
    const other = byRevision.get(revision);
    if (other === undefined) byRevision.set(revision, one);
    else if (expiryOf(other.operation) !== expiresAt) {
      const at = Math.max(returned, other.return);
      return { reason: 'the time at which it is due has changed', operations: [operation, other.operation], at };
    }
  }
  return undefined;
}

function onlyPut(puts: ReadonlyMap<string, Puts>, value: string): Operation | undefined {
  const ofValue = puts.get(value);
  return ofValue?.count === 1 ? ofValue.first : undefined;
}

function expiryOf({ output }: Operation): number | undefined {
  return output !== null && 'expiresAt' in output ? output.expiresAt : undefined;
}
