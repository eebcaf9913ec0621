import { asBuffer } from '../bytes.ts';
import { planted } from '../planted.ts';
import type { MachineState, RecordHeader, StateReader, StateWrite, ValueRecord } from '../kv/types.ts';
import type { LogIndex } from '../raft/types.ts';
import type { PartitionId, StoredConfiguration } from '../replica/ports.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { groupKey, RecordKind, valueKey, type Area } from './keys.ts';
import { HeaderCache, type HeaderCacheBudget } from './header-cache.ts';
import { recordOverheadBytes } from './records.ts';
import type { StoredGroup } from './recovery.ts';
import { putRecord, type Scratch } from './sealing.ts';
import { encodeConfigurationRecord, encodeMachineState, type StagedSnapshot, type StateHead } from './state-records.ts';
import { decodeValue, encodeValue, valueRecordBytes } from './value-record.ts';

/** One `stageState`. Key and value bytes are not copied: nobody writes to them once they are handed over. */
export interface StagedChange {
  /** Grows with each thing handed to the storage: its place in the queue. */
  readonly ordinal: number;
  readonly writes: readonly StateWrite[];
  /** Of each write, as the overlay knows it. */
  readonly overlayKeys: readonly string[];
  readonly machineState: MachineState;
  /** The one that was live when it was staged. */
  readonly area: Area;
  /** Set when it brings a configuration. */
  readonly configuration: StoredConfiguration | undefined;
  /** Of the one in force after it. */
  readonly configurationIndex: LogIndex | undefined;
}

interface OverlayValue {
  readonly ordinal: number;
  /** Undefined for a deleted key. */
  readonly record: ValueRecord | undefined;
}

/**
 * One group's state: what is durable, overlaid with what is staged and not yet durable. Keys of the overlay are the key's
 * bytes as latin1: one character a byte, so no two keys share one.
 */
export class GroupState implements StateReader {
  readonly #database: Database;
  readonly #partition: PartitionId;
  readonly #overlay = new Map<string, OverlayValue>();
  readonly #budget: HeaderCacheBudget;
  #cache: HeaderCache;
  #area: Area;
  #configurationIndex: LogIndex | undefined;
  #newestOrdinal = 0;
  #newestState: MachineState;
  #durableAppliedIndex: LogIndex;
  /** Whether any batch written or waiting has a machine state. */
  #founded: boolean;

  constructor(database: Database, recovered: StoredGroup, budget: HeaderCacheBudget) {
    this.#database = database;
    this.#partition = recovered.partition;
    this.#budget = budget;
    this.#cache = new HeaderCache(budget);
    this.#area = recovered.area;
    this.#configurationIndex = recovered.configuration?.index;
    this.#newestState = recovered.machineState;
    this.#durableAppliedIndex = recovered.durableAppliedIndex;
    this.#founded = recovered.stateFounded;
  }

  /** The live one: reads and what is staged from now on belong to it. */
  get area(): Area {
    return this.#area;
  }

  /** Whether the database has anything of it, or will once all that waits is written. */
  get founded(): boolean {
    return this.#founded;
  }

  get appliedIndex(): number {
    return this.#newestState.appliedIndex;
  }

  durableAppliedIndex(): LogIndex {
    return this.#durableAppliedIndex;
  }

  get(key: Uint8Array): ValueRecord | undefined {
    if (this.#overlay.size > 0) {
      const staged = this.#overlay.get(overlayKey(key));
      if (staged !== undefined) return staged.record;
    }
    return this.#stored(key);
  }

  header(key: Uint8Array): RecordHeader | undefined {
    const name = overlayKey(key);
    const known = this.#cache.get(name);
    if (known !== undefined) return known.header;
    const staged = this.#overlay.get(name);
    const header = headerOf(staged === undefined ? this.#stored(key) : staged.record);
    this.#cache.put(name, header);
    return header;
  }

  #stored(key: Uint8Array): ValueRecord | undefined {
    const stored = valueKey(this.#partition, this.#area, key);
    const value = this.#database.get(stored);
    return value === undefined ? undefined : decodeValue(stored, value);
  }

  stage(
    ordinal: number,
    writes: readonly StateWrite[],
    machineState: MachineState,
    configuration: StoredConfiguration | undefined,
  ): StagedChange {
    const overlayKeys: string[] = [];
    for (const write of writes) {
      const record = write.type === 'put' ? write.record : undefined;
      const name = overlayKey(write.key);
      overlayKeys.push(name);
      this.#overlay.set(name, { ordinal, record });
      this.#cache.put(name, headerOf(record));
    }
    this.#newestOrdinal = ordinal;
    this.#newestState = machineState;
    this.#founded = true;
    if (configuration !== undefined) this.#configurationIndex = configuration.index;
    const configurationIndex = this.#configurationIndex;
    return { ordinal, writes, overlayKeys, machineState, area: this.#area, configuration, configurationIndex };
  }

  /**
   * A snapshot takes the place of the state, in memory at once: what was staged before is not seen any more. It may still be
   * written, to the area that it was staged for, as long as that is the live one on disk.
   */
  install({ machineState, area, configuration }: StagedSnapshot): void {
    this.#overlay.clear();
    this.#cache = new HeaderCache(this.#budget);
    this.#area = area;
    this.#newestState = machineState;
    this.#configurationIndex = configuration?.index;
    this.#founded = true;
  }

  /** What makes the installed snapshot the live state on disk. Returns the bytes put. */
  encodeInstalled(
    { machineState, area, configuration }: StagedSnapshot,
    batch: DatabaseBatch,
    scratch: Scratch,
  ): number {
    const head = { machineState, area, configurationIndex: configuration?.index };
    const bytes = putRecord(batch, encodeMachineState(scratch, this.#partition, head));
    if (configuration !== undefined) {
      return bytes + putRecord(batch, encodeConfigurationRecord(scratch, this.#partition, configuration));
    }
    batch.delete(groupKey(this.#partition, RecordKind.configuration));
    return bytes;
  }

  installDurable({ machineState }: StagedSnapshot): void {
    // What was applied since may have been in the same batch.
    this.#durableAppliedIndex = Math.max(this.#durableAppliedIndex, machineState.appliedIndex) as LogIndex;
  }

  /**
   * For what is about to be queued: the machine state that it must bring along, if nothing before it does. A group has one from
   * its first state batch on; records without one are what a loss has left.
   */
  found(): StateHead | undefined {
    if (this.#founded) return undefined;
    this.#founded = true;
    return { machineState: this.#newestState, area: this.#area, configurationIndex: this.#configurationIndex };
  }

  /**
   * Puts the change into `batch`, whose last change has the ordinal `batchEnd`, leaving out what a later change up to `batchEnd` overwrites: that one is in the same
   * batch, so nobody can ever see the one without the other. Returns the bytes put.
   */
  encode(change: StagedChange, batchEnd: number, batch: DatabaseBatch, scratch: Scratch): number {
    const overwritten = (newest: number): boolean => newest > change.ordinal && newest <= batchEnd;
    let bytes = 0;
    for (const [position, write] of change.writes.entries()) {
      if (overwritten(this.#overlay.get(change.overlayKeys[position] ?? '')?.ordinal ?? 0)) continue;
      if (write.type === 'delete') {
        batch.delete(valueKey(this.#partition, change.area, write.key));
        bytes += write.key.length;
      } else {
        bytes += putRecord(batch, encodeValue(scratch, this.#partition, change.area, write.key, write.record));
      }
    }
    const { area, configuration, configurationIndex } = change;
    if (configuration !== undefined) {
      bytes += putRecord(batch, encodeConfigurationRecord(scratch, this.#partition, configuration));
    }
    if (overwritten(this.#newestOrdinal)) return bytes;
    const machineState = planted('applied-index-apart') ? this.#newestState : change.machineState;
    return (
      bytes + putRecord(batch, encodeMachineState(scratch, this.#partition, { machineState, area, configurationIndex }))
    );
  }

  /** The database has it now; what was staged again since stays in the overlay. */
  durable(change: StagedChange): void {
    for (const key of change.overlayKeys) {
      if (this.#overlay.get(key)?.ordinal === change.ordinal) this.#overlay.delete(key);
    }
    this.#durableAppliedIndex = change.machineState.appliedIndex as LogIndex;
  }
}

function headerOf(record: ValueRecord | undefined): RecordHeader | undefined {
  if (record === undefined) return undefined;
  const { value, revision, incarnation, expiresAt } = record;
  return { valueBytes: value.length, revision, incarnation, expiresAt };
}

/** Bytes that a change takes in a batch, at most. */
export function stagedBytes(writes: readonly StateWrite[], configuration: StoredConfiguration | undefined): number {
  let bytes = 3 * recordOverheadBytes + (configuration?.body.length ?? 0);
  for (const write of writes) bytes += valueRecordBytes(write.key, write.type === 'put' ? write.record : undefined);
  return bytes;
}

function overlayKey(key: Uint8Array): string {
  return asBuffer(key).toString('latin1');
}
