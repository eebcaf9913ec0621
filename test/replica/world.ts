/** Three replicas of one partition over memory storage; the test decides what is delivered and what becomes durable. */
import { defaults } from '../../src/config.ts';
import { encodeCommand } from '../../src/kv/command.ts';
import type { Message, ReplicaId } from '../../src/raft/types.ts';
import type { Clock, LeaderHint, NodeId, PartitionId, ReplicaDescriptor } from '../../src/replica/ports.ts';
import { Replica, type ReplicaOutcome } from '../../src/replica/replica.ts';
import { type MemoryStorage, openMemoryStorage } from '../../src/storage/memory-storage.ts';

const partition = 1 as PartitionId;

export interface Sent {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Message;
}

export class World {
  now = 0;
  readonly replicas = new Map<NodeId, Replica>();
  readonly storages = new Map<NodeId, MemoryStorage>();
  readonly leaders = new Map<NodeId, LeaderHint | undefined>();
  /** Sent and not yet delivered. */
  mail: Sent[] = [];
  /** Nodes whose disks stall: their batches stay under way. */
  readonly stalled = new Set<NodeId>();
  /** Nodes that nothing leaves or reaches. */
  readonly cut = new Set<NodeId>();
  /** Sees what leaves a replica. */
  onSent: (sent: Sent) => void = () => undefined;
  readonly members: readonly ReplicaDescriptor[];
  readonly #dirty = new Set<NodeId>();

  constructor(names: readonly string[]) {
    this.members = names.map((name, i) => ({ replicaId: (i + 1) as ReplicaId, nodeId: name as NodeId }));
  }

  static async start(names: readonly string[] = ['n1', 'n2', 'n3'], limits: Partial<Limits> = {}): Promise<World> {
    const world = new World(names);
    for (const { nodeId } of world.members) {
      world.storages.set(nodeId, await openMemoryStorage({ automatic: false, after: () => () => undefined }));
      world.host(nodeId, limits);
    }
    return world;
  }

  readonly clock: Clock = {
    monotonicMs: () => this.now,
    wallMs: () => 1_000_000 + this.now,
    after: () => () => undefined,
  };

  host(nodeId: NodeId, limits: Partial<Limits> = {}): Replica {
    const self = this.members.find((member) => member.nodeId === nodeId) as ReplicaDescriptor;
    const replica = new Replica({
      partition,
      epoch: 1,
      incarnation: 1,
      self,
      members: this.members,
      storage: this.storages.get(nodeId) as MemoryStorage,
      transport: { send: (to, _partition, message) => this.#sent({ from: nodeId, to, message }) },
      clock: this.clock,
      random: () => self.replicaId / 10,
      limits: { ...defaults.raft, pendingBytesMax: defaults.storage.pendingBytesMax, ...limits },
      campaignsFirst: self.replicaId === 1,
      wake: () => void this.#dirty.add(nodeId),
      onLeader: (hint) => void this.leaders.set(nodeId, hint),
    });
    this.replicas.set(nodeId, replica);
    return replica;
  }

  node(name: string): Replica {
    return this.replicas.get(name as NodeId) as Replica;
  }

  storage(name: string): MemoryStorage {
    return this.storages.get(name as NodeId) as MemoryStorage;
  }

  /** Runs until nothing moves any more: mail delivered, batches durable. */
  async settle(): Promise<void> {
    while (await this.#turn());
  }

  /** `count` ticks of 50 ms, each settled. */
  async ticks(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      this.now += 50;
      for (const replica of this.replicas.values()) replica.tick();
      await this.settle();
    }
  }

  /** Ticks only until `name` is known to lead by itself. */
  async elect(name: string): Promise<Replica> {
    for (let i = 0; i < 100; i += 1) {
      if (this.leaders.get(name as NodeId)?.nodeId === name) return this.node(name);
      await this.ticks(1);
    }
    throw new Error(`${name} was not elected`);
  }

  put(name: string, key: string, value: string, timeoutMs = 1000): Asked {
    const body = encodeCommand({ type: 'put', key: Buffer.from(key), value: Buffer.from(value), contentType: '' });
    return this.#ask((answer) => this.node(name).propose(body, this.now + timeoutMs, answer));
  }

  get(name: string, key: string, timeoutMs = 1000): Asked {
    return this.#ask((answer) => this.node(name).read(Buffer.from(key), this.now + timeoutMs, answer));
  }

  #ask(ask: (answer: (outcome: ReplicaOutcome) => void) => void): Asked {
    const asked: Asked = { outcomes: [] };
    ask((outcome) => void asked.outcomes.push(outcome));
    return asked;
  }

  #sent(sent: Sent): void {
    this.onSent(sent);
    this.mail.push(sent);
  }

  async #turn(): Promise<boolean> {
    const mail = this.mail.filter(({ from, to }) => !this.cut.has(from) && !this.cut.has(to));
    this.mail = [];
    for (const { from, to, message } of mail) this.replicas.get(to)?.receive(from, message);
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const nodeId of dirty) {
      this.replicas.get(nodeId)?.drive();
      this.storages.get(nodeId)?.flush();
    }
    let moved = mail.length > 0 || dirty.length > 0;
    for (const [nodeId, storage] of this.storages) {
      if (this.stalled.has(nodeId) || !storage.batchUnderWay('log')) continue;
      await storage.completeBatch('log');
      moved = true;
    }
    return moved || this.mail.length > 0;
  }
}

/** What a request came to: empty while it waits, and never more than one. */
export interface Asked {
  readonly outcomes: ReplicaOutcome[];
}

type Limits = ConstructorParameters<typeof Replica>[0]['limits'];
