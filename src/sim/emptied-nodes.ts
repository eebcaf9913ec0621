/**
 * Nodes lose all that they have stored, and come back under their old names: a disk was replaced, or somebody has emptied the directory.
 * Somebody then asks a member to let them in again, as `main.ts` does, until they are.
 *
 * What the promises cover, and so all that is done here: one node after the other, each once every group is rid of what the one before has
 * forgotten, and where every group keeps a majority. To the rules such a node's replicas are down for good.
 */
import type { NodeId } from '../replica/ports.ts';
import type { Random } from './random.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';

export interface EmptiedNodesOptions {
  readonly world: World;
  readonly random: Random;
  readonly nodes: readonly SimNode[];
  /** Between two attempts on average, ms; 0 for none. */
  readonly everyMs: number;
}

const askEveryMs = 1000;
const answerWithinMs = 5000;

export class EmptiedNodes {
  /** How often a node was emptied. */
  count = 0;
  readonly #options: EmptiedNodesOptions;
  /** Emptied, and not let in again. */
  readonly #outside = new Set<SimNode>();
  #stopped = false;

  constructor(options: EmptiedNodesOptions) {
    this.#options = options;
  }

  start(): void {
    const { world, random, everyMs } = this.#options;
    if (everyMs === 0) return;
    world.scheduler.after(random.exponential(everyMs), () => {
      if (this.#stopped) return;
      this.#attempt();
      this.start();
    });
  }

  /** No more are emptied; those that are come back. */
  stop(): void {
    this.#stopped = true;
  }

  /** Those that are not let in again yet. */
  outside(): readonly NodeId[] {
    return [...this.#outside].map(({ nodeId }) => nodeId);
  }

  #attempt(): void {
    const { world, random, nodes } = this.#options;
    const node = random.pick(nodes);
    if (node.starts === 0 || !world.judge.bearsLossOf(node.nodeId)) return;
    node.empty();
    this.count += 1;
    world.scheduler.after(random.magnitude(50, 5000), () => node.start());
    if (this.#outside.has(node)) return;
    this.#outside.add(node);
    this.#askLater(node, askEveryMs);
  }

  #askLater(node: SimNode, delayMs: number): void {
    const { scheduler } = this.#options.world;
    scheduler.after(delayMs, () => {
      if (!node.disk.isUnformed()) return void this.#outside.delete(node);
      this.#ask(node);
      this.#askLater(node, askEveryMs);
    });
  }

  #ask(node: SimNode): void {
    const { world, random, nodes } = this.#options;
    const { nodeId } = node;
    const [asked] = random.shuffle(nodes.filter((other) => other !== node && other.facade() !== undefined));
    const facade = asked?.facade();
    if (asked === undefined || facade === undefined) return;
    const known = world.map.node(nodeId);
    const { http, peer } = known ?? { http: `http://${nodeId}:1`, peer: `${nodeId}:1` };
    asked.run(() => {
      const options = { dryRun: false, deadlineAt: facade.nowMs() + answerWithinMs };
      const change = { type: 'add_node', node: { nodeId, http, peer, labels: {}, weight: 1 } } as const;
      asked.counted(facade.changeCluster(change, options)).then(
        (outcome) => {
          const detail = 'detail' in outcome ? outcome.detail : '';
          world.trace.text(`again ${outcome.type}`);
          world.trace.note(() => `${nodeId} asks to be let in again: ${outcome.type} ${detail}`);
        },
        (error: unknown) => world.violated(error),
      );
    });
  }
}
