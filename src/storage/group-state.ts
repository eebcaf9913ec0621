import { asBuffer } from '../bytes.ts';
import { planted } from '../planted.ts';
import type { MachineState, RecordHeader, StateReader, StateWrite, ValueRecord } from '../kv/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { valueKey } from './keys.ts';
import { HeaderCache, type HeaderCacheBudget } from './header-cache.ts';
import { encodeMachineState, recordOverheadBytes } from './records.ts';
import type { Scratch } from './sealing.ts';
import { decodeValue, encodeValue, valueRecordBytes } from './value-record.ts';

/** One `stageState`. Key and value bytes are not copied: nobody writes to them once they are handed over. */
export interface StagedChange {
  /** Grows with each thing handed to the storage: its place in the queue. */
  readonly ordinal: number;
  readonly writes: readonly StateWrite[];
  /** Of each write, as the overlay knows it. */
  readonly overlayKeys: readonly string[];
  readonly machineState: MachineState;
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
  readonly #cache: HeaderCache;
  #newestOrdinal = 0;
  #newestState: MachineState | undefined;

  constructor(database: Database, partition: PartitionId, budget: HeaderCacheBudget) {
    this.#database = database;
    this.#partition = partition;
    this.#cache = new HeaderCache(budget);
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
    const stored = valueKey(this.#partition, key);
    const value = this.#database.get(stored);
    return value === undefined ? undefined : decodeValue(stored, value);
  }

  stage(ordinal: number, writes: readonly StateWrite[], machineState: MachineState): StagedChange {
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
    return { ordinal, writes, overlayKeys, machineState };
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
        batch.delete(valueKey(this.#partition, write.key));
        bytes += write.key.length;
      } else {
        const record = encodeValue(scratch, this.#partition, write.key, write.record);
        batch.put(record.key, record.value);
        bytes += record.key.length + record.value.length;
      }
    }
    if (overwritten(this.#newestOrdinal)) return bytes;
    const machineState = (planted('applied-index-apart') && this.#newestState) || change.machineState;
    const record = encodeMachineState(scratch, this.#partition, machineState);
    batch.put(record.key, record.value);
    return bytes + record.key.length + record.value.length;
  }

  /** The database has it now; what was staged again since stays in the overlay. */
  durable(change: StagedChange): void {
    for (const key of change.overlayKeys) {
      if (this.#overlay.get(key)?.ordinal === change.ordinal) this.#overlay.delete(key);
    }
  }
}

function headerOf(record: ValueRecord | undefined): RecordHeader | undefined {
  if (record === undefined) return undefined;
  const { value, revision, incarnation, expiresAt } = record;
  return { valueBytes: value.length, revision, incarnation, expiresAt };
}

/** Bytes that a change takes in a batch, at most. */
export function stagedBytes(writes: readonly StateWrite[]): number {
  let bytes = 2 * recordOverheadBytes;
  for (const write of writes) bytes += valueRecordBytes(write.key, write.type === 'put' ? write.record : undefined);
  return bytes;
}

function overlayKey(key: Uint8Array): string {
  return asBuffer(key).toString('latin1');
}
