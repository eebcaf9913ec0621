/**
 * Changes who is in the groups while everything else goes wrong: newcomers on nodes that never had a replica of the
 * partition, promotions, replacements, removals, the leader's own among them. A group never has fewer voters than it was
 * founded with, so that it bears as many damaged disks; and so many founders stay that one of them is whole, since the
 * partition map names no others and a node that hosts nothing of a partition asks those.
 */
import type { PartitionDescriptor } from '../cluster/types.ts';
import type { ConfigurationChange, RaftStatus } from '../raft/types.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import type { Random } from './random.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';

export interface MemberChangesOptions {
  readonly world: World;
  readonly random: Random;
  readonly nodes: readonly SimNode[];
  /** Between two attempts on average, ms; 0 for none. */
  readonly everyMs: number;
}

const votersMax = 5;

export class MemberChanges {
  /** Changes that a leader has appended. */
  count = 0;
  readonly #options: MemberChangesOptions;
  /** Nodes that have or had a replica of the partition. */
  readonly #used = new Map<PartitionId, Set<NodeId>>();
  #stopped = false;

  constructor(options: MemberChangesOptions) {
    this.#options = options;
    for (const { id, replicas } of options.world.map.partitions) {
      this.#used.set(id, new Set(replicas.map(({ nodeId }) => nodeId)));
    }
  }

  start(): void {
    const { world, random, everyMs } = this.#options;
    if (everyMs === 0) return;
    world.scheduler.after(random.exponential(everyMs), () => {
      if (this.#stopped) return;
      this.#attempt(random.pick(world.map.partitions));
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  #attempt(partition: PartitionDescriptor): void {
    const { world, nodes } = this.#options;
    const leader = nodes.find((node) => node.replica(partition.id)?.status().role === 'leader');
    leader?.run(() => {
      const replica = leader.replica(partition.id);
      const change = replica && this.#draw(partition, replica.status());
      if (change === undefined || replica === undefined || !this.#keepsFounders(partition, change)) return;
      const result = replica.changeConfiguration(change);
      world.trace.text(`${change.type} ${result.type}`);
      world.trace.note(() => `members of p${partition.id}: ${JSON.stringify(change)}: ${JSON.stringify(result)}`);
      if (result.type !== 'appended') return;
      this.count += 1;
      if (change.type === 'addLearner') this.#used.get(partition.id)?.add(change.host as NodeId);
    });
  }

  #keepsFounders({ replicas }: PartitionDescriptor, change: ConfigurationChange): boolean {
    if (change.type !== 'changeVoters') return true;
    const damagedMax = (replicas.length - 1) / 2;
    return replicas.filter(({ replicaId }) => change.voters.includes(replicaId)).length > damagedMax;
  }

  #draw(partition: PartitionDescriptor, { configuration }: RaftStatus): ConfigurationChange | undefined {
    const { random, nodes } = this.#options;
    const { voters, learners } = configuration;
    const [learner] = random.shuffle(learners);
    if (learner !== undefined) {
      if (random.chance(0.15)) return { type: 'removeLearner', replicaId: learner };
      const others = voters.length < votersMax && random.chance(0.4) ? voters : random.shuffle(voters).slice(1);
      return { type: 'changeVoters', voters: [...others, learner] };
    }
    const spare = voters.length > partition.replicas.length;
    if (spare && random.chance(0.5)) return { type: 'changeVoters', voters: random.shuffle(voters).slice(1) };
    const free = nodes.filter(({ nodeId }) => this.#used.get(partition.id)?.has(nodeId) === false);
    return free.length === 0 ? undefined : { type: 'addLearner', host: random.pick(free).nodeId };
  }
}
