/**
 * What the node that leads the metadata group does for the whole cluster: lets nodes in and out, decides who is to hold what, and sees to it.
 *
 * All that it goes by is in the group's records and in the groups themselves; nothing that it keeps in memory matters to its successor.
 * In each term it first reads its own group once, so that everything an earlier controller wrote is there before it decides anything; and
 * each of its writes compares what it had read.
 */
import type { Logger } from '../../logger.ts';
import type { Config } from '../../config.ts';
import { planted } from '../../planted.ts';
import type { NodeId, PartitionId, Transport } from '../../replica/ports.ts';
import { evenerLeaders } from '../planner-leaders.ts';
import type { StatusReports } from '../status.ts';
import type {
  ChangeOptions,
  ClusterChange,
  ClusterChangeOutcome,
  LocalReplicas,
  NodeAddition,
  OperationStatus,
} from '../types.ts';
import { Admission, type AdmissionPorts } from './admission.ts';
import { leaveOut, type LeaveAnswer, type LeaveRequest } from './leaving-out.ts';
import { Moves, type MovesPorts } from './moves.ts';
import {
  allPartitions,
  comesBack,
  planFor,
  refusalToRemove,
  summaryOf,
  targetsOf,
  placementOf,
  type Cluster,
  type Target,
} from './placements.ts';
import { metadataPartition, type MoveRecord, type NodeRecord } from './records.ts';

export interface ControllerPorts
  extends Omit<AdmissionPorts, 'limits'>, Omit<MovesPorts, 'limits' | 'confirm' | 'map'> {
  readonly nodeId: NodeId;
  readonly config: Pick<Config, 'placement' | 'raft'>;
  readonly replicationFactor: number;
  readonly replicas: Pick<LocalReplicas, 'leader' | 'execute'>;
  /** What each node that answers says of its replicas. */
  readonly reports: () => Promise<StatusReports>;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
  readonly logger: Logger;
  /** A bug: nothing that a step meets may stop it. */
  readonly onFailure: (error: unknown) => void;
}

/** Any key does: reading it confirms that this node leads, and that all that was committed before is applied. */
const confirmingKey = Buffer.from('?');

export class Controller {
  readonly #ports: ControllerPorts;
  readonly #moves: Moves;
  readonly #admission: Admission;
  /** The term in which the group was read; nothing is decided in another. */
  #readIn = 0;
  /** Since when a node is out of reach, on the monotonic clock. */
  readonly #downSince = new Map<NodeId, number>();
  readonly #lost = new Set<NodeId>();
  #bytes: ReadonlyMap<PartitionId, number> = new Map();
  /** The last plan, and what it was made of. */
  #planned: { readonly inputs: string; readonly targets: readonly Target[] } = { inputs: '', targets: [] };
  /** A leadership could not be moved to where it should be: no hurry to try again. */
  #leadersStuck = false;
  #removal: Promise<unknown> = Promise.resolve();
  #cancel: () => void = () => undefined;
  #running = false;
  #wanted = false;
  #stopped = false;

  constructor(ports: ControllerPorts) {
    const { config, map } = ports;
    this.#ports = ports;
    const limits = { ...config.placement, promotionLagMax: config.raft.promotionLagMax };
    this.#moves = new Moves({ ...ports, map, limits, confirm: () => this.#confirm() });
    this.#admission = new Admission({ ...ports, limits: config.placement });
  }

  /** This node has come to lead the metadata group, or does so no more; or something was written there. */
  wake(): void {
    if (this.#stopped || !this.leads()) return;
    this.#wanted = true;
    this.#plan(0);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  leads(): boolean {
    const { replicas, nodeId } = this.#ports;
    return replicas.leader(metadataPartition)?.nodeId === nodeId;
  }

  operations(): readonly OperationStatus[] {
    return this.#moves.status();
  }

  /** Only where the metadata group is led; undefined when it is not, and then nothing was begun. */
  async change(
    change: ClusterChange,
    { dryRun, deadlineAt }: ChangeOptions,
  ): Promise<ClusterChangeOutcome | undefined> {
    if (!this.leads() || !(await this.#isRead(deadlineAt))) return undefined;
    this.#bytes = bytesIn(await this.#ports.reports());
    const outcome = await this.#begin(change, { dryRun, deadlineAt });
    this.wake();
    return outcome;
  }

  /** A replica asks to be left out of its group. Undefined where the metadata group is not led, and then nothing was begun. */
  async leaveOut(request: LeaveRequest, deadlineAt: number): Promise<LeaveAnswer | undefined> {
    if (!this.leads() || !(await this.#isRead(deadlineAt))) return undefined;
    const answer = await leaveOut(this.#ports, request, deadlineAt);
    this.wake();
    return answer;
  }

  #begin(change: ClusterChange, options: ChangeOptions): Promise<ClusterChangeOutcome | undefined> {
    switch (change.type) {
      case 'add_node':
        return this.#add(change.node, options);
      case 'remove_node':
        return this.#oneAfterTheOther(async () => {
          if (!(await this.#isRead(options.deadlineAt))) return undefined;
          return this.#remove(change.nodeId, options);
        });
      case 'rebalance':
        return this.#rebalance(options);
    }
  }

  /** Each may go by itself, and not all of them: whether one may is asked when the one before is written down. */
  #oneAfterTheOther<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#removal.then(work);
    this.#removal = done.catch(() => undefined);
    return done;
  }

  async #add(node: NodeAddition, { dryRun, deadlineAt }: ChangeOptions): Promise<ClusterChangeOutcome> {
    const found = await this.#admission.check(node, deadlineAt);
    if ('refused' in found) return { type: 'refused', detail: found.refused };
    const coming = { ...node, standing: 'up' as const };
    const plan = summaryOf(this.#cluster(), planFor(this.#cluster(), { balance: true, coming }));
    if (dryRun) return { type: 'accepted', plan };
    const begun = await this.#admission.begin(node, found, deadlineAt);
    return begun ? { type: 'accepted', plan } : this.#notWritten();
  }

  async #remove(nodeId: NodeId, { dryRun, deadlineAt }: ChangeOptions): Promise<ClusterChangeOutcome> {
    const { map, state, writer } = this.#ports;
    const node = map.node(nodeId);
    if (node === undefined || node.standing === 'removed') {
      return { type: 'not_found', detail: `There is no node named ${nodeId} in this cluster.` };
    }
    const refused = node.standing === 'joining' ? undefined : refusalToRemove(this.#cluster(), nodeId);
    if (refused !== undefined) return { type: 'refused', detail: refused };
    const plan = summaryOf(this.#cluster(), planFor(this.#cluster(), { balance: false, leaving: nodeId }));
    if (dryRun || node.standing === 'draining') return { type: 'accepted', plan };
    const { http, peer, labels, weight } = node;
    const known = state.nodes.get(nodeId);
    const standing = node.standing === 'joining' ? 'removed' : 'draining';
    const record: NodeRecord = { nodeId, http, peer, labels, weight, standing, stay: map.stayOf(nodeId), nonce: '' };
    const put = { type: 'put', record: { type: 'node', record }, revision: known?.revision ?? 0 } as const;
    return (await writer.write([put], deadlineAt)) === 'written' ? { type: 'accepted', plan } : this.#notWritten();
  }

  async #rebalance({ dryRun, deadlineAt }: ChangeOptions): Promise<ClusterChangeOutcome> {
    const { state, writer } = this.#ports;
    const plan = summaryOf(this.#cluster(), planFor(this.#cluster(), { balance: true }));
    if (dryRun || state.balance !== undefined) return { type: 'accepted', plan };
    const record = { type: 'balance', record: { sinceMs: this.#now() } } as const;
    const written = await writer.write([{ type: 'put', record, revision: 0 }], deadlineAt);
    return written === 'written' ? { type: 'accepted', plan } : this.#notWritten();
  }

  #notWritten(): ClusterChangeOutcome {
    return {
      type: 'unknown',
      detail: 'the change was not seen to be written: look at the nodes and operations, then ask again',
    };
  }

  #plan(delayMs: number): void {
    if (this.#running || this.#stopped) return;
    this.#cancel();
    this.#cancel = this.#ports.clock.after(delayMs, () => void this.#run());
  }

  async #run(): Promise<void> {
    if (this.#stopped || !this.leads()) return;
    this.#running = true;
    this.#wanted = false;
    try {
      await this.#pass();
    } catch (error) {
      this.#ports.onFailure(error);
    } finally {
      this.#running = false;
    }
    this.#plan(this.#pauseMs());
  }

  #pauseMs(): number {
    const { stepMs, idleStepMs } = this.#ports.config.placement;
    return this.#wanted || this.#isBusy() ? stepMs : idleStepMs;
  }

  #isBusy(): boolean {
    const { state } = this.#ports;
    const isOnItsWay = [...state.nodes.values()].some(
      ({ record }) => record.standing === 'joining' || record.standing === 'draining',
    );
    return state.moves.size > 0 || (state.balance !== undefined && !this.#leadersStuck) || isOnItsWay;
  }

  async #pass(): Promise<void> {
    const deadlineAt = this.#ports.clock.monotonicMs() + this.#ports.config.placement.stepTimeoutMs;
    if (!(await this.#isRead(deadlineAt))) return;
    await this.#noticeDown(deadlineAt);
    await this.#admission.step();
    await this.#retire(deadlineAt);
    this.#leadersStuck = false;
    const planned = await this.#decide(deadlineAt);
    await this.#moves.step();
    if (planned === 'settled' && this.#ports.state.moves.size === 0) await this.#evenLeaders(deadlineAt);
  }

  /** Whether this node leads, in a term in which it has read its group. */
  async #isRead(deadlineAt: number): Promise<boolean> {
    const { replicas, state } = this.#ports;
    const term = replicas.leader(metadataPartition)?.term;
    if (!this.leads() || term === undefined) return false;
    if (this.#readIn !== term && (await this.#confirm(deadlineAt))) this.#readIn = term;
    return this.#readIn === term && this.leads() && state.loaded;
  }

  async #confirm(
    deadlineAt = this.#ports.clock.monotonicMs() + this.#ports.config.placement.stepTimeoutMs,
  ): Promise<boolean> {
    const read = await this.#ports.replicas.execute(
      metadataPartition,
      { type: 'read', key: confirmingKey },
      deadlineAt,
    );
    return read.type === 'value';
  }

  /** One that was lost, and so replaced, and is back has nothing any more: it is to be given its share again. */
  async #noticeDown(deadlineAt: number): Promise<void> {
    const { map, state, writer, transport, nodeId, clock } = this.#ports;
    const now = clock.monotonicMs();
    const { isLost } = this.#cluster();
    let returned = false;
    for (const node of map.nodes) {
      const isUp = node.nodeId === nodeId || transport.connected(node.nodeId);
      if (!isUp && !this.#downSince.has(node.nodeId)) this.#downSince.set(node.nodeId, now);
      if (isLost(node.nodeId)) this.#lost.add(node.nodeId);
      if (!isUp) continue;
      this.#downSince.delete(node.nodeId);
      returned = this.#lost.delete(node.nodeId) || returned;
    }
    if (!returned || state.balance !== undefined) return;
    const record = { type: 'balance', record: { sinceMs: this.#now() } } as const;
    await writer.write([{ type: 'put', record, revision: 0 }], deadlineAt);
  }

  /**
   * Drained nodes that hold nothing any more, by the directory and by their own word: as long as one does, it has to be told that it was left out, and
   * nobody speaks to a node that is no member. One that is lost is not waited for.
   */
  async #retire(deadlineAt: number): Promise<void> {
    const { map, state, writer, logger } = this.#ports;
    const draining = [...state.nodes.values()].filter(({ record }) => record.standing === 'draining');
    const empty = draining.filter(({ record: { nodeId } }) =>
      allPartitions({ map }).every((id) => {
        return (
          !state.moves.has(id) && map.partition(id)?.replicas.every((replica) => replica.nodeId !== nodeId) !== false
        );
      }),
    );
    if (empty.length === 0) return;
    const reports = await this.#ports.reports();
    const cluster = this.#cluster();
    for (const { record, revision } of empty) {
      const { nodeId } = record;
      const isDone = reports.get(nodeId)?.length === 0 || cluster.isLost(nodeId) || planted('retired-before-empty');
      if (!isDone) continue;
      const removed: NodeRecord = { ...record, standing: 'removed' };
      await writer.write([{ type: 'put', record: { type: 'node', record: removed }, revision }], deadlineAt);
      logger.info({ nodeId }, 'a node is drained, and no member any more');
    }
  }

  /** Begins as many moves as there may be. `settled`: no more are needed than are under way. */
  async #decide(deadlineAt: number): Promise<'settled' | 'more'> {
    const { state, config } = this.#ports;
    const cluster = this.#cluster();
    // A plan costs time in a large cluster; without a reason to move anything there is none.
    if (!this.#needsPlan(cluster)) return 'settled';
    const targets = this.#targets(cluster);
    const changed = targets.filter((target) => state.moves.has(target.partition) && !comesBack(cluster, target));
    const fresh = targets.filter(({ partition }) => !state.moves.has(partition));
    const room = Math.max(0, config.placement.movesMax - state.moves.size);
    for (const target of [...changed, ...fresh.slice(0, room)]) await this.#beginMove(target, deadlineAt);
    return targets.length === 0 ? 'settled' : 'more';
  }

  /** As long as nothing has changed that it goes by, a plan stays the same. */
  #targets(cluster: Cluster): readonly Target[] {
    const { map, state } = this.#ports;
    const moves = [...state.moves.values()].map(({ revision }) => revision);
    const nodes = map.nodes.map(({ nodeId }) => [
      nodeId,
      cluster.isUp(nodeId),
      cluster.isLost(nodeId),
      cluster.isLow(nodeId),
    ]);
    const inputs = JSON.stringify([map.epoch, moves, nodes, state.balance?.revision]);
    if (inputs !== this.#planned.inputs) {
      const balance = state.balance !== undefined;
      this.#planned = { inputs, targets: targetsOf(cluster, planFor(cluster, { balance })) };
    }
    return this.#planned.targets;
  }

  #needsPlan(cluster: Cluster): boolean {
    const { state, replicationFactor } = this.#ports;
    if (state.balance !== undefined) return true;
    const isLeaving = (nodeId: NodeId): boolean => {
      const standing = this.#ports.map.node(nodeId)?.standing;
      // One that was emptied and removed before it was let in again is named by the directory as long as nobody replaces it.
      return cluster.isLost(nodeId) || standing === 'draining' || standing === 'removed';
    };
    return allPartitions(cluster).some((id) => {
      const placement = placementOf(cluster, id);
      return placement.length < replicationFactor || placement.some(isLeaving);
    });
  }

  async #beginMove({ partition, target, reason }: Target, deadlineAt: number): Promise<void> {
    const { state, writer, logger } = this.#ports;
    const record: MoveRecord = { partition, target, reason, sinceMs: this.#now() };
    const revision = state.moves.get(partition)?.revision ?? 0;
    logger.info({ partition, target, reason }, 'a move begins');
    await writer.write([{ type: 'put', record: { type: 'move', record }, revision }], deadlineAt);
  }

  /** The last part of evening out: who leads what. */
  async #evenLeaders(deadlineAt: number): Promise<void> {
    const { state, map, transfers, writer } = this.#ports;
    const { balance } = state;
    if (balance === undefined) return;
    const reports = await this.#ports.reports();
    const leaders = new Map<PartitionId, NodeId>();
    for (const report of [...reports.values()].flat())
      if (report.role === 'leader') leaders.set(report.partition, report.nodeId);
    const mayLead = new Set(
      map.nodes.filter(({ nodeId, standing }) => standing === 'up' && reports.has(nodeId)).map(({ nodeId }) => nodeId),
    );
    const partitions = map.partitions.map(({ id, replicas }) => {
      return { id, replicas: replicas.map(({ nodeId }) => nodeId), leader: leaders.get(id) };
    });
    const [next] = evenerLeaders({ partitions, mayLead });
    if (next === undefined) {
      await writer.write(
        [{ type: 'delete', record: { type: 'balance', record: balance.record }, revision: balance.revision }],
        deadlineAt,
      );
      return;
    }
    const [partition, to] = next;
    const moved = await transfers.transfer({ partition, to, deadlineAt });
    this.#leadersStuck = moved.type !== 'done';
  }

  #cluster(): Cluster {
    const { map, state, transport, nodeId, replicationFactor, config, clock, isLow } = this.#ports;
    const { virtualNodes, replaceDownAfterMs } = config.placement;
    const isUp = (other: NodeId): boolean => other === nodeId || transport.connected(other);
    const now = clock.monotonicMs();
    return {
      map,
      moves: state.moves,
      isUp,
      isLost: (other) => !isUp(other) && now - (this.#downSince.get(other) ?? now) >= replaceDownAfterMs,
      isLow,
      replicationFactor,
      virtualNodes,
      bytesOf: (partition) => this.#bytes.get(partition) ?? 0,
    };
  }

  #now(): number {
    return Math.floor(this.#ports.clock.wallMs());
  }
}

function bytesIn(reports: StatusReports): ReadonlyMap<PartitionId, number> {
  const bytes = new Map<PartitionId, number>();
  for (const report of [...reports.values()].flat()) {
    bytes.set(report.partition, Math.max(bytes.get(report.partition) ?? 0, report.bytes));
  }
  return bytes;
}
