/**
 * A consistent-hash ring (Karger et al. 1997): each node stands at many points of the 32-bit space, and whoever stands
 * next after a point takes it. A node that comes or goes moves only its own share. The points depend on node ids
 * and weights alone, never on the order of a list.
 */
import type { NodeId } from '../replica/ports.ts';
import { textHash } from './hash.ts';

export interface RingNode {
  readonly nodeId: NodeId;
  readonly labels: Readonly<Record<string, string>>;
  /** Its share relative to others; above 0, 1 for a usual node. */
  readonly weight: number;
}

export interface Ring {
  /** Sorted by node id. */
  readonly nodes: readonly RingNode[];
  /** Sorted. */
  readonly points: Uint32Array;
  /** For each point, the position in `nodes` of the node that stands there. */
  readonly owners: Uint16Array;
}

/** `virtualNodes`: the points of a node of weight 1. More points spread more evenly: the share's deviation falls with their square root. */
export function buildRing(nodes: readonly RingNode[], virtualNodes: number): Ring {
  const sorted = nodes.toSorted((a, b) => compareText(a.nodeId, b.nodeId));
  const standing: { readonly point: number; readonly owner: number }[] = [];
  for (const [owner, node] of sorted.entries()) {
    const count = Math.max(1, Math.round(virtualNodes * node.weight));
    for (let i = 0; i < count; i++) standing.push({ point: textHash(`${node.nodeId}#${i}`), owner });
  }
  standing.sort((a, b) => a.point - b.point || a.owner - b.owner);
  return {
    nodes: sorted,
    points: Uint32Array.from(standing, ({ point }) => point),
    owners: Uint16Array.from(standing, ({ owner }) => owner),
  };
}

/**
 * The `count` distinct nodes that take `point`, in the order met clockwise. A node whose `zone` and then `host` label
 * is not yet among the chosen goes before one whose label is; once every zone is taken, the least taken goes first.
 * Fewer than `count` when the ring has fewer nodes.
 */
export function replicasFor(ring: Ring, point: number, count: number): readonly RingNode[] {
  const waiting = distinctFrom(ring, point);
  const chosen: RingNode[] = [];
  while (chosen.length < count && waiting.length > 0) {
    let best = 0;
    let bestSharing = labelSharing(waiting[0] as RingNode, chosen);
    for (let i = 1; i < waiting.length && compareSharing(bestSharing, noSharing) > 0; i++) {
      const sharing = labelSharing(waiting[i] as RingNode, chosen);
      if (compareSharing(sharing, bestSharing) >= 0) continue;
      best = i;
      bestSharing = sharing;
    }
    chosen.push(...waiting.splice(best, 1));
  }
  return chosen;
}

/** How many of a set share a label with a node: compared by zones, then by hosts. */
export interface LabelSharing {
  readonly zones: number;
  readonly hosts: number;
}

const noSharing: LabelSharing = { zones: 0, hosts: 0 };

/** A node without the label is taken to stand alone. */
export function labelSharing(node: RingNode, others: readonly RingNode[]): LabelSharing {
  let zones = 0;
  let hosts = 0;
  const { zone, host } = node.labels;
  for (const other of others) {
    if (zone !== undefined && other.labels['zone'] === zone) zones++;
    if (host !== undefined && other.labels['host'] === host) hosts++;
  }
  return { zones, hosts };
}

/** Below 0 when `a` shares less. */
export function compareSharing(a: LabelSharing, b: LabelSharing): number {
  return a.zones - b.zones || a.hosts - b.hosts;
}

/** By UTF-16 code unit: the same everywhere, whatever the locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Every node once, in the order in which the ring meets them from `point` on. */
function distinctFrom(ring: Ring, point: number): RingNode[] {
  const met: RingNode[] = [];
  const seen = new Uint8Array(ring.nodes.length);
  const start = firstAtOrAfter(ring.points, point);
  for (let step = 0; step < ring.points.length && met.length < ring.nodes.length; step++) {
    const owner = ring.owners[(start + step) % ring.points.length] as number;
    if (seen[owner] === 1) continue;
    seen[owner] = 1;
    met.push(ring.nodes[owner] as RingNode);
  }
  return met;
}

/** Binary search; `points.length` when all are below. */
function firstAtOrAfter(points: Uint32Array, point: number): number {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((points[middle] as number) < point) low = middle + 1;
    else high = middle;
  }
  return low;
}
