/**
 * Many whole nodes with nothing to do, on virtual time, over a network and disks without faults: what do they say to each other
 * once all groups have fallen silent? It must not grow with the number of partitions. Unlike a simulated world that is judged,
 * this one keeps nothing of what was, so that a hundred nodes with thousands of partitions fit into one process.
 */
import { canonicalFounding } from '../cluster/founding.ts';
import {
  encodeRecord,
  keyOfRecord,
  metadataPartition,
  type MetadataRecord,
  type PartitionRecord,
} from '../cluster/metadata/records.ts';
import { buildPartitionMap, type PartitionMap } from '../cluster/partition-map.ts';
import { defaults, type BootstrapConfig } from '../config.ts';
import { encodeCommand } from '../kv/command.ts';
import { unconditional } from '../kv/types.ts';
import { silentLogger } from '../logger.ts';
import { composeNode, type ComposedNode } from '../node/composition.ts';
import { WriteAdmission } from '../node/write-admission.ts';
import type { NodeId } from '../replica/ports.ts';
import { openMemoryStorage } from '../storage/memory-storage.ts';
import { SimDoubts } from './disk-doubts.ts';
import { newIdentity, SimIdentity } from './disk-identity.ts';
import { raftKind, totalOf, TrafficMeter, type Load } from './idle-traffic.ts';
import { Network } from './network.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { SimClock } from './sim-clock.ts';
import { Trace } from './trace.ts';

export interface IdleOptions {
  readonly nodes: number;
  readonly partitions: number;
  /** Measured for so long once all is silent, in simulated time. */
  readonly seconds: number;
}

/** Per second of simulated time. */
export interface IdleFigures {
  /** From the start until nothing of Raft's was said any more, in simulated time. */
  readonly silentAfterMs: number;
  readonly mean: Load;
  /** Of the node that sends most. */
  readonly most: Load;
  /** Mean messages of each kind. */
  readonly kinds: Readonly<Record<string, number>>;
}

const seed = 1;
const goodQuality = {
  delayMsMin: 0.1,
  delayMsMax: 0.5,
  stragglerChance: 0,
  stragglerMs: 0,
  lossChance: 0,
  duplicateChance: 0,
};
const turnMs = 0.05;
const clusterId = '1'.repeat(32);
/** Nothing of Raft's for so long is silence: many times what a group needs that is not silent yet. */
const silentForMs = 3000;
const giveUpAfterMs = 120_000;
const recordsAtOnce = 512;

/** Throws when the cluster does not come up, or a node fails. */
export async function measureIdle({ nodes, partitions, seconds }: IdleOptions): Promise<IdleFigures> {
  const world = new IdleWorld(nodes, partitions);
  await world.start();
  await world.recordAll();
  const silentAfterMs = await world.silence();
  return world.measure(seconds, silentAfterMs);
}

class IdleWorld {
  readonly #scheduler = new Scheduler();
  readonly #meter = new TrafficMeter();
  readonly #network: Network;
  readonly #bootstrap: BootstrapConfig;
  readonly #map: PartitionMap;
  readonly #nodes = new Map<NodeId, ComposedNode>();
  #broken: unknown;

  constructor(nodes: number, partitions: number) {
    this.#bootstrap = {
      partitions,
      replicationFactor: 3,
      nodes: Array.from({ length: nodes }, (_, i) => {
        const nodeId = `n${String(i + 1).padStart(3, '0')}`;
        return { nodeId, http: `http://${nodeId}:1`, peer: `${nodeId}:1` };
      }),
    };
    this.#map = buildPartitionMap(this.#bootstrap);
    this.#network = new Network({
      scheduler: this.#scheduler,
      random: (stream) => new Random(seed, stream),
      trace: new Trace(() => this.#scheduler.now()),
      config: defaults.transport,
      quality: goodQuality,
      encoded: false,
    });
  }

  /** Resolves once every partition has a leader that its replicas know. */
  async start(): Promise<void> {
    for (const [number, { nodeId }] of this.#map.nodes.entries()) {
      this.#nodes.set(nodeId, await this.#compose(nodeId, number));
    }
    await this.#until(() => [...this.#nodes.values()].every(({ facade }) => facade.readiness().ready));
  }

  /** As in a cluster in which every partition has moved once: each has a record, and there would be a map to send. */
  async recordAll(): Promise<void> {
    const records = this.#map.partitions.map(({ id, replicas, preferredLeader }): MetadataRecord => {
      const record: PartitionRecord = { id, epoch: 2, incarnation: 1, replicas, preferredLeader };
      return { type: 'partition', record };
    });
    for (let at = 0; at < records.length; at += recordsAtOnce) await this.#write(records.slice(at, at + recordsAtOnce));
  }

  /** Resolves with when it began. */
  async silence(): Promise<number> {
    let heardAt = this.#scheduler.now();
    await this.#until(() => {
      if (this.#sent().some((kinds) => kinds.has(raftKind))) heardAt = this.#scheduler.now();
      this.#meter.reset();
      return this.#scheduler.now() - heardAt >= silentForMs;
    });
    return heardAt;
  }

  async measure(seconds: number, silentAfterMs: number): Promise<IdleFigures> {
    this.#meter.reset();
    await this.#run(seconds * 1000);
    const totals = this.#sent().map(totalOf);
    const mean = (pick: (load: Load) => number): number =>
      totals.reduce((sum, load) => sum + pick(load), 0) / totals.length / seconds;
    const most = (pick: (load: Load) => number): number => Math.max(...totals.map(pick)) / seconds;
    const kinds = new Map<string, number>();
    for (const sent of this.#sent()) {
      for (const [kind, { messages }] of sent) {
        kinds.set(kind, (kinds.get(kind) ?? 0) + messages / totals.length / seconds);
      }
    }
    return {
      silentAfterMs,
      mean: { messages: mean(({ messages }) => messages), bytes: mean(({ bytes }) => bytes) },
      most: { messages: most(({ messages }) => messages), bytes: most(({ bytes }) => bytes) },
      kinds: Object.fromEntries(kinds),
    };
  }

  #sent(): ReturnType<TrafficMeter['sent']>[] {
    return [...this.#nodes.keys()].map((nodeId) => this.#meter.sent(nodeId));
  }

  async #write(records: readonly MetadataRecord[]): Promise<void> {
    const leader = [...this.#nodes].find(
      ([nodeId, node]) => node.replica(metadataPartition)?.leader()?.nodeId === nodeId,
    );
    const replica = leader?.[1].replica(metadataPartition);
    if (replica === undefined) throw new Error('nobody leads the metadata group');
    const then = records.map((record) => ({
      type: 'put' as const,
      key: keyOfRecord(record),
      value: encodeRecord(record),
      contentType: '',
      ttlMs: 0,
      conditions: unconditional,
    }));
    let outcome: string | undefined;
    const body = encodeCommand({ type: 'transaction', compare: [], then, otherwise: [] });
    replica.propose(body, this.#scheduler.now() + giveUpAfterMs, ({ type }) => (outcome = type));
    await this.#until(() => outcome !== undefined);
    if (outcome !== 'result') throw new Error(`the records were not written: ${outcome}`);
  }

  async #compose(nodeId: NodeId, number: number): Promise<ComposedNode> {
    const random = new Random(seed, `node ${nodeId}`);
    const clock = new SimClock(this.#scheduler, { rate: 1, wallOffsetMs: 0 }, (event) => event());
    const onFailure = (error: unknown): void => void (this.#broken ??= error);
    const founding = canonicalFounding(this.#bootstrap);
    const identity = new SimIdentity({
      self: { nodeId, clusterName: defaults.clusterName, nonce: random.hex(32) },
      // The founding itself is not what is measured.
      stored: { ...newIdentity, formation: { phase: 'formed', clusterId, founding } },
      save: () => undefined,
    });
    const after = clock.after.bind(clock);
    const storage = await openMemoryStorage({ automatic: true, after, onFailure });
    const listener = { host: '127.0.0.1', port: 1, advertise: '127.0.0.1:1' };
    return composeNode({
      config: { ...defaults, nodeId, dataDir: '/none', http: listener, peer: listener, bootstrap: this.#bootstrap },
      logger: silentLogger,
      clock,
      random: random.next,
      schedule: (turn) => this.#soon(turnMs, turn),
      identity,
      storage,
      admission: new WriteAdmission({ limits: defaults.limits, now: () => clock.monotonicMs() }),
      disk: { measure: (then) => then(undefined) },
      doubts: new SimDoubts(),
      startTransport: (given) => {
        const binding = this.#meter.answering(nodeId, given);
        const deliver = (event: () => void): void => {
          this.#scheduler.promisesMove();
          event();
        };
        const transport = this.#network.attach({ nodeId, number, binding, clock, deliver });
        return Promise.resolve(this.#meter.asking(nodeId, transport));
      },
      drawClusterId: () => clusterId,
      onFailure,
    });
  }

  /** Storage makes promises in every turn. */
  #soon(delayMs: number, run: () => void): void {
    this.#scheduler.after(delayMs, () => {
      this.#scheduler.promisesMove();
      run();
    });
  }

  async #run(ms: number): Promise<void> {
    await this.#scheduler.runUntil(this.#scheduler.now() + ms, () => this.#broken !== undefined);
    if (this.#broken !== undefined) throw this.#broken instanceof Error ? this.#broken : new Error('a node failed');
  }

  async #until(isSo: () => boolean): Promise<void> {
    const from = this.#scheduler.now();
    while (!isSo()) {
      if (this.#scheduler.now() - from >= giveUpAfterMs) throw new Error('the idle world does not come to rest');
      await this.#run(100);
    }
  }
}
