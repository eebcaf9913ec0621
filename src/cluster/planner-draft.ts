/** A placement while it is being planned, with all that a choice depends on: loads, quotas, labels, the ring's proposals. */
import { assert } from '../assert.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import { textHash } from './hash.ts';
import type { PlanNode, PlanPartition, PlanRequest } from './planner.ts';
import { quotasOf } from './planner-quotas.ts';
import { buildRing, compareText, replicasFor, type Ring } from './ring.ts';

/** A node by its position in `Draft.nodes`: a plan for thousands of partitions compares millions of pairs. */
export type Place = number;

export interface DraftPartition {
  readonly id: PartitionId;
  /** Those that held it to begin with and stay. */
  readonly before: readonly Place[];
  /** Those that are to hold it; none twice. */
  readonly holders: readonly Place[];
  /** Nodes that hold it and must give it up, sorted. */
  readonly leaving: readonly NodeId[];
}

/** One replica from one node to another. */
export interface Step {
  readonly from: Place;
  readonly to: Place;
}

/** How many replicas a node should hold. */
export interface Due {
  /** Mostly a fraction. */
  readonly quota: number;
  /** The whole numbers next to it, below and above; the same twice when it is one itself. */
  readonly least: number;
  readonly most: number;
}

interface Entry extends DraftPartition {
  readonly holders: Place[];
  proposed: readonly Place[] | undefined;
}

/** No partition has so many replicas: one more shared zone outweighs any number of shared hosts. */
const zoneWeight = 4096;
/** Quotas are sums of fractions: what differs by less is the same. */
const roundingMax = 1e-6;

export class Draft {
  /** Those that stay, sorted by node id. */
  readonly nodes: readonly PlanNode[];
  /** Those that may be given replicas, and made to give some up. */
  readonly takers: readonly Place[];
  /** Sorted by id. */
  readonly partitions: readonly DraftPartition[];
  readonly replicationFactor: number;
  readonly #loads: Int32Array;
  readonly #loadsBefore: Int32Array;
  readonly #touched: readonly DraftPartition[][];
  readonly #due: readonly Due[];
  readonly #takes: readonly boolean[];
  readonly #zones: Int32Array;
  readonly #hosts: Int32Array;
  readonly #held: readonly Set<DraftPartition>[];
  readonly #places: ReadonlyMap<NodeId, Place>;
  readonly #virtualNodes: number;
  #ring: Ring | undefined;

  constructor({ nodes, partitions, replicationFactor, virtualNodes }: PlanRequest) {
    this.replicationFactor = replicationFactor;
    this.#virtualNodes = virtualNodes;
    this.nodes = nodes
      .filter(({ standing }) => standing !== 'leaves')
      .toSorted((a, b) => compareText(a.nodeId, b.nodeId));
    this.#places = new Map(this.nodes.map(({ nodeId }, place) => [nodeId, place]));
    assert(this.#places.size === this.nodes.length, 'a node is listed twice');
    this.#takes = this.nodes.map(({ standing }) => standing === 'takes');
    this.takers = [...this.nodes.keys()].filter((place) => this.takes(place));
    this.#zones = numbered(this.nodes.map(({ labels }) => labels['zone']));
    this.#hosts = numbered(this.nodes.map(({ labels }) => labels['host']));
    this.#held = this.nodes.map(() => new Set());
    this.#loads = new Int32Array(this.nodes.length);
    this.#touched = this.nodes.map(() => []);
    this.partitions = partitions.toSorted((a, b) => a.id - b.id).map((partition) => this.#enter(partition));
    this.#loadsBefore = this.#loads.slice();
    this.#due = this.#shareOut();
  }

  takes(place: Place): boolean {
    return this.#takes[place] === true;
  }

  load(place: Place): number {
    return this.#loads[place] ?? 0;
  }

  loadBefore(place: Place): number {
    return this.#loadsBefore[place] ?? 0;
  }

  /** Replicas above what is due to the node; below 0 when it has fewer. */
  excess(place: Place): number {
    return this.load(place) - this.due(place).quota;
  }

  due(place: Place): Due {
    return this.#due[place] ?? noneDue;
  }

  /** Whether a replica that moves so brings the two loads nearer to the quotas (the sum of squared differences falls). */
  evens({ from, to }: Step): boolean {
    return this.excess(from) - this.excess(to) > 1 + roundingMax;
  }

  /**
   * The partitions that the node came to hold or whose other holders changed, each time anew, the latest last. Whatever was
   * found out about moving what it holds is as true as it was, but for these and for what it has lost.
   */
  touched(place: Place): readonly DraftPartition[] {
    return this.#touched[place] ?? [];
  }

  heldBy(place: Place): ReadonlySet<DraftPartition> {
    return this.#held[place] ?? new Set();
  }

  /**
   * With how many of the partition's other holders a node shares a zone, then a host, as one number: ring.ts's `labelSharing`.
   * `without` is a holder that is not counted.
   */
  sharing({ holders }: DraftPartition, place: Place, without = place): number {
    const zone = this.#zones[place];
    const host = this.#hosts[place];
    let shared = 0;
    for (const other of holders) {
      if (other === without || other === place) continue;
      if (zone !== unlabelled && this.#zones[other] === zone) shared += zoneWeight;
      if (host !== unlabelled && this.#hosts[other] === host) shared += 1;
    }
    return shared;
  }

  /** Below 0 when the partition would share less after the step. */
  sharingChange(partition: DraftPartition, { from, to }: Step): number {
    return this.sharing(partition, to, from) - this.sharing(partition, from);
  }

  /** Whom the ring of those that may be given replicas proposes, the first choice first; computed when first asked for. */
  proposed(partition: DraftPartition): readonly Place[] {
    const entry = partition as Entry;
    entry.proposed ??= replicasFor(this.#theRing(), textHash(`partition ${entry.id}`), this.replicationFactor).map(
      ({ nodeId }) => this.#places.get(nodeId) as Place,
    );
    return entry.proposed;
  }

  add(partition: DraftPartition, to: Place): void {
    assert(this.takes(to) && !partition.holders.includes(to), () => `partition ${partition.id} cannot go to ${to}`);
    (partition as Entry).holders.push(to);
    this.#count(partition, to);
    this.#touch(partition);
  }

  drop(partition: DraftPartition, from: Place): void {
    const at = partition.holders.indexOf(from);
    assert(this.takes(from) && at !== -1, () => `partition ${partition.id} cannot leave ${from}`);
    (partition as Entry).holders.splice(at, 1);
    this.#held[from]?.delete(partition);
    this.#loads[from] = this.load(from) - 1;
    this.#touch(partition);
  }

  move(partition: DraftPartition, { from, to }: Step): void {
    this.drop(partition, from);
    this.add(partition, to);
  }

  #enter({ id, replicas }: PlanPartition): Entry {
    const held = [...new Set(replicas)].toSorted(compareText);
    const before = held.flatMap((nodeId) => this.#places.get(nodeId) ?? []);
    const leaving = held.filter((nodeId) => !this.#places.has(nodeId));
    const entry: Entry = { id, before, holders: [...before], leaving, proposed: undefined };
    for (const place of before) this.#count(entry, place);
    return entry;
  }

  #count(partition: DraftPartition, place: Place): void {
    this.#held[place]?.add(partition);
    this.#loads[place] = this.load(place) + 1;
  }

  #touch(partition: DraftPartition): void {
    for (const holder of partition.holders) this.#touched[holder]?.push(partition);
  }

  /** Of the replicas that will lie on those that take some, to each its part by weight. */
  #shareOut(): readonly Due[] {
    let total = 0;
    for (const { holders } of this.partitions) {
      const others = holders.filter((place) => !this.takes(place)).length;
      total += Math.min(Math.max(0, this.replicationFactor - others), this.takers.length);
    }
    const weights = this.takers.map((place) => this.nodes[place]?.weight ?? 0);
    const shares = quotasOf({ weights, total, each: this.partitions.length });
    const quotas = new Map(this.takers.map((place, i) => [place, shares[i] ?? 0]));
    return this.nodes.map((_, place) => dueOf(quotas.get(place) ?? 0));
  }

  #theRing(): Ring {
    this.#ring ??= buildRing(
      this.takers.map((place) => this.nodes[place] as PlanNode),
      this.#virtualNodes,
    );
    return this.#ring;
  }
}

function dueOf(quota: number): Due {
  return { quota, least: Math.floor(quota + roundingMax), most: Math.ceil(quota - roundingMax) };
}

const noneDue = dueOf(0);
const unlabelled = -1;

/** Equal labels get equal numbers. */
function numbered(labels: readonly (string | undefined)[]): Int32Array {
  const names = [...new Set(labels)];
  return Int32Array.from(labels, (label) => (label === undefined ? unlabelled : names.indexOf(label)));
}
