/**
 * Which way each write to a partition goes in: through which node, and by redirect or by forwarding. No two under way go the same way
 * while there is another. Clients of a node that stands still wait for it; were all of a partition's allowed to, what is measured
 * would be their patience, and not for how long the partition took no write.
 */
import type { TestNode } from '../testing/cluster.ts';

export type Route = 'redirect' | 'forward';

export interface Way {
  readonly node: TestNode;
  readonly route: Route;
}

const routes: readonly Route[] = ['redirect', 'forward'];

/** So many writers of a partition find a way each. */
export function waysOf(nodes: number): number {
  return nodes * routes.length;
}

export class Ways {
  readonly #random: () => number;
  /** By partition, node and route. */
  readonly #taken = new Map<string, number>();

  /** `random`: in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** One of those that are taken by the fewest. Give it back at the end. */
  take(partition: number, nodes: readonly TestNode[]): Way {
    const all = nodes.flatMap((node) => routes.map((route): Way => ({ node, route })));
    const takenBy = all.map((way) => this.#taken.get(nameOf(partition, way)) ?? 0);
    const fewest = Math.min(...takenBy);
    const free = all.filter((_, index) => takenBy[index] === fewest);
    const way = free[Math.floor(this.#random() * free.length)];
    if (way === undefined) throw new Error('a cluster has nodes');
    this.#taken.set(nameOf(partition, way), fewest + 1);
    return way;
  }

  giveBack(partition: number, way: Way): void {
    const name = nameOf(partition, way);
    this.#taken.set(name, (this.#taken.get(name) ?? 0) - 1);
  }
}

function nameOf(partition: number, { node, route }: Way): string {
  return `${partition} ${node.nodeId} ${route}`;
}
