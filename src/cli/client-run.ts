/** What the client commands do. Values and lists go to stdout, all else is one line on stderr and an exit code. */
import { isUtf8 } from 'node:buffer';
import type { Entry, Key, ScanEntry, ScanKey } from '../client/connect.ts';
import { exitCodes, line, print, withStore, type ClientWords } from './client-session.ts';
import { statusLines } from './client-status.ts';

export interface PutWords extends ClientWords {
  readonly ttl?: string;
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
  readonly contentType?: string;
}

export interface ScanWords extends ClientWords {
  readonly values?: boolean;
  readonly keysOnly?: boolean;
  readonly limit?: number;
  readonly reverse?: boolean;
}

export async function runPut(key: string, value: string, words: PutWords): Promise<void> {
  await withStore(words, async (store) => {
    const { ttl, ifMatch, ifNoneMatch, contentType } = words;
    const options = definedOnly({ ttl, ifMatch, ifNoneMatch, contentType });
    const bytes = value === '-' ? await readAll(process.stdin) : Buffer.from(value);
    const { revision, etag, created, expiresAt } = await store.set(key, bytes, options);
    if (words.json === true) return print(line({ key, revision, etag, created, expiresAt }));
    const what = created ? 'created' : 'replaced';
    return print(`${what}, ETag ${etag}${expiresAt === undefined ? '' : `, expires ${expiresAt.toISOString()}`}\n`);
  });
}

export async function runGet(key: string, words: ClientWords & { readonly stale?: boolean }): Promise<void> {
  await withStore(words, async (store) => {
    const entry = await store.get(key, words.stale === true ? { consistency: 'stale' } : {});
    if (entry === undefined) return notFound(key);
    if (entry.stalenessMs !== undefined && words.json !== true) {
      process.stderr.write(`flotilla: as of ${entry.stalenessMs} ms ago\n`);
    }
    if (words.json === true) return print(line({ ...keyInJson(key), ...entryInJson(entry) }));
    await print(entry.value);
    // A prompt is to stand on a line of its own; a file or a pipe gets the value as it is.
    return process.stdout.isTTY ? print('\n') : true;
  });
}

export async function runDel(key: string, words: ClientWords & { readonly ifMatch?: string }): Promise<void> {
  await withStore(words, async (store) => {
    const { deleted, revision } = await store.delete(key, definedOnly({ ifMatch: words.ifMatch }));
    if (!deleted) return notFound(key);
    return print(words.json === true ? line({ key, revision, deleted }) : 'deleted\n');
  });
}

export async function runScan(prefix: string | undefined, words: ScanWords): Promise<void> {
  await withStore(words, async (store) => {
    const { limit, reverse } = words;
    const wanted = words.keysOnly !== true && (words.values === true || words.json === true);
    const options = definedOnly({ prefix: prefix === '' ? undefined : prefix, limit, reverse });
    for await (const entry of store.scan({ ...options, keysOnly: !wanted })) {
      if (!(await print(scanLine(entry, words)))) return;
    }
  });
}

export async function runStatus(words: ClientWords): Promise<void> {
  await withStore(words, async (store) => {
    const status = await store.status();
    return print(words.json === true ? line(status) : `${statusLines(status).join('\n')}\n`);
  });
}

function notFound(key: string): void {
  process.stderr.write(`flotilla: nothing is stored under ${JSON.stringify(key)}\n`);
  process.exitCode = exitCodes.notFound;
}

function scanLine(entry: ScanKey | ScanEntry, { json, values }: ScanWords): string | Uint8Array {
  if (json === true) {
    const { revision, etag, expiresAt } = entry;
    const value = 'value' in entry ? bytesInJson('value', entry.value) : {};
    return line({ ...keyInJson(entry.key), ...value, revision, etag, expiresAt });
  }
  const value = values === true && 'value' in entry ? [Buffer.from('\t'), entry.value] : [];
  return Buffer.concat([Buffer.from(entry.key), ...value, Buffer.from('\n')]);
}

function entryInJson({ value, revision, etag, contentType, expiresAt, stalenessMs }: Entry): object {
  return { ...bytesInJson('value', value), revision, etag, contentType, expiresAt, stalenessMs };
}

export function keyInJson(key: Key): object {
  return typeof key === 'string' ? { key } : bytesInJson('key', key);
}

/** As nodes write it: base64 under a name of its own where the bytes are not UTF-8. */
export function bytesInJson(name: string, bytes: Uint8Array): object {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { [name]: buffer.toString() } : { [`${name}Base64`]: buffer.toString('base64') };
}

async function readAll(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

type Defined<T> = { [Name in keyof T]?: Exclude<T[Name], undefined> };

/** An option that was not given is not there, rather than there and undefined. */
export function definedOnly<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
}
