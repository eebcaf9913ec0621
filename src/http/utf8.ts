/** Text that came in JSON as bytes, and bytes as text. */
import { isUtf8 } from 'node:buffer';
import { asBuffer } from '../bytes.ts';

/** Of a character pair, one half without the other. JSON can write it, and no UTF-8 stands for it. */
const loneSurrogate = /\p{Surrogate}/u;

export const notText = 'holds one half of a character pair, for which there are no bytes';

/** Undefined for what has no bytes: Node would put others in its place, and two keys would become one. */
export function utf8Bytes(text: string): Buffer | undefined {
  return loneSurrogate.test(text) ? undefined : Buffer.from(text);
}

/** UTF-8 where it is that, base64 elsewhere. */
export function asText(bytes: Uint8Array): { readonly text: string | undefined; readonly base64: string | undefined } {
  const buffer = asBuffer(bytes);
  return isUtf8(buffer)
    ? { text: buffer.toString(), base64: undefined }
    : { text: undefined, base64: buffer.toString('base64') };
}
