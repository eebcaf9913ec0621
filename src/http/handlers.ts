/**
 * Single keys: GET, HEAD, PUT and DELETE on `/v1/kv/` and `/v1/kv64/`. Both ways in, the fast path and Express, end
 * here, so that they cannot differ.
 */
import { formatETag } from '../api/etag.ts';
import { AssertionError } from '../assert.ts';
import { asBuffer } from '../bytes.ts';
import type { KvOutcome, KvRequest, Origin } from '../cluster/types.ts';
import { encodeCommand } from '../kv/command.ts';
import type { ValueRecord } from '../kv/types.ts';
import { readBody } from './body.ts';
import type { Exchange } from './exchange.ts';
import { failure, type Failure } from './failure.ts';
import type { FrontContext } from './front-context.ts';
import { parseKeyOptions, type KeyOptions } from './key-options.ts';
import { keyInJson, parseBase64UrlKey, parsePathKey } from './key.ts';
import { outcomeFailure } from './outcome-failure.ts';
import { originForm, splitTarget } from './target.ts';

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
  if (key.type === 'failure') {
    exchange.problem(key);
    return;
  }
  const options = parseKeyOptions(request.headers, query, context.config);
  if (options.type === 'failure') {
    exchange.problem(options);
    return;
  }
  const call: KeyCall = { context, exchange, key: key.bytes, options };
  if (method === 'PUT') settle(call, put(call));
  else if (method === 'DELETE') settle(call, remove(call));
  else settle(call, read(call));
}

export function methodNotAllowed(allow: string): Failure {
  return failure('method_not_allowed', `This route takes ${allow}.`, { headers: ['Allow', allow] });
}

interface KeyCall {
  readonly context: FrontContext;
  readonly exchange: Exchange;
  readonly key: Buffer;
  readonly options: KeyOptions;
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

async function read(call: KeyCall): Promise<void> {
  const outcome = await execute(call, { type: 'read', key: call.key });
  if (outcome.type !== 'value') return refuse(call, outcome);
  const { record, origin } = outcome;
  if (record === undefined) return refuseAbsent(call, origin, ['Flotilla-Consistency', 'linearizable']);
  call.exchange.answer(200, valueHeaders(call, origin, record), asBuffer(record.value));
}

/** The headers of a value. `no-store`, because a cache could not say how old its copy is; sandboxed, because anyone may have written it. */
function valueHeaders(call: KeyCall, origin: Origin, record: ValueRecord): string[] {
  const headers = originHeaders(call, origin);
  headers.push(
    'ETag',
    formatETag(record.incarnation, record.revision),
    'Content-Type',
    record.contentType === '' ? octetStream : record.contentType,
    'Flotilla-Revision',
    String(record.revision),
    'Flotilla-Consistency',
    'linearizable',
    'Cache-Control',
    'no-store',
    'X-Content-Type-Options',
    'nosniff',
    'Content-Security-Policy',
    'sandbox',
  );
  return headers;
}

async function put(call: KeyCall): Promise<void> {
  const { exchange, context, key } = call;
  const { limits } = context.config;
  const contentType = storedContentType(exchange.request.headers['content-type'], limits.contentTypeBytesMax);
  if (typeof contentType !== 'string') return exchange.problem(contentType);
  const encoding = exchange.request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    const detail = 'Values are stored as sent: send no Content-Encoding, or name the encoding in the Content-Type.';
    return exchange.problem(failure('unsupported_media_type', detail));
  }
  // Awaited only when there is something to wait for: an empty value is at hand.
  const reading = readBody(exchange, limits.valueBytesMax);
  const body = reading instanceof Promise ? await reading : reading;
  if (body.type === 'aborted') return exchange.abandon();
  if (body.type === 'failure') return exchange.problem(body);

  const command = encodeCommand({ type: 'put', key, value: body.bytes, contentType });
  const outcome = await execute(call, { type: 'write', key, body: command });
  if (outcome.type !== 'done' || outcome.result.type !== 'put') return refuse(call, outcome);
  const { revision, incarnation, created } = outcome.result;
  const headers = originHeaders(call, outcome.origin);
  headers.push('ETag', formatETag(incarnation, revision));
  const { partition } = outcome.origin;
  exchange.json(created ? 201 : 200, { ...keyInJson(key), revision, partition, created }, headers);
}

async function remove(call: KeyCall): Promise<void> {
  const { key, exchange } = call;
  const command = encodeCommand({ type: 'delete', key });
  const outcome = await execute(call, { type: 'write', key, body: command });
  if (outcome.type !== 'done') return refuse(call, outcome);
  if (outcome.result.type === 'not_found') return refuseAbsent(call, outcome.origin, []);
  if (outcome.result.type !== 'deleted') return refuse(call, outcome);
  const { revision } = outcome.result;
  exchange.json(200, { ...keyInJson(key), revision, deleted: true }, originHeaders(call, outcome.origin));
}

/** The deadline starts once the whole request is here: a slow upload has its own (`receiveTimeoutMs`). */
function execute(call: KeyCall, request: KvRequest): Promise<KvOutcome> {
  const { node } = call.context;
  const { route, timeoutMs, hops } = call.options;
  return node.execute(request, { route, hops, deadlineAt: node.nowMs() + timeoutMs });
}

function refuse(call: KeyCall, outcome: KvOutcome): void {
  const { exchange } = call;
  const kind = exchange.safe ? 'read' : 'write';
  exchange.problem(outcomeFailure(outcome, kind, originForm(exchange.request.url ?? '')));
}

function refuseAbsent(call: KeyCall, origin: Origin, headers: readonly string[]): void {
  const { partition } = origin;
  const details = { partition, headers: [...originHeaders(call, origin), ...headers] };
  call.exchange.problem(failure('key_not_found', 'Nothing is stored under this key.', details));
}

function originHeaders(call: KeyCall, origin: Origin): string[] {
  const headers = ['Flotilla-Partition', String(origin.partition), 'Flotilla-Term', String(origin.term)];
  if (origin.nodeId !== call.context.node.nodeId) headers.push('Flotilla-Leader', origin.nodeId);
  return headers;
}

const octetStream = 'application/octet-stream';
/** What `curl -d` sends when nothing is said; nobody means it. */
const formDefault = 'application/x-www-form-urlencoded';

function storedContentType(sent: string | undefined, bytesMax: number): string | Failure {
  if (sent === undefined || sent === '') return '';
  if (Buffer.byteLength(sent) > bytesMax) {
    return failure('invalid_request', `The Content-Type may have at most ${bytesMax} bytes.`);
  }
  const lower = sent.toLowerCase();
  return lower === octetStream || lower === formDefault ? '' : sent;
}
