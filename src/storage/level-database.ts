import fs from 'node:fs';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';
import type { StorageConfig } from '../config.ts';
import type { Clock } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import { isLocked, lockedError, prepareDirectory } from './data-directory.ts';
import {
  flatten,
  type Database,
  type DatabaseBatch,
  type DatabaseReader,
  type DatabaseRecord,
  type DatabaseSnapshot,
  type ScanRange,
} from './database.ts';
import { LiveTables } from './live-tables.ts';

/** LevelDB, and what it can do beyond what the storage needs of every database. */
export interface LevelDatabase extends Database {
  /** Merges all tables that hold anything between two keys, so that nothing stays of what was deleted there. */
  mergeRange(from: Buffer, to: Buffer): Promise<void>;
}

/** Opens a LevelDB, or makes it when `mayCreate`. Fails with a DataDirectoryError, or a StorageDamage when LevelDB itself finds its files wanting. */
export async function openLevelDatabase(options: {
  readonly directory: string;
  readonly config: StorageConfig;
  readonly mayCreate: boolean;
  readonly blockCacheBytes: number;
  readonly after: Clock['after'];
  /** Told of a StorageDamage when tables were changed while they are in use, and nobody read them. */
  readonly onFailure: (error: unknown) => void;
}): Promise<LevelDatabase> {
  const { directory, config } = options;
  // Opening below a path that can't be made never returns, so that is found out before.
  prepareDirectory(directory);
  if (!options.mayCreate && !fs.existsSync(path.join(directory, 'CURRENT'))) {
    throw new StorageDamage(`${directory} held a database and holds none now`);
  }
  const level = new ClassicLevel<Buffer, Buffer>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: config.writeBufferBytes,
    cacheSize: options.blockCacheBytes,
    compression: config.compression,
    maxFileSize: config.tableBytesMax,
  });
  try {
    await level.open();
  } catch (error) {
    if (isLocked(error)) throw lockedError(directory, error);
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new StorageDamage(`LevelDB can't open ${directory}: ${cause}`, undefined, { cause: error });
  }
  const tables = await watchedTables(level, options);
  const opened: Opened = { level, tables };
  return {
    ...readerOf(opened),
    batch: () => new LevelBatch(level, config.sync),
    snapshot: () => openSnapshot(opened),
    approximateBytes: (from, to) => level.approximateSize(from, to),
    mergeRange: (from, to) => level.compactRange(from, to),
    close: async () => {
      await level.close();
      tables.close();
    },
  };
}

interface Opened {
  readonly level: ClassicLevel<Buffer, Buffer>;
  readonly tables: LiveTables;
}

async function watchedTables(
  level: Opened['level'],
  { directory, config, after, onFailure }: Parameters<typeof openLevelDatabase>[0],
): Promise<LiveTables> {
  try {
    return new LiveTables({ databaseDirectory: directory, checkMs: config.tableCheckMs, after, onFailure });
  } catch (error) {
    await level.close();
    throw error;
  }
}

function readerOf({ level, tables }: Opened, snapshot?: Snapshot): DatabaseReader {
  const options = snapshot ? { snapshot } : {};
  const pieces = async function* (range: ScanRange): AsyncGenerator<readonly DatabaseRecord[]> {
    const { limit = Infinity, reverse = false } = range;
    let { from, to } = range;
    let count = 0;
    let last: Buffer | undefined;
    for await (const piece of scanPieces(level, range, snapshot)) {
      count += piece.length;
      last = piece.at(-1)?.[0];
      yield piece;
    }
    // What lies beyond the limit was not read.
    if (count >= limit && last !== undefined) [from, to] = reverse ? [last, to] : [from, last];
    tables.expectWhole(from, to);
  };
  return {
    get: (key) => believable(() => level.getSync(key, options)),
    expectWhole: (from, to) => tables.expectWhole(from, to),
    scan: (range) => flatten(pieces(range)),
    scanPieces: pieces,
  };
}

function believable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw asDamage(error);
  }
}

/** What LevelDB finds for itself: a block or a log that can't be parsed. */
function asDamage(error: unknown): unknown {
  const isCorrupt = error instanceof Error && 'code' in error && error.code === 'LEVEL_CORRUPTION';
  return isCorrupt ? new StorageDamage(`LevelDB: ${error.message}`, undefined, { cause: error }) : error;
}

function openSnapshot(opened: Opened): DatabaseSnapshot {
  const snapshot = opened.level.snapshot();
  return { ...readerOf(opened, snapshot), close: () => snapshot.close() };
}

/** So much is read ahead of who scans: each time takes a hop to another thread and back. */
const highWaterMarkBytes = 256 * 1024;
const readAtOnceMax = 64;

function scanPieces(
  level: ClassicLevel<Buffer, Buffer>,
  range: ScanRange,
  snapshot?: Snapshot,
): AsyncIterable<readonly DatabaseRecord[]> {
  const { from, to, reverse = false, limit = -1, keysOnly = false, atOnce = readAtOnceMax } = range;
  const bounds = {
    gte: from,
    lte: to,
    reverse,
    limit,
    fillCache: false,
    highWaterMarkBytes,
    ...(snapshot ? { snapshot } : {}),
  };
  const step = Math.min(atOnce, limit === -1 ? readAtOnceMax : limit, readAtOnceMax);
  return keysOnly ? withoutValues(inSteps(level.keys(bounds), step)) : inSteps(level.iterator(bounds), step);
}

/**
 * As the iterator would by itself, but for its first step, which would read one entry alone. A closed iterator keeps what it read last until the
 * next full collection of garbage, room for as many entries as it was ever asked for and a copy of each: hence short steps, and a last
 * one of a single entry, which lets go of the copies. Without it a million keys scanned in pages left 100 MiB behind.
 */
async function* inSteps<Item>(iterator: Steps<Item>, step: number): AsyncGenerator<readonly Item[]> {
  let more = true;
  try {
    while (more) {
      const items = await iterator.nextv(step);
      more = items.length > 0;
      if (more) yield items;
    }
  } catch (error) {
    throw asDamage(error);
  } finally {
    // What it says is of no matter any more, and whatever it meets, the iterator is closed.
    if (more && step > 1) await iterator.nextv(1).catch(() => undefined);
    await iterator.close();
  }
}

interface Steps<Item> {
  nextv(size: number): Promise<Item[]>;
  close(): Promise<void>;
}

async function* withoutValues(pieces: AsyncIterable<readonly Buffer[]>): AsyncGenerator<readonly DatabaseRecord[]> {
  for await (const keys of pieces) yield keys.map((key) => [key, noValue] as const);
}

const noValue = Buffer.alloc(0);
type Snapshot = ReturnType<ClassicLevel<Buffer, Buffer>['snapshot']>;

/**
 * A chained batch: its native side copies each record as it is put, so records can be encoded one after the other in the
 * same memory. Measured at 64 records of 300 bytes: 2 us of JavaScript a record with the encoding, where an array of
 * operations takes 7 us.
 */
class LevelBatch implements DatabaseBatch {
  readonly #batch: ReturnType<typeof makeBatch>;
  readonly #sync: boolean;

  constructor(level: ClassicLevel<Buffer, Buffer>, sync: boolean) {
    this.#batch = makeBatch(level);
    this.#sync = sync;
  }

  put(key: Buffer, value: Buffer): void {
    this.#batch.put(key, value);
  }

  delete(key: Buffer): void {
    this.#batch.del(key);
  }

  write(): Promise<void> {
    return this.#batch.write({ sync: this.#sync }).catch((error: unknown) => {
      throw asDamage(error);
    });
  }
}

function makeBatch(level: ClassicLevel<Buffer, Buffer>) {
  return level.batch();
}
