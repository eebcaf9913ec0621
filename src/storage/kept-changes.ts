/**
 * What is kept of entries whose changes can't be told from the entries alone (`kv/changes.ts`), by their index: durable with the applied
 * index that covers them, for as long as the log has the entry.
 *
 * They are no part of the state: neither snapshots nor digests have them, as how long a log is differs from node to node.
 *
 * Safety: one is deleted only by a change that was staged after the log's beginning had moved past it. A state batch takes nothing that was staged
 * before a log write which is not durable yet, so by then the entry is gone for good.
 */
import type { Scratch } from '../bytes.ts';
import type { LogIndex } from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { indexKey, indexOfKey, RecordKind } from './keys.ts';
import { decodeNumbersAndBody, encodeNumbers, putRecord } from './sealing.ts';

/**
 * So many entries before the log's first one are looked at when a node starts: what a crash has left between the log's batch and the state's.
 * Not all from the first on, since that would walk over all that was ever deleted.
 */
const leftOverEntriesMax = 20_000;

/** In ascending order, those of entries that are gone already too. */
export async function recoverKept(
  database: Database,
  partition: PartitionId,
  firstIndex: LogIndex,
): Promise<readonly LogIndex[]> {
  const from = Math.max(1, firstIndex - leftOverEntriesMax);
  const range = {
    from: indexKey(partition, RecordKind.keptChanges, from),
    to: indexKey(partition, RecordKind.keptChanges, Number.MAX_SAFE_INTEGER),
    keysOnly: true,
  };
  const indexes: LogIndex[] = [];
  for await (const [key] of database.scan(range)) indexes.push(indexOfKey(key));
  return indexes;
}

export class KeptChanges {
  readonly #database: Database;
  readonly #partition: PartitionId;
  /** All that are stored or staged, in ascending order. */
  #indexes: LogIndex[];
  /** Staged, and not yet durable. */
  readonly #staged = new Map<LogIndex, Uint8Array>();

  constructor(database: Database, partition: PartitionId, recovered: readonly LogIndex[]) {
    this.#database = database;
    this.#partition = partition;
    this.#indexes = [...recovered];
  }

  /** Undefined: the entry did all that it says, if it is applied. Throws a StorageDamage for a record that does not verify, or is gone. */
  get(index: LogIndex): Uint8Array | undefined {
    const staged = this.#staged.get(index);
    if (staged !== undefined) return staged;
    if (!isWithin(this.#indexes, index)) return undefined;
    const key = indexKey(this.#partition, RecordKind.keptChanges, index);
    const value = this.#database.get(key);
    if (value === undefined) {
      const what = `partition ${this.#partition}: what was kept of entry ${index} is not there any more`;
      throw new StorageDamage(what, this.#partition);
    }
    return decodeNumbersAndBody(key, value, 0, () => `changes of ${index}`).body;
  }

  stage(index: LogIndex, kept: Uint8Array): void {
    this.#staged.set(index, kept);
    this.#indexes.push(index);
  }

  /** Returns the bytes put. */
  encode(index: LogIndex, kept: Uint8Array, batch: DatabaseBatch, scratch: Scratch): number {
    return putRecord(batch, encodeNumbers(scratch, this.#partition, RecordKind.keptChanges, [], { index, body: kept }));
  }

  durable(index: LogIndex): void {
    this.#staged.delete(index);
  }

  /** Those of entries below `firstIndex` go. */
  encodeForgotten(firstIndex: LogIndex, batch: DatabaseBatch): void {
    if ((this.#indexes[0] ?? Infinity) >= firstIndex) return;
    const at = this.#indexes.findIndex((index) => index >= firstIndex);
    for (const index of this.#indexes.splice(0, at === -1 ? this.#indexes.length : at)) {
      this.#staged.delete(index);
      batch.delete(indexKey(this.#partition, RecordKind.keptChanges, index));
    }
  }
}

function isWithin(ascending: readonly number[], wanted: number): boolean {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return ascending[low] === wanted;
}
