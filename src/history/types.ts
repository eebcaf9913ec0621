/** What one client asked, what it was told and when: one line of a recorded history. */
export interface Operation {
  /** Who asked. It orders nothing: only `call` and `return` do. */
  readonly process: number | string;
  readonly op: 'put' | 'get' | 'delete';
  readonly key: string;
  /** The value of a put; null for the others. */
  readonly input: string | null;
  /** Of a put or delete: what had to hold of the key; left out: nothing. */
  readonly condition?: Condition;
  /** Of a put: how long its value lives, in ms of the log's time; left out: for ever. */
  readonly ttl?: number;
  /** The log's time when it was answered, ms. Left out: nothing is known of it. */
  readonly at?: number;
  /** The answer; null for a get that found nothing, and wherever there was no answer. */
  readonly output: PutOutput | GetOutput | DeleteOutput | RefusedOutput | null;
  /** Any unit of one monotonic clock, for all operations of a history. */
  readonly call: number;
  /** At or after `call`; null when it never returned. An operation precedes another if it returned before that one's call. */
  readonly return: number | null;
  readonly outcome: Outcome;
}

/**
 * `ok`: answered. `unknown`: it may have taken effect, may take effect at any later time, or never, whatever `return` says.
 * `failed`: it certainly was not applied and never will be.
 */
export type Outcome = 'ok' | 'unknown' | 'failed';

/** The revision that the key's value must have, `any` for whichever, or null: the key must be absent. */
export interface Condition {
  readonly revision: number | 'any' | null;
}

/** What an answer leaves out is not checked. */
export interface PutOutput {
  /** Whether the key was not there before. */
  readonly created?: boolean;
  /** Grows from write to write of one key. */
  readonly revision?: number;
  /** The log's time at which the value is due, ms; 0 for never. */
  readonly expiresAt?: number;
}

export interface GetOutput {
  readonly value: string;
  /** That of the put which wrote the value. */
  readonly revision?: number;
  /** As of the put. */
  readonly expiresAt?: number;
}

export interface DeleteOutput {
  /** Whether the key was there. */
  readonly deleted: boolean;
}

/** Of a put or delete whose condition did not hold: nothing was changed. */
export interface RefusedOutput {
  /** The revision of the value that was there; null where there was none. */
  readonly refused: number | null;
}
