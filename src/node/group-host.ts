/** All groups of this node: their replicas, one tick for all, one drive loop, and when the node is ready to serve. */
import { assert, unreachable } from '../assert.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import { encodeConfiguration } from '../raft/configuration.ts';
import type { Message, ReplicaId, Term } from '../raft/types.ts';
import type { Clock, LeaderHint, NodeId, PartitionId, ReplicaDoubts, Storage, Transport } from '../replica/ports.ts';
import type { ChangePoint, ChangesOutcome } from '../replica/change-log.ts';
import { Replica } from '../replica/replica.ts';
import type { StateObserver, TransferStanding } from '../replica/options.ts';
import type { LocalChanges } from '../cluster/watch/change-source.ts';
import type { LiveMap } from '../cluster/live-map.ts';
import { metadataPartition } from '../cluster/metadata/records.ts';
import { lackingReplicas, memberNodes } from '../cluster/partition-map.ts';
import type {
  KvOutcome,
  LeaderRequest,
  LocalLeaderships,
  LocalOutcome,
  LocalReplicas,
  LocalTransfer,
  PartitionDescriptor,
  Readiness,
  ReplicaStatus,
  StaleValue,
} from '../cluster/types.ts';
import type { NodeReadings } from '../metrics/ports.ts';
import { planted } from '../planted.ts';
import { StorageDamage } from '../storage/damage.ts';
import { DigestHost } from './digest-host.ts';
import type { DiskWatch } from './disk-watch.ts';
import { DriveLoop } from './drive-loop.ts';
import { handOver } from './hand-over.ts';
import { HostedReplicas } from './hosted-replicas.ts';
import { LedGroups } from './local-groups.ts';
import { RemovedReplicas } from './removed-replicas.ts';
import { ReplicasInDoubt, type ReplicasInDoubtOptions } from './replicas-in-doubt.ts';
import { SnapshotHost } from './snapshot-host.ts';
import type { WriteAdmission } from './write-admission.ts';

export interface GroupHostOptions {
  readonly config: Config;
  readonly map: LiveMap;
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
  readonly doubts: ReplicaDoubts;
  readonly replicationFactor: number;
  /** Hears of each replica here that is in doubt from now on. */
  readonly onReplicaInDoubt?: ((partition: PartitionId, reason: string) => void) | undefined;
  readonly disks: Pick<DiskWatch, 'low' | 'refusal'>;
  readonly admission: WriteAdmission;
  /** Who follows the metadata group's state, where it is hosted. */
  readonly metadata: StateObserver & { dropped(): void };
}

/** What of a node's readings its groups tell. */
type GroupReadings = Pick<NodeReadings, 'replicas' | 'queues' | 'electionsStarted' | 'electionsWon' | 'snapshots'>;

export class GroupHost implements LocalReplicas, LocalLeaderships, LocalChanges {
  readonly #options: GroupHostOptions;
  readonly #hosted: HostedReplicas;
  readonly #loop: DriveLoop;
  readonly #snapshots: SnapshotHost;
  readonly #digests: DigestHost;
  readonly #removed: RemovedReplicas;
  readonly #inDoubt: ReplicasInDoubt;
  readonly groups: LedGroups;
  /** Groups that were founded here, the metadata group among them. */
  readonly #planned: readonly PartitionDescriptor[];
  /** Partitions founded or found here that have not heard of a leader since the start. Data is served without the metadata group. */
  readonly #unled: Set<PartitionId>;
  #announce: (partition: PartitionId) => void = () => undefined;
  #leave: ReplicasInDoubtOptions['leave'] = () => Promise.resolve({ type: 'not_yet', detail: 'the node starts' });
  #becomeReady: () => void = () => undefined;
  #cancelTick: () => void = () => undefined;
  #started = false;
  #halted = false;
  /** Nodes that said that they are about to stop: they are sent no requests, and asked to lead nothing. */
  readonly #leaving = new Set<NodeId>();
  #tickedAt = 0;
  /** Nodes at whose addresses nobody listened when last tried. */
  readonly #gone = new Set<NodeId>();
  readonly #elections = { started: 0, won: 0 };
  #peers: readonly NodeId[];

  /** Resolves once every partition hosted here has known a leader. */
  readonly ready: Promise<void>;

  constructor(options: GroupHostOptions) {
    const { map, nodeId, storage, transport, schedule, config } = options;
    const onFailure = (error: unknown): void => this.#failed(error);
    const { founding } = map;
    this.#options = options;
    this.#planned = [founding.metadata, ...founding.partitions].filter(({ replicas }) =>
      replicas.some((replica) => replica.nodeId === nodeId),
    );
    const newcomers = storage.partitions().filter((id) => storage.group(id).replicaId !== undefined);
    this.#unled = new Set([...this.#planned.map((partition) => partition.id), ...newcomers]);
    this.#unled.delete(metadataPartition);
    this.#peers = this.#otherMembers();
    map.onChange(() => {
      this.#peers = this.#otherMembers();
    });
    this.#hosted = new HostedReplicas(nodeId, options.admission);
    this.groups = new LedGroups(this.#hosted);
    this.#snapshots = new SnapshotHost({
      ...options,
      onFailure,
      map: founding,
      replica: (partition) => this.#hosted.replica(partition),
    });
    this.#digests = new DigestHost({
      ...options,
      onFailure,
      replica: (partition) => this.#hosted.replica(partition),
      replicas: () => this.#hosted.all(),
      onDiffers: (partition, reason) => this.#replicaDiffers(partition, reason),
    });
    this.#removed = new RemovedReplicas({ ...options, endSnapshots: (partition) => this.#snapshots.end(partition) });
    this.#inDoubt = new ReplicasInDoubt({
      ...options,
      replicasInDoubtMax: config.storage.replicasInDoubtMax,
      limits: config.placement,
      leave: (request, deadlineAt) => this.#leave(request, deadlineAt),
      isDead: (partition, replicaId) => this.#removed.isDead(partition, replicaId),
      destroy: (removed, gone) => this.#removed.destroy(removed, gone),
    });
    this.#loop = new DriveLoop({
      transport,
      storage,
      onFailure,
      onTurn: () => options.admission.turn(),
      endsOne: (error) => this.#endsOne(error),
      schedule,
    });
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    if (this.#unled.size === 0) this.#becomeReady();
  }

  /** Who hears of a partition's new leader, or that its leader was lost. */
  onLeaderChanged(announce: (partition: PartitionId) => void): void {
    this.#announce = announce;
  }

  /** How a replica that is in doubt asks to be left out of its group. */
  leavesBy(leave: ReplicasInDoubtOptions['leave']): void {
    this.#leave = leave;
  }

  /** Starts Raft in all groups. Only once the cluster is formed. */
  start(): void {
    this.#started = true;
    this.#inDoubt.start();
    for (const partition of this.#planned) this.#maybeAddFounder(partition);
    this.#addNewcomers();
    this.#planTick();
    this.#digests.start();
  }

  /** Nothing that is stored here decides anything any more. Still to be stopped. */
  halt(): void {
    this.#halted = true;
    this.#cancelTick();
    this.#loop.stop();
    // A follower must not be brought back by a state that can't be believed. Ended for good in `stop`.
    void this.#snapshots.stop();
  }

  /** Resolves once storage may be closed. */
  async stop(): Promise<void> {
    this.#cancelTick();
    this.#loop.stop();
    this.#removed.stop();
    this.#inDoubt.stop();
    for (const replica of this.#hosted.all()) replica.stop();
    await Promise.all([this.#snapshots.stop(), this.#digests.stop()]);
  }

  replica(partition: PartitionId): Replica | undefined {
    return this.#hosted.replica(partition);
  }

  /** What a node that sends a snapshot asks. */
  handleSnapshot(from: NodeId, kind: string, payload: unknown): Promise<unknown> {
    return this.#snapshots.handle(from, kind, payload);
  }

  /** What a node asks that leads a partition of which a replica lives here, to compare their states. */
  handleDigest(from: NodeId, kind: string, payload: unknown): Promise<unknown> {
    return this.#digests.handle(from, kind, payload);
  }

  receive(sender: NodeId, partition: PartitionId, message: Message): void {
    const replica = this.#hosted.replica(partition);
    if (replica?.replicaId === message.to) return replica.receive(sender, message);
    if (this.#removed.isDead(partition, message.to)) {
      return this.#removed.answer(sender, message, { partition, successor: replica });
    }
    if (replica !== undefined) return this.#maybeTellOfSuccessor(replica, sender, message);
    if (this.#maybeComeIntoBeing(partition, message)) this.#hosted.receive(sender, partition, message);
  }

  /** Leaders here no longer rely on what that node's earlier start had acknowledged. */
  peerRestarted(peer: NodeId): void {
    this.#leaving.delete(peer);
    for (const replica of this.#hosted.all()) replica.peerRestarted(peer);
  }

  /** Nobody listens at the node's address any more. Only a hint. */
  peerGone(peer: NodeId): void {
    this.#gone.add(peer);
    for (const replica of this.#hosted.all()) replica.peerGone(peer);
  }

  /** The connection to it was made or lost. */
  peerChanged(peer: NodeId): void {
    if (this.#options.transport.connected(peer)) this.#gone.delete(peer);
    for (const replica of this.#hosted.all()) replica.peerChanged(peer);
  }

  peerLeaving(peer: NodeId): void {
    this.#leaving.add(peer);
  }

  isLeaving(peer: NodeId): boolean {
    return this.#leaving.has(peer);
  }

  transferLeadership(partition: PartitionId, to: NodeId): LocalTransfer {
    const replica = this.#hosted.replica(partition);
    if (replica?.leader()?.nodeId !== this.#options.nodeId) return { type: 'not_leader' };
    // It would not take over, and nothing would be written until that is given up.
    if (this.#leaving.has(to)) return { type: 'not_moved', detail: `${to} is about to stop` };
    const result = replica.transferLeadership(to);
    switch (result.type) {
      case 'refused':
        return { type: 'refused', detail: result.reason };
      case 'started':
        return { type: 'started', term: replica.status().term };
      case 'done':
      case 'not_leader':
        return { type: result.type };
      default:
        return unreachable(result);
    }
  }

  transferStanding(partition: PartitionId, to: NodeId, term: Term): TransferStanding {
    return this.#hosted.replica(partition)?.transferStanding(to, term) ?? 'in_doubt';
  }

  /** Before the node stops: others lead what it leads, as far as there are others. `nonce`: of this start. */
  handOver(nonce: string): Promise<void> {
    const { nodeId, transport, clock, config } = this.#options;
    const { raft } = config;
    for (const replica of this.#hosted.all()) replica.standBack();
    return handOver({
      clock,
      transport,
      peers: this.#peers,
      nonce,
      leading: () => [...this.#hosted.all()].filter((replica) => replica.leader()?.nodeId === nodeId),
      leaving: this.#leaving,
      timeoutMs: raft.handOverTimeoutMs,
      attemptMs: raft.electionTicksMin * raft.tickMs,
    });
  }

  hosts(partition: PartitionId): boolean {
    if (this.#started) return this.#hosted.hosts(partition);
    const isDumb = (planned: PartitionDescriptor): boolean =>
      this.#isFounderDead(planned) || this.#inDoubt.has(planned.id);
    return this.#planned.some((planned) => planned.id === partition && !isDumb(planned));
  }

  leader(partition: PartitionId): LeaderHint | undefined {
    return this.#hosted.leader(partition);
  }

  staleRead(partition: PartitionId, key: Uint8Array): StaleValue | undefined {
    if (this.#halted) return undefined;
    try {
      return this.#hosted.staleRead(partition, key);
    } catch (error) {
      // Read outside the drive loop: a damaged record, as there.
      this.#failed(error);
      return undefined;
    }
  }

  changes(partition: PartitionId, after: ChangePoint, bytesMax: number): ChangesOutcome | undefined {
    if (this.#halted || !this.hosts(partition)) return undefined;
    try {
      return this.#hosted.replica(partition)?.changes.read(after, bytesMax);
    } catch (error) {
      // Read outside the drive loop: a damaged record, as there.
      this.#failed(error);
      return undefined;
    }
  }

  onMore(partition: PartitionId, callback: () => void): () => void {
    return this.#hosted.replica(partition)?.changes.onMore(callback) ?? (() => undefined);
  }

  execute(partition: PartitionId, request: LeaderRequest, deadlineAt: number): Promise<LocalOutcome> {
    return this.#hosted.execute(partition, request, deadlineAt);
  }

  refusal(partition: PartitionId): KvOutcome | undefined {
    return this.#hosted.refusal(partition);
  }

  /** Those that are being destroyed among them: who drains this node lets it go by its word that nothing is left. */
  statuses(): ReplicaStatus[] {
    const { nodeId } = this.#options;
    return [...this.#hosted.statuses(), ...this.#inDoubt.statuses(), ...this.#removed.statuses(nodeId)];
  }

  readings(): GroupReadings {
    const queues = { messages: 0, writes: 0, reads: 0 };
    for (const replica of this.#hosted.all()) {
      const { messages, writes, reads } = replica.queues();
      queues.messages += messages;
      queues.writes += writes;
      queues.reads += reads;
    }
    return {
      replicas: this.statuses(),
      queues,
      electionsStarted: this.#elections.started,
      electionsWon: this.#elections.won,
      snapshots: this.#snapshots.readings(),
    };
  }

  /** What this node had and can't use, or has not again yet, in words; undefined when nothing is missing. */
  missing(): string | undefined {
    return this.#inDoubt.reason();
  }

  readiness(): Readiness {
    if (!this.#started)
      return { ready: false, reasons: ['the cluster is not formed: other founding nodes are awaited'] };
    const leaderless = [...this.#hosted.all()].filter(
      ({ partition, removed }) =>
        partition !== metadataPartition && !removed && this.#hosted.leader(partition) === undefined,
    );
    if (leaderless.length === 0) return { ready: true, reasons: [] };
    const ids = leaderless.map(({ partition }) => partition).join(', ');
    return { ready: false, reasons: [`no leader is known for partitions ${ids}`] };
  }

  /**
   * Replicas that the map does not place on this node have been left out, or have just come. One that had fallen silent as it was left out, and
   * to whom the word of that was lost, would otherwise stay for good: nobody speaks to it any more. So would one that was away until all of its
   * old members were left out as well (seed 7413242).
   */
  lookAround(): void {
    const { map, nodeId } = this.#options;
    for (const replica of this.#hosted.all()) {
      const placed = map.partition(replica.partition)?.replicas ?? [];
      const isPlaced = placed.some((one) => one.nodeId === nodeId);
      if (placed.length > 0 && !isPlaced) replica.asksAfter(placed);
    }
  }

  /** The map goes on placing a founder here that was removed since. */
  #maybeAddFounder(partition: PartitionDescriptor): void {
    if (this.#inDoubt.has(partition.id)) return this.#notAwaited(partition.id);
    if (this.#isFounderDead(partition) && !planted('dead-id-founded-again')) {
      // Another one may live here, which is waited for.
      if (this.#options.storage.group(partition.id).replicaId === undefined) this.#notAwaited(partition.id);
      return;
    }
    this.#hosted.add(this.#createReplica(partition, this.#founderId(partition)));
  }

  #isFounderDead(partition: PartitionDescriptor): boolean {
    return this.#removed.isDead(partition.id, this.#founderId(partition));
  }

  /** Replicas that came here after the founding, and were here before this start. */
  #addNewcomers(): void {
    const { map, storage } = this.#options;
    for (const id of storage.partitions()) {
      const partition = map.founding.partition(id);
      const { replicaId } = storage.group(id);
      if (partition === undefined || replicaId === undefined || this.#hosted.replica(id) !== undefined) continue;
      if (this.#inDoubt.has(id)) {
        this.#notAwaited(id);
        continue;
      }
      this.#hosted.add(this.#createReplica(partition, replicaId));
    }
  }

  /**
   * A leader writes to a replica that is to live here and does not yet: it comes into being with an empty log, knowing only
   * the founders, and decides nothing until it has learnt from the log that it may. Its id is stored with whatever is
   * stored of it first, so that a restart can't take it for another. Where one that lived here before is still being destroyed, the leader has
   * to write again.
   */
  #maybeComeIntoBeing(id: PartitionId, message: Message): boolean {
    if (!this.#started || !isFromLeader(message) || !this.#removed.isRoom(id) || this.#inDoubt.has(id)) return false;
    const partition = this.#options.map.founding.partition(id);
    if (partition === undefined || partition.replicas.some(({ replicaId }) => replicaId === message.to)) return false;
    this.#options.logger.info({ partition: id, replicaId: message.to }, 'a replica comes into being');
    this.#options.storage.foundGroup(id, message.to);
    this.#hosted.add(this.#createReplica(partition, message.to));
    return true;
  }

  /**
   * A leader writes to a newcomer only once the configuration that brings it is committed, and none has two members on one node: so this
   * one was left out, though the word of it was lost.
   */
  #maybeTellOfSuccessor(replica: Replica, sender: NodeId, { type, from, to: successor, term }: Message): void {
    if (!isFromLeader({ type }) || successor < replica.replicaId) return;
    replica.receive(sender, { type: 'ReplicaRemoved', from, to: replica.replicaId, term });
  }

  /** A committed configuration has left it out: it ends here, and its data go. */
  #replicaRemoved(replica: Replica): void {
    const { partition, replicaId } = replica;
    this.#options.logger.info({ partition, replicaId }, 'this replica was removed from its group');
    this.#hosted.remove(replica);
    this.#digests.end(partition);
    if (partition === metadataPartition) this.#options.metadata.dropped();
    replica.stop('The replica was removed from its group before the write was known to be committed.');
    this.#removed.destroy({
      partition,
      replicaId,
      configuration: encodeConfiguration(replica.committedConfiguration()),
    });
    this.#notAwaited(partition);
    this.#announce(partition);
  }

  /** What the replica here has stored is not what a majority of its group has; it leads no more, if that could be had. */
  #replicaDiffers(partition: PartitionId, reason: string): void {
    this.#options.logger.error({ partition, reason }, 'the replica here differs from a majority of its group');
    // Its records are sound one by one: which of them are wrong only the others know.
    const error = new StorageDamage(`partition ${partition}: ${reason}`, partition);
    if (!this.#putsInDoubt(partition, error.message)) this.#options.onFailure(error);
  }

  #failed(error: unknown): void {
    if (!this.#endsOne(error)) this.#options.onFailure(error);
  }

  /**
   * A damaged record is on a damaged disk, of which nobody knows what else it holds: while all others are whole, the whole directory is better given
   * up. While they are not, that would leave groups without a majority which it does not concern: then it ends one replica.
   */
  #endsOne(error: unknown): boolean {
    if (!(error instanceof StorageDamage) || error.partition === undefined) return false;
    const { partition, message } = error;
    // Found once more.
    if (this.#inDoubt.has(partition)) return true;
    return !this.#areOthersWhole() && this.#putsInDoubt(partition, message);
  }

  #areOthersWhole(): boolean {
    const { map, replicationFactor, transport } = this.#options;
    return (
      lackingReplicas(map, replicationFactor).length === 0 &&
      map.nodes.every(({ standing }) => standing !== 'joining') &&
      this.#peers.every((peer) => transport.connected(peer))
    );
  }

  /** Where others go on without the replica. What a node is led by it can't do without. */
  #putsInDoubt(partition: PartitionId, message: string): boolean {
    if (this.#halted) return false;
    if (this.#inDoubt.has(partition)) return true;
    const replica = this.#hosted.replica(partition);
    if (replica === undefined || partition === metadataPartition || isAlone(replica)) return false;
    if (!this.#inDoubt.hasRoom()) return false;
    try {
      this.#inDoubt.add(replica, message);
    } catch {
      // Not even that can be stored: the directory is not to be used at all.
      return false;
    }
    this.#hosted.remove(replica);
    replica.stop('The replica came to be in doubt before the write was known to be committed.');
    this.#digests.end(partition);
    void this.#snapshots.end(partition);
    this.#options.onReplicaInDoubt?.(partition, message);
    this.#notAwaited(partition);
    this.#announce(partition);
    return true;
  }

  #founderId({ id, replicas }: PartitionDescriptor): ReplicaId {
    const { nodeId } = this.#options;
    const self = replicas.find((replica) => replica.nodeId === nodeId);
    assert(self !== undefined, () => `partition ${id} has no replica on ${nodeId}`);
    return self.replicaId;
  }

  #createReplica(partition: PartitionDescriptor, replicaId: ReplicaId): Replica {
    const { config, nodeId, storage, transport, clock, random, metadata, disks } = this.#options;
    const replica: Replica = new Replica({
      partition: partition.id,
      epoch: partition.epoch,
      self: { replicaId, nodeId },
      members: partition.replicas,
      storage,
      transport,
      clock,
      random,
      limits: { ...config.raft, ...config.state, pendingBytesMax: config.storage.pendingBytesMax },
      onFailure: (error) => this.#failed(error),
      campaignsFirst: partition.preferredLeader === nodeId,
      wake: () => this.#loop.wake(replica),
      onLeader: (hint) => this.#leaderChanged(partition.id, hint),
      onRole: (role) => {
        if (role === 'candidate') this.#elections.started += 1;
        else if (role === 'leader') this.#elections.won += 1;
      },
      onSnapshotDue: (due) => this.#snapshots.due(due),
      pinnedIndex: (id) => this.#snapshots.pinnedIndex(id),
      onRemoved: () => this.#replicaRemoved(replica),
      // What lets a node come to help, or go, is little, and is what may be needed now.
      lowDisks: partition.id === metadataPartition ? noneLow : disks.low,
      observer: partition.id === metadataPartition ? metadata : undefined,
    });
    if (partition.id === metadataPartition) metadata.replaced();
    return replica;
  }

  #leaderChanged(partition: PartitionId, hint: LeaderHint | undefined): void {
    this.#options.logger.debug({ partition, leader: hint?.nodeId, term: hint?.term }, 'leadership changed');
    if (hint?.nodeId !== this.#options.nodeId) this.#snapshots.leadershipLost(partition);
    this.#announce(partition);
    if (hint !== undefined) this.#notAwaited(partition);
  }

  #otherMembers(): readonly NodeId[] {
    const { map, nodeId } = this.#options;
    return memberNodes(map)
      .map((node) => node.nodeId)
      .filter((peer) => peer !== nodeId);
  }

  #notAwaited(partition: PartitionId): void {
    if (this.#unled.delete(partition) && this.#unled.size === 0) this.#becomeReady();
  }

  /** One timer for all groups; ticks that a stalled loop missed are not made up for, as nobody heard of them. */
  #planTick(): void {
    const { clock, config, transport } = this.#options;
    const { tickMs, electionTicksMin } = config.raft;
    this.#tickedAt = clock.monotonicMs();
    this.#cancelTick = clock.after(tickMs, () => {
      // A loop that stood still for an election timeout may have been given up by the others.
      const stalled = clock.monotonicMs() - this.#tickedAt >= electionTicksMin * tickMs;
      // Asked of each peer, not of each group: most are silent, and there may be hundreds.
      const unreachable = this.#peers.filter((peer) => !transport.connected(peer));
      for (const replica of this.#hosted.all()) {
        if (unreachable.length > 0) this.#noticeLostLeader(replica, unreachable);
        if (stalled) replica.stalled();
        replica.tick();
      }
      this.#planTick();
    });
  }

  /** A late word of a leader that can't be reached may have undone what was noticed: it is noticed again. */
  #noticeLostLeader(replica: Replica, unreachable: readonly NodeId[]): void {
    const leader = replica.leader()?.nodeId;
    if (leader === undefined || !unreachable.includes(leader)) return;
    replica.peerChanged(leader);
    if (this.#gone.has(leader)) replica.peerGone(leader);
  }
}

const noneLow: ReadonlyMap<NodeId, string> = new Map();

function isFromLeader({ type }: Pick<Message, 'type'>): boolean {
  return type === 'AppendEntriesRequest' || type === 'Heartbeat';
}

/** Nobody else votes in its group: there is nobody to go on without it. */
function isAlone(replica: Replica): boolean {
  const { voters, votersOutgoing } = replica.committedConfiguration();
  return [...voters, ...votersOutgoing].every((id) => id === replica.replicaId);
}
