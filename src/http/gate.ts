/** What every request passes before any route sees it, whichever way in it takes. */
import type { IncomingMessage } from 'node:http';
import type { Config } from '../config.ts';
import type { Exchange } from './exchange.ts';
import { failure, type Failure } from './failure.ts';

/** Whether the caller may do this. The one hook that both ways in stand behind. */
export type Authorize = (request: IncomingMessage) => Failure | undefined;

/** There are no credentials yet: everyone who reaches the listener may do everything. */
export const allowAll: Authorize = () => undefined;

export interface Load {
  readonly draining: boolean;
  /** Requests under way in the node, this one included. */
  readonly requests: number;
  /** The event loop has been late by so much for a while, ms. */
  readonly loopLagMs: number;
}

/**
 * Whether there is room for it, asked on arrival. Health and metrics are told even when everything else is refused: a loaded or
 * leaving node is not a dead one, and what it is loaded with is to be seen.
 */
export function checkAdmission(limits: Config['limits'], exchange: Exchange, load: Load): Failure | undefined {
  const { url } = exchange.request;
  if (url === '/livez' || url === '/readyz' || url === '/metrics') return undefined;
  if (load.draining) {
    return failure('shutting_down', 'This node is shutting down; ask another one.', { headers: ['Retry-After', '1'] });
  }
  if (load.requests > limits.requestsMax) {
    return overloaded(`More than ${limits.requestsMax} requests are under way in this node.`);
  }
  if (load.loopLagMs > limits.loopLagMsMax) {
    return overloaded(`This node is behind by ${Math.round(load.loopLagMs)} ms with all that it has to do.`);
  }
  if (exchange.connection.unanswered >= limits.pipelinedRequestsMax) {
    return overloaded(`More than ${limits.pipelinedRequestsMax} requests of this connection wait for an answer.`);
  }
  return undefined;
}

/** Whether it is well formed and allowed, asked when its turn comes. */
export function checkRequest(limits: Config['limits'], authorize: Authorize, exchange: Exchange): Failure | undefined {
  const { request } = exchange;
  const { headers, url = '' } = request;
  if (url.length > limits.urlBytesMax) {
    return failure('uri_too_long', `The request target may have at most ${limits.urlBytesMax} bytes.`);
  }
  if (headers.host === undefined && request.httpVersion === '1.1') {
    return failure('invalid_request', 'An HTTP/1.1 request carries a Host header.');
  }
  if (!exchange.safe && headers['sec-fetch-site'] === 'cross-site') {
    return failure('cross_site_refused', 'A browser sent this on behalf of a page of another site.');
  }
  return authorize(request);
}

function overloaded(detail: string): Failure {
  return failure('overloaded', detail, { headers: ['Retry-After', '1'] });
}
