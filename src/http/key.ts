/**
 * Keys as they stand in a path: everything after the prefix, percent-decoded once and never normalised. Bytes that no
 * path can carry come as base64url under `/v1/kv64/`.
 */
import { isUtf8 } from 'node:buffer';
import { failure, type Failure } from './failure.ts';
import { percentDecode } from './target.ts';

export interface ParsedKey {
  readonly type: 'key';
  readonly bytes: Buffer;
}

const useKv64 = 'Keys that are not UTF-8 go to /v1/kv64/{base64url of the key}.';

/** `text` is the raw path after the prefix. */
export function parsePathKey(text: string, keyBytesMax: number): ParsedKey | Failure {
  if (text.includes('#')) return failure('invalid_key', 'A "#" in a key must be sent as %23.');
  const bytes = percentDecode(text);
  if (bytes === undefined) {
    return failure('invalid_key', `A "%" in a key must be sent as %25. ${useKv64}`);
  }
  if (!isUtf8(bytes)) return failure('invalid_key', `The key is not valid UTF-8 once percent-decoded. ${useKv64}`);
  return withinBounds(bytes, keyBytesMax);
}

/** Strict base64url (RFC 4648, section 5) without padding; spare bits must be zero, so that a key has one spelling. */
export function parseBase64UrlKey(text: string, keyBytesMax: number): ParsedKey | Failure {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) {
    return failure('invalid_key', 'After /v1/kv64/ stands the key as base64url: A-Z a-z 0-9 - _ and no padding.');
  }
  return withinBounds(bytes, keyBytesMax);
}

function withinBounds(bytes: Buffer, keyBytesMax: number): ParsedKey | Failure {
  return checkKeyBytes(bytes, keyBytesMax) ?? { type: 'key', bytes };
}

/** Undefined for a key of good length. */
export function checkKeyBytes(bytes: Uint8Array, keyBytesMax: number): Failure | undefined {
  if (bytes.length === 0) return failure('invalid_key', 'The key is empty; keys have at least one byte.');
  if (bytes.length <= keyBytesMax) return undefined;
  return failure('invalid_key', `The key has ${bytes.length} bytes; at most ${keyBytesMax} are allowed.`);
}

/** How a key stands in JSON: as text, or as base64 where its bytes are not UTF-8. */
export function keyInJson(bytes: Buffer): { readonly key: string } | { readonly keyBase64: string } {
  return isUtf8(bytes) ? { key: bytes.toString('utf8') } : { keyBase64: bytes.toString('base64') };
}
