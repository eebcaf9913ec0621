/**
 * A simulated cluster whose only partition is to move while it is written to. The partition and the metadata group share no node, so that
 * whoever moves it, loses it, gains it and leads it are four different ones.
 */
import { metadataPartition, moveKey, nodeKey, type MoveRecord } from '../../src/cluster/metadata/records.ts';
import { nextStep } from '../../src/cluster/metadata/move.ts';
import type { PlacementConfig } from '../../src/config.ts';
import type { GroupView } from '../../src/cluster/group-members.ts';
import type { ClusterChange, MoveStep } from '../../src/cluster/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { Replica } from '../../src/replica/replica.ts';
import { ClusterChanges } from '../../src/sim/cluster-changes.ts';
import { Random } from '../../src/sim/random.ts';
import type { SimNode } from '../../src/sim/sim-node.ts';
import { Clients } from './clients.ts';
import { Nodes, p1 } from './world.ts';

/** By their names the metadata group lives on n2, n3 and n6, and the partition on n7, n8 and n9. */
const apart = ['n2', 'n3', 'n6', 'n7', 'n8', 'n9'];
/** The log does not reach back to the beginning, and the state takes many chunks. */
const settings = {
  raft: { logKeepEntries: 4, logKeepBytes: 1024, compactEntriesMin: 4 },
  snapshots: { chunkBytes: 1024 },
  placement: { moveBytesPerSecondMax: 64 * 1024 },
};
const firstKeys = 40;
const changeTimeoutMs = 5000;
const restWithinMs = 60_000;

export interface MovingWorldOptions {
  readonly seed: number;
  readonly names?: readonly string[];
  /** Of the partition. */
  readonly leader: string;
  readonly placement?: Partial<PlacementConfig>;
}

export class MovingWorld {
  readonly nodes: Nodes;
  readonly #clients: Clients;
  /** Dead for good. */
  readonly #lost = new Set<string>();

  static async start({ seed, names = apart, leader, placement }: MovingWorldOptions): Promise<MovingWorld> {
    const all = { ...settings, placement: { ...settings.placement, ...placement } };
    const nodes = await Nodes.start({ names, replicationFactor: 3, settings: all });
    const world = new MovingWorld(nodes, seed);
    await nodes.lead(leader);
    await world.#clients.write(firstKeys);
    await nodes.run(500);
    world.#clients.start();
    return world;
  }

  private constructor(nodes: Nodes, seed: number) {
    this.nodes = nodes;
    nodes.world.judge.isLost = (nodeId) => this.#lost.has(nodeId);
    this.#clients = new Clients(nodes, new Random(seed, 'clients'));
  }

  /** The node that leads the metadata group. */
  get mover(): SimNode | undefined {
    return this.leaderOf(metadataPartition);
  }

  get leader(): SimNode | undefined {
    return this.leaderOf(p1);
  }

  leaderOf(partition: PartitionId): SimNode | undefined {
    let leader: SimNode | undefined;
    let newest = 0;
    for (const node of this.nodes.all) {
      const status = node.replica(partition)?.status();
      if (status?.role !== 'leader' || status.term < newest) continue;
      leader = node;
      newest = status.term;
    }
    return leader;
  }

  get group(): GroupView | undefined {
    const replica = this.leader?.replica(p1);
    if (replica === undefined) return undefined;
    const { progress, lastIndex, replicaId: leader } = replica.status();
    const others = progress.filter(({ replicaId }) => replicaId !== leader);
    return { ...replica.configuration(), leader, lastIndex, progress: others, bytes: 0 };
  }

  /** The move, as the mover knows it. */
  get move(): MoveRecord | undefined {
    return this.recordOf(moveKey(p1)) as MoveRecord | undefined;
  }

  recordOf(key: Buffer): unknown {
    const held = this.mover?.holds(this.nodes.world.map.metadata, key) ?? 'nothing';
    return held === 'nothing' ? undefined : JSON.parse(held.slice(0, held.lastIndexOf(' of revision ')));
  }

  /** Something else is being evened out, or will be. */
  recordOfBalance(): unknown {
    return this.recordOf(Buffer.from('balance/wanted'));
  }

  standingOf(nodeId: string): unknown {
    return (this.recordOf(nodeKey(nodeId as NodeId)) as { standing?: unknown } | undefined)?.standing;
  }

  /** What the move does now; undefined while there is none. */
  get step(): MoveStep | undefined {
    const { move, group } = this;
    if (move === undefined) return undefined;
    if (group === undefined) return 'waiting';
    const next = nextStep(group, move.target, { ...this.nodes.world.config.raft, isLow: () => false });
    return next.type === 'done' ? 'record' : next.step;
  }

  replica(nodeId: string): Replica | undefined {
    return this.nodes.node(nodeId).replica(p1);
  }

  /** Nobody waits for the answer: the one that is asked may be killed before. */
  ask(change: ClusterChange): void {
    const { mover } = this;
    const facade = mover?.facade();
    if (mover === undefined || facade === undefined) throw new Error('nobody leads the metadata group');
    this.nodes.world.scheduler.promisesMove();
    const options = { dryRun: false, deadlineAt: facade.nowMs() + changeTimeoutMs };
    void mover.counted(facade.changeCluster(change, options));
  }

  lose(node: SimNode): void {
    node.kill();
    this.#lost.add(node.nodeId);
  }

  /** All has come to its end, and is as it should be. */
  async comesToRest(): Promise<void> {
    const { nodes } = this;
    const { world } = nodes;
    const random = new Random(1, 'none');
    const changes = new ClusterChanges({
      world,
      random,
      nodes: nodes.all,
      reserve: [],
      everyMs: 0,
      replicationFactor: 3,
    });
    const endsAt = nodes.now() + restWithinMs;
    for (;;) {
      const left = await this.#unsettled(changes);
      if (left === undefined) break;
      if (nodes.now() > endsAt) throw new Error(`the cluster does not come to rest: ${left}`);
      await nodes.run(50);
    }
    await this.#clients.stop();
    const applied = (nodeId: string): number | undefined => this.replica(nodeId)?.machineState().appliedIndex;
    const isAppliedByAll = (): boolean => new Set([this.group?.lastIndex, ...this.members().map(applied)]).size === 1;
    await nodes.until(isAppliedByAll);
    this.#checkWritten();
  }

  async #unsettled(changes: ClusterChanges): Promise<string | undefined> {
    const { nodes } = this;
    const down = nodes.all.find((node) => node.state() !== 'up' && !this.#lost.has(node.nodeId));
    if (down !== undefined) return `${down.nodeId} is ${down.state()}`;
    nodes.world.scheduler.promisesMove();
    const left = (await nodes.done(changes.unsettled(), 20_000)).outcome;
    return left ?? this.#disagreement() ?? this.#remains();
  }

  /** Between the members of a group, and the map of each node of the cluster. */
  #disagreement(): string | undefined {
    const members = this.members();
    for (const nodeId of members) {
      const replica = this.replica(nodeId);
      const held = replica?.configuration();
      const its = held === undefined ? [] : [...held.configuration.hosts.values()].toSorted();
      if (its.join() !== members.join() || held?.committed !== true || held.configuration.learners.length > 0)
        return `${nodeId} has ${its.join(', ')} as the members`;
    }
    for (const node of this.nodes.all) {
      if (this.standingOf(node.nodeId) === 'removed' || this.#lost.has(node.nodeId)) continue;
      const listed = node.facade()?.locate(Buffer.from('any')).replicas.toSorted() ?? [];
      if (listed.join() !== members.join()) return `the map of ${node.nodeId} says ${listed.join(', ')}`;
    }
    return undefined;
  }

  #remains(): string | undefined {
    const members = this.members();
    const others = this.nodes.all.filter(({ nodeId }) => !members.includes(nodeId) && !this.#lost.has(nodeId));
    const found = others.find((node) => node.disk.recordsOf(p1).length > 0);
    return found && `${found.nodeId} has something left of its replica`;
  }

  /** By the leader's configuration. */
  members(): readonly string[] {
    return [...(this.group?.configuration.hosts.values() ?? [])].toSorted();
  }

  /** Each member holds all that was acknowledged. */
  #checkWritten(): void {
    const [partition] = this.nodes.world.map.partitions;
    if (partition === undefined) throw new Error('there is no partition');
    for (const nodeId of this.members()) {
      for (const [key, value] of this.#clients.written) {
        const held = this.nodes.node(nodeId).holds(partition, Buffer.from(key)) ?? 'nothing';
        if (!held.startsWith(`${value} of revision`)) throw new Error(`${nodeId} holds ${held} under ${key}`);
      }
    }
  }
}
