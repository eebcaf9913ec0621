/** A controller at work: groups whose newcomers catch up at once, and reports of what each node has. */
import { expect } from 'vitest';
import { Controller } from '../../../src/cluster/metadata/controller.ts';
import { memberNodes } from '../../../src/cluster/partition-map.ts';
import type { StatusReports } from '../../../src/cluster/status.ts';
import type { ClusterChange, ClusterChangeOutcome, ReplicaStatus } from '../../../src/cluster/types.ts';
import type { NodeId } from '../../../src/replica/ports.ts';
import { addition } from './admission-world.ts';
import { MetadataWorld } from './metadata-world.ts';

export class ControllerWorld extends MetadataWorld {
  /** Nodes that say nothing of themselves. */
  readonly mute = new Set<string>();
  /** Nodes that still have something, though no group knows of it. */
  readonly clinging = new Set<string>();
  mostMoves = 0;
  readonly controller = new Controller({
    ...this.ports(),
    replicationFactor: 3,
    reports: () => Promise.resolve(this.#reports()),
    onFailure: (error) => void this.failures.push(error),
  });

  constructor(partitions = 4) {
    super(partitions);
    for (const group of this.groups.values()) group.quick = true;
    this.state.onApplied(() => {
      this.mostMoves = Math.max(this.mostMoves, this.state.moves.size);
      this.controller.wake();
    });
  }

  async ask(change: ClusterChange, dryRun = false): Promise<ClusterChangeOutcome | undefined> {
    const deadlineAt = this.clock.monotonicMs() + 60_000;
    return (await this.clock.until(this.controller.change(change, { dryRun, deadlineAt }), 60_000)).outcome;
  }

  add(name: string, dryRun = false): Promise<ClusterChangeOutcome | undefined> {
    return this.ask({ type: 'add_node', node: addition(name, { labels: {}, weight: 1 }) }, dryRun);
  }

  remove(name: string, dryRun = false): Promise<ClusterChangeOutcome | undefined> {
    return this.ask({ type: 'remove_node', nodeId: name as NodeId }, dryRun);
  }

  /** Lets time pass in which everything comes to rest. */
  async rest(ms = 20_000): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1000) await this.clock.advance(1000);
  }

  standing(name: string): string | undefined {
    return this.map.node(name as NodeId)?.standing;
  }

  /** How many replicas each node has, by the groups themselves. */
  loads(): Record<string, number> {
    const loads: Record<string, number> = {};
    for (const host of [...this.groups.values()].flatMap((group) => group.hosts())) {
      loads[host] = (loads[host] ?? 0) + 1;
    }
    return loads;
  }

  /** Groups whose members are not those that the directory names. */
  astray(): number[] {
    const isAstray = ([partition, group]: (typeof entries)[number]): boolean => {
      const named = this.map.partition(partition)?.replicas.map(({ replicaId, nodeId }) => `${replicaId}@${nodeId}`);
      const there = [...group.voters].map(([replicaId, host]) => `${replicaId}@${host}`);
      return group.learners.size > 0 || named?.toSorted().join() !== there.toSorted().join();
    };
    const entries = [...this.groups];
    return entries.filter(isAstray).map(([partition]) => partition);
  }

  #reports(): StatusReports {
    const reports = new Map<NodeId, ReplicaStatus[]>();
    for (const { nodeId } of memberNodes(this.map)) {
      if (!this.up.has(nodeId) || this.mute.has(nodeId)) continue;
      const there = [...this.groups].filter(([, { voters, learners }]) => {
        return [...voters.values(), ...learners.values()].includes(nodeId);
      });
      const found = this.clinging.has(nodeId) ? [...this.groups].slice(0, 1) : there;
      reports.set(
        nodeId,
        found.map(([partition, { voters, leader }]) => {
          const role = voters.get(leader) === nodeId ? 'leader' : 'follower';
          const indexes = { term: 1, lastIndex: 1, commitIndex: 1, appliedIndex: 1 };
          return {
            partition,
            nodeId,
            role,
            state: 'ok',
            ...indexes,
            leader: undefined,
            keys: 1,
            bytes: 100,
            followers: [],
          };
        }),
      );
    }
    return reports;
  }
}

/** n4 is a member that has its share. */
export async function fourNodes(): Promise<ControllerWorld> {
  const world = new ControllerWorld();
  world.join('n4');
  await world.add('n4');
  await world.rest();
  expect([world.standing('n4'), world.state.moves.size, world.failures]).toEqual(['up', 0, []]);
  world.written.length = 0;
  world.contacts.length = 0;
  return world;
}
