/** What a watch is asked for: which keys, and from where on. */
import type { IncomingHttpHeaders } from 'node:http';
import { parseCursor, type WatchCursor, type WatchTarget } from '../cluster/watch/cursor.ts';
import type { Config } from '../config.ts';
import { failure, type Failure } from './failure.ts';
import { parseQuery, parseTimeout } from './key-options.ts';
import { parseBytes } from './scan-query.ts';

export interface WatchQuery {
  readonly type: 'watch';
  readonly target: WatchTarget;
  /** Undefined: from now on. */
  readonly from: WatchCursor | undefined;
  /** Within which it has to begin. */
  readonly timeoutMs: number;
}

const known = ['prefix', 'prefixBase64', 'key', 'keyBase64', 'from', 'route'];

export function parseWatch(
  { headers, query }: { readonly headers: IncomingHttpHeaders; readonly query: string },
  limits: Config['limits'],
): WatchQuery | Failure {
  const parameters = parseQuery(query);
  if (parameters.type === 'failure') return parameters;
  const { values } = parameters;
  const unknown = [...values.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const detail = `A watch takes no query parameter ${JSON.stringify(unknown)}; it takes ${known.join(', ')}.`;
    return failure('invalid_request', detail);
  }
  const timeoutMs = parseTimeout(headers, limits);
  if (typeof timeoutMs !== 'number') return timeoutMs;
  const target = parseTarget(values, limits.keyBytesMax);
  if (target.type === 'failure') return target;
  // A browser that comes back names what it had last in the header, and repeats the address with which it began.
  const cursor = lastEventId(headers) || (values.get('from') ?? '');
  if (cursor === '') return { type: 'watch', target, from: undefined, timeoutMs };
  const from = parseCursor(target, cursor);
  if (from === 'malformed') {
    return failure('invalid_request', 'The cursor is none of ours: send one as it came, or none to begin with now.');
  }
  if (from === 'of_another') {
    return failure('invalid_request', 'The cursor belongs to another watch: send it with the same key or prefix.');
  }
  return { type: 'watch', target, from, timeoutMs };
}

function parseTarget(values: ReadonlyMap<string, string>, keyBytesMax: number): WatchTarget | Failure {
  const [key, prefix] = ['key', 'prefix'].map((name) => parseBytes(values, name, keyBytesMax));
  if (key !== undefined && !Buffer.isBuffer(key)) return key;
  if (prefix !== undefined && !Buffer.isBuffer(prefix)) return prefix;
  if (key !== undefined && prefix !== undefined) {
    return failure('invalid_request', 'Either key or prefix may stand, not both; neither watches all keys.');
  }
  if (key?.length === 0) return failure('invalid_key', 'A key has at least one byte.');
  return key === undefined ? { type: 'prefix', bytes: prefix ?? Buffer.alloc(0) } : { type: 'key', bytes: key };
}

/** Empty when there is none: some send it so, and mean nothing by it. */
function lastEventId(headers: IncomingHttpHeaders): string {
  const value = headers['last-event-id'];
  return typeof value === 'string' ? value : '';
}
