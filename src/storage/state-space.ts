/**
 * Gives back what deleted records of the state still take on the disk, while that has little room left. LevelDB drops them when it merges
 * the tables that hold them with the marks of their deletion, and it merges when much is written. With room for nothing but deletes that
 * would be never: whoever deletes half of all keys to make room would get none.
 *
 * So what lies between the lowest and the highest record that was deleted is merged, a few tables at a time: LevelDB's own merges wait
 * meanwhile, and each needs room for as much as it merges. All of it may have to be written anew for a little that was
 * deleted here and there, so it rests for several times as long as it took.
 */
import type { StorageConfig } from '../config.ts';
import type { Clock } from '../replica/ports.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { nodePartition, keyPrefixBytes } from './keys.ts';
import type { LevelDatabase } from './level-database.ts';

export interface StateSpaceOptions {
  readonly database: Pick<LevelDatabase, 'approximateBytes' | 'mergeRange'>;
  readonly config: Pick<StorageConfig, 'tableBytesMax' | 'logDeletedCheckMs'>;
  readonly after: Clock['after'];
  readonly nowMs: () => number;
  readonly onFailure: (error: unknown) => void;
}

interface Range {
  from: Buffer;
  to: Buffer;
}

interface Piece extends Range {
  /** No key between is to be longer: else a half could be halved for ever. */
  readonly keyBytes: number;
  readonly isHalf: boolean;
}

/** Partition, area and space: what lies apart is merged apart. */
const spaceKeyBytes = keyPrefixBytes + 1;
const tablesAtOnce = 8;
const restFactor = 4;

export class StateSpace {
  readonly #options: StateSpaceOptions;
  readonly #deleted = new Map<string, Range>();
  #isLow = false;
  #stopped = false;
  #cancel: () => void = () => undefined;
  #merging: Promise<void> | undefined;

  constructor(options: StateSpaceOptions) {
    this.#options = options;
  }

  /** The same database, of which it is noticed what is deleted. */
  noticing<Noticed extends Database>(database: Noticed): Noticed {
    return { ...database, batch: () => this.#noticingBatch(database.batch()) };
  }

  /** Whether the disk has little room left. */
  hurry(isLow: boolean): void {
    this.#isLow = isLow;
    this.#cancel();
    if (isLow) this.#plan(this.#options.config.logDeletedCheckMs);
  }

  /** Resolves once the database may be closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#merging;
  }

  /** Only once it is written: what is merged before that drops nothing. */
  #noticingBatch(batch: DatabaseBatch): DatabaseBatch {
    const ranges = new Map<string, Range>();
    return {
      put: (key, value) => batch.put(key, value),
      delete: (key) => {
        include(ranges, key);
        batch.delete(key);
      },
      write: async () => {
        await batch.write();
        for (const { from, to } of ranges.values()) this.#include(from, to);
      },
    };
  }

  #include(from: Buffer, to: Buffer): void {
    if (from.readUInt32BE(0) === nodePartition) return;
    include(this.#deleted, from);
    include(this.#deleted, to);
  }

  #plan(delayMs: number): void {
    if (this.#stopped || !this.#isLow) return;
    this.#cancel();
    this.#cancel = this.#options.after(delayMs, () => {
      // One that began before the disk was low again may not have come to its end.
      this.#merging ??= this.#mergeAll().then(
        (tookMs) => {
          this.#merging = undefined;
          this.#plan(Math.max(this.#options.config.logDeletedCheckMs, restFactor * tookMs));
        },
        (error: unknown) => this.#options.onFailure(error),
      );
    });
  }

  /** Resolves with how long it took. */
  async #mergeAll(): Promise<number> {
    const { nowMs } = this.#options;
    const startedAt = nowMs();
    for (const [space, range] of [...this.#deleted]) {
      this.#deleted.delete(space);
      const keyBytes = Math.max(range.from.length, range.to.length);
      const isDone = await this.#merge({ ...range, keyBytes, isHalf: false });
      if (!isDone) this.#include(range.from, range.to);
    }
    return nowMs() - startedAt;
  }

  /** False when it was broken off. */
  async #merge(piece: Piece): Promise<boolean> {
    const { from, to, isHalf } = piece;
    const { database, config } = this.#options;
    if (this.#stopped || !this.#isLow) return false;
    const bytes = await database.approximateBytes(from, to);
    if (bytes === 0 && isHalf) return true;
    const middle = middleOf(piece);
    if (bytes <= tablesAtOnce * config.tableBytesMax || middle === undefined) {
      await database.mergeRange(from, to);
      return true;
    }
    const lower = await this.#merge({ ...piece, to: middle, isHalf: true });
    return lower && (await this.#merge({ ...piece, from: middle, isHalf: true }));
  }
}

function include(ranges: Map<string, Range>, key: Buffer): void {
  if (key.length < spaceKeyBytes) return;
  const space = key.toString('latin1', 0, spaceKeyBytes);
  const range = ranges.get(space);
  // A copy: the batch's caller goes on using the memory.
  if (range === undefined) {
    const only = Buffer.from(key);
    ranges.set(space, { from: only, to: only });
  } else if (key.compare(range.from) < 0) range.from = Buffer.from(key);
  else if (key.compare(range.to) > 0) range.to = Buffer.from(key);
}

/** About half-way between its ends, taken as fractions; undefined where nothing so short lies between them. */
function middleOf({ from, to, keyBytes }: Piece): Buffer | undefined {
  const fraction = (key: Buffer): bigint => BigInt(`0x${key.toString('hex').padEnd(2 * keyBytes, '0')}`);
  const half = (fraction(from) + fraction(to)) / 2n;
  const middle = Buffer.from(half.toString(16).padStart(2 * keyBytes, '0'), 'hex');
  return middle.compare(from) > 0 && middle.compare(to) < 0 ? middle : undefined;
}
