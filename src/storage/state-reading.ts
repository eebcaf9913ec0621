import { assert } from '../assert.ts';
import type { MachineState } from '../kv/types.ts';
import type { ReadPart, StateDigest, StateReading } from '../replica/ports.ts';
import { addCounts, areaCounts, describeCounts, nothingCounted, type AreaCounts } from './area-records.ts';
import type { DatabaseSnapshot } from './database.ts';
import { areaEnd, areaKey } from './keys.ts';
import type { MomentOptions } from './open-snapshots.ts';
import { readDurableState } from './recovery.ts';
import { StateScan } from './state-scan.ts';
import { StateSum, sumVersion } from './state-sum.ts';

/** One partition's durable state of one moment, read once from the first record to the last. Holds no more than was read ahead. */
export class DurableReading implements StateReading {
  readonly machineState: MachineState;
  readonly #snapshot: DatabaseSnapshot;
  readonly #onClose: (closed: Promise<void>) => void;
  readonly #scan: StateScan;
  readonly #sum: StateSum;
  #counts: AreaCounts = nothingCounted;
  #records = 0;
  #bytes = 0;
  #reading = false;
  #done = false;
  #closed = false;

  /** Throws a StorageDamage when the machine state can't be believed. */
  constructor({ snapshot, partition, onClose }: MomentOptions) {
    this.#snapshot = snapshot;
    this.#onClose = onClose;
    const { machineState, area, configuration } = readDurableState(snapshot, partition);
    this.machineState = machineState;
    this.#sum = new StateSum(machineState, configuration);
    const range = { from: areaKey(partition, area, noKey), to: areaEnd(partition, area) };
    this.#scan = new StateScan(snapshot.scanPieces(range));
  }

  async read(bytesMax: number): Promise<ReadPart> {
    if (this.#closed) throw new Error('the reading is closed: open another one');
    assert(!this.#reading && !this.#done, 'one part is read after the other, up to the last');
    this.#reading = true;
    const before = this.#bytes;
    try {
      while (this.#bytes - before < bytesMax && (await this.#readOne())) continue;
    } finally {
      this.#reading = false;
    }
    return { bytes: this.#bytes - before, done: this.#done };
  }

  digest(): StateDigest {
    assert(this.#done, 'a state is summed up when all of it is read');
    return {
      version: sumVersion,
      sum: this.#sum.finish(),
      records: this.#records,
      bytes: this.#bytes,
      miscounted: this.#miscounted(),
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose(Promise.all([this.#scan.close(), this.#snapshot.close()]).then(() => undefined));
  }

  /** False at the end. */
  async #readOne(): Promise<boolean> {
    const record = await this.#scan.peek();
    if (this.#closed) throw new Error('the reading was closed before its end');
    if (record === undefined) {
      this.#done = true;
      return false;
    }
    const [key, value] = record;
    this.#counts = addCounts(this.#counts, areaCounts(key, value));
    this.#sum.add(key, value);
    this.#scan.take();
    this.#records += 1;
    this.#bytes += key.length + value.length;
    return true;
  }

  /** Only for people: counted wrongly alike by all replicas it would be no loss. */
  #miscounted(): string | undefined {
    const [stored, said] = [describeCounts(this.#counts), describeCounts(this.machineState)];
    return stored === said ? undefined : `stored are ${stored}, and the machine state says ${said}`;
  }
}

const noKey = Buffer.alloc(0);
