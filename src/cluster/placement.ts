/**
 * Who holds which partition when the cluster is founded. The ring proposes; then replicas are moved from heavy nodes to
 * light ones until that is even, and leaders are chosen evenly. Deterministic, and frozen with founding version 1: every
 * founder computes the same map from the same text, today and in later versions.
 *
 * The ring alone leaves nodes tens of per cent apart at a dozen partitions. Consistent hashing with bounded loads
 * (Mirrokni, Thorup, Zadimoghaddam 2018) bounds the heaviest node but may still starve the last; at founding nothing is stored
 * yet and moving costs nothing, so the bound here is the best possible one.
 */
import type { NodeId } from '../replica/ports.ts';
import { compareSharing, labelSharing, type RingNode } from './ring.ts';

/**
 * Moves replicas until no single move from a heavier to a lighter node would even things out without sharing more zones
 * or hosts. Without labels any two nodes then differ by at most one replica: a node with two more than another
 * holds some partition that the other does not, and that replica would have moved. Each move lowers the sum of squared
 * loads, so it ends.
 */
export function evenReplicas(
  proposed: readonly (readonly RingNode[])[],
  nodes: readonly RingNode[],
): readonly (readonly RingNode[])[] {
  const placements = proposed.map((replicas) => [...replicas]);
  const loads = new Map<NodeId, number>(nodes.map(({ nodeId }) => [nodeId, 0]));
  for (const { nodeId } of placements.flat()) loads.set(nodeId, loadOf(loads, nodeId) + 1);
  for (let moved = true; moved;) {
    moved = false;
    for (const replicas of placements) {
      // Moves never lower the lightest load: a node below this has nobody to give to.
      const enough = lightestLoad(loads) + 2;
      for (const [slot, { nodeId }] of replicas.entries()) {
        if (loadOf(loads, nodeId) < enough) continue;
        const lighter = lightestReplacement({ replicas, slot, nodes, loads });
        if (lighter === undefined) continue;
        loads.set(nodeId, loadOf(loads, nodeId) - 1);
        loads.set(lighter.nodeId, loadOf(loads, lighter.nodeId) + 1);
        replicas[slot] = lighter;
        moved = true;
      }
    }
  }
  return placements;
}

interface Slot {
  readonly replicas: readonly RingNode[];
  readonly slot: number;
  readonly nodes: readonly RingNode[];
  readonly loads: ReadonlyMap<NodeId, number>;
}

function lightestReplacement({ replicas, slot, nodes, loads }: Slot): RingNode | undefined {
  const current = replicas[slot] as RingNode;
  const others = replicas.toSpliced(slot, 1);
  const sharing = labelSharing(current, others);
  let best: RingNode | undefined;
  let bestLoad = loadOf(loads, current.nodeId) - 1;
  for (const node of nodes) {
    const load = loadOf(loads, node.nodeId);
    if (load >= bestLoad || replicas.includes(node)) continue;
    if (compareSharing(labelSharing(node, others), sharing) > 0) continue;
    best = node;
    bestLoad = load;
  }
  return best;
}

/**
 * One leader for each partition out of its replicas, as evenly as the replicas allow: an optimal semi-matching (Harvey,
 * Ladner, Lovász, Tamir 2006). Greedy first; then, as long as leaderships can be passed along a chain of partitions
 * from a node to one that leads at least two fewer, they are. When no such chain is left, no choice is more even.
 */
export function evenLeaders(placements: readonly (readonly NodeId[])[]): readonly NodeId[] {
  const loads = new Map<NodeId, number>(placements.flat().map((nodeId) => [nodeId, 0]));
  const leaders = placements.map((replicas) => {
    const lightest = replicas.reduce((best, nodeId) => (loadOf(loads, nodeId) < loadOf(loads, best) ? nodeId : best));
    loads.set(lightest, loadOf(loads, lightest) + 1);
    return lightest;
  });
  const names = [...loads.keys()];
  for (let passed = true; passed;) {
    passed = false;
    for (const heavy of names) passed = maybePassLeadership({ placements, leaders, loads, heavy }) || passed;
  }
  return leaders;
}

interface Leaderships {
  readonly placements: readonly (readonly NodeId[])[];
  readonly leaders: NodeId[];
  readonly loads: Map<NodeId, number>;
  readonly heavy: NodeId;
}

/** Breadth-first from `heavy` over "leads a partition of which … is a replica". */
function maybePassLeadership({ placements, leaders, loads, heavy }: Leaderships): boolean {
  if (loadOf(loads, heavy) < lightestLoad(loads) + 2) return false;
  const reachedBy = new Map<NodeId, { readonly partition: number; readonly from: NodeId }>();
  const queue = [heavy];
  for (let from = queue.shift(); from !== undefined; from = queue.shift()) {
    for (const [partition, replicas] of placements.entries()) {
      if (leaders[partition] !== from) continue;
      for (const nodeId of replicas) {
        if (nodeId === heavy || reachedBy.has(nodeId)) continue;
        reachedBy.set(nodeId, { partition, from });
        queue.push(nodeId);
      }
    }
  }
  const light = [...reachedBy.keys()].find((nodeId) => loadOf(loads, nodeId) <= loadOf(loads, heavy) - 2);
  if (light === undefined) return false;
  for (let to = light; to !== heavy;) {
    const link = reachedBy.get(to);
    if (link === undefined) break;
    leaders[link.partition] = to;
    to = link.from;
  }
  loads.set(heavy, loadOf(loads, heavy) - 1);
  loads.set(light, loadOf(loads, light) + 1);
  return true;
}

function loadOf(loads: ReadonlyMap<NodeId, number>, nodeId: NodeId): number {
  return loads.get(nodeId) ?? 0;
}

function lightestLoad(loads: ReadonlyMap<NodeId, number>): number {
  return Math.min(...loads.values());
}
