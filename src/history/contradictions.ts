/** What is wrong with the operations on one key in any order, and can be told without a search. */
import { wrongExpiry } from './due-times.ts';
import { isRefused, Kind, type Known, type Puts } from './register.ts';
import type { Operation } from './types.ts';

export interface Contradiction {
  readonly reason: string;
  readonly operations: readonly Operation[];
  /** When the last of the answers was there that cannot be together. */
  readonly at: number;
}

/** `known` are the answered operations by call; `puts` those of each value, answered or of unknown outcome. */
export function contradiction(known: readonly Known[], puts: ReadonlyMap<string, Puts>): Contradiction | undefined {
  return (
    unwrittenRead(known, puts) ??
    wrongRevision(known, puts) ??
    staleRead(known, puts) ??
    wrongRefusal(known) ??
    wrongExpiry(known, puts)
  );
}

/** A condition that failed though the answer says that it held, or that held though it did not. */
function wrongRefusal(known: readonly Known[]): Contradiction | undefined {
  for (const { operation, return: returned } of known) {
    const { condition, output } = operation;
    if (condition === undefined || output === null) continue;
    const { revision: wanted } = condition;
    const alone = (reason: string): Contradiction => ({ reason, operations: [operation], at: returned });
    if (isRefused(output)) {
      const held = wanted === 'any' ? output.refused !== null : wanted === output.refused;
      if (held) return alone('it was refused though its condition held');
    } else if ('created' in output && output.created !== (wanted === null)) {
      return alone('it was done though its condition did not hold');
    }
  }
  return undefined;
}

/** A get of what nobody had begun to write when it returned. */
function unwrittenRead(known: readonly Known[], puts: ReadonlyMap<string, Puts>): Contradiction | undefined {
  for (const { operation, kind, return: returned } of known) {
    if (kind !== Kind.seesValue) continue;
    const first = puts.get(valueRead(operation))?.first;
    if (first === undefined) {
      return { reason: 'it read a value that no put can have written', operations: [operation], at: returned };
    }
    if (first.call <= returned) continue;
    return { reason: 'it read a value before anyone put it', operations: [operation, first], at: returned };
  }
  return undefined;
}

/** Revisions that contradict each other in any order: each is of one write, and a get tells that of the write which it saw. */
function wrongRevision(known: readonly Known[], puts: ReadonlyMap<string, Puts>): Contradiction | undefined {
  const writers = new Map<number, Known>();
  for (const put of known) {
    if (put.kind !== Kind.writes || put.revision === undefined) continue;
    const other = writers.get(put.revision);
    if (other !== undefined) return twoRevisions(`revision ${put.revision} was given twice`, put, other);
    writers.set(put.revision, put);
  }
  const readers = new Map<number, Known>();
  for (const get of known) {
    const { revision } = get;
    if (get.kind !== Kind.seesValue || revision === undefined) continue;
    const writer = writers.get(revision);
    const other = writer ?? readers.get(revision);
    if (other === undefined) readers.set(revision, get);
    else if (other.value !== get.value) return twoRevisions(`revision ${revision} is of two values`, get, other);
    const put = writer?.operation ?? puts.get(valueRead(get.operation))?.firstWithoutRevision;
    if (put !== undefined && put.call <= get.return) continue;
    const reason = `no put of that value can have had revision ${revision} by then`;
    return { reason, operations: [get.operation], at: get.return };
  }
  return undefined;
}

function twoRevisions(reason: string, one: Known, other: Known): Contradiction {
  return { reason, operations: [one.operation, other.operation], at: Math.max(one.return, other.return) };
}

/** A get of a value that was overwritten or deleted, between its last put's return and the get's call. */
function staleRead(known: readonly Known[], puts: ReadonlyMap<string, Puts>): Contradiction | undefined {
  const changes = known.filter(({ kind }) => kind === Kind.writes || kind === Kind.removes);
  /** For each change, the one that returned first among it and those called later. */
  const firstDone = [...changes];
  for (let index = changes.length - 2; index >= 0; index -= 1) {
    const [one, later] = [firstDone[index], firstDone[index + 1]];
    if (one !== undefined && later !== undefined && later.return < one.return) firstDone[index] = later;
  }
  for (const { operation, kind, call, return: returned } of known) {
    if (kind !== Kind.seesValue) continue;
    const written = puts.get(valueRead(operation))?.returned ?? Infinity;
    const change = firstDone[firstCalledAfter(changes, written)];
    if (change === undefined || change.return >= call) continue;
    const reason = 'it read a value that was overwritten or deleted before';
    return { reason, operations: [operation, change.operation], at: returned };
  }
  return undefined;
}

/** The index of the first of them, by call, that was called after `time`. */
function firstCalledAfter(byCall: readonly Known[], time: number): number {
  let [from, to] = [0, byCall.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((byCall[middle]?.call ?? Infinity) > time) to = middle;
    else from = middle + 1;
  }
  return from;
}

function valueRead({ output }: Operation): string {
  return output !== null && 'value' in output ? output.value : '';
}
