import { asBuffer, type Scratch } from '../bytes.ts';
import { planted } from '../planted.ts';
import type {
  DueKey,
  MachineState,
  RecordHeader,
  RememberedAt,
  RememberedResult,
  RequestName,
  StateReader,
  StateWrite,
  ValueRecord,
} from '../kv/types.ts';
import type { LogIndex } from '../raft/types.ts';
import type { PartitionId, StoredConfiguration, TimeRange, ValuePage, ValueRange } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { groupKey, RecordKind, Space, spaceKey, timedKey, valueKey, type Area } from './keys.ts';
import { HeaderCache, type HeaderCacheBudget, type Known } from './header-cache.ts';
import { KeptChanges } from './kept-changes.ts';
import { recordOverheadBytes } from './records.ts';
import type { StoredGroup } from './recovery.ts';
import { putRecord } from './sealing.ts';
import {
  decodeDue,
  decodeRemembered,
  decodeRememberedAt,
  encodeDue,
  encodeRemembered,
  encodeRememberedAt,
  rememberedBytes,
} from './state-entries.ts';
import { encodeConfigurationRecord, encodeMachineState, type StagedSnapshot, type StateHead } from './state-records.ts';
import { readRange, type StagedValue } from './range-read.ts';
import { readTimeOrder, type TimeOrder } from './time-order.ts';
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
  /** What is kept of its entry for watchers. */
  readonly kept: Uint8Array | undefined;
  /** Where the log began when it was staged: what is kept of older entries goes with it. */
  readonly logStart: LogIndex;
}

/** What comes with an applied entry besides its writes. */
export interface StagedBesides {
  /** Set when the entry brings a configuration. */
  readonly configuration: StoredConfiguration | undefined;
  /** What is kept of it for watchers. */
  readonly kept: Uint8Array | undefined;
  /** Where the log begins now. */
  readonly logStart: LogIndex;
}

interface Overlaid<T> {
  readonly ordinal: number;
  /** Undefined for what is deleted. */
  readonly record: T | undefined;
}

/**
 * One group's state: what is durable, overlaid with what is staged and not yet durable. Keys of the overlay are the key's
 * bytes as latin1: one character a byte, so no two keys share one.
 */
export class GroupState implements StateReader {
  readonly #database: Database;
  readonly #partition: PartitionId;
  readonly #overlay = new Map<string, Overlaid<ValueRecord>>();
  readonly #rememberedOverlay = new Map<string, Overlaid<RememberedResult>>();
  readonly #budget: HeaderCacheBudget;
  readonly #kept: KeptChanges;
  #cache: HeaderCache;
  #area: Area;
  #configurationIndex: LogIndex | undefined;
  #newestOrdinal = 0;
  #pendingOrdinal: number | undefined;
  #newestState: MachineState;
  #durableAppliedIndex: LogIndex;
  /** Whether any batch written or waiting has a machine state. */
  #founded: boolean;

  constructor(database: Database, recovered: StoredGroup, budget: HeaderCacheBudget) {
    this.#database = database;
    this.#partition = recovered.partition;
    this.#budget = budget;
    this.#kept = new KeptChanges(database, recovered.partition, recovered.kept);
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

  /** Of the newest change, while it is not durable and no snapshot has taken its place. */
  get pendingOrdinal(): number | undefined {
    return this.#pendingOrdinal;
  }

  get(key: Uint8Array): ValueRecord | undefined {
    const name = overlayKey(key);
    const staged = this.#overlay.get(name);
    if (staged !== undefined) return staged.record;
    const known = this.#cache.get(name);
    if (known === undefined) return this.#stored(key);
    const found = this.#readValue(valueKey(this.#partition, this.#area, key));
    this.#expectKnown(known, found);
    return found;
  }

  /**
   * A table of LevelDB's that was damaged makes a key vanish, or brings back the version below it, whose checksum is good: where the newest
   * header is known, that is seen.
   */
  #expectKnown(known: Known, found: ValueRecord | undefined): void {
    if (known.header?.revision === found?.revision) return;
    const [is, was] = [found, known.header].map((one) =>
      one === undefined ? 'absent' : `of revision ${one.revision}`,
    );
    throw new StorageDamage(
      `partition ${this.#partition}: a value read is ${is}, and the newest written is ${was}`,
      this.#partition,
    );
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

  /** Of an applied entry that the log still has: see `KeptChanges.get`. */
  kept(index: LogIndex): Uint8Array | undefined {
    return this.#kept.get(index);
  }

  remembered(name: RequestName): RememberedResult | undefined {
    const staged = this.#rememberedOverlay.get(overlayKey(name));
    if (staged !== undefined) return staged.record;
    if (this.#newestState.remembered === 0) return undefined;
    const stored = spaceKey(this.#partition, this.#area, Space.remembered, name);
    const value = this.#database.get(stored);
    this.#database.expectWhole(stored, stored);
    return value === undefined ? undefined : decodeRemembered(stored, value);
  }

  dueKeys(range: TimeRange): Promise<readonly DueKey[]> {
    const order: TimeOrder<DueKey> = {
      ...this.#spaceOf(Space.due),
      decode: decodeDue,
      placeOf: ({ key, expiresAt }) => ({ at: expiresAt, name: key }),
      isLive: ({ key, expiresAt }) => this.header(key)?.expiresAt === expiresAt,
      staged: () => this.#stagedDue(),
    };
    return readTimeOrder(order, range);
  }

  async values(range: ValueRange): Promise<ValuePage> {
    const [partition, area] = [this.#partition, this.#area];
    const staged = [...this.#overlay].map(([name, { record }]): StagedValue => [Buffer.from(name, 'latin1'), record]);
    // In the same turn as the overlay: between them they are the whole state, and nothing of later.
    const database = this.#database.snapshot();
    try {
      return await readRange({ database, partition, area, staged }, range);
    } finally {
      await database.close();
    }
  }

  rememberedResults(range: TimeRange): Promise<readonly RememberedAt[]> {
    const order: TimeOrder<RememberedAt> = {
      ...this.#spaceOf(Space.rememberedAt),
      decode: decodeRememberedAt,
      placeOf: (one) => one,
      isLive: ({ name, at }) => this.remembered(name)?.at === at,
      staged: () => this.#stagedResults(),
    };
    return readTimeOrder(order, range);
  }

  #spaceOf(space: Space) {
    return { database: this.#database, partition: this.#partition, area: this.#area, space };
  }

  *#stagedDue(): Iterable<DueKey> {
    for (const [name, { record }] of this.#overlay) {
      if (record === undefined || record.expiresAt === 0) continue;
      const { expiresAt, revision, incarnation } = record;
      yield { key: Buffer.from(name, 'latin1'), expiresAt, revision, incarnation };
    }
  }

  *#stagedResults(): Iterable<RememberedAt> {
    for (const [name, { record }] of this.#rememberedOverlay) {
      if (record !== undefined) yield { name: Buffer.from(name, 'latin1'), at: record.at };
    }
  }

  /** Of a key of which nothing is known here: it is the newest only if no table that could hold it was damaged. */
  #stored(key: Uint8Array): ValueRecord | undefined {
    const stored = valueKey(this.#partition, this.#area, key);
    const found = this.#readValue(stored);
    this.#database.expectWhole(stored, stored);
    return found;
  }

  #readValue(stored: Buffer): ValueRecord | undefined {
    const value = this.#database.get(stored);
    return value === undefined ? undefined : decodeValue(stored, value);
  }

  stage(
    ordinal: number,
    writes: readonly StateWrite[],
    machineState: MachineState,
    { configuration, kept, logStart }: StagedBesides,
  ): StagedChange {
    const overlayKeys: string[] = [];
    for (const write of writes) {
      if (write.type === 'remember' || write.type === 'forget') {
        const record = write.type === 'remember' ? write.remembered : undefined;
        const name = overlayKey(write.name);
        overlayKeys.push(name);
        this.#rememberedOverlay.set(name, { ordinal, record });
        continue;
      }
      const record = write.type === 'put' ? write.record : undefined;
      const name = overlayKey(write.key);
      overlayKeys.push(name);
      this.#overlay.set(name, { ordinal, record });
      this.#cache.put(name, headerOf(record));
    }
    this.#newestOrdinal = ordinal;
    this.#pendingOrdinal = ordinal;
    this.#newestState = machineState;
    this.#founded = true;
    if (configuration !== undefined) this.#configurationIndex = configuration.index;
    if (kept !== undefined) this.#kept.stage(machineState.appliedIndex as LogIndex, kept);
    const [area, configurationIndex] = [this.#area, this.#configurationIndex];
    return { ordinal, writes, overlayKeys, machineState, area, configuration, configurationIndex, kept, logStart };
  }

  /**
   * A snapshot takes the place of the state, in memory at once: what was staged before is not seen any more. It may still be
   * written, to the area that it was staged for, as long as that is the live one on disk.
   */
  install({ machineState, area, configuration }: StagedSnapshot): void {
    this.#overlay.clear();
    this.#rememberedOverlay.clear();
    this.#cache = new HeaderCache(this.#budget);
    this.#area = area;
    this.#pendingOrdinal = undefined;
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
    // Nothing of the log before it is left; with an empty state in its place the replica is no more.
    this.#kept.encodeForgotten(
      (machineState.appliedIndex === 0 ? Infinity : machineState.appliedIndex + 1) as LogIndex,
      batch,
    );
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
      const name = change.overlayKeys[position] ?? '';
      if (write.type === 'remember' || write.type === 'forget') {
        bytes += this.#encodeRemembering(write, change.area, batch, scratch);
      } else {
        const isOverwritten = overwritten(this.#overlay.get(name)?.ordinal ?? 0);
        bytes += this.#encodeValueWrite(write, { area: change.area, isOverwritten }, batch, scratch);
      }
    }
    const { area, configuration, configurationIndex, kept, logStart } = change;
    if (kept !== undefined)
      bytes += this.#kept.encode(change.machineState.appliedIndex as LogIndex, kept, batch, scratch);
    if (configuration !== undefined) {
      bytes += putRecord(batch, encodeConfigurationRecord(scratch, this.#partition, configuration));
    }
    if (overwritten(this.#newestOrdinal)) return bytes;
    this.#kept.encodeForgotten(logStart, batch);
    const machineState = planted('applied-index-apart') ? this.#newestState : change.machineState;
    return (
      bytes + putRecord(batch, encodeMachineState(scratch, this.#partition, { machineState, area, configurationIndex }))
    );
  }

  /** With a value goes its place in the order of due times; what it replaces leaves its own, whatever is overwritten later. */
  #encodeValueWrite(
    write: Extract<StateWrite, { key: Uint8Array }>,
    { area, isOverwritten }: { readonly area: Area; readonly isOverwritten: boolean },
    batch: DatabaseBatch,
    scratch: Scratch,
  ): number {
    const { key, expiresBefore } = write;
    const expiresAt = write.type === 'put' ? write.record.expiresAt : 0;
    let bytes = 0;
    if (expiresBefore !== 0) {
      batch.delete(timedKey(this.#partition, area, Space.due, expiresBefore, key));
      bytes += key.length;
    }
    if (isOverwritten) return bytes;
    if (write.type === 'delete') {
      batch.delete(valueKey(this.#partition, area, key));
      return bytes + key.length;
    }
    bytes += putRecord(batch, encodeValue(scratch, this.#partition, area, key, write.record));
    if (expiresAt === 0) return bytes;
    const { revision, incarnation } = write.record;
    const place = { partition: this.#partition, area };
    return bytes + putRecord(batch, encodeDue(scratch, place, { key, expiresAt, revision, incarnation }));
  }

  #encodeRemembering(
    write: Extract<StateWrite, { name: RequestName }>,
    area: Area,
    batch: DatabaseBatch,
    scratch: Scratch,
  ): number {
    const { name } = write;
    const place = { partition: this.#partition, area };
    if (write.type === 'remember') {
      const { remembered } = write;
      const bytes = putRecord(batch, encodeRemembered(scratch, place, name, remembered));
      return bytes + putRecord(batch, encodeRememberedAt(scratch, place, name, remembered.at));
    }
    batch.delete(spaceKey(this.#partition, area, Space.remembered, name));
    batch.delete(timedKey(this.#partition, area, Space.rememberedAt, write.at, name));
    return 2 * name.length;
  }

  /** The database has it now; what was staged again since stays in the overlay. */
  durable(change: StagedChange): void {
    for (const [position, name] of change.overlayKeys.entries()) {
      const overlay = isValueWrite(change.writes[position]) ? this.#overlay : this.#rememberedOverlay;
      if (overlay.get(name)?.ordinal === change.ordinal) overlay.delete(name);
    }
    this.#durableAppliedIndex = change.machineState.appliedIndex as LogIndex;
    if (change.kept !== undefined) this.#kept.durable(this.#durableAppliedIndex);
    if (this.#pendingOrdinal === change.ordinal) this.#pendingOrdinal = undefined;
  }
}

function headerOf(record: ValueRecord | undefined): RecordHeader | undefined {
  if (record === undefined) return undefined;
  const { value, revision, incarnation, expiresAt } = record;
  return { valueBytes: value.length, revision, incarnation, expiresAt };
}

/** Bytes that a change takes in a batch, at most. */
export function stagedBytes(
  writes: readonly StateWrite[],
  { configuration, kept }: Pick<StagedBesides, 'configuration' | 'kept'>,
): number {
  let bytes = 4 * recordOverheadBytes + (configuration?.body.length ?? 0) + (kept?.length ?? 0);
  for (const write of writes) bytes += writeBytes(write);
  return bytes;
}

function overlayKey(key: Uint8Array): string {
  return asBuffer(key).toString('latin1');
}

function writeBytes(write: StateWrite): number {
  switch (write.type) {
    case 'put':
      // A due time has the key once more, and a header of its own.
      return (
        valueRecordBytes(write.key, write.record) +
        (write.record.expiresAt === 0 ? 0 : valueRecordBytes(write.key, undefined))
      );
    case 'delete':
      return valueRecordBytes(write.key, undefined);
    case 'remember':
      return rememberedBytes(write.name, write.remembered);
    case 'forget':
      return 2 * valueRecordBytes(write.name, undefined);
  }
}

function isValueWrite(write: StateWrite | undefined): boolean {
  return write?.type === 'put' || write?.type === 'delete';
}
