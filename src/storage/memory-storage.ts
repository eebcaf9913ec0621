/**
 * The storage of a node without a disk, for tests and the simulator: the same formats, order and recovery as on LevelDB, over two
 * maps. Whoever drives it says when a batch is durable, when one fails, and when the power goes.
 */
import { assert } from '../assert.ts';
import { defaults, type StorageConfig } from '../config.ts';
import type { Clock } from '../replica/ports.ts';
import {
  inPieces,
  type Database,
  type DatabaseBatch,
  type DatabaseName,
  type DatabaseRecord,
  type DatabaseSnapshot,
  type ScanRange,
} from './database.ts';
import { openGroupCommit } from './group-commit.ts';
import type { HighWaterMark, Mark } from './high-water.ts';
import type { OfflineStorage } from './reincarnation.ts';

export interface MemoryStorageOptions {
  /** True: each batch becomes durable by itself, in a later microtask. False: when `completeBatch` says so. */
  readonly automatic: boolean;
  readonly config?: StorageConfig;
  readonly incarnation?: number;
  /** Real timers when left out. */
  readonly after?: Clock['after'];
  readonly onFailure?: (error: unknown) => void;
}

/** Keys as latin1, one character a byte. */
export type MemoryRecords = Readonly<Record<DatabaseName, Map<string, Buffer>>>;

export interface MemoryStorage extends OfflineStorage {
  /** Whether a batch waits to be completed. */
  batchUnderWay(database: DatabaseName): boolean;
  /** The batch under way becomes durable; resolves once its `onDurable`s have run. */
  completeBatch(database: DatabaseName): Promise<void>;
  /** The batch under way fails; resolves once `onFailure` has run. */
  failBatch(database: DatabaseName, error: Error): Promise<void>;
  /** The power goes: this storage is dead, and what comes back holds what was durable and nothing else. */
  crash(overrides?: Partial<MemoryStorageOptions>): Promise<MemoryStorage>;
  /** What a crash at this moment would come back as, while this storage goes on. */
  openCopy(overrides?: Partial<MemoryStorageOptions>): Promise<MemoryStorage>;
  /** The disk itself: tests damage it between a crash and the next opening. */
  readonly records: MemoryRecords;
}

interface Disk {
  readonly records: MemoryRecords;
  mark: Mark | undefined;
}

export async function openMemoryStorage(options: MemoryStorageOptions): Promise<MemoryStorage> {
  return open(options, { records: { log: new Map(), state: new Map() }, mark: undefined });
}

async function open(options: MemoryStorageOptions, disk: Disk): Promise<MemoryStorage> {
  const { records } = disk;
  const databases = {
    log: new MemoryDatabase(records.log, options.automatic),
    state: new MemoryDatabase(records.state, options.automatic),
  };
  const highWater: HighWaterMark = {
    read: () => disk.mark,
    write: (mark) => {
      disk.mark = mark;
    },
    close: () => undefined,
  };
  const storage = await openGroupCommit({
    databases,
    highWater,
    config: options.config ?? defaults.storage,
    incarnation: options.incarnation ?? 1,
    after: options.after ?? afterRealTime,
    onFailure: options.onFailure ?? throwFailure,
  });
  const openCopy = (overrides: Partial<MemoryStorageOptions> = {}): Promise<MemoryStorage> => {
    const copy = { log: new Map(records.log), state: new Map(records.state) };
    return open({ ...options, ...overrides }, { records: copy, mark: disk.mark });
  };
  return {
    partitions: () => storage.partitions(),
    foundGroup: (partition, replicaId) => storage.foundGroup(partition, replicaId),
    dead: (partition) => storage.dead(partition),
    destroyGroup: (partition, removed) => storage.destroyGroup(partition, removed),
    reincarnate: (groups) => storage.reincarnate(groups),
    group: (partition) => storage.group(partition),
    log: (partition) => storage.log(partition),
    state: (partition) => storage.state(partition),
    dueKeys: (partition, range) => storage.dueKeys(partition, range),
    values: (partition, range) => storage.values(partition, range),
    rememberedResults: (partition, range) => storage.rememberedResults(partition, range),
    appendLog: (write, onDurable) => storage.appendLog(write, onDurable),
    stageState: (partition, writes, machineState, configuration, kept) =>
      storage.stageState(partition, writes, machineState, configuration, kept),
    keptChanges: (partition, index) => storage.keptChanges(partition, index),
    durableAppliedIndex: (partition) => storage.durableAppliedIndex(partition),
    openSnapshot: (partition) => storage.openSnapshot(partition),
    trapState: (partition, index) => storage.trapState(partition, index),
    beginSnapshot: (partition) => storage.beginSnapshot(partition),
    stageSnapshotChunk: (partition, records) => storage.stageSnapshotChunk(partition, records),
    completeSnapshot: (partition, machineState, configuration) =>
      storage.completeSnapshot(partition, machineState, configuration),
    flush: () => storage.flush(),
    pendingBytes: () => storage.pendingBytes(),
    close: () => storage.close(),
    batchUnderWay: (name) => databases[name].batchUnderWay(),
    completeBatch: (name) => databases[name].settle(undefined),
    failBatch: (name, error) => databases[name].settle(error),
    crash: (overrides) => {
      databases.log.cutOff();
      databases.state.cutOff();
      return openCopy(overrides);
    },
    openCopy,
    records,
  };
}

interface BatchUnderWay {
  readonly apply: () => void;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

class MemoryDatabase implements Database {
  readonly #records: Map<string, Buffer>;
  readonly #automatic: boolean;
  #underWay: BatchUnderWay | undefined;
  #dead = false;

  constructor(records: Map<string, Buffer>, automatic: boolean) {
    this.#records = records;
    this.#automatic = automatic;
  }

  get(key: Buffer): Buffer | undefined {
    const value = this.#records.get(key.toString('latin1'));
    return value === undefined ? undefined : Buffer.from(value);
  }

  /** There are no files. */
  expectWhole(): void {
    return undefined;
  }

  batch(): DatabaseBatch {
    const changes: [key: string, value: Buffer | undefined][] = [];
    return {
      put: (key, value) => void changes.push([key.toString('latin1'), Buffer.from(value)]),
      delete: (key) => void changes.push([key.toString('latin1'), undefined]),
      write: () => this.#write(changes),
    };
  }

  scan(range: ScanRange): AsyncIterable<readonly [Buffer, Buffer]> {
    return scanRecords(this.#records, range);
  }

  scanPieces(range: ScanRange): AsyncIterable<readonly DatabaseRecord[]> {
    return inPieces(this.scan(range));
  }

  snapshot(): DatabaseSnapshot {
    // A batch replaces values and never writes to one.
    const copy = new Map(this.#records);
    return {
      get: (key) => copy.get(key.toString('latin1')),
      expectWhole: () => undefined,
      scan: (range) => scanRecords(copy, range),
      scanPieces: (range) => inPieces(scanRecords(copy, range)),
      close: async () => copy.clear(),
    };
  }

  async approximateBytes(from: Buffer, to: Buffer): Promise<number> {
    return select(this.#records, { from, to }).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  }

  async close(): Promise<void> {
    this.#dead = true;
  }

  batchUnderWay(): boolean {
    return this.#underWay !== undefined;
  }

  async settle(error: Error | undefined): Promise<void> {
    const batch = this.#underWay;
    assert(batch !== undefined, 'a batch is under way');
    this.#underWay = undefined;
    if (error === undefined) batch.apply();
    await new Promise<void>((settled) => {
      if (error === undefined) batch.resolve();
      else batch.reject(error);
      // The storage's own continuation was registered first, so it has run when this one does.
      queueMicrotask(() => queueMicrotask(settled));
    });
  }

  /** Nothing reaches the disk from here on. */
  cutOff(): void {
    this.#dead = true;
    this.#underWay = undefined;
  }

  #write(changes: readonly [string, Buffer | undefined][]): Promise<void> {
    assert(this.#underWay === undefined, 'one batch is under way at a time');
    const apply = (): void => {
      for (const [key, value] of changes) {
        if (value === undefined) this.#records.delete(key);
        else this.#records.set(key, value);
      }
    };
    return new Promise((resolve, reject) => {
      if (this.#dead) return;
      this.#underWay = { apply, resolve, reject };
      if (!this.#automatic) return;
      queueMicrotask(() => {
        if (this.#underWay !== undefined) void this.settle(undefined);
      });
    });
  }
}

async function* scanRecords(
  records: ReadonlyMap<string, Buffer>,
  range: ScanRange,
): AsyncGenerator<readonly [Buffer, Buffer]> {
  yield* select(records, range);
}

/** All of one moment, whatever is written while they are gone through. */
function select(records: ReadonlyMap<string, Buffer>, range: ScanRange): (readonly [Buffer, Buffer])[] {
  const from = range.from.toString('latin1');
  const to = range.to.toString('latin1');
  // One character a byte: strings compare as their bytes do.
  const chosen = [...records].filter(([key]) => key >= from && key <= to);
  chosen.sort(([one], [other]) => (one < other ? -1 : 1));
  if (range.reverse === true) chosen.reverse();
  return chosen.slice(0, range.limit).map(([key, value]) => [Buffer.from(key, 'latin1'), Buffer.from(value)]);
}

const afterRealTime: Clock['after'] = (delayMs, callback) => {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
};

function throwFailure(error: unknown): void {
  throw error;
}
