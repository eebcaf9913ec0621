/** The one error that the client throws. Programs decide by `code`, `outcome` and `retryable`; texts may change. */
import type { ErrorCode, Outcome } from '../api/errors.ts';

/** What the client itself finds, beside the codes that nodes answer with. */
export type ClientErrorCode =
  /** No node could be reached, or all connections broke. */
  | 'unreachable'
  /** No answer came in time. */
  | 'deadline_exceeded'
  /** Something answered that does not speak as a node does: most likely a wrong address. */
  | 'unexpected_answer'
  /** The call was not valid and nothing was sent. */
  | 'invalid_argument'
  /** The store was closed before the call or during it. */
  | 'closed';

export interface FlotillaErrorDetails {
  readonly code: ErrorCode | ClientErrorCode;
  readonly detail: string;
  readonly outcome: Outcome;
  readonly retryable: boolean;
  readonly status?: number | undefined;
  readonly requestId?: string | undefined;
  readonly etag?: string | undefined;
  readonly revision?: number | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly cause?: unknown;
}

export class FlotillaError extends Error {
  override readonly name = 'FlotillaError';
  /** Stable. Those of nodes are listed with the API; those of the client are `ClientErrorCode`. */
  readonly code: ErrorCode | ClientErrorCode;
  /** A sentence for a person: what happened and what to do. The same as `message`. */
  readonly detail: string;
  /** `not_applied`: certainly nothing was changed. `unknown`: it may be applied, now or later, once or never. */
  readonly outcome: Outcome;
  /** Calling again does no harm and may then succeed. Never true of a write whose outcome is unknown: see `idempotencyKey`. */
  readonly retryable: boolean;
  /** HTTP status of the last answer; undefined when none came. */
  readonly status: number | undefined;
  /** Names the request in the logs of the node that answered. */
  readonly requestId: string | undefined;
  /** Of the key as it is, when a condition did not hold; undefined when the key is absent. */
  readonly etag: string | undefined;
  readonly revision: number | undefined;
  /** How long the node asked to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** Of a write: the same call with this key again is safe whatever came of the first, for ten minutes by default. */
  readonly idempotencyKey: string | undefined;

  constructor(details: FlotillaErrorDetails) {
    super(details.detail, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.detail = details.detail;
    this.outcome = details.outcome;
    this.retryable = details.retryable;
    this.status = details.status;
    this.requestId = details.requestId;
    this.etag = details.etag;
    this.revision = details.revision;
    this.retryAfterMs = details.retryAfterMs;
    this.idempotencyKey = details.idempotencyKey;
  }
}

/** The call itself is wrong: nothing was sent. */
export function invalidArgument(detail: string): FlotillaError {
  return new FlotillaError({ code: 'invalid_argument', detail, outcome: 'not_applied', retryable: false });
}
