/**
 * Who leads the partition of a key, as far as this client has heard. Only ever a hint: a wrong one costs a redirect.
 *
 * Ranges come from the partition map, which is fetched once a redirect has shown that it would spare others; leaders come
 * from it, from redirects and from every answer.
 */
import { keyHash } from '../cluster/hash.ts';
import type { PartitionStatus } from './options.ts';

export interface LeaderHint {
  /** URL without a trailing slash. */
  readonly node: string;
  readonly term: number;
}

interface Range {
  readonly from: number;
  readonly partition: number;
}

export class Leaders {
  /** Sorted; empty until the map is there. */
  #ranges: readonly Range[] = [];
  readonly #hints = new Map<number, LeaderHint>();

  get hasMap(): boolean {
    return this.#ranges.length > 0;
  }

  /** Undefined until the map is there. */
  partitionOf(key: Uint8Array): number | undefined {
    if (this.#ranges.length === 0) return undefined;
    const hash = keyHash(key);
    // The first range begins at 0, so that there always is one at or before the hash.
    let [low, high] = [0, this.#ranges.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#ranges[middle] as Range).from <= hash) low = middle;
      else high = middle - 1;
    }
    return this.#ranges[low]?.partition;
  }

  leaderOf(partition: number): string | undefined {
    return this.#hints.get(partition)?.node;
  }

  /** `nodeUrls`: by node id. */
  takeMap(partitions: readonly PartitionStatus[], nodeUrls: ReadonlyMap<string, string>): void {
    this.#ranges = partitions
      .map(({ id, range }) => ({ from: range[0], partition: id }))
      .toSorted((one, other) => one.from - other.from);
    const ids = new Set(partitions.map(({ id }) => id));
    for (const partition of this.#hints.keys()) if (!ids.has(partition)) this.#hints.delete(partition);
    for (const { id, leader, term } of partitions) {
      const node = leader === null ? undefined : nodeUrls.get(leader);
      if (node !== undefined) this.learn(id, { node, term });
    }
  }

  /** A hint of an older term than the one known is old news. */
  learn(partition: number, hint: LeaderHint): void {
    if (hint.term >= (this.#hints.get(partition)?.term ?? 0)) this.#hints.set(partition, hint);
  }

  /** `node` does not lead it, or not any more. */
  drop(partition: number, node: string): void {
    if (this.#hints.get(partition)?.node === node) this.#hints.delete(partition);
  }

  /** The node can't be reached: it leads nothing that we could use. */
  dropNode(node: string): void {
    for (const partition of this.#hints.keys()) this.drop(partition, node);
  }
}
