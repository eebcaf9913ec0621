/**
 * Single keys: GET, HEAD, PUT and DELETE on `/v1/kv/` and `/v1/kv64/`. Both ways in, the fast path and Express, end
 * here, so that they cannot differ.
 */
import { AssertionError } from '../assert.ts';
import type { Exchange } from './exchange.ts';
import { failure, type Failure } from './failure.ts';
import type { FrontContext } from './front-context.ts';
import type { KeyCall } from './key-call.ts';
import { parseKeyOptions } from './key-options.ts';
import { parseBase64UrlKey, parsePathKey } from './key.ts';
import { readKey } from './read-key.ts';
import { splitTarget } from './target.ts';
import { deleteKey, putKey } from './write-key.ts';

export const keyPrefix = '/v1/kv/';
export const base64KeyPrefix = '/v1/kv64/';
export const keyMethods = 'GET, HEAD, PUT, DELETE';

/** The caller has seen to it that the path begins with one of the two prefixes. */
export function handleKey(context: FrontContext, exchange: Exchange): void {
  const { request } = exchange;
  const { limits } = context.config;
  const { path, query } = splitTarget(request.url ?? '');
  const key = path.startsWith(keyPrefix)
    ? parsePathKey(path.slice(keyPrefix.length), limits.keyBytesMax)
    : parseBase64UrlKey(path.slice(base64KeyPrefix.length), limits.keyBytesMax);
  const { method } = request;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'PUT' && method !== 'DELETE') {
    exchange.problem(methodNotAllowed(keyMethods));
    return;
  }
  exchange.operation = method === 'PUT' ? 'put' : method === 'DELETE' ? 'delete' : 'get';
  if (key.type === 'failure') {
    exchange.problem(key);
    return;
  }
  const options = parseKeyOptions({ method, headers: request.headers, query }, context.config);
  if (options.type === 'failure') {
    exchange.problem(options);
    return;
  }
  const call: KeyCall = { context, exchange, key: key.bytes, options };
  if (method === 'PUT') settle(call, putKey(call));
  else if (method === 'DELETE') settle(call, deleteKey(call));
  else settle(call, readKey(call));
}

export function methodNotAllowed(allow: string): Failure {
  return failure('method_not_allowed', `This route takes ${allow}.`, { headers: ['Allow', allow] });
}

/** A rejection is a bug or broken I/O below: logged, and answered as such. A broken assertion stops the process. */
function settle(call: KeyCall, work: Promise<void>): void {
  work.catch((error: unknown) => {
    if (error instanceof AssertionError) throw error;
    const { context, exchange } = call;
    context.logger.error({ err: error, method: exchange.request.method }, 'a request failed inside this node');
    if (exchange.answered) return exchange.breakOff();
    const detail = 'This node met an internal error; its log says more.';
    exchange.problem(failure('internal_error', detail, { outcome: exchange.safe ? 'not_applied' : 'unknown' }));
  });
}
