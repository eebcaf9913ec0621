/** Who is to lead which partition once loads have shifted: as even as the replicas allow, by as few transfers as that takes. */
import type { NodeId, PartitionId } from '../replica/ports.ts';
import { Leaderships, type Passing } from './planner-leaderships.ts';
import { compareText } from './ring.ts';

export interface LedPartition {
  readonly id: PartitionId;
  readonly replicas: readonly NodeId[];
  /** Undefined when nobody is known to lead. One that has no replica, or may not lead, counts as none. */
  readonly leader: NodeId | undefined;
}

export interface LeadersRequest {
  readonly partitions: readonly LedPartition[];
  /** A partition with no replica on any of these is left alone. */
  readonly mayLead: ReadonlySet<NodeId>;
}

/**
 * Only the partitions that should be led by another node than now; one without a leader is among them if a replica may lead.
 * The sum of squared numbers of leaderships is the lowest possible, and no smaller set of changes gets it there.
 *
 * A minimum-cost flow by successive shortest paths (Ahuja, Magnanti, Orlin 1993, section 9.7): leaderships are passed along
 * chains of partitions, from the node for which that evens out most, by the cheapest chain. A passing costs one when the leader of today
 * steps down, nothing when another was to follow it anyway, and gives one back when it is to stay after all.
 */
export function evenerLeaders({ partitions, mayLead }: LeadersRequest): ReadonlyMap<PartitionId, NodeId> {
  const sorted = partitions.toSorted((a, b) => a.id - b.id);
  const eligible = sorted.map(({ replicas }) => [...new Set(replicas)].filter((nodeId) => mayLead.has(nodeId)));
  const nodes = [...new Set(eligible.flat())].toSorted(compareText);
  const places = new Map(nodes.map((nodeId, place) => [nodeId, place]));
  const leaderships = new Leaderships(
    nodes.length,
    sorted.map(({ leader }, i) => {
      const candidates = (eligible[i] ?? []).map((nodeId) => places.get(nodeId) as number).toSorted((a, b) => a - b);
      const led = leader === undefined ? undefined : places.get(leader);
      return { candidates, before: led !== undefined && candidates.includes(led) ? led : undefined };
    }),
  );
  for (let chain = cheapestChain(leaderships); chain.length > 0; chain = cheapestChain(leaderships)) {
    // From the far end on: so the link that is passed on next is still the one that the chain was made of.
    for (const passing of chain) leaderships.pass(passing);
  }
  return new Map(
    leaderships
      .changed()
      .map(({ partition, leader }) => [(sorted[partition] as LedPartition).id, nodes[leader] as NodeId]),
  );
}

/**
 * From the light end to the heavy one; empty when none evens anything out or saves a change. Bellman and Ford: all nodes begin
 * with what it is worth to take one leadership from them. An unevenness outweighs any number of changes.
 */
function cheapestChain(leaderships: Leaderships): readonly Passing[] {
  const { count, loads } = leaderships;
  const unevenness = 2 * count + 1;
  const costs = Int32Array.from(loads, (load) => -unevenness * load);
  const cameFrom = new Int32Array(count).fill(-1);
  const waiting = new Set<number>(loads.keys());
  // A set iterates over what is added meanwhile too. No cycle costs less than nothing, so it ends.
  for (const from of waiting) {
    waiting.delete(from);
    for (let to = 0; to < count; to++) {
      const cost = (costs[from] as number) + leaderships.cost({ from, to });
      if (cost >= (costs[to] as number)) continue;
      costs[to] = cost;
      cameFrom[to] = from;
      waiting.add(to);
    }
  }
  return backFrom(lightEnd(loads, costs, unevenness), cameFrom);
}

/** Undefined when no chain is worth it: with one more at its end than before, one fewer at its beginning, and its cost. */
function lightEnd(loads: Int32Array, costs: Int32Array, unevenness: number): number | undefined {
  let best: number | undefined;
  let bestWorth = 0;
  for (const [place, load] of loads.entries()) {
    const worth = (costs[place] as number) + unevenness * (load + 1);
    if (worth >= bestWorth) continue;
    best = place;
    bestWorth = worth;
  }
  return best;
}

function backFrom(end: number | undefined, cameFrom: Int32Array): readonly Passing[] {
  const chain: Passing[] = [];
  if (end === undefined) return chain;
  for (let to = end, from = cameFrom[to] as number; from !== -1; to = from, from = cameFrom[to] as number) {
    chain.push({ from, to });
  }
  return chain;
}
