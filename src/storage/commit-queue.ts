import { AssertionError } from '../assert.ts';
import { Scratch } from '../bytes.ts';
import { planted } from '../planted.ts';
import type { BatchSequence } from './batch-sequence.ts';
import type { Database, DatabaseBatch } from './database.ts';
import type { Mark } from './high-water.ts';

export interface Queued {
  /** Grows with each thing handed to the storage, whichever queue it goes in. */
  readonly ordinal: number;
  /** What it takes in a batch, at most. */
  readonly bytes: number;
}

export interface CommitQueueOptions<Item extends Queued> {
  readonly database: Database;
  readonly sequence: BatchSequence;
  readonly batchBytesMax: number;
  /** Puts the items into the batch. Returns the bytes put. */
  readonly encode: (items: readonly Item[], batch: DatabaseBatch, scratch: Scratch) => number;
  /** Runs after the fsync, before the next batch can start. May throw what a failed write would. */
  readonly onDurable: (items: readonly Item[], mark: Mark) => void;
  readonly onFailure: (error: unknown) => void;
  /** Hears of each batch as it begins to be written; what it returns is called once that is durable. */
  readonly onBatch?: ((batch: { readonly items: number; readonly bytes: number }) => () => void) | undefined;
}

/**
 * What waits to be written to one database. One synced batch is under way at a time, taking a front part of the queue, and
 * what arrives meanwhile goes in the next: so things become durable, and are told of, in the order they were pushed.
 */
export class CommitQueue<Item extends Queued> {
  readonly #options: CommitQueueOptions<Item>;
  readonly #scratch = new Scratch();
  #items: Item[] = [];
  #bytes = 0;
  #inBatch: readonly Item[] = [];
  #bytesInBatch = 0;

  constructor(options: CommitQueueOptions<Item>) {
    this.#options = options;
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#bytes += item.bytes;
  }

  batchUnderWay(): boolean {
    return this.#inBatch.length > 0;
  }

  isEmpty(): boolean {
    return this.#items.length === 0 && this.#inBatch.length === 0;
  }

  /** Of what has not been put into a batch yet. */
  waitingBytes(): number {
    return this.#bytes;
  }

  pendingBytes(): number {
    return this.#bytes + this.#bytesInBatch;
  }

  /** Of all that is not durable yet; Infinity when all is. */
  oldestOrdinal(): number {
    return this.#inBatch[0]?.ordinal ?? this.#items[0]?.ordinal ?? Infinity;
  }

  /** Starts a batch, unless one is under way or nothing pushed before `ordinalEnd` waits. */
  start(ordinalEnd = Infinity): void {
    if (this.batchUnderWay()) return;
    const items = this.#takeFront(ordinalEnd);
    if (items.length === 0) return;
    this.#inBatch = items;
    try {
      const batch = this.#options.database.batch();
      const bytes = this.#options.encode(items, batch, this.#scratch);
      const mark = this.#options.sequence.append(batch, this.#scratch, bytes);
      const onWritten = this.#options.onBatch?.({ items: items.length, bytes });
      void batch.write().then(
        () => {
          onWritten?.();
          this.#completed(items, mark);
        },
        (error: unknown) => (planted('fsync-error-swallowed') ? this.#completed(items, mark) : this.#failed(error)),
      );
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      this.#failed(error);
    }
  }

  /** The front of the queue up to `batchBytesMax`, one item at least. */
  #takeFront(ordinalEnd: number): readonly Item[] {
    let count = 0;
    let bytes = 0;
    for (const item of this.#items) {
      if (item.ordinal >= ordinalEnd) break;
      if (count > 0 && bytes + item.bytes > this.#options.batchBytesMax) break;
      count += 1;
      bytes += item.bytes;
    }
    const items = this.#items;
    this.#items = items.splice(count);
    this.#bytes -= bytes;
    this.#bytesInBatch = bytes;
    return items;
  }

  #completed(items: readonly Item[], mark: Mark): void {
    this.#bytesInBatch = 0;
    this.#inBatch = [];
    this.#options.onDurable(items, mark);
  }

  #failed(error: unknown): void {
    this.#inBatch = [];
    this.#options.onFailure(error);
  }
}
