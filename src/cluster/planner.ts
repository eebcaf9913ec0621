/**
 * Who is to hold which partition, as nodes come, go and fail: from the placement as it is to the moves that mend it.
 *
 * Unlike the founding placement (placement.ts), where nothing is stored yet, each replica that moves costs its bytes. So a
 * plan first does what must be done, then evens out, and moves no more than that takes. What is left to choose the ring
 * decides, by which a node that comes or goes concerns only its own share. Deterministic, whatever the order of the lists;
 * a second plan, made of what the first one leads to, is empty.
 */
import type { NodeId, PartitionId } from '../replica/ports.ts';
import { balance } from './planner-balance.ts';
import { evenLoads } from './planner-chains.ts';
import { Draft } from './planner-draft.ts';
import { Links } from './planner-links.ts';
import { changesOf, isArrival, leastArrivals } from './planner-outcome.ts';
import { placeWhatMust } from './planner-placing.ts';
import { problemsOf } from './planner-problems.ts';

export interface PlanNode {
  readonly nodeId: NodeId;
  readonly labels: Readonly<Record<string, string>>;
  /** Its share relative to others; above 0, 1 for a usual node. */
  readonly weight: number;
  /**
   * `takes`: may be given replicas. `keeps`: is given none now and loses none, as it is down for a moment or about to join.
   * `leaves`: must give up all that it has, drained or down for good.
   */
  readonly standing: 'takes' | 'keeps' | 'leaves';
}

export interface PlanPartition {
  readonly id: PartitionId;
  /** As they are, or as moves under way will make them. A node that is not among the request's counts as one that leaves. */
  readonly replicas: readonly NodeId[];
  /** For whoever carries the plan out; replicas are counted, not weighed. */
  readonly bytes: number;
}

export interface PlanRequest {
  readonly nodes: readonly PlanNode[];
  readonly partitions: readonly PlanPartition[];
  readonly replicationFactor: number;
  /** Points on the ring of a node of weight 1. */
  readonly virtualNodes: number;
  /** Beyond what must be: even out. */
  readonly balance: boolean;
}

/** One replica that goes from one node to another; without `from` one more, without `to` one fewer. */
export interface Planned {
  readonly partition: PartitionId;
  readonly from: NodeId | undefined;
  readonly to: NodeId | undefined;
  readonly reason: 'drain' | 'repair' | 'balance';
}

export interface Plan {
  /** Sorted by partition; several of one partition are meant to be done at once. */
  readonly moves: readonly Planned[];
  /** Replicas that some node is given, of all that there are to be. */
  readonly fraction: number;
  /**
   * The same of a plan that moves as few as possible, and so never above `fraction`: whatever leaves or is missing and can be
   * placed; with `balance` also what nodes lack to the whole part of their quotas, or have above it. For a node that labels keep
   * from its quota, the load that this plan gives it stands for it. What only separates shared zones and hosts is not counted.
   */
  readonly ideal: number;
  /** For people: what could not be placed, and why. */
  readonly problems: readonly string[];
}

/**
 * - What a leaving node has is placed elsewhere, missing replicas are added, superfluous ones go: so that as few zones, then
 *   hosts, are shared as can be, and within that evenly. What no node is free to take stays where it is.
 * - With `balance` replicas then move as long as that separates some that share a zone or host, or brings loads nearer to the
 *   quotas: all replicas of those that take, shared out by weight. No such move makes a partition share more. Where all nodes
 *   take and none has labels, every load ends less than one from its quota.
 * - No node has two replicas of a partition, and no partition ends with fewer than it had, up to the replication factor.
 *   One that has more does so only as nodes that keep theirs hold them.
 */
export function planMoves(request: PlanRequest): Plan {
  const draft = new Draft(request);
  placeWhatMust(draft);
  // What moves anyway may as well go where it evens out most.
  evenLoads(draft, new Links(draft, 'free'));
  if (request.balance) balance(draft);
  const moves = draft.partitions.flatMap((partition) => changesOf(draft, partition));
  const replicas = Math.max(1, draft.partitions.length * draft.replicationFactor);
  return {
    moves,
    fraction: moves.filter(isArrival).length / replicas,
    ideal: leastArrivals(draft, request.balance) / replicas,
    problems: problemsOf(draft),
  };
}
