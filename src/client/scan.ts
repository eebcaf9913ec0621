/** Pages of keys in order, one after the other, as fast as they are read and no faster. */
import { jsonOf } from './answers.ts';
import { valueOf } from './batch.ts';
import type { Caller } from './caller.ts';
import { invalidArgument } from './flotilla-error.ts';
import { clientLimits } from './limits.ts';
import type { ScanEntry, ScanKey, ScanOptions } from './options.ts';
import { bytesOf, jsonBytes } from './request-parts.ts';

interface JsonItem {
  readonly key?: string;
  readonly keyBase64?: string;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly revision: number;
  readonly etag: string;
  readonly expiresAt?: string;
}

interface JsonPage {
  readonly items: readonly JsonItem[];
  /** Where the next page begins; absent at the end. */
  readonly cursor?: string;
}

type Options = ScanOptions & { readonly keysOnly?: boolean };

export async function* scanPages(
  caller: Caller,
  options: Options,
  timeoutMs: number,
): AsyncGenerator<ScanKey | ScanEntry, void, undefined> {
  const { keysOnly = false, limit = Infinity } = options;
  const query = rangeQuery(options);
  const pageSize = checkedPageSize(options);
  let left = limit;
  let cursor: string | undefined;
  while (left > 0) {
    query.set('limit', String(Math.min(left, pageSize)));
    if (cursor !== undefined) query.set('cursor', cursor);
    const answer = await caller.call({ method: 'GET', path: `/v1/kv?${query.toString()}`, timeoutMs });
    const page = jsonOf(answer, 'not_applied') as JsonPage;
    for (const item of page.items.slice(0, left)) yield entryOf(item, keysOnly);
    left -= page.items.length;
    cursor = page.cursor;
    if (cursor === undefined) return;
  }
}

function rangeQuery({ prefix, start, end, reverse = false, keysOnly = false }: Options): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, key] of Object.entries({ prefix, start, end })) {
    if (key === undefined) continue;
    for (const [field, text] of Object.entries(jsonBytes(name, bytesOf(key, name)))) query.set(field, text);
  }
  if (reverse) query.set('reverse', 'true');
  if (keysOnly) query.set('keys_only', 'true');
  return query;
}

function checkedPageSize({ pageSize, limit = 1, keysOnly = false }: Options): number {
  const { pageSizeDefault, keysPageSizeDefault, pageSizeMax } = clientLimits;
  const size = pageSize ?? (keysOnly ? keysPageSizeDefault : pageSizeDefault);
  if (!Number.isInteger(size) || size < 1 || size > pageSizeMax) {
    throw invalidArgument(`pageSize is a whole number from 1 to ${pageSizeMax}.`);
  }
  if (!Number.isInteger(limit) && limit !== Infinity) throw invalidArgument('limit is a whole number.');
  return size;
}

function entryOf(item: JsonItem, keysOnly: boolean): ScanKey | ScanEntry {
  const { revision, etag } = item;
  const key = item.key ?? Buffer.from(item.keyBase64 ?? '', 'base64');
  const expiresAt = item.expiresAt === undefined ? undefined : new Date(item.expiresAt);
  const found: ScanKey = { key, revision, etag, expiresAt };
  return keysOnly ? found : { ...found, ...valueOf(item) };
}
