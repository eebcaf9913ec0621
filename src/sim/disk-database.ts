import { crc32 } from 'node:zlib';
import { assert } from '../assert.ts';
import type { Clock } from '../replica/ports.ts';
import {
  inPieces,
  type Database,
  type DatabaseBatch,
  type DatabaseRecord,
  type DatabaseSnapshot,
  type ScanRange,
} from '../storage/database.ts';
import type { Changes, DiskRecords } from './disk-records.ts';

/** As Node's own errors of the file system say it. */
export interface DiskError extends Error {
  readonly code: 'EIO' | 'ENOSPC';
}

export function diskError(code: DiskError['code'], message: string): DiskError {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

/** What becomes of a batch, drawn when it is written. */
export interface BatchFate {
  readonly delayMs: number;
  /** Undefined: it is fsynced after `delayMs`. */
  readonly error: DiskError | undefined;
  /** Of a batch that fails: whether a reopen finds it nevertheless. */
  readonly left: boolean;
}

export interface DiskDatabaseOptions {
  readonly records: DiskRecords;
  readonly after: Clock['after'];
  /** Runs what the process does once a batch is done: later, while it is paused. */
  readonly deliver: (event: () => void) => void;
  readonly fateOf: (changes: Changes) => BatchFate;
  readonly onFailed: (error: DiskError, left: boolean) => void;
  /** So many batches, as drawn for each memory table, until the next fold. */
  readonly drawBatchesUntilFold: () => number;
  readonly checksums: boolean;
}

/**
 * One start's handle on a database. As LevelDB was measured to: after a failed write it goes on, and acknowledges and
 * shows what a reopen does not find.
 */
export class DiskDatabase implements Database {
  readonly #options: DiskDatabaseOptions;
  readonly #records: DiskRecords;
  #underWay: Changes | undefined;
  #cancel: (() => void) | undefined;
  /** Batches logged before the first that failed; all later ones are not really there. */
  #goodBatches: number | undefined;
  #left: Changes | undefined;
  #foldAt: number;
  #dead = false;

  constructor(options: DiskDatabaseOptions) {
    this.#options = options;
    this.#records = options.records;
    this.#foldAt = options.drawBatchesUntilFold();
  }

  /** The stored Buffer itself: whoever wrote to it would turn up as damage at the next read. */
  get(key: Buffer): Buffer | undefined {
    return this.#records.get(key.toString('latin1'));
  }

  /** What a disk does to its records is done to each at once, whoever reads it. */
  expectWhole(): void {
    return undefined;
  }

  batch(): DatabaseBatch {
    return new DiskBatch(this.#options.checksums, (changes) => this.#write(changes));
  }

  scan(range: ScanRange): AsyncIterable<readonly [Buffer, Buffer]> {
    const records = this.#records;
    return {
      [Symbol.asyncIterator]: () => this.#iterate(records.sortedKeys(), (key) => records.get(key) as Buffer, range),
    };
  }

  scanPieces(range: ScanRange): AsyncIterable<readonly DatabaseRecord[]> {
    return inPieces(this.scan(range));
  }

  /** Dies with the handle. */
  snapshot(): DatabaseSnapshot {
    const records = this.#records.view();
    const keys = this.#records.sortedKeys();
    const scan = (range: ScanRange): AsyncIterable<DatabaseRecord> => ({
      [Symbol.asyncIterator]: () => this.#iterate(keys, (key) => records.get(key) as Buffer, range),
    });
    return {
      get: (key) => records.get(key.toString('latin1')),
      expectWhole: () => undefined,
      scan,
      scanPieces: (range) => inPieces(scan(range)),
      close: async () => undefined,
    };
  }

  async approximateBytes(from: Buffer, to: Buffer): Promise<number> {
    const { keys, first, end } = rangeOf(this.#records.sortedKeys(), { from, to });
    return keys.slice(first, end).reduce((sum, key) => sum + key.length + (this.#records.get(key)?.length ?? 0), 0);
  }

  async close(): Promise<void> {
    if (this.#dead) return;
    assert(this.#underWay === undefined, 'no batch is under way when a database is closed');
    this.end((handedOver) => handedOver);
  }

  isOpen(): boolean {
    return !this.#dead;
  }

  /**
   * The handle is dead: what it has under way never settles. `survives` says whether the operating system has the batch
   * that is neither done nor gone; `handedOver`: its write came through and only the fsync failed.
   */
  end(survives: (handedOver: boolean) => boolean): void {
    this.#dead = true;
    this.#cancel?.();
    const broken = this.#goodBatches !== undefined;
    const unfinished = broken ? this.#left : this.#underWay;
    this.#underWay = undefined;
    if (this.#goodBatches !== undefined) this.#records.lose(this.#goodBatches, this.#records.batchesLogged());
    if (unfinished !== undefined && survives(broken)) this.#records.cached = unfinished;
  }

  #write(changes: Changes): Promise<void> {
    assert(this.#underWay === undefined, 'one batch is under way at a time');
    return new Promise((resolve, reject) => {
      if (this.#dead) return;
      this.#underWay = changes;
      const broken = this.#goodBatches !== undefined;
      const { delayMs, error, left } = this.#options.fateOf(changes);
      this.#cancel = this.#options.after(delayMs, () => {
        if (this.#dead) return;
        this.#underWay = undefined;
        if (error === undefined || broken) {
          this.#completed(changes);
          this.#options.deliver(resolve);
        } else {
          this.#goodBatches = this.#records.batchesLogged();
          if (left) this.#left = changes;
          this.#options.onFailed(error, left);
          this.#options.deliver(() => reject(error));
        }
      });
    });
  }

  #completed(changes: Changes): void {
    this.#records.append(changes);
    if (this.#goodBatches !== undefined || this.#records.batchesLogged() < this.#foldAt) return;
    this.#records.fold();
    this.#foldAt = this.#options.drawBatchesUntilFold();
  }

  /**
   * Takes all that it will give at once, as it is of one moment and writes come in between. By hand, because a generator takes
   * three times the steps of promises.
   */
  #iterate(
    sortedKeys: readonly string[],
    get: (key: string) => Buffer,
    range: ScanRange,
  ): AsyncIterator<readonly [Buffer, Buffer]> {
    const { first, end } = rangeOf(sortedKeys, range);
    const count = Math.min(end - first, range.limit ?? Infinity);
    const keys =
      range.reverse === true ? sortedKeys.slice(end - count, end).reverse() : sortedKeys.slice(first, first + count);
    const values = keys.map(get);
    let at = 0;
    return {
      next: () => {
        if (this.#dead) return new Promise(() => undefined);
        if (at === keys.length) return Promise.resolve({ done: true, value: undefined });
        const key = Buffer.from(keys[at] as string, 'latin1');
        const value = values[at] as Buffer;
        at += 1;
        return Promise.resolve({ done: false, value: [key, value] });
      },
    };
  }
}

/** Where the records of a range begin in `keys`, and where they end. */
function rangeOf(
  keys: readonly string[],
  range: ScanRange,
): { readonly keys: readonly string[]; readonly first: number; readonly end: number } {
  const to = range.to.toString('latin1');
  const end = firstNotBelow(keys, to);
  return { keys, first: firstNotBelow(keys, range.from.toString('latin1')), end: keys[end] === to ? end + 1 : end };
}

/** Copies what it is given: the storage encodes all records in the same memory. */
class DiskBatch implements DatabaseBatch {
  readonly #write: (changes: Changes) => Promise<void>;
  readonly #checksums: boolean;
  readonly #keys: string[] = [];
  readonly #values: (Buffer | undefined)[] = [];
  #bytes = 0;
  #checksum = 0;

  constructor(checksums: boolean, write: (changes: Changes) => Promise<void>) {
    this.#checksums = checksums;
    this.#write = write;
  }

  put(key: Buffer, value: Buffer): void {
    this.#add(key, Buffer.from(value));
  }

  delete(key: Buffer): void {
    this.#add(key, undefined);
  }

  write(): Promise<void> {
    return this.#write({
      keys: this.#keys,
      values: this.#values,
      bytes: this.#bytes,
      checksum: this.#checksum,
    });
  }

  #add(key: Buffer, value: Buffer | undefined): void {
    this.#keys.push(key.toString('latin1'));
    this.#values.push(value);
    this.#bytes += key.length + (value?.length ?? 0);
    if (!this.#checksums) return;
    this.#checksum = crc32(key, this.#checksum);
    if (value !== undefined) this.#checksum = crc32(value, this.#checksum);
  }
}

/** Where `bound` stands in `keys`, or would. */
function firstNotBelow(keys: readonly string[], bound: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
