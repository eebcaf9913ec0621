/**
 * Every batch carries a record of its own: its number, gapless over the life of its database, and the checksum of the
 * record before it. LevelDB, replaying its log after a flipped bit, drops whole batches in silence; a dropped batch takes
 * its sequence record along, so at open the hole shows as a gap in numbers or as an end short of the high-water mark.
 * The state database has no mark: without its last batches it is what it was a while ago, and the log has the rest.
 *
 * How many are kept. A batch can only be dropped while it is in one of LevelDB's log files: that of the memory table
 * in use and that of the one being written out. LevelDB looks whether a table is full before it puts a batch in it,
 * so one log file holds at most `writeBufferBytes` and one batch more (memory tables count overhead that log files do
 * not have, so they fill sooner), and two of them at most 2 x (writeBufferBytes + batch), a batch being at most `batchBytesMax` or one oversized
 * write. Records covering the last 4 x the larger of the two therefore reach further back than any log file, and
 * what counts as their bytes here is less than what the batch takes there. Small databases keep `recordsMin` anyway.
 */
import type { Scratch } from '../bytes.ts';
import type { StorageConfig } from '../config.ts';
import { StorageDamage } from './damage.ts';
import type { DatabaseBatch, DatabaseName, Databases } from './database.ts';
import type { Mark } from './high-water.ts';
import { indexKey, nodePartition, RecordKind } from './keys.ts';
import { decodeSequence, encodeSequence } from './records.ts';

const recordsMin = 1000;
/** After a burst of small batches many records fall due at once; they go little by little. */
const deletionsPerBatchMax = 256;

export interface RecoveredSequence {
  readonly last: Mark;
  readonly firstSequence: number;
  /** Of each batch from `firstSequence` on. */
  readonly batchBytes: readonly number[];
}

export class BatchSequence {
  readonly #incarnation: number;
  readonly #retainedBytesMin: number;
  #last: Mark;
  #first: number;
  /** Bytes of the retained batches, the oldest at `#head`. */
  #batchBytes: number[];
  #head = 0;
  #retainedBytes: number;

  constructor(options: {
    readonly incarnation: number;
    readonly config: StorageConfig;
    readonly recovered: RecoveredSequence;
  }) {
    const { config, recovered } = options;
    this.#incarnation = options.incarnation;
    this.#retainedBytesMin = 4 * Math.max(config.writeBufferBytes, config.batchBytesMax);
    this.#last = recovered.last;
    this.#first = recovered.firstSequence;
    this.#batchBytes = [...recovered.batchBytes];
    this.#retainedBytes = recovered.batchBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Adds the next record to `batch` and takes out those no longer needed. Returns what the mark must say once it is durable. */
  append(batch: DatabaseBatch, scratch: Scratch, batchBytes: number): Mark {
    this.#deleteOld(batch);
    const sequence = this.#last.sequence + 1;
    const record = encodeSequence(scratch, {
      sequence,
      firstSequence: this.#first,
      incarnation: this.#incarnation,
      batchBytes,
      previousChecksum: this.#last.checksum,
    });
    batch.put(record.key, record.value);
    this.#batchBytes.push(batchBytes);
    this.#retainedBytes += batchBytes;
    this.#last = { sequence, checksum: record.checksum };
    return this.#last;
  }

  #deleteOld(batch: DatabaseBatch): void {
    for (let deleted = 0; deleted < deletionsPerBatchMax; deleted += 1) {
      const oldestBytes = this.#batchBytes[this.#head] ?? 0;
      const kept = this.#batchBytes.length - this.#head - 1;
      if (kept < recordsMin || this.#retainedBytes - oldestBytes < this.#retainedBytesMin) break;
      batch.delete(keyOf(this.#first));
      this.#retainedBytes -= oldestBytes;
      this.#first += 1;
      this.#head += 1;
    }
    if (this.#head > this.#batchBytes.length / 2) {
      this.#batchBytes = this.#batchBytes.slice(this.#head);
      this.#head = 0;
    }
  }
}

/**
 * Reads and judges one database's chain, from its end backwards: gapless, each record naming its predecessor's checksum, beginning where
 * the newest says that it begins, and reaching `mark`. Throws a StorageDamage that says what is missing.
 *
 * All of it, at each start (safety): what a start finds missing was dropped by LevelDB while it replayed its log for that start, and
 * is in no log file any more at the next one, which must find it as well.
 */
export async function recoverSequence(
  databases: Databases,
  name: DatabaseName,
  incarnation: number,
  mark?: Mark,
): Promise<RecoveredSequence> {
  const database = databases[name];
  const batch = `${name} batch`;
  const batches = `${name} batches`;
  let newest: StoredSequence | undefined;
  let oldest: StoredSequence | undefined;
  const newestFirst: number[] = [];
  for await (const [key, value] of database.scan({
    from: keyOf(0),
    to: keyOf(Number.MAX_SAFE_INTEGER),
    reverse: true,
  })) {
    const record = decodeSequence(key, value);
    if (oldest !== undefined) checkFollows(record, oldest);
    newest ??= record;
    oldest = record;
    newestFirst.push(record.batchBytes);
    checkMark(record, mark);
    // What was deleted below it is not stepped over.
    if (record.sequence <= newest.firstSequence) break;
  }
  if (mark !== undefined && (newest?.sequence ?? 0) < mark.sequence) {
    throw new StorageDamage(`${batches} end at ${newest?.sequence ?? 0}, and ${mark.sequence} was acknowledged`);
  }
  if (newest === undefined || oldest === undefined) {
    return { last: { sequence: 0, checksum: 0 }, firstSequence: 1, batchBytes: [] };
  }
  const { firstSequence } = newest;
  if (oldest.sequence !== firstSequence) {
    throw new StorageDamage(
      `${batches} begin at ${oldest.sequence}, and batch ${newest.sequence} says at ${firstSequence}`,
    );
  }
  if (newest.incarnation > incarnation) {
    throw new StorageDamage(
      `${batches} were written by start ${newest.incarnation} of this node, and this is start ${incarnation}`,
    );
  }
  return {
    last: { sequence: newest.sequence, checksum: newest.checksum },
    firstSequence,
    batchBytes: newestFirst.toReversed(),
  };

  function checkFollows(record: StoredSequence, next: StoredSequence): void {
    if (record.sequence !== next.sequence - 1) {
      throw new StorageDamage(`${batches} ${record.sequence + 1} to ${next.sequence - 1} are missing`);
    }
    if (next.previousChecksum !== record.checksum || next.incarnation < record.incarnation) {
      throw new StorageDamage(`${batch} ${next.sequence} does not follow the batch ${record.sequence} that is stored`);
    }
  }
}

type StoredSequence = ReturnType<typeof decodeSequence>;

function keyOf(sequence: number): Buffer {
  return indexKey(nodePartition, RecordKind.batchSequence, sequence);
}

function checkMark(record: Mark, mark: Mark | undefined): void {
  if (mark === undefined || mark.sequence !== record.sequence || mark.checksum === record.checksum) return;
  throw new StorageDamage(`log batch ${record.sequence} is not the one that was acknowledged`);
}
