/** Real replicas over memory storage, driven at random, with a judge told of all they do. */
import type { NodeId } from '../../src/replica/ports.ts';
import { RaftJudge, type ReplicaKey } from '../../src/sim/raft-judge.ts';
import { type MemoryStorage, openMemoryStorage } from '../../src/storage/memory-storage.ts';
import { type Sent, World } from '../replica/world.ts';
import { partition } from './judge-history.ts';

/** What a broken disk does; see its test. */
export type DiskFault = 'none' | 'announces_early' | 'forgets';

/** A log travels in many small messages, and is mostly read from the disk. */
const tightLimits = { appendBytesMax: 60, inflightMessagesMax: 4, applyBytesMax: 100, logCacheBytesMax: 500 };

export interface WalkOptions {
  readonly seed: number;
  readonly steps: number;
  readonly fault?: DiskFault;
}

export class JudgedReplicas {
  readonly judge: RaftJudge;
  readonly #world = new World(['n1', 'n2', 'n3']);
  readonly #random: () => number;
  readonly #fault: DiskFault;
  /** Without the judge between. */
  readonly #disks = new Map<NodeId, MemoryStorage>();
  /** As they were some time ago. */
  readonly #oldDisks = new Map<NodeId, MemoryStorage>();
  #stateTimers: (() => void)[] = [];
  /** Nothing leaves or reaches it. */
  #cut: NodeId | undefined;
  crashes = 0;
  #puts = 0;

  private constructor({ seed, fault = 'none' }: WalkOptions) {
    this.#random = generator(seed);
    this.#fault = fault;
    this.judge = new RaftJudge(() => this.#world.members);
    this.#world.onSent = ({ from, message }) => this.judge.sent(this.#keyOf(from), message);
  }

  static async walk(options: WalkOptions): Promise<JudgedReplicas> {
    const replicas = new JudgedReplicas(options);
    for (const { nodeId } of replicas.#world.members) {
      replicas.#host(nodeId, await openMemoryStorage({ automatic: false, after: replicas.#after }));
    }
    for (let step = 0; step < options.steps; step += 1) await replicas.#step();
    return replicas;
  }

  async #step(): Promise<void> {
    const chance = this.#random();
    const nodeId = this.#any(this.#world.members).nodeId;
    if (chance < 0.4) this.#deliver();
    else if (chance < 0.6) this.#drive(nodeId);
    else if (chance < 0.8) await this.#complete(nodeId, this.#random() < 0.8 ? 'log' : 'state');
    else if (chance < 0.9) this.#tick(nodeId);
    else if (chance < 0.97) this.#put(nodeId);
    else if (chance < 0.98) this.#cut = this.#random() < 0.5 ? nodeId : undefined;
    else if (chance < 0.99) for (const run of this.#stateTimers.splice(0)) run();
    else if (chance < 0.995) await this.#crash(nodeId);
    else this.#oldDisks.set(nodeId, await this.#disk(nodeId).openCopy());
  }

  /** One message of all that are under way: most arrive in order, some out of it, some twice, some never. */
  #deliver(): void {
    const { mail } = this.#world;
    if (mail.length === 0) return;
    const chance = this.#random();
    const position = chance < 0.8 ? 0 : Math.floor(this.#random() * mail.length);
    const [{ from, to, message }] = mail.splice(position, 1) as [Sent];
    if (chance > 0.98 || from === this.#cut || to === this.#cut) return;
    if (chance > 0.96) mail.push({ from, to, message });
    this.#world.node(to).receive(from, message);
    if (this.#random() < 0.8) this.#drive(to);
  }

  #drive(nodeId: NodeId): void {
    this.#world.node(nodeId).drive();
    this.#disk(nodeId).flush();
  }

  async #complete(nodeId: NodeId, database: 'log' | 'state'): Promise<void> {
    if (this.#disk(nodeId).batchUnderWay(database)) await this.#disk(nodeId).completeBatch(database);
  }

  #tick(nodeId: NodeId): void {
    this.#world.now += 20;
    this.#world.node(nodeId).tick();
  }

  #put(nodeId: NodeId): void {
    this.#puts += 1;
    this.#world.put(nodeId, `key ${this.#puts % 7}`, `value ${this.#puts}`);
  }

  async #crash(nodeId: NodeId): Promise<void> {
    this.crashes += 1;
    this.judge.crashed(this.#keyOf(nodeId));
    const old = this.#fault === 'forgets' ? this.#oldDisks.get(nodeId) : undefined;
    const disk = await this.#disk(nodeId).crash({ after: this.#after, incarnation: this.crashes + 1 });
    this.#host(nodeId, old ?? disk);
  }

  #host(nodeId: NodeId, disk: MemoryStorage): void {
    const key = this.#keyOf(nodeId);
    this.#disks.set(nodeId, disk);
    this.judge.started(key, { ...disk.group(partition), log: disk.log(partition) });
    this.#world.storages.set(nodeId, {
      ...disk,
      appendLog: (write, onDurable) => {
        this.judge.appended(key, write);
        const early = this.#fault === 'announces_early';
        disk.appendLog(write, () => {
          this.judge.durable(key, write);
          if (!early) onDurable();
        });
        if (early) onDurable();
      },
      stageState: (id, writes, machineState) => {
        this.judge.staged(key, writes, machineState);
        disk.stageState(id, writes, machineState);
      },
    });
    this.#world.host(nodeId, tightLimits);
  }

  readonly #after = (_delayMs: number, run: () => void): (() => void) => {
    this.#stateTimers.push(run);
    return () => void (this.#stateTimers = this.#stateTimers.filter((timer) => timer !== run));
  };

  #disk(nodeId: NodeId): MemoryStorage {
    return this.#disks.get(nodeId) as MemoryStorage;
  }

  #keyOf(nodeId: NodeId): ReplicaKey {
    const replicaId = this.#world.members.find((member) => member.nodeId === nodeId)?.replicaId;
    return { nodeId, partition, replicaId: replicaId as ReplicaKey['replicaId'] };
  }

  #any<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)] as T;
  }
}

/** mulberry32: uniform in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
