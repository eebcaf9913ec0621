/** What is to be where: from the map, the moves under way and who is there, to the moves that are still to be decided. Pure. */
import type { Configuration } from '../../raft/types.ts';
import type { NodeId, PartitionId } from '../../replica/ports.ts';
import { planMoves, type Plan, type PlanNode } from '../planner.ts';
import type { MapNode, PartitionMap } from '../partition-map.ts';
import type { MoveReason, PlanSummary } from '../types.ts';
import type { MoveRecord } from './records.ts';

export interface Cluster {
  readonly map: Pick<PartitionMap, 'nodes' | 'partitions' | 'metadata'>;
  readonly moves: ReadonlyMap<PartitionId, { readonly record: MoveRecord }>;
  /** In reach of the controller. */
  readonly isUp: (nodeId: NodeId) => boolean;
  /** Out of reach for longer than anyone waits. */
  readonly isLost: (nodeId: NodeId) => boolean;
  /** Its disk has little room left: it keeps what it has. */
  readonly isLow: (nodeId: NodeId) => boolean;
  readonly replicationFactor: number;
  readonly virtualNodes: number;
  /** Keys and values, as far as they are known. */
  readonly bytesOf: (partition: PartitionId) => number;
}

/** Where a partition is to be instead of where it is, or is being moved to, now. */
export interface Target {
  readonly partition: PartitionId;
  readonly target: readonly NodeId[];
  readonly reason: MoveReason;
}

export interface PlanOptions {
  /** Beyond what must be. */
  readonly balance: boolean;
  /** As if these had been asked to go, or had come. */
  readonly leaving?: NodeId;
  readonly coming?: MapNode;
}

export function planFor(cluster: Cluster, { balance, leaving, coming }: PlanOptions): Plan {
  const { map, replicationFactor, virtualNodes, bytesOf } = cluster;
  const nodes =
    coming === undefined ? map.nodes : [...map.nodes.filter(({ nodeId }) => nodeId !== coming.nodeId), coming];
  return planMoves({
    nodes: nodes.flatMap((node) => {
      if (node.standing === 'removed') return [];
      const { nodeId, labels, weight } = node;
      return [{ nodeId, labels, weight, standing: node === coming ? 'takes' : standingOf(cluster, node, leaving) }];
    }),
    partitions: allPartitions(cluster).map((id) => ({ id, replicas: placementOf(cluster, id), bytes: bytesOf(id) })),
    replicationFactor,
    virtualNodes,
    balance,
  });
}

function standingOf(cluster: Cluster, node: MapNode, leaving: NodeId | undefined): PlanNode['standing'] {
  const { nodeId, standing } = node;
  if (standing === 'draining' || nodeId === leaving || cluster.isLost(nodeId)) return 'leaves';
  return standing === 'up' && cluster.isUp(nodeId) && !cluster.isLow(nodeId) ? 'takes' : 'keeps';
}

/** The metadata group is placed like any other. */
export function allPartitions({ map }: Pick<Cluster, 'map'>): readonly PartitionId[] {
  return [map.metadata, ...map.partitions].map(({ id }) => id);
}

/** Which nodes hold it once what is under way is done. */
export function placementOf({ map, moves }: Pick<Cluster, 'map' | 'moves'>, id: PartitionId): readonly NodeId[] {
  const move = moves.get(id);
  if (move !== undefined) return move.record.target;
  const partition = id === map.metadata.id ? map.metadata : map.partitions.find((one) => one.id === id);
  return partition?.replicas.map(({ nodeId }) => nodeId) ?? [];
}

/**
 * A move's target without a node that has lost what it held. Whoever votes now and was to give up its place to that node keeps it: else the
 * group would have one replica fewer for nothing. Nobody has to be waited for: all that are added are there.
 */
export function placementWithout(
  nodeId: NodeId,
  target: readonly NodeId[],
  present: Pick<Configuration, 'voters' | 'hosts'> = { voters: [], hosts: new Map() },
): readonly NodeId[] {
  const left = target.filter((holder) => holder !== nodeId);
  const voting = present.voters.map((replicaId) => present.hosts.get(replicaId) as NodeId);
  const staying = voting.filter((holder) => holder !== nodeId && !target.includes(holder));
  return [...left, ...staying.slice(0, target.length - left.length)];
}

/** A plan's changes by partition. */
export function targetsOf(cluster: Pick<Cluster, 'map' | 'moves' | 'isLost'>, { moves }: Plan): readonly Target[] {
  const byPartition = new Map<PartitionId, Plan['moves'][number][]>();
  for (const move of moves) byPartition.set(move.partition, [...(byPartition.get(move.partition) ?? []), move]);
  return [...byPartition].map(([partition, changes]): Target => {
    const gone = changes.map(({ from }) => from);
    const come = changes.flatMap(({ to }) => (to === undefined ? [] : [to]));
    const kept = placementOf(cluster, partition).filter((nodeId) => !gone.includes(nodeId));
    const lost = gone.some((nodeId) => nodeId !== undefined && cluster.isLost(nodeId));
    const [first] = changes;
    return { partition, target: [...kept, ...come], reason: lost ? 'replace' : (first?.reason ?? 'balance') };
  });
}

/**
 * A node would come again before the move under way has left it out. It may have to be left out for good, and only then be given another
 * replica: one that is in doubt, or forgotten, is not to be taken for one that stays.
 */
export function comesBack({ map, moves }: Pick<Cluster, 'map' | 'moves'>, { partition, target }: Target): boolean {
  const leavingTo = moves.get(partition)?.record.target ?? [];
  const held = placementOf({ map, moves: new Map() }, partition);
  return target.some((nodeId) => held.includes(nodeId) && !leavingTo.includes(nodeId));
}

/** For people, before anything of it is done. */
export function summaryOf(cluster: Cluster, plan: Plan): PlanSummary {
  const moves = plan.moves.map(({ partition, from, to }) => ({
    partition,
    from,
    to,
    bytes: cluster.bytesOf(partition),
  }));
  const arriving = moves.filter(({ to }) => to !== undefined);
  return {
    moves,
    replicas: arriving.length,
    bytes: arriving.reduce((sum, { bytes }) => sum + bytes, 0),
    fraction: plan.fraction,
    ideal: plan.ideal,
    risks: [...plan.problems, ...risksOf(cluster)],
  };
}

function risksOf(cluster: Cluster): readonly string[] {
  const down = members(cluster).filter(({ nodeId }) => !cluster.isUp(nodeId));
  if (down.length === 0) return [];
  const names = down.map(({ nodeId }) => nodeId).join(', ');
  return [`${names} can't be reached: partitions with a replica there bear the loss of one node less until it is back`];
}

function members({ map }: Cluster): readonly MapNode[] {
  return map.nodes.filter(({ standing }) => standing !== 'removed');
}

/** Why a node can't be let go; undefined when it can. */
export function refusalToRemove(cluster: Cluster, nodeId: NodeId): string | undefined {
  const { replicationFactor } = cluster;
  const left = members(cluster).filter(
    (node) => node.nodeId !== nodeId && node.standing === 'up' && !cluster.isLost(node.nodeId),
  );
  if (left.length < replicationFactor) {
    return `${left.length} nodes would be left, and each partition is held by ${replicationFactor}: add a node first`;
  }
  for (const id of allPartitions(cluster)) {
    const holders = placementOf(cluster, id);
    const up = holders.filter((holder) => cluster.isUp(holder));
    if (up.length >= majority(holders.length)) continue;
    return `partition ${id} has no majority now (${up.length} of ${holders.length} nodes are up): bring its nodes back first`;
  }
  return undefined;
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}
