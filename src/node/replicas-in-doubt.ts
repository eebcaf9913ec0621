/**
 * Replicas of this node whose own records can't be believed, while the rest of the directory can: one has a damaged record, or holds another
 * state than a majority of its group. Each is kept from speaking, left out by its group, destroyed, and replaced.
 *
 * Safety: it may have forgotten votes and acknowledged entries. That it is in doubt is durable before anything else is done, and from that
 * moment on, over all starts, it neither votes nor acknowledges, campaigns or answers: it is not even made. Its group changes its members without it,
 * by a majority of the others, and only a committed configuration that leaves it out ends it. So two nodes of three may lose
 * records of different partitions, and each partition still has its majority. Whatever concerns the whole directory is a matter for `doubt.ts`.
 */
import type { ReplicaStatus } from '../cluster/types.ts';
import type { LiveMap } from '../cluster/live-map.ts';
import { lackingReplicas } from '../cluster/partition-map.ts';
import type { EncodedLeaveAnswer, LeaveRequest } from '../cluster/metadata/leaving-out.ts';
import type { Logger } from '../logger.ts';
import type { ReplicaId } from '../raft/types.ts';
import type { Clock, NodeId, PartitionId, ReplicaDoubt, ReplicaDoubts } from '../replica/ports.ts';
import { planted } from '../planted.ts';
import type { Replica } from '../replica/replica.ts';
import type { LeftOut } from './removed-replicas.ts';
import { silentStatus } from './silent-status.ts';

export interface ReplicasInDoubtOptions {
  readonly nodeId: NodeId;
  readonly doubts: ReplicaDoubts;
  readonly map: LiveMap;
  readonly replicationFactor: number;
  readonly clock: Clock;
  readonly replicasInDoubtMax: number;
  readonly limits: { readonly stepTimeoutMs: number; readonly idleStepMs: number };
  /** Asks whoever leads the metadata group. */
  readonly leave: (request: LeaveRequest, deadlineAt: number) => Promise<EncodedLeaveAnswer>;
  /** Its id is durably dead. */
  readonly isDead: (partition: PartitionId, replicaId: ReplicaId) => boolean;
  /** Ends what a committed configuration has left out. */
  readonly destroy: (removed: LeftOut, gone: () => void) => void;
  readonly logger: Logger;
  readonly onFailure: (error: unknown) => void;
}

export class ReplicasInDoubt {
  readonly #options: ReplicasInDoubtOptions;
  /** What each waits for, in words. */
  readonly #waiting = new Map<PartitionId, string>();
  #stopped = false;

  constructor(options: ReplicasInDoubtOptions) {
    this.#options = options;
    options.map.onChange(() => this.#look());
  }

  /** Those of earlier starts go on. */
  start(): void {
    const { doubts, isDead } = this.#options;
    if (planted('in-doubt-until-restart')) for (const { partition } of this.#silent()) doubts.forget(partition);
    for (const doubt of this.#silent()) {
      if (isDead(doubt.partition, doubt.replicaId)) doubts.put({ ...doubt, isGone: true });
      else this.#ask(doubt);
    }
    this.#look();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Whether a replica must not be made, or be listened to. */
  has(partition: PartitionId): boolean {
    return this.#silent().some((doubt) => doubt.partition === partition);
  }

  /** Whether one more is still no matter for the whole node. */
  hasRoom(): boolean {
    return this.#options.doubts.all().length < this.#options.replicasInDoubtMax;
  }

  /** `replica` is to be stopped. Throws when that it is in doubt can't be made durable. */
  add({ partition, replicaId }: Replica, reason: string): void {
    const doubt = { partition, replicaId, reason, isGone: false };
    this.#options.doubts.put(doubt);
    this.#options.logger.error(
      { partition, replicaId, reason },
      'a replica here is in doubt: it takes part in nothing any more, and its group is asked to go on without it and to replace it',
    );
    this.#ask(doubt);
  }

  statuses(): ReplicaStatus[] {
    const { nodeId, isDead } = this.#options;
    // Who is dead by now, and is being destroyed, is told of as that.
    const undead = this.#silent().filter(({ partition, replicaId }) => !isDead(partition, replicaId));
    return undead.map(({ partition }) => silentStatus('in_doubt', partition, nodeId));
  }

  /** Why the node is not ready; undefined when nothing is missing. */
  reason(): string | undefined {
    const doubts = this.#options.doubts.all();
    if (doubts.length === 0) return undefined;
    return doubts.map((doubt) => this.#words(doubt)).join('; ');
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  #words({ partition, reason, isGone }: ReplicaDoubt): string {
    const why = `partition ${partition}: the replica here could not be believed (${reason})`;
    return isGone
      ? `${why}, and another one is not whole yet`
      : `${why}: ${this.#waiting.get(partition) ?? 'it leaves'}`;
  }

  #silent(): readonly ReplicaDoubt[] {
    return this.#options.doubts.all().filter(({ isGone }) => !isGone);
  }

  #ask(doubt: ReplicaDoubt): void {
    this.#askOnce(doubt).catch(this.#options.onFailure);
  }

  async #askOnce(doubt: ReplicaDoubt): Promise<void> {
    if (this.#isStopped()) return;
    const { nodeId, leave, clock, limits, logger } = this.#options;
    const { partition, replicaId } = doubt;
    const answer = await leave({ partition, nodeId, replicaId }, clock.monotonicMs() + limits.stepTimeoutMs);
    if (this.#isStopped()) return;
    if (answer.type === 'left_out') return this.#leftOut(doubt, answer.configuration);
    if (this.#waiting.get(partition) !== answer.detail)
      logger.warn({ partition, replicaId, detail: answer.detail }, 'a replica in doubt is not left out yet');
    this.#waiting.set(partition, answer.detail);
    clock.after(limits.idleStepMs, () => this.#ask(doubt));
  }

  #leftOut(doubt: ReplicaDoubt, configuration: Uint8Array): void {
    const { destroy, doubts } = this.#options;
    const { partition, replicaId } = doubt;
    this.#waiting.set(partition, 'its group goes on without it, and what it had stored goes');
    destroy({ partition, replicaId, configuration }, () => {
      if (this.#stopped) return;
      this.#save(() => doubts.put({ ...doubt, isGone: true }));
      this.#look();
    });
  }

  /** The directory names a replica once it votes. */
  #look(): void {
    const { doubts, map, replicationFactor, logger } = this.#options;
    if (this.#stopped || doubts.all().length === 0) return;
    const lacking = lackingReplicas(map, replicationFactor);
    for (const { partition, replicaId, isGone, reason } of doubts.all()) {
      const isListed = map.partition(partition)?.replicas.some((replica) => replica.replicaId === replicaId) ?? false;
      if (!isGone || isListed || lacking.includes(partition)) continue;
      this.#save(() => doubts.forget(partition));
      this.#waiting.delete(partition);
      logger.info({ partition, reason }, 'the partition has all its replicas again');
    }
  }

  /** Called from where nobody could say that the disk has failed. */
  #save(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#options.onFailure(error);
    }
  }
}
