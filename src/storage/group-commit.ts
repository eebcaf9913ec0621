import { assert } from '../assert.ts';
import type { StorageMeter } from '../metrics/ports.ts';
import { planted } from '../planted.ts';
import type { StorageConfig } from '../config.ts';
import type { DueKey, MachineState, RememberedAt, StateReader, StateWrite } from '../kv/types.ts';
import { noReplica, type HardState, type LogIndex, type LogReader, type ReplicaId } from '../raft/types.ts';
import type {
  Clock,
  DeadReplicas,
  LogWrite,
  PartitionId,
  RecoveredGroup,
  RemovedReplica,
  StateSnapshot,
  StateTrap,
  StoredConfiguration,
  TimeRange,
  ValuePage,
  ValueRange,
} from '../replica/ports.ts';
import { BatchSequence, recoverSequence, type RecoveredSequence } from './batch-sequence.ts';
import { CommitQueue, type Queued } from './commit-queue.ts';
import { StorageDamage } from './damage.ts';
import type { Databases, DatabaseName } from './database.ts';
import { nobodyDead, type DestructionWrite } from './destruction.ts';
import { Group } from './group.ts';
import { stagedBytes } from './group-state.ts';
import { HeaderCacheBudget } from './header-cache.ts';
import type { HighWaterMark, Mark } from './high-water.ts';
import { indexKeyBytes, nodePartition } from './keys.ts';
import { emptyGroup, recoverGroups, type StoredGroup } from './recovery.ts';
import { recordOverheadBytes } from './records.ts';
import type { OfflineStorage, Reincarnation } from './reincarnation.ts';
import type { StagingWrite } from './staging-area.ts';
import { StateQueue } from './state-queue.ts';
import { OpenSnapshots } from './open-snapshots.ts';
import { StateTraps } from './state-traps.ts';

export interface GroupCommitOptions {
  readonly databases: Databases;
  readonly highWater: HighWaterMark;
  readonly config: StorageConfig;
  /** This start of the node. */
  readonly incarnation: number;
  readonly after: Clock['after'];
  /** Runs once, when a batch could not be made durable. The node must stop: what it has in memory is ahead of its disk. */
  readonly onFailure: (error: unknown) => void;
  /** Runs after each fsync, before anybody is told. For tests that cut the power. */
  readonly onSynced?: (database: DatabaseName) => void;
  /** Hears of each batch. */
  readonly meter?: StorageMeter | undefined;
}

type QueuedLogWrite =
  | (Queued & {
      readonly type: 'append';
      readonly group: Group;
      readonly write: LogWrite;
      readonly onDurable: () => void;
    })
  | (Queued & { readonly type: 'destruction'; readonly write: DestructionWrite; readonly onDurable: () => void });

interface RecoveredStorage {
  readonly logSequence: RecoveredSequence;
  readonly stateSequence: RecoveredSequence;
  readonly groups: readonly StoredGroup[];
}

/**
 * Group commit over all groups of a node: what waits for the log database goes out in one synced batch, and what waits
 * for the state database in another beside it.
 *
 * Safety: machine state is never durable ahead of the log that it covers. A replica hands over entries before it stages
 * what applying them changed, ordinals count both, and a state batch takes only what was staged before the oldest log
 * write that is not durable yet. (A leader may well apply an entry that its followers made durable before itself.) State
 * that lags behind is no loss: a node that starts again applies the rest from its log. Answers wait for log writes
 * alone, so only these move the high-water mark.
 *
 * The same rule makes an install one step, though it changes both databases: the log's batch comes first, and only behind
 * it the one that makes the staged snapshot the live state. A crash between the two is made up for at opening (`recovery.ts`).
 */
export class GroupCommit implements OfflineStorage {
  readonly #options: GroupCommitOptions;
  readonly #log: CommitQueue<QueuedLogWrite>;
  readonly #state: StateQueue;
  readonly #budget: HeaderCacheBudget;
  readonly #groups = new Map<PartitionId, Group>();
  readonly #snapshots: OpenSnapshots;
  readonly #traps: StateTraps;
  readonly #reads = new Set<Promise<void>>();
  /** Under way, and whom of their log writes to tell when the storage fails. */
  readonly #destructions = new Set<Promise<void>>();
  readonly #destructionFailed = new Set<(error: unknown) => void>();
  #ordinal = 0;
  #failed = false;
  /** Set while durable log writes are told of: what their owners hand over goes out together. */
  #telling = false;
  /** Set once `close` was called; called when nothing is under way any more. */
  #closing: (() => void) | undefined;

  constructor(options: GroupCommitOptions, recovered: RecoveredStorage) {
    const { config, databases, incarnation, meter } = options;
    this.#options = options;
    this.#budget = new HeaderCacheBudget(config.headerCacheBytes);
    const { batchBytesMax } = config;
    const onFailure = (error: unknown): void => this.#fail(error);
    this.#log = new CommitQueue({
      database: databases.log,
      sequence: new BatchSequence({ config, incarnation, recovered: recovered.logSequence }),
      batchBytesMax,
      encode: (items, batch, scratch) => {
        const encode = (item: QueuedLogWrite): number =>
          item.type === 'append'
            ? item.group.encodeLogWrite(item.write, batch, scratch)
            : item.write.encode(batch, scratch);
        return items.reduce((bytes, item) => bytes + encode(item), 0);
      },
      onDurable: (items, mark) => this.#logDurable(items, mark),
      onFailure,
      onBatch: meter && ((batch) => meter.batchBegun('log', batch)),
    });
    this.#snapshots = new OpenSnapshots(databases.state, (error) => this.#fail(error));
    this.#traps = new StateTraps((partition) => this.#snapshots.openReading(partition));
    this.#state = new StateQueue({
      database: databases.state,
      sequence: new BatchSequence({ config, incarnation, recovered: recovered.stateSequence }),
      config,
      after: options.after,
      traps: this.#traps,
      onDue: () => this.flush(),
      onSynced: () => this.#stillGood(() => this.#synced('state')),
      onSettled: () => {
        this.flush();
        this.#resolveIfIdle();
      },
      onFailure,
      onBatch: meter && ((batch) => meter.batchBegun('state', batch)),
    });
    for (const stored of recovered.groups) {
      const group = this.#open(stored, isFounded(stored));
      this.#groups.set(stored.partition, group);
      if (stored.tombstone === undefined) group.staging.recover(stored);
      else
        this.#untilDestroyed(group, group.destroyRemains(stored.tombstone, this.#pushDestruction)).catch(
          () => undefined,
        );
    }
  }

  partitions(): readonly PartitionId[] {
    return [...this.#groups.keys()];
  }

  foundGroup(partition: PartitionId, replicaId: ReplicaId): void {
    this.#group(partition).found(replicaId);
  }

  dead(partition: PartitionId): DeadReplicas {
    return this.#groups.get(partition)?.dead ?? nobodyDead;
  }

  destroyGroup(partition: PartitionId, removed: RemovedReplica): Promise<void> {
    const group = this.#group(partition);
    this.#traps.release(partition);
    return this.#untilDestroyed(group, group.destroy(removed, this.#pushDestruction));
  }

  async reincarnate(groups: readonly Reincarnation[]): Promise<void> {
    const planned = groups.map((anew) => {
      const group = this.#group(anew.partition);
      return { anew, group, write: group.reincarnate(anew) };
    });
    // One part of a batch, however large: all groups in one.
    await this.#pushDestruction({
      bytes: planned.reduce((sum, { write, anew }) => sum + 2 * bytesOf(write) + anew.configuration.length, 0),
      encode: (batch, scratch) =>
        planned.reduce(
          (bytes, { anew, group, write }) => bytes + group.encodeReincarnation(anew, write, batch, scratch),
          0,
        ),
    });
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

  keptChanges(partition: PartitionId, index: LogIndex): Uint8Array | undefined {
    return this.#group(partition).state.kept(index);
  }

  dueKeys(partition: PartitionId, range: TimeRange): Promise<readonly DueKey[]> {
    return this.#reading(this.#group(partition).state.dueKeys(range));
  }

  values(partition: PartitionId, range: ValueRange): Promise<ValuePage> {
    return this.#reading(this.#group(partition).state.values(range));
  }

  rememberedResults(partition: PartitionId, range: TimeRange): Promise<readonly RememberedAt[]> {
    return this.#reading(this.#group(partition).state.rememberedResults(range));
  }

  /** The database is not closed before it ends. Who asked may not know what a damaged record means: the storage says so itself. */
  #reading<T>(read: Promise<T>): Promise<T> {
    const ended = read.then(
      () => undefined,
      (error: unknown) => {
        if (error instanceof StorageDamage) this.#fail(error);
      },
    );
    this.#reads.add(ended);
    void ended.then(() => this.#reads.delete(ended));
    return read;
  }

  appendLog(write: LogWrite, onDurable: () => void): void {
    if (this.#failed || this.#closing) return;
    const group = this.#group(write.partition);
    const bytes = bytesOf(write) + indexKeyBytes * group.queued(write);
    const item = { type: 'append' as const, group, ordinal: this.#nextOrdinal(), bytes, write, onDurable };
    if (planted('term-and-vote-apart') && write.hardState) this.#pushApart(item, write.hardState);
    else this.#log.push(item);
    // Pushed behind the log write, it waits for it.
    if (write.install === undefined) return;
    this.#traps.release(write.partition);
    group.staging.install(write.install);
  }

  stageState(
    partition: PartitionId,
    writes: readonly StateWrite[],
    machineState: MachineState,
    configuration?: StoredConfiguration,
    kept?: Uint8Array,
  ): void {
    if (this.#failed || this.#closing) return;
    const group = this.#group(partition);
    const ordinal = this.#nextOrdinal();
    const besides = { configuration, kept, logStart: group.log.firstIndex() };
    const change = group.state.stage(ordinal, writes, machineState, besides);
    this.#state.push(group.state, change, stagedBytes(writes, besides));
    this.#traps.staged(partition, machineState.appliedIndex, ordinal);
  }

  durableAppliedIndex(partition: PartitionId): LogIndex {
    return this.#group(partition).state.durableAppliedIndex();
  }

  openSnapshot(partition: PartitionId): StateSnapshot {
    return this.#snapshots.open(partition);
  }

  trapState(partition: PartitionId, index: LogIndex): StateTrap | undefined {
    if (this.#failed || this.#closing) return undefined;
    const trap = this.#traps.set(partition, index, this.#group(partition).state);
    this.flush();
    return trap;
  }

  beginSnapshot(partition: PartitionId): Promise<void> {
    const group = this.#group(partition);
    // State without a log would be taken for what a loss has left: the group's first log batch comes before it.
    if (!group.founded) {
      this.appendLog({ partition, hardState: undefined, truncateFrom: undefined, entries: [] }, () => undefined);
    }
    return group.staging.begin();
  }

  stageSnapshotChunk(partition: PartitionId, records: Buffer): Promise<void> {
    return this.#group(partition).staging.stage(records);
  }

  completeSnapshot(
    partition: PartitionId,
    machineState: MachineState,
    configuration: StoredConfiguration | undefined,
  ): Promise<void> {
    return this.#group(partition).staging.complete(machineState, configuration);
  }

  flush(): void {
    if (this.#failed || this.#telling) return;
    this.#log.start();
    this.#state.flush(this.#log.oldestOrdinal(), this.#closing !== undefined);
  }

  pendingBytes(): number {
    return this.#log.pendingBytes() + this.#state.pendingBytes();
  }

  async close(): Promise<void> {
    assert(this.#closing === undefined, 'storage is closed once');
    const idle = new Promise<void>((resolve) => {
      this.#closing = resolve;
    });
    this.#traps.failed(closed());
    this.flush();
    this.#resolveIfIdle();
    await idle;
    this.#state.stop();
    await Promise.allSettled(this.#destructions);
    for (const group of this.#groups.values()) await group.staging.settled();
    await this.#snapshots.close();
    await Promise.all(this.#reads);
    await Promise.all([this.#options.databases.log.close(), this.#options.databases.state.close()]);
    this.#options.highWater.close();
  }

  /** A seeded bug: the vote follows in a batch of its own, which it is given by its pretended size. */
  #pushApart(item: Extract<QueuedLogWrite, { type: 'append' }>, hardState: HardState): void {
    const { write } = item;
    const { partition } = write;
    this.#log.push({ ...item, write: { ...write, hardState: { ...hardState, votedFor: noReplica } } });
    this.#log.push({
      ...item,
      ordinal: this.#nextOrdinal(),
      bytes: this.#options.config.batchBytesMax,
      write: { partition, hardState, truncateFrom: undefined, entries: [] },
      onDurable: () => undefined,
    });
  }

  #logDurable(items: readonly QueuedLogWrite[], mark: Mark): void {
    if (!this.#stillGood(() => this.#synced('log', mark))) return;
    for (const item of items) if (item.type === 'append') item.group.log.durable(item.write);
    this.#telling = true;
    for (const { onDurable } of items) onDurable();
    this.#telling = false;
    this.flush();
    this.#resolveIfIdle();
  }

  #synced(database: DatabaseName, mark?: Mark): void {
    this.#options.onSynced?.(database);
    if (mark !== undefined) this.#options.highWater.write(mark);
  }

  /** Whether neither anything before nor `step` failed; nobody is told of anything otherwise. */
  #stillGood(step: () => void): boolean {
    if (!this.#failed) {
      try {
        step();
        return true;
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#resolveIfIdle();
    return false;
  }

  /** Nothing is retried: after a failed write or fsync nobody knows what the disk holds, and LevelDB may go on to acknowledge what is lost. */
  #fail(error: unknown): void {
    if (!this.#failed) {
      this.#failed = true;
      this.#options.onFailure(error);
      this.#state.failed(error);
      this.#traps.failed(error);
      for (const reject of this.#destructionFailed) reject(error);
    }
    this.#resolveIfIdle();
  }

  /** After a failure what is queued stays so; a batch that is under way must still come to its end before its database is closed. */
  #resolveIfIdle(): void {
    const idle = this.#failed
      ? !this.#log.batchUnderWay() && !this.#state.batchUnderWay()
      : this.#log.isEmpty() && this.#state.isEmpty();
    if (idle) this.#closing?.();
  }

  #stage(write: StagingWrite): Promise<void> {
    if (this.#failed || this.#closing) return Promise.reject(closed());
    const ordinal = write.behindLog && planted('install-state-before-index') ? 0 : this.#nextOrdinal();
    const durable = this.#state.pushStaging(ordinal, write);
    this.flush();
    return durable;
  }

  /** The group is there for another replica once `work` is done; what goes wrong in it fails the storage. */
  async #untilDestroyed(group: Group, work: Promise<void>): Promise<void> {
    this.#destructions.add(work);
    try {
      await work;
    } catch (error) {
      if (!this.#closing) this.#fail(error);
      throw error;
    } finally {
      this.#destructions.delete(work);
    }
    const emptied = group.emptied();
    this.#groups.set(emptied.partition, this.#open(emptied, false));
  }

  readonly #pushDestruction = (write: DestructionWrite): Promise<void> => {
    if (this.#failed || this.#closing) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      this.#destructionFailed.add(reject);
      const onDurable = (): void => {
        this.#destructionFailed.delete(reject);
        resolve();
      };
      this.#log.push({ type: 'destruction', ordinal: this.#nextOrdinal(), bytes: write.bytes, write, onDurable });
      this.flush();
    });
  };

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
    return new Group({
      databases: this.#options.databases,
      recovered,
      budget: this.#budget,
      founded,
      queue: { push: (write) => this.#stage(write) },
      onBackgroundFailure: (error) => {
        if (!this.#closing) this.#fail(error);
      },
    });
  }
}

/** Of what a write puts, at most. */
function bytesOf({ entries }: LogWrite): number {
  return entries.reduce((bytes, { body }) => bytes + recordOverheadBytes + body.length, 2 * recordOverheadBytes);
}

/** Whether the log database has a log of it. */
function isFounded({ replicaId, dead }: StoredGroup): boolean {
  return dead.through === noReplica || replicaId !== undefined;
}

function closed(): Error {
  return new Error('the storage takes no more: it is closing');
}

/** Reads and judges what is stored, then opens it for writing. Throws a StorageDamage; the caller closes the databases. */
export async function openGroupCommit(options: GroupCommitOptions): Promise<GroupCommit> {
  const { databases, highWater, incarnation } = options;
  const logSequence = await recoverSequence(databases, 'log', incarnation, highWater.read());
  const stateSequence = await recoverSequence(databases, 'state', incarnation);
  return new GroupCommit(options, { logSequence, stateSequence, groups: await recoverGroups(databases) });
}
