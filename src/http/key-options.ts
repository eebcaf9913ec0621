/**
 * What a single-key request asks for beyond its key: in the query and in headers. What is not known is refused, never
 * ignored: a condition or a lifetime that is silently dropped loses data.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import { parseTtl, ttlHelp } from '../api/ttl.ts';
import type { Config } from '../config.ts';
import type { Conditions } from '../kv/types.ts';
import { parseConditions } from './conditions.ts';
import { failure, type Failure } from './failure.ts';
import { percentDecode } from './target.ts';

export interface KeyOptions {
  readonly type: 'options';
  readonly route: 'redirect' | 'forward';
  readonly timeoutMs: number;
  readonly hops: number;
  readonly conditions: Conditions;
  /** 0 for a key that stays. */
  readonly ttlMs: number;
  readonly idempotencyKey: string | undefined;
  readonly consistency: Consistency;
}

/** `fallback`: linearizable, and stale where no leader answers in time. */
export interface Consistency {
  readonly level: 'linearizable' | 'stale' | 'fallback';
  /** Infinity: however old. */
  readonly stalenessMsMax: number;
}

type Settings = Pick<Config, 'routing' | 'limits'>;

/** What a method may be asked in the query. */
const parametersOf: Readonly<Record<KeyMethod, readonly string[]>> = {
  GET: ['route', 'consistency', 'max_staleness', 'fallback'],
  HEAD: ['route', 'consistency', 'max_staleness', 'fallback'],
  PUT: ['route', 'consistency', 'ttl'],
  DELETE: ['route', 'consistency'],
  POST: ['route'],
};
export type KeyMethod = 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'POST';

export function parseKeyOptions(
  {
    method,
    headers,
    query,
  }: { readonly method: KeyMethod; readonly headers: IncomingHttpHeaders; readonly query: string },
  settings: Settings,
): KeyOptions | Failure {
  const parameters = query === '' ? noParameters : parseQuery(query);
  if (parameters.type === 'failure') return parameters;
  const { values } = parameters;
  const refused = checkParameters(method, values);
  if (refused !== undefined) return refused;
  const ttlMs = parseLifetime(values.get('ttl'));
  if (typeof ttlMs !== 'number') return ttlMs;
  const parsed = parseConditions(headers);
  if (parsed.type === 'failure') return parsed;
  const idempotencyKey = parseIdempotencyKey(headers);
  if (typeof idempotencyKey === 'object') return idempotencyKey;

  const consistency = parseConsistency(method, values);
  if ('type' in consistency) return consistency;
  const route = chooseRoute(headers, values.get('route'), settings.routing);
  if (typeof route !== 'string') return route;
  const timeoutMs = parseTimeout(headers, settings.limits);
  if (typeof timeoutMs !== 'number') return timeoutMs;
  const hops = wholeNumber(headers['flotilla-hops'], 0);
  if (hops < 0) return failure('invalid_request', 'Flotilla-Hops must be a whole number.');
  return { type: 'options', route, timeoutMs, hops, conditions: parsed.conditions, ttlMs, idempotencyKey, consistency };
}

/** Of a request that names its keys in its body. */
export function parseRequestOptions(
  { headers, query }: { readonly headers: IncomingHttpHeaders; readonly query: string },
  settings: Settings,
): KeyOptions | Failure {
  if (headers['if-match'] !== undefined || headers['if-none-match'] !== undefined) {
    const detail = 'Conditions on many keys stand in the body, with each operation: ifMatch and ifNoneMatch.';
    return failure('invalid_request', detail);
  }
  return parseKeyOptions({ method: 'POST', headers, query }, settings);
}

/** How long the request may take, in ms. */
export function parseTimeout(headers: IncomingHttpHeaders, limits: Config['limits']): number | Failure {
  const { requestTimeoutMsDefault, requestTimeoutMsMax } = limits;
  const timeoutMs = wholeNumber(headers['flotilla-timeout-ms'], requestTimeoutMsDefault);
  if (timeoutMs >= 1 && timeoutMs <= requestTimeoutMsMax) return timeoutMs;
  return failure('invalid_request', `Flotilla-Timeout-Ms must be a whole number from 1 to ${requestTimeoutMsMax}.`);
}

interface Parameters {
  readonly type: 'parameters';
  readonly values: ReadonlyMap<string, string>;
}

const noParameters: Parameters = { type: 'parameters', values: new Map() };

/** Names and values are percent-decoded and `+` is a space. A name may stand once. */
export function parseQuery(query: string): Parameters | Failure {
  const values = new Map<string, string>();
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeComponent(equals === -1 ? pair : pair.slice(0, equals));
    const value = decodeComponent(equals === -1 ? '' : pair.slice(equals + 1));
    if (name === undefined || value === undefined) {
      return failure('invalid_request', 'The query is not valid percent-encoded UTF-8.');
    }
    if (values.has(name)) return failure('invalid_request', `The query names ${JSON.stringify(name)} twice.`);
    values.set(name, value);
  }
  return { type: 'parameters', values };
}

function checkParameters(method: KeyMethod, parameters: ReadonlyMap<string, string>): Failure | undefined {
  for (const name of parameters.keys()) {
    if (!parametersOf[method].includes(name)) {
      const known = parametersOf[method].join(', ');
      return failure(
        'invalid_request',
        `${method} takes no query parameter ${JSON.stringify(name)}; it takes ${known}.`,
      );
    }
  }
  return undefined;
}

export const linearizable: Consistency = { level: 'linearizable', stalenessMsMax: Infinity };

function parseConsistency(method: KeyMethod, values: ReadonlyMap<string, string>): Consistency | Failure {
  const [level, bound, fallback] = [values.get('consistency'), values.get('max_staleness'), values.get('fallback')];
  if (level === undefined && bound === undefined && fallback === undefined) return linearizable;
  const reads = method === 'GET' || method === 'HEAD';
  if (level !== undefined && level !== 'linearizable' && !(reads && level === 'stale')) {
    const known = reads ? 'linearizable or stale' : 'linearizable: only reads may be stale';
    return failure('invalid_request', `consistency must be ${known}.`);
  }
  if (fallback !== undefined && fallback !== 'stale') return failure('invalid_request', 'fallback must be stale.');
  const stale = level === 'stale';
  if (stale && fallback !== undefined) {
    return failure('invalid_request', 'A read that is stale anyway has nothing to fall back to: leave out fallback.');
  }
  if (bound !== undefined && !stale && fallback === undefined) {
    return failure('invalid_request', 'max_staleness goes with consistency=stale or fallback=stale.');
  }
  const stalenessMsMax = bound === undefined ? Infinity : parseTtl(bound);
  if (stalenessMsMax === undefined) {
    return failure('invalid_request', `max_staleness ${JSON.stringify(bound)} is no length of time. ${ttlHelp}`);
  }
  if (stale) return { level: 'stale', stalenessMsMax };
  return fallback === undefined ? linearizable : { level: 'fallback', stalenessMsMax };
}

function parseLifetime(sent: string | undefined): number | Failure {
  if (sent === undefined) return 0;
  return parseTtl(sent) ?? failure('invalid_ttl', `${JSON.stringify(sent)} is no time to live. ${ttlHelp}`);
}

/** 1 to 128 visible ASCII characters. */
export function parseIdempotencyKey(headers: IncomingHttpHeaders): string | undefined | Failure {
  const sent = headers['idempotency-key'];
  if (sent === undefined || (typeof sent === 'string' && /^[\x21-\x7e]{1,128}$/.test(sent))) return sent;
  return failure('invalid_request', 'An Idempotency-Key has 1 to 128 visible ASCII characters, without spaces.');
}

/** Redirects lose credentials (clients drop them on the way to another port), so whoever sends some is forwarded. */
function chooseRoute(
  headers: IncomingHttpHeaders,
  parameter: string | undefined,
  configured: KeyOptions['route'],
): KeyOptions['route'] | Failure {
  const wanted = parameter ?? headers['flotilla-route'];
  if (wanted !== undefined && wanted !== 'forward' && wanted !== 'redirect') {
    return failure('invalid_request', 'The route must be forward or redirect.');
  }
  if (headers.authorization !== undefined || headers.cookie !== undefined) return 'forward';
  return wanted ?? configured;
}

/** False when it is not given. */
export function parseSwitch(values: ReadonlyMap<string, string>, name: string): boolean | Failure {
  const text = values.get(name) ?? 'false';
  if (text === 'true' || text === 'false') return text === 'true';
  return failure('invalid_request', `${name} must be true or false.`);
}

/** -1 for what is no whole number of at most nine digits. */
function wholeNumber(header: string | string[] | undefined, otherwise: number): number {
  if (header === undefined) return otherwise;
  return typeof header === 'string' && /^[0-9]{1,9}$/.test(header) ? Number(header) : -1;
}

function decodeComponent(text: string): string | undefined {
  const bytes = percentDecode(text.replaceAll('+', ' '));
  return bytes === undefined || !isUtf8(bytes) ? undefined : bytes.toString();
}
