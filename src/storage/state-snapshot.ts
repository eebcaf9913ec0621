import { assert } from '../assert.ts';
import type { Scratch } from '../bytes.ts';
import type { MachineState } from '../kv/types.ts';
import type { PartitionId, SnapshotChunk, StateSnapshot, StoredConfiguration } from '../replica/ports.ts';
import type { Database, DatabaseRecord, DatabaseSnapshot } from './database.ts';
import { StorageDamage } from './damage.ts';
import { areaCounts } from './area-records.ts';
import { areaEnd, areaKey, keyBehind, withinArea, type Area } from './keys.ts';
import { readDurableState } from './recovery.ts';
import { ChunkWriter } from './snapshot-chunk.ts';

/**
 * One partition's durable state of one moment. Machine state and values are of the same moment because the database's own
 * snapshot is, and because both are only ever written together. One scan serves all
 * reads that follow on one another; nothing but what was read ahead is held in memory, and the chunk under way in that of whoever asked for it.
 */
export class DurableSnapshot implements StateSnapshot {
  readonly machineState: MachineState;
  readonly configuration: StoredConfiguration | undefined;
  readonly #partition: PartitionId;
  readonly #area: Area;
  readonly #snapshot: DatabaseSnapshot;
  readonly #onClose: (closed: Promise<void>) => void;
  readonly #onDamage: (error: StorageDamage) => void;
  #scan: Scan | undefined;
  #closed = false;
  #reading = false;

  /** `onClose` is told once, of when the database has let go of it. Throws a StorageDamage when the machine state can't be believed. */
  constructor(options: {
    readonly snapshot: DatabaseSnapshot;
    readonly partition: PartitionId;
    readonly onClose: (closed: Promise<void>) => void;
    /** Told as well as whoever reads: they take it for a transfer that failed. */
    readonly onDamage: (error: StorageDamage) => void;
  }) {
    const { snapshot, partition } = options;
    this.#snapshot = snapshot;
    this.#partition = partition;
    this.#onClose = options.onClose;
    this.#onDamage = options.onDamage;
    const { machineState, area, configuration } = readDurableState(snapshot, partition);
    this.machineState = machineState;
    this.configuration = configuration;
    this.#area = area;
  }

  async read(after: Uint8Array | undefined, bytesMax: number, memory: Scratch): Promise<SnapshotChunk> {
    if (this.#closed) throw new Error('the snapshot is closed: open another one');
    assert(!this.#reading, 'one read at a time');
    this.#reading = true;
    try {
      return await this.#read(after, new ChunkWriter(this.#partition, { bytesMax, memory }));
    } catch (error) {
      if (error instanceof StorageDamage) this.#onDamage(error);
      throw error;
    } finally {
      this.#reading = false;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const scan = this.#scan;
    this.#scan = undefined;
    this.#onClose(Promise.all([scan?.close(), this.#snapshot.close()]).then(() => undefined));
  }

  async #read(after: Uint8Array | undefined, chunk: ChunkWriter): Promise<SnapshotChunk> {
    const scan = await this.#scanBehind(after);
    let last: Buffer | undefined;
    for (;;) {
      const record = await scan.peek();
      if (this.#closed) throw new Error('the snapshot was closed during a read');
      if (record === undefined) return { records: chunk.finish(), last, done: true };
      const [key, value] = record;
      const name = withinArea(key);
      if (!chunk.hasRoom(name, value)) break;
      areaCounts(key, value);
      chunk.add(name, value, this.#area);
      scan.take();
      last = name;
    }
    scan.last = last;
    return { records: chunk.finish(), last, done: false };
  }

  /** The scan goes on where the last chunk ended, if the next one is asked for: what was read ahead need not be read again. */
  async #scanBehind(after: Uint8Array | undefined): Promise<Scan> {
    const open = this.#scan;
    this.#scan = undefined;
    if (open !== undefined) {
      if (after !== undefined && open.last?.equals(after) === true) return (this.#scan = open);
      await open.close();
    }
    const from = areaKey(this.#partition, this.#area, after === undefined ? noKey : keyBehind(after));
    this.#scan = new Scan(this.#snapshot.scanPieces({ from, to: areaEnd(this.#partition, this.#area) }));
    return this.#scan;
  }
}

/** Records in the order of their keys, each looked at before it is taken. */
class Scan {
  /** Behind which key the last chunk ended; undefined while none has. */
  last: Buffer | undefined;
  readonly #pieces: AsyncIterator<readonly DatabaseRecord[]>;
  #piece: readonly DatabaseRecord[] = [];
  #at = 0;

  constructor(pieces: AsyncIterable<readonly DatabaseRecord[]>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Undefined at the end. */
  async peek(): Promise<DatabaseRecord | undefined> {
    while (this.#at === this.#piece.length) {
      const next = await this.#pieces.next();
      if (next.done === true) return undefined;
      this.#piece = next.value;
      this.#at = 0;
    }
    return this.#piece[this.#at];
  }

  take(): void {
    this.#at += 1;
  }

  async close(): Promise<void> {
    this.#piece = [];
    await this.#pieces.return?.();
  }
}

const noKey = Buffer.alloc(0);

/** The database is not closed before each of them is. */
export class OpenSnapshots {
  readonly #database: Database;
  readonly #open = new Set<StateSnapshot>();
  /** Closed, and still held by a read. */
  readonly #closing = new Set<Promise<void>>();
  readonly #onDamage: (error: StorageDamage) => void;

  constructor(database: Database, onDamage: (error: StorageDamage) => void) {
    this.#database = database;
    this.#onDamage = onDamage;
  }

  open(partition: PartitionId): StateSnapshot {
    const opened = new DurableSnapshot({
      snapshot: this.#database.snapshot(),
      partition,
      onDamage: this.#onDamage,
      onClose: (closed) => {
        this.#open.delete(opened);
        this.#closing.add(closed);
        void closed.then(() => this.#closing.delete(closed));
      },
    });
    this.#open.add(opened);
    return opened;
  }

  async close(): Promise<void> {
    for (const snapshot of this.#open) snapshot.close();
    await Promise.all(this.#closing);
  }
}
