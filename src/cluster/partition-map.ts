/** Which partition owns a hash, and which nodes hold the partition. */
import { assert } from '../assert.ts';
import type { BootstrapConfig } from '../config.ts';
import type { ReplicaId } from '../raft/types.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import { metadataPartition, type NodeStanding } from './metadata/records.ts';
import { bootstrapProblems } from './founding.ts';
import { textHash } from './hash.ts';
import { evenLeaders, evenReplicas } from './placement.ts';
import { buildRing, compareText, replicasFor } from './ring.ts';
import type { NodeDescriptor, PartitionDescriptor } from './types.ts';

const hashSpace = 0x1_0000_0000;
/** Points of a founder on the ring; part of founding version 1 and never changed. */
const foundingVirtualNodes = 64;

/** A node as the map has it. */
export interface MapNode extends NodeDescriptor {
  /** Its share of replicas relative to others; above 0. */
  readonly weight: number;
  readonly standing: NodeStanding;
}

export interface PartitionMap {
  /** Grows with every change of the map. */
  readonly epoch: number;
  /** Sorted by node id; those that were removed are among them. */
  readonly nodes: readonly MapNode[];
  /** All that hold keys, sorted by range. */
  readonly partitions: readonly PartitionDescriptor[];
  /** The metadata group, which holds none. */
  readonly metadata: PartitionDescriptor;
  /** The owner of `hash` (0 to 2^32 - 1), found by binary search. */
  partitionOf(hash: number): PartitionDescriptor;
  /** The metadata group, too, by its id. */
  partition(id: PartitionId): PartitionDescriptor | undefined;
  node(nodeId: NodeId): MapNode | undefined;
}

/** All nodes but those that were removed. */
export function memberNodes({ nodes }: Pick<PartitionMap, 'nodes'>): readonly MapNode[] {
  return nodes.filter(({ standing }) => standing !== 'removed');
}

/** Partitions, the metadata group among them, that have fewer replicas than they should and could. */
export function lackingReplicas(map: PartitionMap, replicationFactor: number): readonly PartitionId[] {
  const holders = map.nodes.filter(({ standing }) => standing === 'up').length;
  const due = Math.min(replicationFactor, holders);
  return [map.metadata, ...map.partitions].flatMap(({ id, replicas }) => (replicas.length < due ? [id] : []));
}

/**
 * The map that a founding list leads to. The same for every founder and for good.
 * Throws a RangeError that says all that is wrong with the list.
 */
export function buildPartitionMap(founding: BootstrapConfig): PartitionMap {
  const problems = bootstrapProblems(founding);
  if (problems.length > 0) throw new RangeError(`bootstrap: ${problems.join('; ')}`);
  const nodes = founding.nodes
    .map(({ nodeId, http, peer, labels }): MapNode => {
      return { nodeId: nodeId as NodeId, http, peer, labels: labels ?? {}, weight: 1, standing: 'up' };
    })
    .toSorted((a, b) => compareText(a.nodeId, b.nodeId));
  const ring = buildRing(
    nodes.map(({ nodeId, labels }) => ({ nodeId, labels, weight: 1 })),
    foundingVirtualNodes,
  );
  const ids = Array.from({ length: founding.partitions }, (_, i) => (i + 1) as PartitionId);
  const proposed = ids.map((id) => replicasFor(ring, textHash(`partition ${id}`), founding.replicationFactor));
  const placements = evenReplicas(proposed, ring.nodes).map((replicas) => replicas.map(({ nodeId }) => nodeId));
  const leaders = evenLeaders(placements);
  const partitions = ids.map((id, i) => ({
    id,
    from: rangeStart(i, founding.partitions),
    to: rangeStart(i + 1, founding.partitions) - 1,
    epoch: 1,
    incarnation: 1,
    replicas: (placements[i] ?? []).map((nodeId, r) => ({ replicaId: (r + 1) as ReplicaId, nodeId })),
    preferredLeader: leaders[i] as NodeId,
  }));
  const ofMetadata = replicasFor(ring, textHash(`partition ${metadataPartition}`), founding.replicationFactor);
  const metadata: PartitionDescriptor = {
    id: metadataPartition,
    from: 0,
    to: 0,
    epoch: 1,
    incarnation: 1,
    replicas: ofMetadata.map(({ nodeId }, r) => ({ replicaId: (r + 1) as ReplicaId, nodeId })),
    preferredLeader: ofMetadata[0]?.nodeId as NodeId,
  };
  return createPartitionMap({ epoch: 1, nodes, partitions, metadata });
}

/** Where the i-th of `count` equal shares begins; exact, as i times 2^32 stays below 2^53. */
function rangeStart(i: number, count: number): number {
  return Math.floor((i * hashSpace) / count);
}

export type MapContent = Pick<PartitionMap, 'epoch' | 'nodes' | 'partitions' | 'metadata'>;

/** Indexes a map's content. Its ranges must cover the hash space without gap or overlap. */
export function createPartitionMap({ epoch, nodes, partitions, metadata }: MapContent): PartitionMap {
  let next = 0;
  for (const { id, from, to } of partitions) {
    assert(from === next && to >= from, () => `partition ${id} owns [${from}, ${to}], expected to begin at ${next}`);
    next = to + 1;
  }
  assert(next === hashSpace, () => `the partitions end at ${next - 1}`);
  const starts = Uint32Array.from(partitions, ({ from }) => from);
  const byId = new Map([metadata, ...partitions].map((partition) => [partition.id, partition]));
  const nodesById = new Map(nodes.map((node) => [node.nodeId, node]));
  assert(byId.size === partitions.length + 1, 'a partition id is used twice');
  return {
    epoch,
    nodes,
    partitions,
    metadata,
    partitionOf: (hash) => partitions[lastAtOrBefore(starts, hash)] as PartitionDescriptor,
    partition: (id) => byId.get(id),
    node: (nodeId) => nodesById.get(nodeId),
  };
}

/** Binary search; `starts[0]` is 0, so there always is one. */
function lastAtOrBefore(starts: Uint32Array, hash: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((starts[middle] as number) <= hash) low = middle;
    else high = middle - 1;
  }
  return low;
}
