import { assert } from '../assert.ts';
import type { MachineState } from '../kv/types.ts';
import type { PartitionId, SnapshotChunk, StateSnapshot, StoredConfiguration } from '../replica/ports.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { areaCounts } from './area-records.ts';
import { areaEnd, areaKey, keyBehind, withinArea, type Area } from './keys.ts';
import { readDurableState } from './recovery.ts';
import { Scratch } from './sealing.ts';
import { ChunkWriter } from './snapshot-chunk.ts';
import { sealUnder } from './value-record.ts';

/**
 * One partition's durable state of one moment. Machine state and values are of the same moment because the database's own
 * snapshot is, and because both are only ever written together. Each read is a scan of its own that begins where the last one
 * ended, so nothing but the chunk under way is held in memory.
 */
export class DurableSnapshot implements StateSnapshot {
  readonly machineState: MachineState;
  readonly configuration: StoredConfiguration | undefined;
  readonly #partition: PartitionId;
  readonly #area: Area;
  readonly #snapshot: DatabaseSnapshot;
  readonly #onClose: (closed: Promise<void>) => void;
  readonly #scratch = new Scratch();
  #closed = false;
  #reading = false;

  /** `onClose` is told once, of when the database has let go of it. Throws a StorageDamage when the machine state can't be believed. */
  constructor(options: {
    readonly snapshot: DatabaseSnapshot;
    readonly partition: PartitionId;
    readonly onClose: (closed: Promise<void>) => void;
  }) {
    const { snapshot, partition } = options;
    this.#snapshot = snapshot;
    this.#partition = partition;
    this.#onClose = options.onClose;
    const { machineState, area, configuration } = readDurableState(snapshot, partition);
    this.machineState = machineState;
    this.configuration = configuration;
    this.#area = area;
  }

  async read(after: Uint8Array | undefined, bytesMax: number): Promise<SnapshotChunk> {
    if (this.#closed) throw new Error('the snapshot is closed: open another one');
    assert(!this.#reading, 'one read at a time');
    this.#reading = true;
    try {
      return await this.#read(after, bytesMax);
    } finally {
      this.#reading = false;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose(this.#snapshot.close());
  }

  async #read(after: Uint8Array | undefined, bytesMax: number): Promise<SnapshotChunk> {
    const from = areaKey(this.#partition, this.#area, after === undefined ? noKey : keyBehind(after));
    const chunk = new ChunkWriter(this.#partition);
    let last: Buffer | undefined;
    let done = true;
    for await (const [key, value] of this.#snapshot.scan({ from, to: areaEnd(this.#partition, this.#area) })) {
      if (this.#closed) throw new Error('the snapshot was closed during a read');
      const name = withinArea(key);
      if (chunk.records > 0 && chunk.bytesWith(name, value) > bytesMax) {
        done = false;
        break;
      }
      areaCounts(key, value);
      chunk.add(name, this.#area === 0 ? value : this.#asOfArea0(name, value));
      last = name;
    }
    return { records: chunk.finish(), last, done };
  }

  #asOfArea0(name: Buffer, value: Buffer): Buffer {
    return sealUnder(this.#scratch, areaKey(this.#partition, 0, name), value).value;
  }
}

const noKey = Buffer.alloc(0);

/** The database is not closed before each of them is. */
export class OpenSnapshots {
  readonly #database: Database;
  readonly #open = new Set<StateSnapshot>();
  /** Closed, and still held by a read. */
  readonly #closing = new Set<Promise<void>>();

  constructor(database: Database) {
    this.#database = database;
  }

  open(partition: PartitionId): StateSnapshot {
    const opened = new DurableSnapshot({
      snapshot: this.#database.snapshot(),
      partition,
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
