/**
 * What clients did and saw, and whether a store that keeps its word can have answered so.
 *
 * Each key has one writer that writes the versions 1, 2, 3 … one after the other, and a new key after a write whose outcome it
 * did not learn: so every version that is read tells which write it is of, and how many came before.
 */
import { checkHistory } from '../history/check.ts';
import { describeViolation } from '../history/describe.ts';
import type { Operation } from '../history/types.ts';

/** `unknown`: it may have been applied, or may be later, or never. */
export type WriteOutcome = 'acknowledged' | 'not_applied' | 'unknown';

export interface Write {
  readonly key: string;
  /** 1 and up; a write that was not applied uses its version up. */
  readonly version: number;
  /** All times are ms of one monotonic clock: before the request was sent, after its answer was read. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: WriteOutcome;
  /** Where the outcome is from, for whoever has to find out why. */
  readonly answer?: string;
}

export interface Read {
  readonly key: string;
  /** 0: there was no such key. */
  readonly version: number;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** Only answered operations; a write that got no answer is `unknown`, a read that got none shows nothing. */
export interface History {
  readonly writes: readonly Write[];
  readonly reads: readonly Read[];
}

/** What a linearizable, durable store can't have answered so, in words. Empty: all is well. */
export function violations(history: History): string[] {
  const result = checkHistory(operationsOf(history));
  switch (result.type) {
    case 'linearizable':
      return [];
    case 'violation':
      return describeViolation(result);
    case 'undecided':
      throw new Error(`the history of ${result.keys.join(', ')} could not be checked`);
  }
}

export function operationsOf({ writes, reads }: History): Operation[] {
  return [...writes.map(putOf), ...reads.map(getOf)];
}

/** A version grows from write to write, like a revision, and is checked as one. */
function putOf({ key, version, startedAt, endedAt, outcome, answer }: Write): Operation {
  const told = { process: `writer${answer === undefined ? '' : ` (${answer})`}`, op: 'put', key } as const;
  const times = { input: String(version), call: startedAt, return: endedAt };
  if (outcome === 'acknowledged') return { ...told, ...times, output: { revision: version }, outcome: 'ok' };
  return { ...told, ...times, output: null, outcome: outcome === 'not_applied' ? 'failed' : 'unknown' };
}

function getOf({ key, version, startedAt, endedAt }: Read): Operation {
  const output = version === 0 ? null : { value: String(version), revision: version };
  return { process: 'reader', op: 'get', key, input: null, output, call: startedAt, return: endedAt, outcome: 'ok' };
}
