import {
  inPieces,
  type Database,
  type DatabaseBatch,
  type DatabaseRecord,
  type DatabaseSnapshot,
  type ScanRange,
} from '../../src/storage/database.ts';

/**
 * A database that never forgets a deleted key, as LevelDB does until it merges its tables, and counts how many of them its
 * iterators step over: every one between where an iterator is and the next record that is there, in or out of its range.
 */
export class TombstoneDatabase implements Database {
  /** Undefined for a deleted key. */
  readonly #records = new Map<string, Buffer | undefined>();
  #sorted: readonly string[] | undefined;
  steppedOver = 0;

  get(key: Buffer): Buffer | undefined {
    return this.#records.get(key.toString('latin1'));
  }

  expectWhole(): void {
    return undefined;
  }

  batch(): DatabaseBatch {
    const changes: [string, Buffer | undefined][] = [];
    return {
      put: (key, value) => void changes.push([key.toString('latin1'), Buffer.from(value)]),
      delete: (key) => void changes.push([key.toString('latin1'), undefined]),
      write: async () => {
        for (const [key, value] of changes) this.#records.set(key, value);
        this.#sorted = undefined;
      },
    };
  }

  async *scan(range: ScanRange): AsyncGenerator<readonly [Buffer, Buffer]> {
    const keys = (this.#sorted ??= [...this.#records.keys()].sort());
    const [from, to] = [range.from.toString('latin1'), range.to.toString('latin1')];
    const above = keys.findIndex((key) => key > to);
    const end = above < 0 ? keys.length : above;
    const backwards = range.reverse === true;
    // Seeking backwards, LevelDB first looks forwards from the range's last key; it need not look far when that one is there.
    if (backwards) this.#live(keys, keys[end - 1] === to ? end - 1 : end, 1);
    const step = backwards ? -1 : 1;
    let at = backwards ? end : keys.findIndex((key) => key >= from) - 1;
    if (!backwards && at === -2) return;
    for (let left = range.limit ?? Infinity; left > 0; left -= 1) {
      at = this.#live(keys, at + step, step);
      const key = keys[at];
      if (key === undefined || key < from || key > to) return;
      yield [Buffer.from(key, 'latin1'), this.#records.get(key) as Buffer];
    }
  }

  scanPieces(range: ScanRange): AsyncIterable<readonly DatabaseRecord[]> {
    return inPieces(this.scan(range));
  }

  snapshot(): DatabaseSnapshot {
    throw new Error('not part of these tests');
  }

  async approximateBytes(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {
    this.#sorted = undefined;
  }

  #live(keys: readonly string[], from: number, step: 1 | -1): number {
    let at = from;
    for (; at >= 0 && at < keys.length && this.#records.get(keys[at] as string) === undefined; at += step) {
      this.steppedOver += 1;
    }
    return at;
  }
}
