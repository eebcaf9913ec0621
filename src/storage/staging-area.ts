import { assert } from '../assert.ts';
import type { Scratch } from '../bytes.ts';
import { planted } from '../planted.ts';
import { emptyMachineState } from '../kv/machine.ts';
import type { MachineState } from '../kv/types.ts';
import type { SnapshotPoint } from '../raft/types.ts';
import type { PartitionId, StoredConfiguration } from '../replica/ports.ts';
import { SnapshotDamage } from './damage.ts';
import type { Database, DatabaseBatch } from './database.ts';
import type { GroupState } from './group-state.ts';
import { addCounts, describeCounts, nothingCounted, type AreaCounts } from './area-records.ts';
import { areaEnd, areaKey, groupKey, keyBehind, otherArea, RecordKind, Space, withinArea, type Area } from './keys.ts';
import type { StoredGroup } from './recovery.ts';
import { putRecord } from './sealing.ts';
import { decodeChunk, type ChunkRecord } from './snapshot-chunk.ts';
import {
  decodeUnswept,
  encodeMachineState,
  encodeStagedSnapshot,
  encodeUnswept,
  type StagedSnapshot,
} from './state-records.ts';
import { sealUnder } from './value-record.ts';

/** Keys that one batch takes out of a dead area: so few that what else waits for the state's queue hardly notices. */
const sweptKeysMax = 256;
/** What deleting one costs in a batch, roughly. */
const sweptKeyBytes = 64;

/** Something other than an applied change that goes into the state's queue. */
export interface StagingWrite {
  /** At most. */
  readonly bytes: number;
  /** Somebody waits for it: its batch does not gather for `stateFlushDelayMs`. */
  readonly urgent: boolean;
  /** True for what makes an installed snapshot live: it must not be durable before the log that begins behind it. */
  readonly behindLog?: boolean;
  /** Returns the bytes put. */
  readonly encode: (batch: DatabaseBatch, scratch: Scratch) => number;
}

/** The state's queue, as far as staging needs it. */
export interface StagingQueue {
  /** Resolves once `write` is durable. Rejects when the storage fails, or is closing. */
  push(write: StagingWrite): Promise<void>;
}

type Phase =
  | { readonly type: 'idle' }
  | { readonly type: 'emptying'; readonly emptied: Promise<void> }
  /** What was staged: `last` is the highest, and there are no others below it. */
  | { readonly type: 'staging'; last: Buffer | undefined; counts: AreaCounts }
  | { readonly type: 'completing' }
  | { readonly type: 'complete'; readonly snapshot: StagedSnapshot };

/**
 * The area of one group that is not live. A snapshot is staged there, beside the state that goes on being read and written,
 * and becomes the live one when it is installed; what was live is then swept.
 *
 * Safety: nothing but the snapshot that is being staged may be in the area when it becomes the live one, so staging begins with
 * emptying it. Sweeping reads the database, and so begins only once all that was queued for the area is durable.
 */
export class StagingArea {
  readonly #database: Database;
  readonly #partition: PartitionId;
  readonly #state: GroupState;
  readonly #queue: StagingQueue;
  readonly #onBackgroundFailure: (error: unknown) => void;
  #phase: Phase = { type: 'idle' };
  /** The newest installation and sweeping of this start: emptying the area waits for both. */
  #background: Promise<void> = Promise.resolve();
  /** The area is known to be empty: swept from its beginning by this start, or the last one left no mark; and not written to since. */
  #empty: boolean;
  #destroyed = false;

  constructor(options: {
    readonly database: Database;
    readonly recovered: StoredGroup;
    readonly state: GroupState;
    readonly queue: StagingQueue;
    /** What goes wrong where nobody waits for it. */
    readonly onBackgroundFailure: (error: unknown) => void;
  }) {
    this.#database = options.database;
    this.#partition = options.recovered.partition;
    this.#state = options.state;
    this.#queue = options.queue;
    this.#onBackgroundFailure = options.onBackgroundFailure;
    const { unswept, rollForward } = options.recovered;
    this.#empty = unswept === undefined && rollForward === undefined;
  }

  /** Goes on where the last start ended: an installation whose log begins behind it already, or a sweep. */
  recover({ rollForward, unswept }: StoredGroup): void {
    if (rollForward !== undefined) this.#makeLive(rollForward);
    else if (unswept !== undefined) this.#inBackground(() => this.#sweep(unswept));
  }

  begin(): Promise<void> {
    if (this.#destroyed) return Promise.reject(this.#notStaging());
    if (this.#phase.type === 'emptying') return this.#phase.emptied;
    const emptied = this.#emptyArea();
    this.#phase = { type: 'emptying', emptied };
    return emptied;
  }

  async stage(chunk: Buffer): Promise<void> {
    const records = decodeChunk(this.#partition, chunk);
    const staging = this.#phase;
    if (this.#destroyed || staging.type !== 'staging') throw this.#notStaging();
    for (const { name, counts } of records) {
      // A chunk that comes again brings what is there already.
      if (staging.last !== undefined && staging.last.compare(name) >= 0) continue;
      staging.last = name;
      staging.counts = addCounts(staging.counts, counts);
    }
    // The chunk's memory is not to be held for one key.
    if (staging.last !== undefined) staging.last = Buffer.from(staging.last);
    this.#empty = false;
    const area = otherArea(this.#state.area);
    await this.#queue.push({
      bytes: chunk.length + 8 * records.length,
      urgent: true,
      encode: (batch, scratch) => this.#putChunk(area, records, batch, scratch),
    });
  }

  async complete(machineState: MachineState, configuration: StoredConfiguration | undefined): Promise<void> {
    const staging = this.#phase;
    if (this.#destroyed || staging.type !== 'staging') throw this.#notStaging();
    const [staged, said] = [describeCounts(staging.counts), describeCounts(machineState)];
    if (staged !== said) {
      throw new SnapshotDamage(
        `partition ${this.#partition}: staged are ${staged}, and the snapshot says ${said}: send it again`,
      );
    }
    const snapshot = { machineState, configuration, area: otherArea(this.#state.area) };
    const completing: Phase = { type: 'completing' };
    this.#phase = completing;
    await this.#queue.push({
      bytes: 2 * sweptKeyBytes + (configuration?.body.length ?? 0),
      urgent: true,
      encode: (batch, scratch) => putRecord(batch, encodeStagedSnapshot(scratch, this.#partition, snapshot)),
    });
    if (this.#phase !== completing) throw this.#notStaging();
    this.#phase = { type: 'complete', snapshot };
  }

  /** In memory the snapshot is live from here on; on disk once it is durable. */
  install({ index, term }: SnapshotPoint): void {
    const complete = this.#phase;
    assert(complete.type === 'complete', () => `partition ${this.#partition}: no complete snapshot is staged`);
    const { machineState } = complete.snapshot;
    assert(
      machineState.appliedIndex === index && machineState.appliedTerm === term,
      () => `partition ${this.#partition}: staged is the snapshot of ${machineState.appliedIndex}, not of ${index}`,
    );
    assert(index > this.#state.appliedIndex, () => `partition ${this.#partition}: ${index} is applied already`);
    this.#state.install(complete.snapshot);
    this.#makeLive(complete.snapshot);
  }

  /**
   * Empties both areas, behind the log's tombstone: this one; then an empty state, as if it were a snapshot, takes the place of the
   * live one, which is swept as ever. So at each moment the stored state is the one that was, or an empty one. Resolves once
   * all is durable.
   */
  async destroy(): Promise<void> {
    this.#destroyed = true;
    await this.settled();
    if (!this.#state.founded) return;
    const stagedKey = groupKey(this.#partition, RecordKind.stagedSnapshot);
    await this.#queue.push({ bytes: sweptKeyBytes, urgent: false, encode: (batch) => (batch.delete(stagedKey), 0) });
    // All that was queued for either area is durable with it.
    const markKey = groupKey(this.#partition, RecordKind.unswept);
    const mark = this.#database.get(markKey);
    if (mark !== undefined) await this.#sweep(decodeUnswept(markKey, mark));
    if (this.#state.appliedIndex === 0) return;
    const empty = { machineState: emptyMachineState, configuration: undefined, area: otherArea(this.#state.area) };
    this.#state.install(empty);
    await this.#takeOver(empty);
  }

  /** Once nothing of it runs any more, well or not: the queue takes nothing more from it when the storage is closing. */
  async settled(): Promise<void> {
    await this.#background;
    if (this.#phase.type === 'emptying') await Promise.allSettled([this.#phase.emptied]);
  }

  #makeLive(snapshot: StagedSnapshot): void {
    const live = this.#takeOver(snapshot);
    this.#inBackground(() => live);
  }

  /**
   * Puts the installed snapshot's record in the state's queue, behind the log write that it must not overtake; then what was live
   * is swept.
   */
  async #takeOver(snapshot: StagedSnapshot): Promise<void> {
    this.#phase = { type: 'idle' };
    this.#empty = false;
    await this.#queue.push({
      bytes: 4 * sweptKeyBytes + (snapshot.configuration?.body.length ?? 0),
      urgent: true,
      behindLog: true,
      encode: (batch, scratch) => {
        batch.delete(groupKey(this.#partition, RecordKind.stagedSnapshot));
        // What was live is dead now, from its first key on.
        const bytes = putRecord(batch, encodeUnswept(scratch, this.#partition, noKey));
        return bytes + this.#state.encodeInstalled(snapshot, batch, scratch);
      },
    });
    this.#state.installDurable(snapshot);
    await this.#sweep(noKey);
  }

  async #emptyArea(): Promise<void> {
    await this.#background;
    const founding = this.#state.found();
    // Takes back a completed snapshot before anything of it is touched. All that was staged before it is durable with it.
    await this.#queue.push({
      bytes: 4 * sweptKeyBytes,
      urgent: true,
      encode: (batch, scratch) => {
        batch.delete(groupKey(this.#partition, RecordKind.stagedSnapshot));
        const bytes = putRecord(batch, encodeUnswept(scratch, this.#partition, noKey));
        if (founding === undefined) return bytes;
        return bytes + putRecord(batch, encodeMachineState(scratch, this.#partition, founding));
      },
    });
    if (!this.#empty) await this.#sweep(noKey, noKey);
    this.#phase = { type: 'staging', last: undefined, counts: nothingCounted };
  }

  /**
   * Takes out what the area holds from `from` on. Each step scans from behind the last key that it deleted, so no step walks
   * over the deleted ones of another, and notes that key on disk, so the next start does not either. `markAfter`
   * is what is noted in the end: nothing, or from where on the area is to be used.
   */
  async #sweep(from: Buffer, markAfter?: Buffer): Promise<void> {
    const area = otherArea(this.#state.area);
    const to = areaEnd(this.#partition, area);
    let next = from;
    for (let swept = false, first = true; !swept; first = false) {
      const keys: Buffer[] = [];
      const range = { from: areaKey(this.#partition, area, next), to, limit: sweptKeysMax, keysOnly: true };
      for await (const [key] of this.#database.scan(range)) keys.push(key);
      const last = keys.at(-1);
      swept = keys.length < sweptKeysMax;
      if (last !== undefined) next = keyBehind(withinArea(last));
      const mark = swept ? markAfter : next;
      await this.#queue.push({
        bytes: (keys.length + 1) * sweptKeyBytes,
        urgent: this.#phase.type === 'emptying',
        encode: (batch, scratch) => {
          // Without all of its values it must not be taken for complete.
          if (first) batch.delete(groupKey(this.#partition, RecordKind.stagedSnapshot));
          for (const key of keys) batch.delete(key);
          if (mark !== undefined) return putRecord(batch, encodeUnswept(scratch, this.#partition, mark));
          batch.delete(groupKey(this.#partition, RecordKind.unswept));
          return 0;
        },
      });
    }
    if (from.length === 0) this.#empty = true;
  }

  #putChunk(area: Area, records: readonly ChunkRecord[], batch: DatabaseBatch, scratch: Scratch): number {
    let bytes = 0;
    for (const { name, value } of records) {
      if (planted('dedup-not-in-snapshot') && (name[0] ?? 0) <= Space.rememberedAt) continue;
      const key = areaKey(this.#partition, area, name);
      const sealed = area === 0 ? value : sealUnder(scratch, key, value).value;
      batch.put(key, sealed);
      bytes += key.length + sealed.length;
    }
    return bytes;
  }

  /** What goes wrong in here fails the storage or ends with it, and whoever waits for the queue is told. */
  #inBackground(work: () => Promise<void>): void {
    this.#background = work().catch(this.#onBackgroundFailure);
  }

  #notStaging(): Error {
    return new Error(`partition ${this.#partition}: no snapshot is being staged: begin one`);
  }
}

const noKey = Buffer.alloc(0);
