/** A few whole nodes on the simulator's virtual time. Network and disks do nothing wrong by themselves. */
import { defaults, type Config } from '../../src/config.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import type { KvOutcome, TransferOutcome } from '../../src/cluster/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { Replica } from '../../src/replica/replica.ts';
import { DigestJudge } from '../../src/sim/digest-judge.ts';
import { SimDisk } from '../../src/sim/disk.ts';
import { Network } from '../../src/sim/network.ts';
import { Random } from '../../src/sim/random.ts';
import { RaftJudge } from '../../src/sim/raft-judge.ts';
import { Scheduler } from '../../src/sim/scheduler.ts';
import { SimNode } from '../../src/sim/sim-node.ts';
import { WatchJudge } from '../../src/sim/watch-judge.ts';
import { Trace } from '../../src/sim/trace.ts';
import type { World } from '../../src/sim/world.ts';
import { goodDisk, quality, slowDisk } from './quality.ts';

/** The only partition. */
export const p1 = 1 as PartitionId;

const seed = 1;
const connectedWithinMs = 500;
export interface NodesOptions {
  readonly nodes?: number;
  /** Instead of n1, n2, …: by their names the ring gives them what they hold. */
  readonly names?: readonly string[];
  readonly replicationFactor?: number;
  readonly settings?: {
    readonly [Part in 'raft' | 'state' | 'snapshots' | 'placement' | 'scrub']?: Partial<Config[Part]>;
  };
}

export class Nodes {
  readonly network: Network;
  /** What nodes ask of each other besides Raft: `n1>n2 leaving`. */
  readonly asked: string[] = [];
  /** Replicas that were told that they differ from a majority, each with what was true then. */
  readonly differing: {
    readonly nodeId: string;
    readonly partition: number;
    readonly reason: string;
    readonly leaders: string;
  }[] = [];
  /** Whose disks are slow now. */
  readonly slow = new Set<string>();
  readonly world: World;
  readonly #nodes: SimNode[];
  #broken: unknown;

  /** n1, n2, …: up, with a leader of the partition that all of its replicas know. */
  static async start(options: NodesOptions = {}): Promise<Nodes> {
    const nodes = new Nodes(options);
    for (const node of nodes.#nodes) node.start();
    await nodes.until(() => nodes.#nodes.every((node) => node.facade()?.readiness().ready === true));
    // By now everyone is connected to everyone.
    await nodes.run(connectedWithinMs);
    return nodes;
  }

  private constructor({ nodes = 3, names, replicationFactor = nodes, settings = {} }: NodesOptions) {
    const scheduler = new Scheduler();
    const trace = new Trace(() => scheduler.now());
    const founders = (names ?? Array.from({ length: nodes }, (_, index) => `n${index + 1}`)) as NodeId[];
    const listener = { host: '127.0.0.1', port: 1, advertise: '127.0.0.1:1' };
    const bootstrap = {
      partitions: 1,
      replicationFactor,
      nodes: founders.map((nodeId) => ({ nodeId, http: `http://${nodeId}:1`, peer: `${nodeId}:1` })),
    };
    const config = {
      ...defaults,
      dataDir: '/none',
      http: listener,
      peer: listener,
      bootstrap,
      raft: { ...defaults.raft, ...settings.raft },
      state: { ...defaults.state, ...settings.state },
      snapshots: { ...defaults.snapshots, ...settings.snapshots },
      placement: { ...defaults.placement, ...settings.placement },
      // Only for those who want to see it: chance is drawn for it.
      scrub: { ...defaults.scrub, everyMs: 0, ...settings.scrub },
    };
    const random = (stream: string): Random => new Random(seed, stream);
    const map = buildPartitionMap(bootstrap);
    this.network = new Network({ scheduler, trace, random, config: config.transport, quality, encoded: false });
    this.#listen();
    this.world = {
      seed,
      config,
      map,
      scheduler,
      network: this.network,
      judge: new RaftJudge((id) => map.partition(id)?.replicas ?? []),
      trace,
      keyIn: () => 'probe',
      installing: () => undefined,
      digests: this.#digests(),
      watches: new WatchJudge(),
      violated: (violation) => (this.#broken ??= violation),
    };
    this.#nodes = founders.map((nodeId, number) => this.#machine(nodeId, number, false));
  }

  #digests(): DigestJudge {
    const judge = new DigestJudge((violation) => (this.#broken ??= violation));
    judge.onTold = (nodeId, partition, reason) =>
      this.differing.push({ nodeId, partition, reason, leaders: this.leaders().join() });
    return judge;
  }

  #listen(): void {
    const { network, asked } = this;
    const attach = network.attach.bind(network);
    network.attach = (endpoint) => {
      const transport = attach(endpoint);
      return {
        ...transport,
        request: (to, kind, ...rest) => {
          asked.push(`${endpoint.nodeId}>${to} ${kind}`);
          return transport.request(to, kind, ...rest);
        },
      };
    };
  }

  #machine(nodeId: NodeId, number: number, joins: boolean): SimNode {
    const { scheduler, config } = this.world;
    const after = (delayMs: number, run: () => void): (() => void) =>
      scheduler.after(delayMs, () => {
        scheduler.promisesMove();
        run();
      });
    const disk = new SimDisk({
      nodeId,
      clusterName: config.clusterName,
      random: new Random(seed, `disk ${nodeId}`).next,
      after,
      faults: () => (this.slow.has(nodeId) ? slowDisk : goodDisk),
    });
    return new SimNode({
      world: this.world,
      nodeId,
      number,
      disk,
      random: new Random(seed, `node ${nodeId}`),
      clock: { rate: 1, wallOffsetMs: 0 },
      joins,
      damageExpected: () => false,
      onStopped: () => undefined,
    });
  }

  get all(): readonly SimNode[] {
    return this.#nodes;
  }

  /** Another machine of this name, with nothing on its disk, that waits to be let in. */
  replaceMachine(name: string): SimNode {
    const number = this.#nodes.indexOf(this.node(name));
    this.node(name).kill();
    this.world.judge.emptied(name as NodeId);
    const machine = this.#machine(name as NodeId, number, true);
    this.#nodes[number] = machine;
    return machine;
  }

  node(name: string): SimNode {
    const node = this.#nodes.find(({ nodeId }) => nodeId === name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** A value changes on the disk of a node, or vanishes, behind the database's back. */
  rot(name: string, key: string, change: (stored: Buffer) => Buffer | undefined): void {
    this.world.digests.rotten(name as NodeId, p1);
    if (!this.node(name).disk.rot(p1, Buffer.from(key), change)) throw new Error(`${name} has no ${key} in a table`);
  }

  /** It is killed and comes back: then all that it has stored is in tables. */
  async restart(name: string): Promise<void> {
    this.node(name).kill();
    this.node(name).start();
    await this.until(() => this.node(name).facade()?.readiness().ready === true);
  }

  replica(name: string): Replica {
    const replica = this.node(name).replica(p1);
    if (replica === undefined) throw new Error(`${name} has no replica`);
    return replica;
  }

  /** Nodes on which the partition was founded, in the order of their replicas, which is 1, 2, 3. */
  get members(): readonly NodeId[] {
    return this.world.map.partition(p1)?.replicas.map(({ nodeId }) => nodeId) ?? [];
  }

  /** The other ones. */
  get others(): readonly NodeId[] {
    return this.#nodes.map(({ nodeId }) => nodeId).filter((nodeId) => !this.members.includes(nodeId));
  }

  now(): number {
    return this.world.scheduler.now();
  }

  async run(ms: number): Promise<void> {
    await this.world.scheduler.runUntil(this.now() + ms, () => this.#broken !== undefined);
    this.#check();
  }

  /** Lets one event happen after the other, and stands still behind the first after which it is so. False when it is not so in time. */
  async untilEvent(isSo: () => boolean, withinMs: number): Promise<boolean> {
    let seen = false;
    await this.world.scheduler.runUntil(this.now() + withinMs, () => {
      seen = this.#broken === undefined && isSo();
      return seen || this.#broken !== undefined;
    });
    this.#check();
    return seen;
  }

  #check(): void {
    if (this.#broken !== undefined) throw this.#broken instanceof Error ? this.#broken : new Error('violated');
  }

  /** Lets time pass until it is so; returns how long that took, give or take a millisecond. */
  async until(isSo: () => boolean, withinMs = 10_000): Promise<number> {
    const startedAt = this.now();
    while (!isSo()) {
      if (this.now() - startedAt >= withinMs) throw new Error(`it is not so after ${withinMs} ms`);
      await this.run(1);
    }
    return this.now() - startedAt;
  }

  /** By their own word. */
  leaders(): string[] {
    return this.#nodes
      .filter((node) => node.replica(p1)?.status().role === 'leader')
      .map(({ nodeId }) => nodeId as string);
  }

  async lead(name: string): Promise<Replica> {
    for (const leader of this.leaders()) if (leader !== name) void this.move(leader, name);
    await this.until(() => this.leaders().join() === name);
    return this.replica(name);
  }

  /** Asks the node `at` to see to it that `to` leads. */
  async move(at: string, to: string, timeoutMs = 5000): Promise<TransferOutcome> {
    const facade = this.node(at).facade();
    if (facade === undefined) throw new Error(`${at} is not up`);
    this.world.scheduler.promisesMove();
    return facade.transferLeadership(p1, to as NodeId, facade.nowMs() + timeoutMs);
  }

  /** A linearizable read, through the node `at`. */
  async get(at: string, timeoutMs = 5000): Promise<KvOutcome> {
    this.world.scheduler.promisesMove();
    const deadlineAt = this.now() + timeoutMs;
    return this.node(at).execute({ type: 'read', key: Buffer.from('k') }, { route: 'forward', deadlineAt, hops: 0 });
  }

  /** Lets time pass until `work` is done. */
  async done<T>(work: Promise<T>, withinMs?: number): Promise<{ readonly outcome: T; readonly tookMs: number }> {
    let settled: { readonly outcome: T } | undefined;
    void work.then((outcome) => (settled = { outcome }));
    const tookMs = await this.until(() => settled !== undefined, withinMs);
    return { outcome: await work, tookMs };
  }

  /** `name` is asked to stop, and is held up a while before it is down: it waits for the answer of `by`. */
  async leaveSlowly(name: string, by: string): Promise<void> {
    this.network.block(name as NodeId, by as NodeId, new Set());
    this.node(name).shutDown();
    // The others were told.
    await this.run(5);
  }
}
