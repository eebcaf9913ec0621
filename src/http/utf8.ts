/** Text that came in JSON, as bytes. */

/** Of a character pair, one half without the other. JSON can write it, and no UTF-8 stands for it. */
const loneSurrogate = /\p{Surrogate}/u;

export const notText = 'holds one half of a character pair, for which there are no bytes';

/** Undefined for what has no bytes: Node would put others in its place, and two keys would become one. */
export function utf8Bytes(text: string): Buffer | undefined {
  return loneSurrogate.test(text) ? undefined : Buffer.from(text);
}
