/** What a scan is asked for, in its query: which keys, in which order, how many, from where on. */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '../config.ts';
import { failure, type Failure } from './failure.ts';
import { parseQuery, parseSwitch, parseTimeout } from './key-options.ts';
import { prefixEnd, successor, type ScanQuery } from '../cluster/scan.ts';

export interface ScanCall {
  readonly type: 'scan';
  /** From where on it goes. */
  readonly query: ScanQuery;
  /** Undefined: to the end. */
  readonly limit: number | undefined;
  readonly timeoutMs: number;
  /** The cursor of what comes behind `key`. */
  readonly cursorBehind: (key: Uint8Array) => string;
}

type Limits = Config['limits'];

const known = [
  'prefix',
  'prefixBase64',
  'start',
  'startBase64',
  'end',
  'endBase64',
  'limit',
  'cursor',
  'keys_only',
  'reverse',
  'consistency',
  'route',
];

/** `streams`: what comes is lines, which may go on to the end. */
export function parseScan(
  {
    headers,
    query,
    streams,
  }: { readonly headers: IncomingHttpHeaders; readonly query: string; readonly streams: boolean },
  limits: Limits,
): ScanCall | Failure {
  const parameters = parseQuery(query);
  if (parameters.type === 'failure') return parameters;
  const { values } = parameters;
  const unknown = [...values.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const detail = `A scan takes no query parameter ${JSON.stringify(unknown)}; it takes ${known.join(', ')}.`;
    return failure('invalid_request', detail);
  }
  if ((values.get('consistency') ?? 'linearizable') !== 'linearizable') {
    return failure('invalid_request', 'A scan reads each partition linearizably: consistency must be linearizable.');
  }
  const timeoutMs = parseTimeout(headers, limits);
  if (typeof timeoutMs !== 'number') return timeoutMs;
  const bounds = parseBounds(values, limits.keyBytesMax);
  if (bounds.type === 'failure') return bounds;
  const reverse = parseSwitch(values, 'reverse');
  if (typeof reverse !== 'boolean') return reverse;
  const keysOnly = parseSwitch(values, 'keys_only');
  if (typeof keysOnly !== 'boolean') return keysOnly;
  const limit = parseLimit(values.get('limit'), streams ? undefined : limits.scanKeysDefault, limits.scanKeysMax);
  if (typeof limit === 'object') return limit;

  const whole: ScanQuery = { from: bounds.from, to: bounds.to, reverse, keysOnly };
  const cursor = values.get('cursor');
  const rest = cursor === undefined ? whole : afterCursor(whole, cursor);
  if ('type' in rest) return rest;
  return { type: 'scan', query: rest, limit, timeoutMs, cursorBehind: (key) => formatCursor(whole, key) };
}

interface Bounds {
  readonly type: 'bounds';
  readonly from: Buffer;
  readonly to: Buffer | undefined;
}

/** What the prefix and the ends have in common. */
export function parseBounds(values: ReadonlyMap<string, string>, keyBytesMax: number): Bounds | Failure {
  const [prefix, start, end] = ['prefix', 'start', 'end'].map((name) => parseBytes(values, name, keyBytesMax));
  for (const one of [prefix, start, end]) if (one !== undefined && !Buffer.isBuffer(one)) return one;
  const [low, high] = [prefix, end] as (Buffer | undefined)[];
  const froms = [low, start as Buffer | undefined].filter((one) => one !== undefined);
  const tos = [low === undefined ? undefined : prefixEnd(low), high].filter((one) => one !== undefined);
  const from = froms.toSorted(byBytes).at(-1) ?? Buffer.alloc(0);
  return { type: 'bounds', from, to: tos.toSorted(byBytes)[0] };
}

function byBytes(one: Buffer, other: Buffer): number {
  return Buffer.compare(one, other);
}

export function parseBytes(
  values: ReadonlyMap<string, string>,
  name: string,
  keyBytesMax: number,
): Buffer | Failure | undefined {
  const [text, base64] = [values.get(name), values.get(`${name}Base64`)];
  if (text !== undefined && base64 !== undefined) {
    return failure('invalid_request', `Either ${name} or ${name}Base64 may stand, not both.`);
  }
  if (text === undefined && base64 === undefined) return undefined;
  const bytes = text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text);
  if (base64 !== undefined && bytes.toString('base64') !== base64) {
    return failure('invalid_request', `${name}Base64 takes standard base64 with padding (RFC 4648, section 4).`);
  }
  if (bytes.length <= keyBytesMax) return bytes;
  return failure('invalid_key', `${name} has ${bytes.length} bytes; keys have at most ${keyBytesMax}.`);
}

function parseLimit(
  text: string | undefined,
  otherwise: number | undefined,
  max: number,
): number | undefined | Failure {
  if (text === undefined) return otherwise;
  const limit = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= max) return limit;
  return failure('invalid_request', `limit must be a whole number from 1 to ${max}.`);
}

const cursorVersion = 1;
const digestBytes = 8;

/**
 * Version, digest of the query it belongs to, and the last key given out: it holds whoever leads, and for as long as anybody keeps it.
 */
function formatCursor(query: ScanQuery, key: Uint8Array): string {
  return Buffer.concat([Buffer.from([cursorVersion]), digestOf(query), key]).toString('base64url');
}

function afterCursor(query: ScanQuery, cursor: string): ScanQuery | Failure {
  const bytes = Buffer.from(cursor, 'base64url');
  const key = bytes.subarray(1 + digestBytes);
  if (bytes.toString('base64url') !== cursor || bytes[0] !== cursorVersion || key.length === 0) {
    return failure('invalid_request', 'The cursor is none of ours: send one as it came, or none to begin anew.');
  }
  if (!bytes.subarray(1, 1 + digestBytes).equals(digestOf(query))) {
    const detail = 'The cursor belongs to another scan: send it with the same prefix, start, end and reverse.';
    return failure('invalid_request', detail);
  }
  return query.reverse ? { ...query, to: key } : { ...query, from: successor(key) };
}

function digestOf({ from, to, reverse }: ScanQuery): Buffer {
  const parts = [String(reverse), from.toString('hex'), to?.toString('hex') ?? '-'];
  return createHash('sha256').update(parts.join(' ')).digest().subarray(0, digestBytes);
}
