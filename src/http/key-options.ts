/**
 * What a single-key request asks for beyond its key: in the query and in headers. What this version does not know is
 * refused, never ignored: a condition or a lifetime that is silently dropped loses data.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '../config.ts';
import { failure, type Failure } from './failure.ts';
import { percentDecode } from './target.ts';

export interface KeyOptions {
  readonly type: 'options';
  readonly route: 'redirect' | 'forward';
  readonly timeoutMs: number;
  readonly hops: number;
}

type Settings = Pick<Config, 'routing' | 'limits'>;

const plannedParameters = new Set(['ttl', 'max_staleness', 'fallback']);
const plannedHeaders = ['if-match', 'if-none-match', 'idempotency-key'] as const;

export function parseKeyOptions(headers: IncomingHttpHeaders, query: string, settings: Settings): KeyOptions | Failure {
  for (const name of plannedHeaders) {
    if (headers[name] !== undefined) return notYet(`The header ${name}`);
  }
  const parameters = query === '' ? noParameters : parseQuery(query);
  if (parameters.type === 'failure') return parameters;
  const wanted = checkParameters(parameters.values);
  if (wanted.type === 'failure') return wanted;

  const route = chooseRoute(headers, wanted.route, settings.routing);
  if (typeof route !== 'string') return route;
  const timeoutMs = parseTimeout(headers, settings.limits);
  if (typeof timeoutMs !== 'number') return timeoutMs;
  const hops = wholeNumber(headers['flotilla-hops'], 0);
  if (hops < 0) return failure('invalid_request', 'Flotilla-Hops must be a whole number.');
  return { type: 'options', route, timeoutMs, hops };
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
      return failure('invalid_request', 'The query is not valid percent-encoding.');
    }
    if (values.has(name)) return failure('invalid_request', `The query names ${JSON.stringify(name)} twice.`);
    values.set(name, value);
  }
  return { type: 'parameters', values };
}

interface WantedParameters {
  readonly type: 'wanted';
  readonly route: string | undefined;
}

function checkParameters(parameters: ReadonlyMap<string, string>): WantedParameters | Failure {
  for (const [name, value] of parameters) {
    if (name === 'route') continue;
    if (plannedParameters.has(name)) return notYet(`The query parameter ${name}`);
    if (name !== 'consistency') return failure('invalid_request', `Unknown query parameter ${JSON.stringify(name)}.`);
    if (value === 'stale') return notYet('consistency=stale');
    if (value !== 'linearizable') return failure('invalid_request', 'consistency must be linearizable.');
  }
  return { type: 'wanted', route: parameters.get('route') };
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

/** -1 for what is no whole number of at most nine digits. */
function wholeNumber(header: string | string[] | undefined, otherwise: number): number {
  if (header === undefined) return otherwise;
  return typeof header === 'string' && /^[0-9]{1,9}$/.test(header) ? Number(header) : -1;
}

function decodeComponent(text: string): string | undefined {
  return percentDecode(text.replaceAll('+', ' '))?.toString('utf8');
}

function notYet(what: string): Failure {
  return failure('invalid_request', `${what} is not supported in this version; it is refused rather than ignored.`);
}
