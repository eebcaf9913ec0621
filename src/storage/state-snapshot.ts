import { assert } from '../assert.ts';
import type { Scratch } from '../bytes.ts';
import type { MachineState } from '../kv/types.ts';
import type { PartitionId, SnapshotChunk, StateSnapshot, StoredConfiguration } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import type { DatabaseSnapshot } from './database.ts';
import { areaCounts } from './area-records.ts';
import { areaEnd, areaKey, keyBehind, withinArea, type Area } from './keys.ts';
import type { MomentOptions } from './open-snapshots.ts';
import { readDurableState } from './recovery.ts';
import { ChunkWriter } from './snapshot-chunk.ts';
import { StateScan } from './state-scan.ts';

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
  #scan: StateScan | undefined;
  #closed = false;
  #reading = false;

  /** Throws a StorageDamage when the machine state can't be believed. */
  constructor(options: MomentOptions) {
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
  async #scanBehind(after: Uint8Array | undefined): Promise<StateScan> {
    const open = this.#scan;
    this.#scan = undefined;
    if (open !== undefined) {
      if (after !== undefined && open.last?.equals(after) === true) return (this.#scan = open);
      await open.close();
    }
    const from = areaKey(this.#partition, this.#area, after === undefined ? noKey : keyBehind(after));
    this.#scan = new StateScan(this.#snapshot.scanPieces({ from, to: areaEnd(this.#partition, this.#area) }));
    return this.#scan;
  }
}

const noKey = Buffer.alloc(0);
