import { assert } from '../assert.ts';
import type { Scratch } from '../bytes.ts';
import type { Entry, LogIndex, LogReader, SnapshotPoint, Term } from '../raft/types.ts';
import type { LogWrite, PartitionId } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { indexKey, RecordKind } from './keys.ts';
import { decodeEntry, encodeEntry, encodeLogStart, type ChainedEntry, type LogStart } from './records.ts';
import { putRecord } from './sealing.ts';

/** The end of a chain: what the next entry's record must name as its predecessor. */
export interface ChainPosition {
  readonly index: LogIndex;
  readonly term: Term;
  readonly checksum: number;
}

/**
 * One group's log: the durable part as Raft reads it, and its way into a batch. A write passes three stages, each in
 * the order of the calls: `queued` when it is handed over, `encode` when its batch is made, `durable` after the fsync.
 *
 * What an install, a truncation or a compaction takes away is not read any more from `queued` on; what entries add is read
 * from `durable` on. Nothing here ever scans: an entry is read by its key, so that no read walks over deleted ones.
 */
export class GroupLog implements LogReader {
  readonly #database: Database;
  readonly #partition: PartitionId;
  /** What lies before the first entry that may be read. */
  #start: SnapshotPoint;
  /** The log's start as of the batch made last. */
  #encodedStart: LogStart;
  /** The last index once all that is queued is written. */
  #queuedLast: LogIndex;
  #encodedLast: ChainPosition;
  /** Entries of the batch under way: not to be found in the database yet. */
  #inBatch: ChainPosition[] = [];
  /** What may be read: durable, and not cut off by a truncation that waits. */
  #readableLast: LogIndex;
  /** Where truncations cut that are not durable yet, oldest first. */
  readonly #truncations: LogIndex[] = [];
  /** Until these are durable, entries that become so lie in the log that gave way. */
  #installsWaiting = 0;

  constructor(options: {
    readonly database: Database;
    readonly partition: PartitionId;
    readonly start: LogStart;
    readonly last: ChainPosition;
  }) {
    this.#database = options.database;
    this.#partition = options.partition;
    const { firstIndex, previousTerm } = options.start;
    this.#start = { index: (firstIndex - 1) as LogIndex, term: previousTerm };
    this.#encodedStart = options.start;
    this.#encodedLast = options.last;
    this.#queuedLast = options.last.index;
    this.#readableLast = options.last.index;
  }

  firstIndex(): LogIndex {
    return (this.#start.index + 1) as LogIndex;
  }

  lastIndex(): LogIndex {
    return this.#readableLast;
  }

  term(index: LogIndex): Term | undefined {
    if (index === this.#start.index) return this.#start.term;
    if (index < this.#start.index || index > this.#readableLast) return undefined;
    return this.#read(index).entry.term;
  }

  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
    assert(from > this.#start.index, () => `entry ${from} lies before the log's first, ${this.firstIndex()}`);
    const end = Math.min(to, this.#readableLast);
    const entries: Entry[] = [];
    let bytes = 0;
    let previous: ChainedEntry | undefined;
    for (let index = from; index <= end; index = (index + 1) as LogIndex) {
      const record = this.#read(index);
      if (previous !== undefined) checkChain(this.#partition, previous, record);
      bytes += record.entry.body.length;
      if (bytes > bytesMax && entries.length > 0) break;
      entries.push(record.entry);
      previous = record;
    }
    return entries;
  }

  /** Returns how many entries it takes out of the front of the log. */
  queued(write: LogWrite): number {
    let removed = 0;
    if (write.install !== undefined) {
      removed += this.#queuedLast - this.#start.index;
      this.#start = write.install;
      this.#queuedLast = write.install.index;
      this.#readableLast = write.install.index;
      this.#installsWaiting += 1;
    }
    if (write.truncateFrom !== undefined) {
      assert(write.truncateFrom > this.#start.index, 'what was compacted is not truncated');
      this.#truncations.push(write.truncateFrom);
      this.#queuedLast = Math.min(this.#queuedLast, write.truncateFrom - 1) as LogIndex;
      // Read from here on, these might already be gone or replaced by the batch that is being written.
      this.#readableLast = Math.min(this.#readableLast, write.truncateFrom - 1) as LogIndex;
    }
    for (const entry of write.entries) {
      assert(entry.index === this.#queuedLast + 1, () => `entry ${entry.index} appended after ${this.#queuedLast}`);
      this.#queuedLast = entry.index;
    }
    const { compactThrough = 0 } = write;
    if (compactThrough <= this.#start.index) return removed;
    assert(compactThrough <= this.#readableLast, () => `the log ends before ${compactThrough}, where it is to begin`);
    removed += compactThrough - this.#start.index;
    const { index, term } = this.#read(compactThrough as LogIndex).entry;
    this.#start = { index, term };
    return removed;
  }

  /** Puts install, truncation and entries into `batch`. Returns the bytes put. */
  encode(write: LogWrite, batch: DatabaseBatch, scratch: Scratch): number {
    let bytes = 0;
    if (write.install !== undefined) bytes += this.#install(write.install, batch, scratch);
    if (write.truncateFrom !== undefined) this.#truncate(write.truncateFrom, batch);
    for (const entry of write.entries) {
      const record = encodeEntry(scratch, this.#partition, entry, this.#encodedLast.checksum);
      batch.put(record.key, record.value);
      bytes += record.key.length + record.value.length;
      this.#encodedLast = { index: entry.index, term: entry.term, checksum: record.checksum };
      this.#inBatch.push(this.#encodedLast);
    }
    return bytes;
  }

  /** Puts the new start of the log into `batch` and takes out what lies before it. Returns the bytes put. */
  encodeCompaction(through: LogIndex, batch: DatabaseBatch, scratch: Scratch): number {
    if (through < this.#encodedStart.firstIndex) return 0;
    const previous = this.#positionAt(through);
    this.#delete(this.#encodedStart.firstIndex, through, batch);
    return this.#putStart(previous, batch, scratch);
  }

  /** Those that the database holds once the batch under way is written. */
  storedEntries(): { readonly firstIndex: LogIndex; readonly lastIndex: LogIndex } {
    return { firstIndex: this.#encodedStart.firstIndex, lastIndex: this.#encodedLast.index };
  }

  durable(write: LogWrite): void {
    this.#inBatch = [];
    if (write.install !== undefined) this.#installsWaiting -= 1;
    if (write.truncateFrom !== undefined) this.#truncations.shift();
    const last = write.entries.at(-1)?.index;
    if (last === undefined || this.#installsWaiting > 0) return;
    this.#readableLast = Math.min(last, ...this.#truncations.map((from) => from - 1)) as LogIndex;
  }

  /** There is no entry to chain to: the first one behind a snapshot names 0, as the first of all does. */
  #install({ index, term }: SnapshotPoint, batch: DatabaseBatch, scratch: Scratch): number {
    this.#delete(this.#encodedStart.firstIndex, this.#encodedLast.index, batch);
    this.#encodedLast = { index, term, checksum: 0 };
    this.#inBatch = [];
    return this.#putStart(this.#encodedLast, batch, scratch);
  }

  #putStart({ index, term, checksum }: ChainPosition, batch: DatabaseBatch, scratch: Scratch): number {
    const firstIndex = (index + 1) as LogIndex;
    this.#encodedStart = { firstIndex, previousTerm: term, previousChecksum: checksum };
    return putRecord(batch, encodeLogStart(scratch, this.#partition, this.#encodedStart));
  }

  #delete(from: LogIndex, to: LogIndex, batch: DatabaseBatch): void {
    for (let index = from; index <= to; index = (index + 1) as LogIndex) {
      batch.delete(indexKey(this.#partition, RecordKind.logEntry, index));
    }
  }

  #truncate(from: LogIndex, batch: DatabaseBatch): void {
    this.#delete(from, this.#encodedLast.index, batch);
    if (from > this.#encodedLast.index) return;
    this.#encodedLast = this.#positionAt((from - 1) as LogIndex);
    this.#inBatch = this.#inBatch.filter((position) => position.index < from);
  }

  #positionAt(index: LogIndex): ChainPosition {
    const { firstIndex, previousTerm: term, previousChecksum: checksum } = this.#encodedStart;
    if (index === firstIndex - 1) return { index, term, checksum };
    const inBatch = this.#inBatch.find((position) => position.index === index);
    if (inBatch !== undefined) return inBatch;
    // No other batch is under way while one is made, so what is not in this one is in the database.
    const record = this.#read(index);
    return { index, term: record.entry.term, checksum: record.checksum };
  }

  #read(index: LogIndex): ChainedEntry {
    const key = indexKey(this.#partition, RecordKind.logEntry, index);
    const value = this.#database.get(key);
    if (value === undefined) {
      throw new StorageDamage(`partition ${this.#partition}: log entry ${index} is missing`, this.#partition);
    }
    return decodeEntry(key, value);
  }
}

/** Each entry's record names the checksum of the one before it: an entry that was replaced and came back does not fit. */
export function checkChain(partition: PartitionId, previous: ChainedEntry, next: ChainedEntry): void {
  const { index } = next.entry;
  if (index !== previous.entry.index + 1) {
    const missing = `log entries ${previous.entry.index + 1} to ${index - 1} are missing`;
    throw new StorageDamage(`partition ${partition}: ${missing}`, partition);
  }
  if (next.previousChecksum !== previous.checksum || next.entry.term < previous.entry.term) {
    const broken = `log entry ${index} does not follow the entry ${index - 1} that is stored`;
    throw new StorageDamage(`partition ${partition}: ${broken}`, partition);
  }
}
