/**
 * Changes who is in the groups while everything else goes wrong: newcomers, on nodes that had a replica of the partition
 * before as well as on others, promotions, replacements, removals, the leader's own among them. A group never has fewer voters than
 * it was founded with, so that it bears as many damaged disks; and so many votes stay on founders' nodes that one of these is whole,
 * since the partition map names no others and a node that hosts nothing of a partition asks those.
 */
import type { PartitionDescriptor } from '../cluster/types.ts';
import type { ConfigurationChange, RaftStatus } from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
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

export class MemberChanges {
  /** Changes that a leader has appended. */
  count = 0;
  readonly #options: MemberChangesOptions;
  #stopped = false;

  constructor(options: MemberChangesOptions) {
    this.#options = options;
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

  /** A leader that is asked for a change before it has committed anything must refuse: now and then one is. */
  elected(partition: PartitionId): void {
    const { world, random, everyMs } = this.#options;
    const descriptor = world.map.partitions.find(({ id }) => id === partition);
    if (everyMs === 0 || this.#stopped || descriptor === undefined || !random.chance(0.3)) return;
    world.scheduler.after(random.magnitude(0.05, 20), () => {
      if (!this.#stopped) this.#attempt(descriptor);
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
      if (replica === undefined) return;
      const status = replica.status();
      const change = this.#draw(partition, status);
      if (change === undefined || !this.#keepsFounders(partition, status, change)) return;
      const result = replica.changeConfiguration(change);
      world.trace.text(`${change.type} ${result.type}`);
      world.trace.note(() => `members of p${partition.id}: ${JSON.stringify(change)}: ${JSON.stringify(result)}`);
      if (result.type !== 'appended') return;
      this.count += 1;
    });
  }

  #keepsFounders(
    { replicas }: PartitionDescriptor,
    { configuration }: RaftStatus,
    change: ConfigurationChange,
  ): boolean {
    if (change.type !== 'changeVoters') return true;
    const damagedMax = (replicas.length - 1) / 2;
    const hosts = new Set(change.voters.map((replicaId) => configuration.hosts.get(replicaId)));
    return replicas.filter(({ nodeId }) => hosts.has(nodeId)).length > damagedMax;
  }

  #draw(partition: PartitionDescriptor, { configuration }: RaftStatus): ConfigurationChange | undefined {
    const { random, nodes } = this.#options;
    const { voters, learners } = configuration;
    const [learner] = random.shuffle(learners);
    if (learner !== undefined) {
      if (random.chance(0.15)) return { type: 'removeLearner', replicaId: learner };
      const others = random.chance(0.4) ? voters : random.shuffle(voters).slice(1);
      return { type: 'changeVoters', voters: [...others, learner] };
    }
    const spare = voters.length > partition.replicas.length;
    if (spare && random.chance(0.5)) return { type: 'changeVoters', voters: random.shuffle(voters).slice(1) };
    const taken = new Set(configuration.hosts.values());
    const free = nodes.filter(({ nodeId }) => !taken.has(nodeId));
    return free.length === 0 ? undefined : { type: 'addLearner', host: random.pick(free).nodeId };
  }
}
