import { assert } from '../assert.ts';
import type { Scratch } from '../bytes.ts';
import { noReplica, type LogIndex, type ReplicaId } from '../raft/types.ts';
import type { DeadReplicas, LogWrite, RemovedReplica } from '../replica/ports.ts';
import type { DatabaseBatch, Databases } from './database.ts';
import { destroy, destroyRemains, type DestructionOptions } from './destruction.ts';
import { GroupLog } from './group-log.ts';
import { GroupState } from './group-state.ts';
import type { HeaderCacheBudget } from './header-cache.ts';
import { encodeDead, encodeHardState, encodeLogStart, encodeReplica, type DeadRecord } from './records.ts';
import { emptyGroup, type StoredGroup } from './recovery.ts';
import { reincarnationWrite, type Reincarnation } from './reincarnation.ts';
import { putRecord } from './sealing.ts';
import { StagingArea, type StagingQueue } from './staging-area.ts';

export interface GroupOptions {
  readonly databases: Databases;
  readonly recovered: StoredGroup;
  /** Shared by all groups of the node. */
  readonly budget: HeaderCacheBudget;
  /** Whether the log database holds the group already. */
  readonly founded: boolean;
  readonly queue: StagingQueue;
  readonly onBackgroundFailure: (error: unknown) => void;
}

/** One group's records: what was found at open, its log, its state and what is staged beside it, and their way into a batch. */
export class Group {
  readonly recovered: StoredGroup;
  readonly log: GroupLog;
  readonly state: GroupState;
  readonly staging: StagingArea;
  #founded: boolean;
  #replicaId: ReplicaId | undefined;
  #dead: DeadReplicas;

  constructor(options: GroupOptions) {
    const { databases, recovered, budget, founded, onBackgroundFailure } = options;
    this.recovered = recovered;
    this.log = new GroupLog({ database: databases.log, ...recovered });
    this.state = new GroupState(databases.state, recovered, budget);
    this.staging = new StagingArea({
      database: databases.state,
      recovered,
      state: this.state,
      queue: options.queue,
      onBackgroundFailure,
    });
    this.#founded = founded;
    this.#dead = recovered.dead;
  }

  /** Whether the log's database has anything of it, or will with the batch made last. */
  get founded(): boolean {
    return this.#founded;
  }

  get dead(): DeadReplicas {
    return this.#dead;
  }

  /** Before anything is stored of it. */
  found(replicaId: ReplicaId): void {
    assert(!this.#founded, 'a replica comes into being once');
    const { through, remains } = this.#dead;
    assert(
      replicaId > through && !remains,
      () => `replica ${replicaId} can't come into being: ${through} is dead here`,
    );
    this.#replicaId = replicaId;
  }

  /** Returns how many entries it takes out of the front of the log. */
  queued(write: LogWrite): number {
    const durable = this.state.durableAppliedIndex();
    const { compactThrough = 0, partition } = write;
    assert(
      compactThrough <= durable,
      () =>
        `partition ${partition}: the log up to ${compactThrough} is needed, as the state is durable up to ${durable}`,
    );
    return this.log.queued(write);
  }

  /** From the call on nothing may be handed over for it any more. `push`: see `destruction.ts`. */
  async destroy({ replicaId, configuration }: RemovedReplica, push: DestructionOptions['push']): Promise<void> {
    assert(replicaId > this.#dead.through, () => `replica ${replicaId} is dead already`);
    this.#dead = { through: replicaId, configuration, remains: true };
    await destroy({ ...this.#destructible(), push }, { through: replicaId, configuration });
  }

  /** Returns what is to be encoded, by `encodeReincarnation`. */
  reincarnate(anew: Reincarnation): LogWrite {
    if (!this.#founded) this.found(anew.replicaId);
    const write = reincarnationWrite(anew);
    this.log.queued(write);
    return write;
  }

  encodeReincarnation(anew: Reincarnation, write: LogWrite, batch: DatabaseBatch, scratch: Scratch): number {
    const { partition, replicaId, configuration } = anew;
    const through = (replicaId - 1) as ReplicaId;
    assert(through > this.#dead.through && !this.#dead.remains, 'a replica that is dead here does not begin anew');
    const dead = { through, firstIndex: 1 as LogIndex, lastIndex: 0 as LogIndex, configuration };
    let bytes = this.encodeLogWrite(write, batch, scratch);
    bytes += putRecord(batch, encodeReplica(scratch, partition, replicaId));
    return bytes + putRecord(batch, encodeDead(scratch, partition, dead));
  }

  /** What the last start left of a destruction. */
  async destroyRemains(tombstone: DeadRecord, push: DestructionOptions['push']): Promise<void> {
    await destroyRemains({ ...this.#destructible(), push }, tombstone);
  }

  /** All of it is destroyed: what is there for the next replica to come. */
  emptied(): StoredGroup {
    const { partition } = this.recovered;
    const dead = { ...this.#dead, remains: false };
    return { ...emptyGroup(partition), dead, area: this.state.area, stateFounded: this.state.founded };
  }

  #destructible(): Omit<DestructionOptions, 'push'> {
    return { partition: this.recovered.partition, log: this.log, staging: this.staging };
  }

  /** Install, truncate, append, hard state, compact. Returns the bytes put. */
  encodeLogWrite(write: LogWrite, batch: DatabaseBatch, scratch: Scratch): number {
    const { partition, hardState, compactThrough } = write;
    let bytes = this.#found(batch, scratch) + this.log.encode(write, batch, scratch);
    if (hardState !== undefined) bytes += putRecord(batch, encodeHardState(scratch, partition, hardState));
    if (compactThrough !== undefined) bytes += this.log.encodeCompaction(compactThrough, batch, scratch);
    return bytes;
  }

  /** What the log holds of a group but entries is there from its first batch on: one of them missing at open was lost. */
  #found(batch: DatabaseBatch, scratch: Scratch): number {
    if (this.#founded) return 0;
    assert(
      this.#replicaId !== undefined || this.#dead.through === noReplica,
      'the replica that the map names is dead here',
    );
    this.#founded = true;
    const { partition, hardState, start } = this.recovered;
    let bytes = putRecord(batch, encodeHardState(scratch, partition, hardState));
    bytes += putRecord(batch, encodeLogStart(scratch, partition, start));
    if (this.#replicaId === undefined) return bytes;
    return bytes + putRecord(batch, encodeReplica(scratch, partition, this.#replicaId));
  }
}
