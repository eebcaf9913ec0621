/** The end of replicas that a committed configuration has left out: what becomes of their data, and what is answered in their name. */
import type { ReplicaStatus } from '../cluster/types.ts';
import type { Logger } from '../logger.ts';
import { decodeConfiguration } from '../raft/configuration.ts';
import { leavesOut } from '../raft/membership.ts';
import type { Message, ReplicaId } from '../raft/types.ts';
import type { NodeId, PartitionId, Storage, Transport } from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';
import { silentStatus } from './silent-status.ts';

export interface RemovedReplicasOptions {
  readonly storage: Pick<Storage, 'dead' | 'destroyGroup'>;
  readonly transport: Pick<Transport, 'send' | 'flush'>;
  /** Resolves once storage is asked for nothing of the partition any more; undefined when nothing is under way. */
  readonly endSnapshots: (partition: PartitionId) => Promise<void> | undefined;
  readonly logger: Logger;
}

export interface LeftOut {
  readonly partition: PartitionId;
  readonly replicaId: ReplicaId;
  /** Body of the newest committed configuration that is known. */
  readonly configuration: Uint8Array;
}

interface Asked {
  readonly partition: PartitionId;
  /** Who lives here by now. */
  readonly successor: Pick<Replica, 'committedConfiguration'> | undefined;
}

export class RemovedReplicas {
  readonly #options: RemovedReplicasOptions;
  /** Stopped, and their ids not dead in storage yet, or their data not gone. */
  readonly #leaving = new Map<PartitionId, ReplicaId>();
  #stopped = false;

  constructor(options: RemovedReplicasOptions) {
    this.#options = options;
  }

  /** It lived here and never does again, or another one after it does. */
  isDead(partition: PartitionId, replicaId: ReplicaId): boolean {
    const leaving = this.#leaving.get(partition);
    return (
      replicaId <= this.#options.storage.dead(partition).through || (leaving !== undefined && replicaId <= leaving)
    );
  }

  /** Whether one that is not dead may come into being, where no other lives. */
  isRoom(partition: PartitionId): boolean {
    return !this.#leaving.has(partition) && !this.#options.storage.dead(partition).remains;
  }

  /**
   * Of those whose data are not gone. Until the tombstone is durable a restart brings back the whole replica, which has to be told anew
   * that it was left out: so the node has to be a member until then, or nobody tells it.
   */
  statuses(nodeId: NodeId): ReplicaStatus[] {
    return [...this.#leaving.keys()].map((partition) => silentStatus('stopped', partition, nodeId));
  }

  /**
   * It was stopped, and a committed configuration is known that leaves it out. If the node stops before its id is dead, that is learnt again.
   * `gone`: nothing of it is stored any more.
   */
  destroy(removed: LeftOut, gone: () => void = () => undefined): void {
    const { partition, replicaId } = removed;
    const { logger } = this.#options;
    this.#leaving.set(partition, replicaId);
    this.#destroy(removed).then(
      () => {
        this.#leaving.delete(partition);
        logger.info({ partition, replicaId }, 'what a removed replica had stored is gone');
        gone();
      },
      // A storage that failed has said so itself; one that was closed goes on at its next opening.
      (error: unknown) => logger.info({ partition, replicaId, error }, 'a removed replica is not destroyed yet'),
    );
  }

  /**
   * A message to a dead id. Who asks it for a vote may be one that was removed as well, and whose voters are all dead by now: it is
   * told so, from the configuration that the dead one knew to be committed, or that its `successor` on this node does. A newcomer
   * that was removed before it heard anything knows nobody but founders. Nothing else is ever said in a dead one's name.
   */
  answer(sender: NodeId, { type, from, to, term }: Message, { partition, successor }: Asked): void {
    if (type !== 'PreVoteRequest' && type !== 'VoteRequest') return;
    const { storage, transport } = this.#options;
    const { configuration } = storage.dead(partition);
    const known = [configuration && decodeConfiguration(configuration), successor?.committedConfiguration()];
    if (!known.some((one) => one !== undefined && leavesOut(one, from))) return;
    transport.send(sender, partition, { type: 'ReplicaRemoved', from: to, to: from, term });
    transport.flush();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #destroy({ partition, replicaId, configuration }: LeftOut): Promise<void> {
    const { storage, endSnapshots } = this.#options;
    const ending = endSnapshots(partition);
    if (ending !== undefined) await ending;
    if (this.#stopped) throw new Error('the node stops');
    await storage.destroyGroup(partition, { replicaId, configuration });
  }
}
