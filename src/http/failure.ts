/** A refusal on its way to becoming a problem answer. */
import type { ErrorCode, Outcome } from '../api/errors.ts';

export interface Failure {
  readonly type: 'failure';
  readonly code: ErrorCode;
  /** A sentence for a person: what was wrong and what to do instead. */
  readonly detail: string;
  /** More headers, as name, value, name, value. */
  readonly headers?: readonly string[];
  readonly partition?: number;
  readonly leader?: string;
  readonly revision?: number;
  /** Set where the table's word for `code` is not this request's. */
  readonly outcome?: Outcome;
}

export type FailureDetails = Omit<Failure, 'type' | 'code' | 'detail'>;

export function failure(code: ErrorCode, detail: string, details?: FailureDetails): Failure {
  return { type: 'failure', code, detail, ...details };
}
