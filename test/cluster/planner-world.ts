/** Clusters to plan for, and what a plan makes of them. */
import {
  planMoves,
  type Plan,
  type Planned,
  type PlanNode,
  type PlanPartition,
  type PlanRequest,
} from '../../src/cluster/planner.ts';
import { compareSharing, labelSharing, type LabelSharing } from '../../src/cluster/ring.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';

export function node(nodeId: string, more: Partial<Omit<PlanNode, 'nodeId'>> = {}): PlanNode {
  return { nodeId: nodeId as NodeId, labels: {}, weight: 1, standing: 'takes', ...more };
}

/** n1, n2, … */
export function nodes(count: number, labels: (i: number) => Readonly<Record<string, string>> = () => ({})): PlanNode[] {
  return Array.from({ length: count }, (_, i) => node(`n${i + 1}`, { labels: labels(i) }));
}

/** The same nodes, some of them of another standing. */
export function standing(members: readonly PlanNode[], changed: Record<string, PlanNode['standing']>): PlanNode[] {
  return members.map((member) => ({ ...member, standing: changed[member.nodeId] ?? member.standing }));
}

/** Partitions 1, 2, … by their replicas, `'n1 n2 n3'` each. */
export function partitions(...replicas: readonly string[]): readonly PlanPartition[] {
  return replicas.map((names, i) => ({
    id: (i + 1) as PartitionId,
    replicas: names.split(' ').filter((name) => name !== '') as NodeId[],
    bytes: 1,
  }));
}

/** `count` partitions that nobody holds yet: planning gives them their first replicas. */
export function unplaced(count: number): readonly PlanPartition[] {
  return partitions(...Array.from({ length: count }, () => ''));
}

export function request(
  members: readonly PlanNode[],
  held: readonly PlanPartition[],
  more: Partial<PlanRequest> = {},
): PlanRequest {
  return { nodes: members, partitions: held, replicationFactor: 3, virtualNodes: 64, balance: true, ...more };
}

/** A balanced cluster. */
export function settled(members: readonly PlanNode[], count: number, replicationFactor = 3): readonly PlanPartition[] {
  const asked = request(members, unplaced(count), { replicationFactor });
  return after(asked, planMoves(asked));
}

/** The partitions once the plan is carried out. Throws where a move is not one that could be made. */
export function after(asked: PlanRequest, plan: Plan): readonly PlanPartition[] {
  const byPartition = new Map<PartitionId, Planned[]>(asked.partitions.map(({ id }) => [id, []]));
  for (const move of plan.moves) byPartition.get(move.partition)?.push(move);
  return asked.partitions.map((partition) => {
    const holders = new Set(partition.replicas);
    const moves = byPartition.get(partition.id) ?? [];
    for (const { from, to } of moves) {
      if (from === undefined && to === undefined) throw new Error(`a move of ${partition.id} from and to nowhere`);
      if (from !== undefined && !holders.delete(from)) throw new Error(`${partition.id} does not lie on ${from}`);
    }
    for (const { to } of moves) {
      if (to === undefined) continue;
      if (holders.has(to)) throw new Error(`${partition.id} already lies on ${to}`);
      holders.add(to);
    }
    return { ...partition, replicas: [...holders] };
  });
}

/** By node, in the order of the request. */
export function loads(members: readonly PlanNode[], held: readonly PlanPartition[]): readonly number[] {
  const counts = new Map<NodeId, number>();
  for (const nodeId of held.flatMap(({ replicas }) => replicas)) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  return members.map(({ nodeId }) => counts.get(nodeId) ?? 0);
}

export function spread(numbers: readonly number[]): number {
  return Math.max(...numbers) - Math.min(...numbers);
}

/** Pairs of replicas of one partition that share a zone, and a host. */
export function sharing(members: readonly PlanNode[], { replicas }: PlanPartition): LabelSharing {
  const holders = members.filter(({ nodeId }) => replicas.includes(nodeId));
  const shared = holders.map((holder, i) => labelSharing(holder, holders.slice(i + 1)));
  return {
    zones: shared.reduce((sum, { zones }) => sum + zones, 0),
    hosts: shared.reduce((sum, { hosts }) => sum + hosts, 0),
  };
}

/** The partitions that share more zones, or then hosts, than they did. */
export function worse(
  members: readonly PlanNode[],
  old: readonly PlanPartition[],
  made: readonly PlanPartition[],
): readonly PartitionId[] {
  return old
    .filter((partition, i) => {
      const now = sharing(members, made[i] as PlanPartition);
      return compareSharing(now, sharing(members, partition)) > 0;
    })
    .map(({ id }) => id);
}
