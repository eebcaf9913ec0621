/** What a node's answer means: a result, a way to the leader, or a refusal. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Outcome, Problem } from '../api/errors.ts';
import { FlotillaError, type FlotillaErrorDetails } from './flotilla-error.ts';
import type { HttpAnswer } from './http-exchange.ts';

/** The error that a refusal becomes, unless something better comes of another attempt. */
export type Refusal = FlotillaErrorDetails;

export type Verdict =
  | { readonly type: 'result' }
  /** `node` is a URL without a trailing slash. */
  | { readonly type: 'redirect'; readonly node: string; readonly refusal: Refusal }
  /** `again`: the same request may be sent again, here or elsewhere, and may then succeed. */
  | { readonly type: 'refused'; readonly again: boolean; readonly refusal: Refusal };

/** Every answer of a node says which node it is: what does not comes from someone else. */
export function judge(answer: HttpAnswer, node: string): Verdict {
  const { status, headers } = answer;
  if (headers['flotilla-node'] === undefined) return foreign(answer, node);
  if ((status >= 200 && status < 300) || status === 304) return { type: 'result' };
  const problem = problemOf(answer);
  if (problem === undefined) return unreadable(node, status);
  const refusal = refusalOf(problem, headers);
  const location = status === 307 ? originOf(headers.location) : undefined;
  if (location !== undefined) return { type: 'redirect', node: location, refusal };
  // A repeat under the same idempotency key finds out what came of the first.
  return { type: 'refused', again: problem.retryable || problem.code === 'outcome_unknown', refusal };
}

export const closedRefusal: Refusal = {
  code: 'closed',
  detail: 'The store is closed. Connect again to go on.',
  outcome: 'not_applied',
  retryable: false,
};

/** What is said when nobody is asked any more. `tried`: those that failed, and why. */
export function gaveUp(
  last: Refusal | undefined,
  { tried, timeoutMs }: { readonly tried: string; readonly timeoutMs: number },
): Refusal {
  if (last !== undefined && last.detail !== '') return last;
  const detail =
    last?.code === 'unreachable'
      ? `No node can be reached (${tried}). Check the addresses and that a node runs there.`
      : `No answer came within ${timeoutMs} ms${tried === '' ? '' : ` (${tried})`}.`;
  const outcome = 'not_applied';
  return { retryable: true, ...last, outcome, detail, code: last?.code ?? 'deadline_exceeded' };
}

/** Undefined where there is none, or no number. */
export function numberHeader(headers: IncomingHttpHeaders, name: string): number | undefined {
  const text = headers[name];
  return typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : undefined;
}

export function dateHeader(headers: IncomingHttpHeaders, name: string): Date | undefined {
  const text = headers[name];
  return typeof text === 'string' ? new Date(text) : undefined;
}

/** Throws a FlotillaError when the body is none: a node does not send that. */
export function jsonOf(answer: HttpAnswer, outcome: Outcome): unknown {
  const value = parse(answer.body);
  if (value !== undefined) return value;
  const detail = 'The node answered with something that is no JSON. Is there a proxy between that changes answers?';
  throw new FlotillaError({
    ...{ code: 'unexpected_answer', detail, outcome, retryable: false, status: answer.status },
  });
}

/** A problem from within a batch, or from a body. */
export function refusalOf(problem: Problem, headers: IncomingHttpHeaders = {}): Refusal {
  const { code, detail, outcome, retryable, status, requestId, revision } = problem;
  const etag = headers.etag;
  const retryAfterS = numberHeader(headers, 'retry-after');
  const retryAfterMs = retryAfterS === undefined ? undefined : retryAfterS * 1000;
  return { code, detail, outcome, retryable, status, requestId, revision, etag, retryAfterMs };
}

function problemOf({ headers, body }: HttpAnswer): Problem | undefined {
  if (headers['content-type']?.startsWith('application/problem+json') !== true) return undefined;
  const value = parse(body) as Partial<Problem> | null | undefined;
  return typeof value?.code === 'string' && typeof value.detail === 'string' ? (value as Problem) : undefined;
}

/** A proxy that found no node behind it will perhaps find one later; what it passed on nobody knows. */
function foreign({ status }: HttpAnswer, node: string): Verdict {
  const detail = `${node} answered ${status}, and not as a Flotilla node does. Check the address.`;
  const refusal: Refusal = { code: 'unexpected_answer', detail, outcome: 'unknown', retryable: false, status };
  return { type: 'refused', again: status === 502 || status === 503 || status === 504, refusal };
}

function unreadable(node: string, status: number): Verdict {
  const detail = `${node} answered ${status} without a problem that this client understands. Is it of another version?`;
  const refusal: Refusal = { code: 'unexpected_answer', detail, outcome: 'unknown', retryable: false, status };
  return { type: 'refused', again: false, refusal };
}

/** The rest of a location is the request's own path, which a URL parser would normalise: `a/../b` is a key. */
function originOf(location: string | undefined): string | undefined {
  if (location === undefined || !URL.canParse(location)) return undefined;
  const { protocol, origin } = new URL(location);
  return protocol === 'http:' ? origin : undefined;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}
