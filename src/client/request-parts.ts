/** How keys, bytes and lifetimes are written in a request, so that they arrive as they were given. */
import { isUtf8 } from 'node:buffer';
import { invalidArgument } from './flotilla-error.ts';
import type { GetOptions, Key } from './options.ts';

/** Throws a FlotillaError for an empty key and for text that is not well formed, which would be stored as something else. */
export function keyBytes(key: Key): Buffer {
  const bytes = bytesOf(key, 'key');
  if (bytes.length === 0) throw invalidArgument('The key is empty; keys have at least one byte.');
  return bytes;
}

/** A string's UTF-8, or a view of the bytes. `what` names it in the error. */
export function bytesOf(text: string | Uint8Array, what: string): Buffer {
  if (typeof text !== 'string') {
    // Callers without a compiler: a number, say, would end as something that nobody meant.
    if (!((text as unknown) instanceof Uint8Array)) throw invalidArgument(`A ${what} is a string or a Uint8Array.`);
    return Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  }
  if (/\p{Surrogate}/u.test(text)) {
    throw invalidArgument(`The ${what} has half of a surrogate pair and so is no text; give its bytes instead.`);
  }
  return Buffer.from(text);
}

/** Under `/v1/kv/` where a path can carry the bytes unchanged, else under `/v1/kv64/`. */
export function keyPath(bytes: Buffer): string {
  const text = isUtf8(bytes) ? bytes.toString() : undefined;
  // Proxies take dots between slashes, and empty parts, for a way through directories.
  if (text === undefined || text.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    return `/v1/kv64/${bytes.toString('base64url')}`;
  }
  return `/v1/kv/${text.split('/').map(encodeURIComponent).join('/')}`;
}

/** What a read asks for besides its key: `?` and parameters, or nothing. */
export function readQuery({ consistency, maxStalenessMs, fallback }: GetOptions): string {
  const query = new URLSearchParams();
  if (consistency !== undefined) query.set('consistency', consistency);
  if (maxStalenessMs !== undefined) query.set('max_staleness', `${maxStalenessMs}ms`);
  if (fallback !== undefined) query.set('fallback', fallback);
  return query.size === 0 ? '' : `?${query.toString()}`;
}

/** How bytes stand in JSON and in queries: as text, or as base64 under a name of their own where they are not UTF-8. */
export function jsonBytes(name: string, bytes: Buffer): Record<string, string> {
  return isUtf8(bytes) ? { [name]: bytes.toString() } : { [`${name}Base64`]: bytes.toString('base64') };
}

/** How a lifetime is written: a number means seconds. */
export function ttlText(ttl: number | string): string {
  return typeof ttl === 'number' ? `${ttl}s` : ttl;
}
