/**
 * The partition map as this node knows it: what the founders agreed on, and over it what the metadata group has recorded since.
 * Only ever a directory: who is a member of a group, the group's own log decides, and a map that is old costs time, never safety.
 */
import type { PartitionId } from '../replica/ports.ts';
import type { MapChange, NodeRecord, PartitionRecord, Revised } from './metadata/records.ts';
import { createPartitionMap, type MapNode, type PartitionMap } from './partition-map.ts';
import { compareText } from './ring.ts';
import type { PartitionDescriptor } from './types.ts';

export class LiveMap implements PartitionMap {
  /** The same for good: by it the groups were founded. */
  readonly founding: PartitionMap;
  readonly #nodes = new Map<string, Revised<NodeRecord>>();
  readonly #partitions = new Map<PartitionId, Revised<PartitionRecord>>();
  readonly #listeners: (() => void)[] = [];
  #current: PartitionMap;

  constructor(founding: PartitionMap) {
    this.founding = founding;
    this.#current = founding;
  }

  /** The revision of the newest record that is known; that of the founding is 1. */
  get epoch(): number {
    return this.#current.epoch;
  }

  get nodes(): PartitionMap['nodes'] {
    return this.#current.nodes;
  }

  get partitions(): PartitionMap['partitions'] {
    return this.#current.partitions;
  }

  get metadata(): PartitionDescriptor {
    return this.#current.metadata;
  }

  partitionOf(hash: number): PartitionDescriptor {
    return this.#current.partitionOf(hash);
  }

  partition(id: PartitionId): PartitionDescriptor | undefined {
    return this.#current.partition(id);
  }

  node(nodeId: MapNode['nodeId']): MapNode | undefined {
    return this.#current.node(nodeId);
  }

  /** How often this node came with nothing: 0 for a founder that never did. */
  stayOf(nodeId: MapNode['nodeId']): number {
    return this.#nodes.get(nodeId)?.record.stay ?? 0;
  }

  /** `listener` is called behind every change. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Takes what is newer than what is known, in any order and from anybody who knows it. Returns whether anything was. */
  take({ nodes, partitions }: MapChange): boolean {
    const newerNodes = takeNewer<string, NodeRecord>(this.#nodes, ({ nodeId }) => nodeId, nodes);
    const newerPartitions = takeNewer(this.#partitions, ({ id }) => id, partitions);
    if (newerNodes === 0 && newerPartitions === 0) return false;
    this.#current = this.#build(Math.max(this.epoch, newerNodes, newerPartitions));
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** All records with a revision above `epoch`. */
  changesSince(epoch: number): MapChange {
    const isNewer = ({ revision }: Revised<unknown>): boolean => revision > epoch;
    return {
      nodes: [...this.#nodes.values()].filter(isNewer),
      partitions: [...this.#partitions.values()].filter(isNewer),
    };
  }

  #build(epoch: number): PartitionMap {
    const { founding } = this;
    const founders = founding.nodes.filter(({ nodeId }) => !this.#nodes.has(nodeId));
    const recorded = [...this.#nodes.values()].map(({ record }): MapNode => {
      const { nodeId, http, peer, labels, weight, standing } = record;
      return { nodeId, http, peer, labels, weight, standing };
    });
    const current = (partition: PartitionDescriptor): PartitionDescriptor => {
      const record = this.#partitions.get(partition.id)?.record;
      if (record === undefined) return partition;
      const { epoch: own, incarnation, replicas, preferredLeader } = record;
      return { ...partition, epoch: own, incarnation, replicas, preferredLeader };
    };
    return createPartitionMap({
      epoch,
      nodes: [...founders, ...recorded].toSorted((a, b) => compareText(a.nodeId, b.nodeId)),
      partitions: founding.partitions.map(current),
      metadata: current(founding.metadata),
    });
  }
}

/** The newest revision that was taken; 0 when all was known. */
function takeNewer<Id, Record>(
  known: Map<Id, Revised<Record>>,
  idOf: (record: Record) => Id,
  list: readonly Revised<Record>[],
): number {
  let newest = 0;
  for (const item of list) {
    const { record, revision } = item;
    if (revision <= (known.get(idOf(record))?.revision ?? 0)) continue;
    known.set(idOf(record), item);
    newest = Math.max(newest, revision);
  }
  return newest;
}
