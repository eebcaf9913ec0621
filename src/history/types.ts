/** What one client asked, what it was told and when: one line of a recorded history. */
export interface Operation {
  /** Who asked. It orders nothing: only `call` and `return` do. */
  readonly process: number | string;
  readonly op: 'put' | 'get' | 'delete';
  readonly key: string;
  /** The value of a put; null for the others. */
  readonly input: string | null;
  /** The answer; null for a get that found nothing, and wherever there was no answer. */
  readonly output: PutOutput | GetOutput | DeleteOutput | null;
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

/** What an answer leaves out is not checked. */
export interface PutOutput {
  /** Whether the key was not there before. */
  readonly created?: boolean;
  /** Grows from write to write of one key. */
  readonly revision?: number;
}

export interface GetOutput {
  readonly value: string;
  /** That of the put which wrote the value. */
  readonly revision?: number;
}

export interface DeleteOutput {
  /** Whether the key was there. */
  readonly deleted: boolean;
}
