/**
 * The one table of errors that cross the HTTP border, as problem details (RFC 9457). `code` is stable and is what
 * programs decide by; titles and details may change.
 */

/** `not_applied`: certainly nothing was changed. `unknown`: it may be applied, now or later, once or never. */
export type Outcome = 'not_applied' | 'unknown';

export interface ErrorKind {
  readonly status: number;
  readonly title: string;
  readonly outcome: Outcome;
  /** The very same request may be sent again, without harm, and may then succeed. */
  readonly retryable: boolean;
}

export const errorTable = {
  not_leader: kind(307, 'Another node leads this key', 'not_applied', true),
  invalid_request: kind(400, 'The request is not valid', 'not_applied', false),
  invalid_key: kind(400, 'The key is not valid', 'not_applied', false),
  cross_partition: kind(400, 'The keys lie in several partitions', 'not_applied', false),
  invalid_ttl: kind(400, 'The time to live is not valid', 'not_applied', false),
  cross_site_refused: kind(403, 'A page of another site may not change data', 'not_applied', false),
  key_not_found: kind(404, 'There is no such key', 'not_applied', false),
  route_not_found: kind(404, 'There is no such route', 'not_applied', false),
  not_found: kind(404, 'There is no such thing', 'not_applied', false),
  method_not_allowed: kind(405, 'This route does not take this method', 'not_applied', false),
  /** It would cost a quorum, say: the detail tells what. */
  change_refused: kind(409, 'The cluster is not changed so', 'not_applied', false),
  /** The first request of its idempotency key is under way and did not come to its end in time. */
  request_in_progress: kind(409, 'The same request is still under way', 'unknown', true),
  /** A watch can't go on from there: what came behind it is not all there any more. */
  cursor_expired: kind(410, 'The cursor is too old', 'not_applied', false),
  precondition_failed: kind(412, 'The condition does not hold', 'not_applied', false),
  request_timeout: kind(408, 'The request did not arrive in time', 'not_applied', true),
  value_too_large: kind(413, 'The body is too large', 'not_applied', false),
  uri_too_long: kind(414, 'The request target is too long', 'not_applied', false),
  unsupported_media_type: kind(415, 'This kind of body is not understood', 'not_applied', false),
  expectation_failed: kind(417, 'This expectation cannot be met', 'not_applied', false),
  idempotency_key_reused: kind(422, 'This idempotency key names another request', 'not_applied', false),
  overloaded: kind(429, 'Too much is under way', 'not_applied', true),
  headers_too_large: kind(431, 'The request headers are too large', 'not_applied', false),
  /** A bug or a broken node. A write that met it is `unknown`, so the table says so; reads say `not_applied`. */
  internal_error: kind(500, 'Something broke in this node', 'unknown', false),
  no_leader: kind(503, 'No leader can be reached', 'not_applied', true),
  too_stale: kind(503, 'No replica is fresh enough', 'not_applied', true),
  /** The one that was to lead is about to stop; or had not caught up, and the leader gave it up after an election timeout, as etcd does. */
  leader_not_moved: kind(503, 'The leadership stayed where it is', 'not_applied', true),
  partition_stopped: kind(503, 'The partition has stopped', 'not_applied', true),
  shutting_down: kind(503, 'This node is shutting down', 'not_applied', true),
  /** Of a node that has to keep a copy. Everything else goes on. */
  disk_full: kind(507, 'A disk is nearly full', 'not_applied', true),
  outcome_unknown: kind(504, 'The outcome is not known', 'unknown', false),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

/** The body of every error answer, as `application/problem+json`. */
export interface Problem {
  /** A name for the kind of problem, not a page to fetch. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  readonly retryable: boolean;
  readonly partition?: number;
  readonly leader?: string;
  /** Of the key as it is, where a condition did not hold. */
  readonly revision?: number;
  readonly requestId: string;
}

export const problemContentType = 'application/problem+json';

export interface ProblemOptions {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly requestId: string;
  readonly outcome?: Outcome | undefined;
  readonly partition?: number | undefined;
  readonly leader?: string | undefined;
  readonly revision?: number | undefined;
}

export function problem(options: ProblemOptions): Problem {
  const entry = errorTable[options.code];
  return {
    type: `urn:flotilla:problem:${options.code}`,
    title: entry.title,
    status: entry.status,
    detail: options.detail,
    code: options.code,
    outcome: options.outcome ?? entry.outcome,
    retryable: entry.retryable,
    ...(options.partition === undefined ? {} : { partition: options.partition }),
    ...(options.leader === undefined ? {} : { leader: options.leader }),
    ...(options.revision === undefined ? {} : { revision: options.revision }),
    requestId: options.requestId,
  };
}

function kind(status: number, title: string, outcome: Outcome, retryable: boolean): ErrorKind {
  return { status, title, outcome, retryable };
}
