/** Changes as they happen, one a line, until somebody stops it. */
import { isUtf8 } from 'node:buffer';
import { FlotillaError, type Key, type WatchBookmark, type WatchChange } from '../client/connect.ts';
import { bytesInJson, definedOnly, keyInJson } from './client-run.ts';
import { line, print, withStore, type ClientWords } from './client-session.ts';

export interface WatchWords extends ClientWords {
  readonly key?: string;
  readonly from?: string;
}

/** Ctrl-C is how it is meant to end: exit code 0. A second one ends it at once. */
export async function runWatch(prefix: string | undefined, words: WatchWords): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  await withStore(words, async (store) => {
    const { key, from } = words;
    const options = definedOnly({ prefix: prefix === '' ? undefined : prefix, key, from });
    let cursor = from;
    try {
      for await (const event of store.watch({ ...options, bookmarks: true, signal: stop.signal })) {
        const text = words.json === true ? jsonLine(event) : event.type === 'bookmark' ? undefined : shownLine(event);
        if (text !== undefined && !(await print(text))) break;
        ({ cursor } = event);
      }
    } catch (error) {
      // From there nothing goes on.
      if (error instanceof FlotillaError && error.code === 'cursor_expired') cursor = undefined;
      throw error;
    } finally {
      if (cursor !== undefined && cursor !== '') process.stderr.write(`flotilla: go on with --from ${cursor}\n`);
    }
  });
}

/** As nodes write it. */
function jsonLine(event: WatchChange | WatchBookmark): string {
  if (event.type === 'bookmark') return line({ event: event.type, cursor: event.cursor });
  const { type, cursor, key, revision, etag, partition } = event;
  const stored = type === 'put' ? { ...bytesInJson('value', event.value), contentType: event.contentType } : {};
  return line({ event: type, cursor, data: { ...keyInJson(key), ...stored, revision, etag, partition } });
}

/** Of a value: what tells it from others, and leaves a line a line. */
const shownCharactersMax = 100;

function shownLine(event: WatchChange): string {
  const key = shownText(bytesOf(event.key));
  if (event.type !== 'put') return `${event.type} ${key}\n`;
  const value = Buffer.from(event.value.buffer, event.value.byteOffset, event.value.byteLength);
  // No character has more than four bytes. One that is cut at the end is left out below.
  const whole = shownText(value.length > shownCharactersMax * 8 ? headOf(value) : value);
  const characters = Array.from(whole);
  const isCut = value.length > shownCharactersMax * 8 || characters.length > shownCharactersMax;
  const shown = isCut ? `${characters.slice(0, shownCharactersMax).join('')}… (${value.length} bytes)` : whole;
  return `put ${key} = ${shown}\n`;
}

/** Enough to fill the line, up to the end of a character. */
function headOf(value: Buffer): Buffer {
  let end = shownCharactersMax * 8;
  while (end > 0 && ((value[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return value.subarray(0, end);
}

/** What would move the cursor, end the line or turn the direction of writing is written out, and so are bytes that are no text. */
function shownText(bytes: Buffer): string {
  if (!isUtf8(bytes)) return bytes.toString('latin1').replaceAll(/[^\x20-\x7e]/g, (byte) => `\\x${hex(byte, 2)}`);
  return bytes.toString().replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, escaped);
}

function escaped(character: string): string {
  const known: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
  return known[character] ?? `\\u${hex(character, 4)}`;
}

function hex(character: string, digits: number): string {
  return (character.codePointAt(0) ?? 0).toString(16).padStart(digits, '0');
}

function bytesOf(key: Key): Buffer {
  return typeof key === 'string' ? Buffer.from(key) : Buffer.from(key.buffer, key.byteOffset, key.byteLength);
}
