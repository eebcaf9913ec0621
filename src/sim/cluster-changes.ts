/**
 * Asks for changes of the cluster while everything else goes wrong: nodes come that were not there when it was founded, others are drained,
 * what they hold is evened out. Whatever was begun must come to its end once nothing goes wrong any more, and the directory must
 * then say what the groups themselves do.
 */
import type { ClusterChange, NodeFacade } from '../cluster/types.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import type { Random } from './random.ts';
import type { SimNode } from './sim-node.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

export interface ClusterChangesOptions {
  readonly world: World;
  readonly random: Random;
  readonly nodes: readonly SimNode[];
  /** Those that were not among the founders. */
  readonly reserve: readonly SimNode[];
  /** Between two attempts on average, ms; 0 for none. */
  readonly everyMs: number;
  readonly replicationFactor: number;
}

/** How long a change may take to be answered. */
const changeTimeoutMs = 5000;

export class ClusterChanges {
  /** Changes that were taken on. */
  count = 0;
  readonly #options: ClusterChangesOptions;
  /** Asked to go, be it that the answer was lost. */
  readonly #asked = new Set<NodeId>();
  #stopped = false;

  constructor(options: ClusterChangesOptions) {
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

  stop(): void {
    this.#stopped = true;
  }

  /** What is not settled yet, in words; undefined when all that was begun has come to its end. */
  async unsettled(): Promise<string | undefined> {
    const { world } = this.#options;
    const member = await this.#memberAsked();
    if (member === undefined) return 'no member is up';
    const { asked, facade } = member;
    const outcome = await asked.counted(facade.operations(facade.nowMs() + changeTimeoutMs));
    if (outcome.type !== 'operations') return outcome.detail;
    const [moving] = outcome.operations;
    if (moving !== undefined)
      return `partition ${moving.partition} moves to ${moving.to.join(', ')}: ${moving.blockedBy ?? moving.step}`;
    const cluster = await asked.counted(facade.clusterStatus());
    const onItsWay = cluster.nodes.find(({ state }) => state === 'draining' || state === 'joining');
    if (onItsWay !== undefined) return `${onItsWay.nodeId} is ${onItsWay.state}`;
    const removed = new Set(cluster.nodes.filter(({ state }) => state === 'removed').map(({ nodeId }) => nodeId));
    const partitions = [
      await asked.counted(facade.metadataStatus()),
      ...(await asked.counted(facade.partitionStatus())),
    ];
    for (const { id, replicas } of partitions) {
      const members = this.#membersOf(id);
      const listed = replicas.map(({ nodeId }) => nodeId);
      if (members === undefined) return `partition ${id} has no leader`;
      if (members.some((nodeId) => removed.has(nodeId))) {
        throw new Violation('directory', `${members.join(', ')} hold partition ${id}, and one of them was removed`, id);
      }
      if (members.toSorted().join() === listed.toSorted().join()) continue;
      return `partition ${id} is held by ${members.join(', ')}, and the directory of ${asked.nodeId} says ${listed.join(', ')}`;
    }
    world.trace.note(() => `settled: ${cluster.nodes.map(({ nodeId, state }) => `${nodeId} ${state}`).join(', ')}`);
    return undefined;
  }

  /** A node that was removed is told of no change any more: what its map says may be old for good (seed 7413522). */
  async #memberAsked(): Promise<{ readonly asked: SimNode; readonly facade: NodeFacade } | undefined> {
    for (const asked of this.#options.nodes) {
      const facade = asked.facade();
      if (facade === undefined) continue;
      const { nodes } = await asked.counted(facade.clusterStatus());
      if (nodes.find(({ nodeId }) => nodeId === asked.nodeId)?.state !== 'removed') return { asked, facade };
    }
    return undefined;
  }

  #membersOf(id: PartitionId): readonly NodeId[] | undefined {
    for (const node of this.#options.nodes) {
      const status = node.replica(id)?.status();
      if (status?.role === 'leader') return [...status.configuration.hosts.values()] as NodeId[];
    }
    return undefined;
  }

  #attempt(): void {
    const { random, nodes } = this.#options;
    const change = this.#draw();
    const [asked] = random.shuffle(nodes.filter((node) => node.facade() !== undefined));
    if (change === undefined || asked === undefined) return;
    const facade = asked.facade();
    if (facade === undefined) return;
    const dryRun = random.chance(0.1);
    if (change.type === 'remove_node' && !dryRun) this.#asked.add(change.nodeId);
    asked.run(() => {
      const changed = facade.changeCluster(change, { dryRun, deadlineAt: facade.nowMs() + changeTimeoutMs });
      asked.counted(changed).then(
        (outcome) => this.#told(change, dryRun, outcome),
        (error: unknown) => this.#options.world.violated(error),
      );
    });
  }

  #told(change: ClusterChange, dryRun: boolean, outcome: { readonly type: string; readonly detail?: string }): void {
    const { trace } = this.#options.world;
    trace.text(`${change.type} ${outcome.type}`);
    trace.note(
      () => `${dryRun ? 'dry run of ' : ''}${JSON.stringify(change)}: ${outcome.type} ${outcome.detail ?? ''}`,
    );
    if (outcome.type === 'accepted' && !dryRun) this.count += 1;
    if (outcome.type === 'refused' && change.type === 'remove_node') this.#asked.delete(change.nodeId);
  }

  #draw(): ClusterChange | undefined {
    const { random, nodes, reserve, replicationFactor } = this.#options;
    if (random.chance(0.2)) return { type: 'rebalance' };
    const [newcomer] = random.shuffle(reserve);
    if (newcomer !== undefined && random.chance(0.6)) {
      newcomer.start();
      const { nodeId } = newcomer;
      const node = {
        nodeId,
        http: `http://${nodeId}:1`,
        peer: `${nodeId}:1`,
        labels: {},
        weight: random.pick([1, 1, 2]),
      };
      return { type: 'add_node', node };
    }
    const left = nodes.filter(({ nodeId, starts }) => starts > 0 && !this.#asked.has(nodeId));
    if (left.length <= replicationFactor) return undefined;
    return { type: 'remove_node', nodeId: random.pick(left).nodeId };
  }
}
