/**
 * Reading values in the order of their keys: what is durable, by a scan of one moment, and what is staged beside it, which
 * comes before it. Both are taken when the read begins, so that it shows the state of that moment and nothing that comes after it.
 */
import { isDue, type DueKey, type KeyValue, type ValueRecord } from '../kv/types.ts';
import type { PartitionId, ValuePage, ValueRange } from '../replica/ports.ts';
import { planted } from '../planted.ts';
import type { DatabaseReader, DatabaseRecord } from './database.ts';
import { areaEnd, areaPrefixBytes, valueKey, type Area } from './keys.ts';
import { decodeValue } from './value-record.ts';

/** Undefined for a key that is deleted. */
export type StagedValue = readonly [key: Buffer, record: ValueRecord | undefined];

export interface RangeSource {
  /** Of the moment in which the read begins. */
  readonly database: DatabaseReader;
  readonly partition: PartitionId;
  readonly area: Area;
  /** Of the same moment, in any order; each key once. */
  readonly staged: Iterable<StagedValue>;
}

export async function readRange(source: RangeSource, range: ValueRange): Promise<ValuePage> {
  const page = await readPage(source, range);
  if (page.moreAfter === undefined) return page;
  // The scan was broken off: what the page says nothing of need not be whole.
  const { database, partition, area } = source;
  const [from, to] = scanEnds(source, range);
  const last = valueKey(partition, area, page.moreAfter);
  database.expectWhole(range.reverse ? last : from, range.reverse ? to : last);
  return page;
}

async function readPage(source: RangeSource, range: ValueRange): Promise<ValuePage> {
  const staged = stagedWithin(source.staged, range);
  const page = new Page(range);
  let next = 0;
  // Enough mostly: what is read ahead and not taken costs as much as what is.
  for await (const piece of storedWithin(source, range, range.limit + 1 + staged.length)) {
    for (const [storedKey, value] of piece) {
      const stored = storedKey.subarray(areaPrefixBytes);
      // A scan takes both its ends in, a range its first alone.
      if (range.to !== undefined && Buffer.compare(stored, range.to) >= 0) continue;
      let overtaken = false;
      for (; next < staged.length; next += 1) {
        const [key, record] = staged[next] as StagedValue;
        const order = compare(key, stored, range);
        if (order > 0) break;
        if (order === 0) overtaken = true;
        if (!page.add(key, record)) return page.cutOff(key);
      }
      if (!overtaken && !page.add(stored, decodeValue(storedKey, value))) return page.cutOff(stored);
    }
  }
  for (; next < staged.length; next += 1) {
    const [key, record] = staged[next] as StagedValue;
    if (!page.add(key, record)) return page.cutOff(key);
  }
  return page.whole();
}

function storedWithin(
  source: RangeSource,
  range: ValueRange,
  atOnce: number,
): AsyncIterable<readonly DatabaseRecord[]> {
  const [from, to] = scanEnds(source, range);
  return source.database.scanPieces({ from, to, reverse: range.reverse, atOnce });
}

function scanEnds({ partition, area }: RangeSource, { from, to }: ValueRange): readonly [from: Buffer, to: Buffer] {
  return [valueKey(partition, area, from), to === undefined ? areaEnd(partition, area) : valueKey(partition, area, to)];
}

function stagedWithin(staged: Iterable<StagedValue>, range: ValueRange): readonly StagedValue[] {
  const { from, to } = range;
  const within = [...staged].filter(
    ([key]) => Buffer.compare(key, from) >= 0 && (to === undefined || Buffer.compare(key, to) < 0),
  );
  return within.sort(([one], [other]) => compare(one, other, range));
}

function compare(one: Uint8Array, other: Uint8Array, { reverse }: ValueRange): number {
  return reverse ? Buffer.compare(other, one) : Buffer.compare(one, other);
}

class Page {
  readonly #range: ValueRange;
  readonly #values: KeyValue[] = [];
  readonly #due: DueKey[] = [];
  #bytes = 0;
  #last: Buffer | undefined;

  constructor(range: ValueRange) {
    this.#range = range;
  }

  /** False when there is no more room: then it was not taken. The first one always is. */
  add(key: Buffer, record: ValueRecord | undefined): boolean {
    if (record === undefined) return true;
    const taken = isDue(record, this.#range.dueBy) ? this.#addDue(key, record) : this.#addValue(key, record);
    if (taken) this.#last = key;
    return taken;
  }

  #addDue(key: Buffer, { revision, incarnation, expiresAt }: ValueRecord): boolean {
    if (this.#due.length >= this.#range.dueMax) return false;
    this.#due.push({ key, revision, incarnation, expiresAt });
    return true;
  }

  #addValue(key: Buffer, record: ValueRecord): boolean {
    const { limit, bytesMax, keysOnly } = this.#range;
    const bytes = key.length + (keysOnly ? 0 : record.value.length);
    if (this.#values.length > 0 && (this.#values.length >= limit || this.#bytes + bytes > bytesMax)) return false;
    this.#values.push({ key, record: keysOnly ? { ...record, value: noBytes } : record });
    this.#bytes += bytes;
    return true;
  }

  /** `notTaken`: the key for which there was no more room. */
  cutOff(notTaken: Buffer): ValuePage {
    if (planted('scan-skips-at-border')) return { values: this.#values, due: this.#due, moreAfter: notTaken };
    return { values: this.#values, due: this.#due, moreAfter: this.#last };
  }

  whole(): ValuePage {
    return { values: this.#values, due: this.#due, moreAfter: undefined };
  }
}

const noBytes = Buffer.alloc(0);
