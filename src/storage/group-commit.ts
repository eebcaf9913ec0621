import { assert, AssertionError } from '../assert.ts';
import type { StorageConfig } from '../config.ts';
import type { MachineState, StateReader, StateWrite } from '../kv/types.ts';
import type { LogReader } from '../raft/types.ts';
import type { Clock, LogWrite, PartitionId, RecoveredGroup, Storage } from '../replica/ports.ts';
import { BatchSequence, recoverSequence, type RecoveredSequence } from './batch-sequence.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { Group } from './group.ts';
import { stagedBytes, type StagedChange } from './group-state.ts';
import type { HighWaterMark, Mark } from './high-water.ts';
import { nodePartition } from './keys.ts';
import { emptyGroup, recoverGroups, type StoredGroup } from './recovery.ts';
import { recordOverheadBytes } from './records.ts';
import { HeaderCacheBudget } from './header-cache.ts';
import { Scratch } from './sealing.ts';

export interface GroupCommitOptions {
  readonly database: Database;
  readonly highWater: HighWaterMark;
  readonly config: StorageConfig;
  /** This start of the node. */
  readonly incarnation: number;
  readonly after: Clock['after'];
  /** Runs once, when a batch could not be made durable. The node must stop: what it has in memory is ahead of its disk. */
  readonly onFailure: (error: unknown) => void;
  /** Runs after each batch's fsync, before its `onDurable`s. For tests that cut the power. */
  readonly onSynced?: () => void;
}

interface QueuedLogWrite {
  readonly type: 'log';
  readonly group: Group;
  readonly ordinal: number;
  readonly bytes: number;
  readonly write: LogWrite;
  readonly onDurable: () => void;
}

interface QueuedStateChange {
  readonly type: 'state';
  readonly group: Group;
  readonly ordinal: number;
  readonly bytes: number;
  readonly change: StagedChange;
}

type Queued = QueuedLogWrite | QueuedStateChange;

/**
 * Group commit over all groups of a node: one synced batch is under way at a time, and what arrives meanwhile goes in the next.
 *
 * Safety: there is one queue, in the order of the calls, and each batch takes a front part of it. A replica hands over
 * entries before it applies them, so machine state stands behind the entries it covers and becomes durable in the
 * same batch or a later one, never ahead of them; and `onDurable` runs in the order of the calls.
 */
export class GroupCommit implements Storage {
  readonly #options: GroupCommitOptions;
  readonly #sequence: BatchSequence;
  readonly #budget: HeaderCacheBudget;
  readonly #groups = new Map<PartitionId, Group>();
  readonly #scratch = new Scratch();
  #queue: Queued[] = [];
  #ordinal = 0;
  #logWritesQueued = 0;
  #bytesQueued = 0;
  #bytesInBatch = 0;
  #batchUnderWay = false;
  #failed = false;
  /** Cancels the wait of staged state for a log write to ride with. */
  #cancelStateFlush: (() => void) | undefined;
  #stateFlushDue = false;
  /** Set once `close` was called; called when nothing is under way any more. */
  #closing: (() => void) | undefined;

  constructor(options: GroupCommitOptions, sequence: RecoveredSequence, groups: readonly StoredGroup[]) {
    this.#options = options;
    this.#budget = new HeaderCacheBudget(options.config.headerCacheBytes);
    this.#sequence = new BatchSequence({ ...options, recovered: sequence });
    for (const recovered of groups) this.#groups.set(recovered.partition, this.#open(recovered, true));
  }

  group(partition: PartitionId): RecoveredGroup {
    return this.#group(partition).recovered;
  }

  log(partition: PartitionId): LogReader {
    return this.#group(partition).log;
  }

  state(partition: PartitionId): StateReader {
    return this.#group(partition).state;
  }

  appendLog(write: LogWrite, onDurable: () => void): void {
    if (this.#failed || this.#closing) return;
    const group = this.#group(write.partition);
    group.log.queued(write);
    let bytes = recordOverheadBytes;
    for (const entry of write.entries) bytes += recordOverheadBytes + entry.body.length;
    this.#logWritesQueued += 1;
    this.#enqueue({ type: 'log', group, ordinal: this.#nextOrdinal(), bytes, write, onDurable });
  }

  stageState(partition: PartitionId, writes: readonly StateWrite[], machineState: MachineState): void {
    if (this.#failed || this.#closing) return;
    const group = this.#group(partition);
    const ordinal = this.#nextOrdinal();
    const change = group.state.stage(ordinal, writes, machineState);
    this.#enqueue({ type: 'state', group, ordinal, bytes: stagedBytes(writes), change });
  }

  flush(): void {
    if (this.#failed || this.#batchUnderWay || this.#queue.length === 0) return;
    const stateAlone = this.#logWritesQueued === 0 && this.#bytesQueued <= this.#options.config.batchBytesMax / 2;
    if (!stateAlone || this.#stateFlushDue || this.#closing) this.#startBatch();
    else this.#cancelStateFlush ??= this.#options.after(this.#options.config.stateFlushDelayMs, this.#onStateFlushDue);
  }

  pendingBytes(): number {
    return this.#bytesQueued + this.#bytesInBatch;
  }

  async close(): Promise<void> {
    assert(this.#closing === undefined, 'storage is closed once');
    const idle = new Promise<void>((resolve) => {
      this.#closing = resolve;
    });
    this.flush();
    this.#resolveIfIdle();
    await idle;
    this.#cancelStateFlush?.();
    await this.#options.database.close();
    this.#options.highWater.close();
  }

  readonly #onStateFlushDue = (): void => {
    this.#cancelStateFlush = undefined;
    this.#stateFlushDue = true;
    this.flush();
  };

  #startBatch(): void {
    this.#cancelStateFlush?.();
    this.#cancelStateFlush = undefined;
    this.#stateFlushDue = false;
    this.#batchUnderWay = true;
    const items = this.#takeFront();
    try {
      const batch = this.#options.database.batch();
      const mark = this.#encode(items, batch);
      void batch.write().then(
        () => this.#completed(items, mark),
        (error: unknown) => this.#fail(error),
      );
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      this.#fail(error);
    }
  }

  /** The front of the queue up to `batchBytesMax`, one item at least. */
  #takeFront(): Queued[] {
    let count = 0;
    let bytes = 0;
    for (const item of this.#queue) {
      if (count > 0 && bytes + item.bytes > this.#options.config.batchBytesMax) break;
      count += 1;
      bytes += item.bytes;
      if (item.type === 'log') this.#logWritesQueued -= 1;
    }
    this.#bytesQueued -= bytes;
    this.#bytesInBatch = bytes;
    const items = this.#queue;
    this.#queue = items.splice(count);
    return items;
  }

  #encode(items: readonly Queued[], batch: DatabaseBatch): Mark {
    const end = items.at(-1)?.ordinal ?? 0;
    let bytes = 0;
    for (const item of items) {
      if (item.type === 'log') bytes += item.group.encodeLogWrite(item.write, batch, this.#scratch);
      else bytes += item.group.encodeChange(item.change, end, batch, this.#scratch);
    }
    return this.#sequence.append(batch, this.#scratch, bytes);
  }

  #completed(items: readonly Queued[], mark: Mark): void {
    try {
      this.#options.onSynced?.();
      this.#options.highWater.write(mark);
    } catch (error) {
      this.#fail(error);
      return;
    }
    for (const item of items) {
      if (item.type === 'log') item.group.log.durable(item.write);
      else item.group.state.durable(item.change);
    }
    this.#bytesInBatch = 0;
    // Still "under way" for these, so that what they hand over goes out together.
    for (const item of items) if (item.type === 'log') item.onDurable();
    this.#batchUnderWay = false;
    this.flush();
    this.#resolveIfIdle();
  }

  /** Nothing is retried: after a failed write or fsync nobody knows what the disk holds, and LevelDB may go on to acknowledge what is lost. */
  #fail(error: unknown): void {
    this.#failed = true;
    this.#batchUnderWay = false;
    this.#options.onFailure(error);
    this.#resolveIfIdle();
  }

  #resolveIfIdle(): void {
    if (!this.#batchUnderWay && (this.#failed || this.#queue.length === 0)) this.#closing?.();
  }

  #enqueue(item: Queued): void {
    this.#queue.push(item);
    this.#bytesQueued += item.bytes;
  }

  #nextOrdinal(): number {
    this.#ordinal += 1;
    return this.#ordinal;
  }

  #group(partition: PartitionId): Group {
    const known = this.#groups.get(partition);
    if (known !== undefined) return known;
    assert(partition >= 0 && partition < nodePartition, () => `${partition} is no partition`);
    const group = this.#open(emptyGroup(partition), false);
    this.#groups.set(partition, group);
    return group;
  }

  #open(recovered: StoredGroup, founded: boolean): Group {
    return new Group({ database: this.#options.database, recovered, budget: this.#budget, founded });
  }
}

/** Reads and judges what is stored, then opens it for writing. Throws a StorageDamage; the caller closes the database. */
export async function openGroupCommit(options: GroupCommitOptions): Promise<GroupCommit> {
  const { database, highWater, incarnation } = options;
  const sequence = await recoverSequence(database, highWater.read(), incarnation);
  return new GroupCommit(options, sequence, await recoverGroups(database));
}
