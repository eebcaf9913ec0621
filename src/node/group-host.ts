/** All groups of this node: their replicas, one tick for all, one drive loop, and when the node is ready to serve. */
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { Message } from '../raft/types.ts';
import type { Clock, LeaderHint, NodeId, PartitionId, Storage, Transport } from '../replica/ports.ts';
import { Replica } from '../replica/replica.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type {
  KvRequest,
  LocalOutcome,
  LocalReplicas,
  PartitionDescriptor,
  Readiness,
  ReplicaStatus,
} from '../cluster/types.ts';
import { DriveLoop } from './drive-loop.ts';
import { HostedReplicas } from './hosted-replicas.ts';

export interface GroupHostOptions {
  readonly config: Config;
  readonly map: PartitionMap;
  readonly nodeId: NodeId;
  readonly storage: Storage;
  readonly transport: Transport;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** See `DriveLoop`. */
  readonly schedule: (turn: () => void) => void;
  readonly logger: Logger;
  readonly onFailure: (error: unknown) => void;
}

export class GroupHost implements LocalReplicas {
  readonly #options: GroupHostOptions;
  readonly #hosted: HostedReplicas;
  readonly #loop: DriveLoop;
  /** Partitions that the map places here. */
  readonly #planned: readonly PartitionDescriptor[];
  /** Planned partitions that have not heard of a leader since the start. */
  readonly #unled: Set<PartitionId>;
  #announce: (partition: PartitionId) => void = () => undefined;
  #becomeReady: () => void = () => undefined;
  #cancelTick: () => void = () => undefined;
  #started = false;

  /** Resolves once every partition hosted here has known a leader. */
  readonly ready: Promise<void>;

  constructor(options: GroupHostOptions) {
    const { map, nodeId, storage, transport, schedule, onFailure } = options;
    this.#options = options;
    this.#planned = map.partitions.filter(({ replicas }) => replicas.some((replica) => replica.nodeId === nodeId));
    this.#unled = new Set(this.#planned.map((partition) => partition.id));
    this.#hosted = new HostedReplicas(nodeId, (partition, replicaId) => {
      const members = map.partition(partition)?.replicas ?? [];
      return members.find((member) => member.replicaId === replicaId)?.nodeId;
    });
    this.#loop = new DriveLoop({ transport, storage, onFailure, schedule });
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    if (this.#unled.size === 0) this.#becomeReady();
  }

  /** Who hears of a partition's new leader, or that its leader was lost. */
  onLeaderChanged(announce: (partition: PartitionId) => void): void {
    this.#announce = announce;
  }

  /** Starts Raft in all groups. Only once the cluster is formed. */
  start(): void {
    this.#started = true;
    for (const partition of this.#planned) this.#hosted.add(this.#createReplica(partition));
    this.#planTick();
  }

  stop(): void {
    this.#cancelTick();
    this.#loop.stop();
    for (const replica of this.#hosted.all()) replica.stop();
  }

  receive(sender: NodeId, partition: PartitionId, message: Message): void {
    this.#hosted.receive(sender, partition, message);
  }

  /** Leaders here no longer rely on what that node's earlier start had acknowledged. */
  peerRestarted(peer: NodeId): void {
    for (const replica of this.#hosted.all()) replica.peerRestarted(peer);
  }

  hosts(partition: PartitionId): boolean {
    const { map, nodeId } = this.#options;
    return map.partition(partition)?.replicas.some((replica) => replica.nodeId === nodeId) ?? false;
  }

  leader(partition: PartitionId): LeaderHint | undefined {
    return this.#hosted.leader(partition);
  }

  execute(partition: PartitionId, request: KvRequest, deadlineAt: number): Promise<LocalOutcome> {
    return this.#hosted.execute(partition, request, deadlineAt);
  }

  statuses(): ReplicaStatus[] {
    return this.#hosted.statuses();
  }

  readiness(): Readiness {
    if (!this.#started)
      return { ready: false, reasons: ['the cluster is not formed: other founding nodes are awaited'] };
    const leaderless = this.#planned.filter((partition) => this.#hosted.leader(partition.id) === undefined);
    if (leaderless.length === 0) return { ready: true, reasons: [] };
    const ids = leaderless.map((partition) => partition.id).join(', ');
    return { ready: false, reasons: [`no leader is known for partitions ${ids}`] };
  }

  #createReplica(partition: PartitionDescriptor): Replica {
    const { config, nodeId, storage, transport, clock, random } = this.#options;
    const self = partition.replicas.find((replica) => replica.nodeId === nodeId);
    if (self === undefined) throw new Error(`partition ${partition.id} has no replica on ${nodeId}`);
    const replica: Replica = new Replica({
      partition: partition.id,
      epoch: partition.epoch,
      incarnation: partition.incarnation,
      self,
      members: partition.replicas,
      storage,
      transport,
      clock,
      random,
      limits: { ...config.raft, pendingBytesMax: config.storage.pendingBytesMax },
      campaignsFirst: partition.preferredLeader === nodeId,
      wake: () => this.#loop.wake(replica),
      onLeader: (hint) => this.#leaderChanged(partition.id, hint),
    });
    return replica;
  }

  #leaderChanged(partition: PartitionId, hint: LeaderHint | undefined): void {
    this.#options.logger.debug({ partition, leader: hint?.nodeId, term: hint?.term }, 'leadership changed');
    this.#announce(partition);
    if (hint === undefined || !this.#unled.delete(partition) || this.#unled.size > 0) return;
    this.#becomeReady();
  }

  /** One timer for all groups; ticks that a stalled loop missed are not made up for, as nobody heard of them. */
  #planTick(): void {
    this.#cancelTick = this.#options.clock.after(this.#options.config.raft.tickMs, () => {
      for (const replica of this.#hosted.all()) replica.tick();
      this.#planTick();
    });
  }
}
