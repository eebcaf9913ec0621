/**
 * The forms that small key-value servers made popular. They end in the same operations as `/v1/kv/`, under the same rules and
 * limits, and are always forwarded: whoever uses them follows no redirects. Values are text here.
 */
import { isUtf8 } from 'node:buffer';
import { parseTtl, ttlHelp } from '../../api/ttl.ts';
import { asBuffer } from '../../bytes.ts';
import { unconditional } from '../../kv/types.ts';
import type { Exchange } from '../exchange.ts';
import { failure, type Failure } from '../failure.ts';
import type { FrontContext } from '../front-context.ts';
import { readJson } from '../json-body.ts';
import { execute, originHeaders, refuse, refuseAbsent, type KeyCall } from '../key-call.ts';
import { linearizable, parseIdempotencyKey, parseQuery, parseTimeout } from '../key-options.ts';
import { checkKeyBytes, keyInJson, parsePathKey } from '../key.ts';
import { percentDecode, splitTarget } from '../target.ts';
import { notText, utf8Bytes } from '../utf8.ts';
import { refuseWrite, write, writtenHeaders } from '../write-key.ts';
import type { Route } from './route.ts';

const textType = 'text/plain; charset=utf-8';

export const simpleRoutes: readonly Route[] = [
  { path: '/set', operation: 'put', methods: ['POST', 'GET'], answer: setByBodyOrQuery },
  { path: '/put', operation: 'put', methods: ['PUT'], answer: setByBody },
  { path: '/set/', operation: 'put', methods: ['POST'], answer: setByPath },
  { path: '/get', operation: 'get', methods: ['GET', 'HEAD'], answer: getByQuery },
  { path: '/get/', operation: 'get', methods: ['GET', 'HEAD'], answer: getByPath },
  { path: '/delete', operation: 'delete', methods: ['DELETE'], answer: deleteByQuery },
];

interface Setting {
  readonly type: 'setting';
  readonly key: Buffer;
  readonly value: Buffer;
  readonly contentType: string;
  readonly ttl: string | undefined;
}

function setByBodyOrQuery(context: FrontContext, exchange: Exchange): Promise<void> {
  return exchange.request.method === 'GET' ? setByQuery(context, exchange) : setByBody(context, exchange);
}

async function setByBody(context: FrontContext, exchange: Exchange): Promise<void> {
  const query = parametersOf(exchange, []);
  if (query.type === 'failure') return exchange.problem(query);
  const body = await readJson(exchange, 'simpleSet', context.config.limits);
  if (body.type === 'aborted') return exchange.abandon();
  if (body.type === 'failure') return exchange.problem(body);
  const { key, value, ttl } = body.value;
  const keyBytes = utf8Bytes(key);
  if (keyBytes === undefined) return exchange.problem(failure('invalid_key', `key ${notText}.`));
  const stored = textOf(value);
  if (stored.type === 'failure') return exchange.problem(stored);
  const { bytes, contentType } = stored;
  const lifetime = ttl === undefined ? undefined : String(ttl);
  await set(context, exchange, { type: 'setting', key: keyBytes, value: bytes, contentType, ttl: lifetime });
}

type Text = { readonly type: 'text'; readonly bytes: Buffer; readonly contentType: string };

/** A text as it is, anything else as its JSON text. */
function textOf(value: unknown): Text | Failure {
  if (typeof value !== 'string') return jsonTextOf(value);
  const bytes = utf8Bytes(value);
  if (bytes === undefined) return failure('invalid_request', `value ${notText}.`);
  return { type: 'text', bytes, contentType: textType };
}

function jsonTextOf(value: unknown): Text | Failure {
  try {
    return { type: 'text', bytes: Buffer.from(JSON.stringify(value)), contentType: 'application/json' };
  } catch (error) {
    // It is read without recursion and written with it.
    if (error instanceof RangeError)
      return failure('invalid_request', 'The value is nested too deeply: send it as a text.');
    throw error;
  }
}

async function setByQuery(context: FrontContext, exchange: Exchange): Promise<void> {
  const query = parametersOf(exchange, ['key', 'value', 'ttl']);
  if (query.type === 'failure') return exchange.problem(query);
  const key = query.values.get('key');
  const value = query.values.get('value');
  if (key === undefined || value === undefined) {
    return exchange.problem(
      failure('invalid_request', 'Say what to set: /set?key=name&value=text, and ttl=60s if it is to pass.'),
    );
  }
  const ttl = query.values.get('ttl');
  await set(context, exchange, {
    type: 'setting',
    key: Buffer.from(key),
    value: Buffer.from(value),
    contentType: textType,
    ttl,
  });
}

/** The key ends at the first slash; more of them belong to the value. */
async function setByPath(context: FrontContext, exchange: Exchange, rest: string): Promise<void> {
  const query = parametersOf(exchange, []);
  if (query.type === 'failure') return exchange.problem(query);
  const slash = rest.indexOf('/');
  const value = slash === -1 ? undefined : percentDecode(rest.slice(slash + 1));
  if (value === undefined || !isUtf8(value)) {
    return exchange.problem(
      failure('invalid_request', 'Say what to set: /set/{key}/{value}, both percent-encoded UTF-8.'),
    );
  }
  const key = parsePathKey(rest.slice(0, slash), context.config.limits.keyBytesMax);
  if (key.type === 'failure') return exchange.problem(key);
  await set(context, exchange, { type: 'setting', key: key.bytes, value, contentType: textType, ttl: undefined });
}

async function set(context: FrontContext, exchange: Exchange, setting: Setting): Promise<void> {
  const { key, value, contentType, ttl } = setting;
  const { valueBytesMax } = context.config.limits;
  const call = callFor(context, exchange, key);
  if (call.type === 'failure') return exchange.problem(call);
  if (value.length > valueBytesMax) {
    return exchange.problem(
      failure('value_too_large', `The value has ${value.length} bytes; at most ${valueBytesMax} are allowed.`),
    );
  }
  const ttlMs = ttl === undefined ? 0 : parseTtl(ttl);
  if (ttlMs === undefined) {
    return exchange.problem(failure('invalid_ttl', `${JSON.stringify(ttl)} is no time to live. ${ttlHelp}`));
  }
  const outcome = await write(call, { type: 'put', key, value, contentType, ttlMs, conditions: unconditional });
  if (outcome.type !== 'done' || outcome.result.type !== 'put') return refuseWrite(call, outcome);
  const { revision } = outcome.result;
  exchange.json(200, { ...keyInJson(key), value: value.toString(), revision }, writtenHeaders(call, outcome));
}

async function getByQuery(context: FrontContext, exchange: Exchange): Promise<void> {
  const key = keyOfQuery(exchange, '/get?key=name');
  if (Buffer.isBuffer(key)) await get(context, exchange, key);
  else exchange.problem(key);
}

async function getByPath(context: FrontContext, exchange: Exchange, rest: string): Promise<void> {
  const query = parametersOf(exchange, []);
  if (query.type === 'failure') return exchange.problem(query);
  if (!rest.startsWith('key=')) {
    return exchange.problem(failure('invalid_request', 'Say what to get: /get/key=name or /get?key=name.'));
  }
  const key = parsePathKey(rest.slice('key='.length), context.config.limits.keyBytesMax);
  if (key.type === 'failure') return exchange.problem(key);
  await get(context, exchange, key.bytes);
}

async function get(context: FrontContext, exchange: Exchange, key: Buffer): Promise<void> {
  const call = callFor(context, exchange, key);
  if (call.type === 'failure') return exchange.problem(call);
  const outcome = await execute(call, { type: 'read', key });
  if (outcome.type !== 'value') return refuse(call, outcome);
  const consistency = ['Flotilla-Consistency', 'linearizable'];
  if (outcome.record === undefined) return refuseAbsent(call, outcome.origin, consistency);
  const value = asBuffer(outcome.record.value);
  const inJson = isUtf8(value) ? { value: value.toString() } : { valueBase64: value.toString('base64') };
  exchange.json(200, { ...keyInJson(key), ...inJson }, [...originHeaders(call, outcome.origin), ...consistency]);
}

async function deleteByQuery(context: FrontContext, exchange: Exchange): Promise<void> {
  const key = keyOfQuery(exchange, '/delete?key=name');
  if (!Buffer.isBuffer(key)) return exchange.problem(key);
  const call = callFor(context, exchange, key);
  if (call.type === 'failure') return exchange.problem(call);
  const outcome = await write(call, { type: 'delete', key, conditions: unconditional });
  if (outcome.type !== 'done' || outcome.result.type !== 'deleted') return refuseWrite(call, outcome);
  exchange.json(200, { ...keyInJson(key), deleted: true }, writtenHeaders(call, outcome));
}

function callFor(
  context: FrontContext,
  exchange: Exchange,
  key: Buffer,
): (KeyCall & { readonly type: 'call' }) | Failure {
  const { limits } = context.config;
  const { headers } = exchange.request;
  const refused = checkKeyBytes(key, limits.keyBytesMax);
  if (refused !== undefined) return refused;
  const timeoutMs = parseTimeout(headers, limits);
  if (typeof timeoutMs !== 'number') return timeoutMs;
  const idempotencyKey = parseIdempotencyKey(headers);
  if (typeof idempotencyKey === 'object') return idempotencyKey;
  const options = {
    type: 'options',
    route: 'forward',
    timeoutMs,
    consistency: linearizable,
    hops: 0,
    ttlMs: 0,
    conditions: unconditional,
  } as const;
  return { type: 'call', context, exchange, key, options: { ...options, idempotencyKey } };
}

function keyOfQuery(exchange: Exchange, example: string): Buffer | Failure {
  const query = parametersOf(exchange, ['key']);
  if (query.type === 'failure') return query;
  const key = query.values.get('key');
  return key === undefined ? failure('invalid_request', `Say which key: ${example}.`) : Buffer.from(key);
}

function parametersOf(exchange: Exchange, known: readonly string[]): ReturnType<typeof parseQuery> {
  const query = parseQuery(splitTarget(exchange.request.url ?? '').query);
  if (query.type === 'failure') return query;
  const unknown = [...query.values.keys()].find((name) => !known.includes(name));
  if (unknown === undefined) return query;
  return failure('invalid_request', `Unknown query parameter ${JSON.stringify(unknown)}.`);
}
