/** What a client was told, as operations of the history. */
import type { KvOutcome } from '../cluster/types.ts';
import type { Operation } from '../history/types.ts';
import type { CommandResult, OperationResult, ValueRecord } from '../kv/types.ts';
import type { Asked, Part, Requests } from './requests.ts';

export type Answered = Extract<KvOutcome, { type: 'value' | 'done' }>;

/** One operation and what came of it. */
export interface Told {
  readonly part: Part;
  readonly output: Operation['output'];
  readonly outcome: Operation['outcome'];
  readonly at?: number;
}

/** In the order of the request's operations. */
export function toldBy(asked: Asked, answer: Answered): readonly Told[] {
  if (answer.type === 'value') {
    const [part] = asked.parts;
    if (part === undefined) throw new Error('a read is of a key');
    return [{ part, output: readOutput(answer.record), outcome: 'ok', at: answer.logTime }];
  }
  const { result, logTime } = answer;
  const parts = result.type === 'transaction' && !result.succeeded ? asked.otherwise : asked.parts;
  const results = resultsOf(result);
  if (results.length !== parts.length) throw new Error(`${parts.length} operations came to ${results.length} results`);
  return parts.map((part, index) => {
    const output = outputOf(part, results[index] as OperationResult);
    // What was read as the command was applied may be due by the time of the answer.
    const at = output !== null && 'value' in output ? {} : { at: logTime };
    return { part, output, outcome: 'ok', ...at };
  });
}

/** Nobody knows what came of it: of what it would have written. What only reads has done nothing. */
export function toldNothing({ parts }: Asked, outcome: 'unknown' | 'failed'): readonly Told[] {
  return parts.map((part) => ({ part, output: null, outcome: part.op === 'get' ? 'failed' : outcome }));
}

/** Keeps what clients may base conditions on. */
export function remember(requests: Requests, { parts, otherwise }: Asked, answer: Answered): void {
  if (answer.type === 'value') return see(parts[0]?.key ?? '', answer.record);
  const { result } = answer;
  const asked = result.type === 'transaction' && !result.succeeded ? otherwise : parts;
  for (const [index, one] of resultsOf(result).entries()) {
    const part = asked[index] as Part;
    if (one.type === 'put') {
      const { revision, incarnation } = one;
      requests.seen.set(part.key, { version: { revision, incarnation }, value: part.input ?? undefined });
    } else if (one.type === 'value') see(part.key, one.record);
    else if (one.type === 'not_found') requests.seen.delete(part.key);
  }

  function see(key: string, record: ValueRecord | undefined): void {
    if (record === undefined) return void requests.seen.delete(key);
    const { revision, incarnation, value } = record;
    requests.seen.set(key, { version: { revision, incarnation }, value: Buffer.from(value).toString() });
  }
}

function resultsOf(result: Exclude<CommandResult, { type: 'wrong_epoch' }>): readonly OperationResult[] {
  switch (result.type) {
    case 'batch':
    case 'transaction':
      return result.results;
    case 'swept':
    case 'result_too_large':
      throw new Error(`nobody asked for what comes to ${result.type}`);
    default:
      return [result];
  }
}

function outputOf({ op }: Part, result: OperationResult): Operation['output'] {
  switch (result.type) {
    case 'put':
      return { created: result.created, revision: result.revision, expiresAt: result.expiresAt };
    case 'deleted':
      return { deleted: true };
    case 'not_found':
      return op === 'delete' ? { deleted: false } : null;
    case 'value':
      return readOutput(result.record);
    case 'condition_failed':
      return { refused: result.current?.revision ?? null };
    case 'key_reused':
      throw new Error('an idempotency key was taken for that of another request');
  }
}

function readOutput(record: ValueRecord | undefined): Operation['output'] {
  if (record === undefined) return null;
  const { value, revision, expiresAt } = record;
  return { value: Buffer.from(value).toString(), revision, expiresAt };
}
