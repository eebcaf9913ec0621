/** Three replicas of one partition over memory storage; the test decides what is delivered and what becomes durable. */
import { put } from '../kv/partition.ts';
import { defaults, type SnapshotConfig } from '../../src/config.ts';
import type { Command, Dedup, KeyRange } from '../../src/kv/types.ts';
import { encodeCommand } from '../../src/kv/command.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Message, ReplicaId } from '../../src/raft/types.ts';
import type { Clock, LeaderHint, NodeId, PartitionId, ReplicaDescriptor } from '../../src/replica/ports.ts';
import type { ReplicaOutcome, SnapshotDue } from '../../src/replica/options.ts';
import { foundingConfiguration } from '../../src/replica/founding.ts';
import { Replica } from '../../src/replica/replica.ts';
import { SnapshotReceiver } from '../../src/replica/snapshot-receiver.ts';
import { SnapshotSender } from '../../src/replica/snapshot-sender.ts';
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
  /** What gets lost on its way. */
  isLost: (sent: Sent) => boolean = () => false;
  /** Sees what leaves a replica. */
  onSent: (sent: Sent) => void = () => undefined;
  /** Sees what one node asks another of a snapshot. */
  onRequest: (kind: string) => void = () => undefined;
  /** Nodes that are known to have little room left, and what is said of it. */
  readonly lowDisks = new Map<NodeId, string>();
  readonly members: readonly ReplicaDescriptor[];
  /** Followers that need what a leader's log no longer has. */
  readonly snapshotsDue: SnapshotDue[] = [];
  /** Nodes whose state databases stall: what they have applied stays in memory. */
  readonly stateStalled = new Set<NodeId>();
  readonly snapshots = new Map<NodeId, Snapshots>();
  readonly #limits: Partial<Limits>;
  readonly #snapshotLimits: SnapshotLimits;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  #incarnation = 1;
  readonly #dirty = new Set<NodeId>();

  constructor(names: readonly string[], { limits = {}, snapshots = {} }: WorldOptions = {}) {
    this.#limits = limits;
    this.#snapshotLimits = {
      ...defaults.snapshots,
      pauseFactor: 0,
      bytesPerSecondMax: defaults.placement.moveBytesPerSecondMax,
      ...snapshots,
    };
    this.members = names.map((name, i) => ({ replicaId: (i + 1) as ReplicaId, nodeId: name as NodeId }));
  }

  static async start(
    names: readonly string[] = ['n1', 'n2', 'n3'],
    limits: Partial<Limits> = {},
    snapshots: Partial<SnapshotLimits> = {},
  ): Promise<World> {
    const world = new World(names, { limits, snapshots });
    for (const { nodeId } of world.members) {
      world.storages.set(
        nodeId,
        await openMemoryStorage({ automatic: false, after: (delayMs, run) => world.clock.after(delayMs, run) }),
      );
      world.host(nodeId);
    }
    return world;
  }

  readonly clock: Clock = {
    monotonicMs: () => this.now,
    wallMs: () => 1_000_000 + this.now,
    after: (delayMs, callback) => {
      const timer = { at: this.now + delayMs, callback };
      this.#timers.add(timer);
      return () => this.#timers.delete(timer);
    },
  };

  /** `replicaId`: of a later stay than the founder's. */
  host(nodeId: NodeId, limits: Partial<Limits> = this.#limits, replicaId?: number): Replica {
    const founder = this.members.find((member) => member.nodeId === nodeId) as ReplicaDescriptor;
    const self = { nodeId, replicaId: (replicaId ?? founder.replicaId) as ReplicaId };
    const snapshots = this.#snapshotsOf(nodeId);
    const replica = new Replica({
      partition,
      epoch: 1,
      self,
      members: this.members,
      storage: this.storages.get(nodeId) as MemoryStorage,
      transport: { send: (to, _partition, message) => this.#sent({ from: nodeId, to, message }) },
      clock: this.clock,
      random: () => self.replicaId / 10,
      limits: { ...defaults.raft, ...defaults.state, pendingBytesMax: defaults.storage.pendingBytesMax, ...limits },
      campaignsFirst: self.replicaId === 1,
      wake: () => void this.#dirty.add(nodeId),
      onLeader: (hint) => {
        this.leaders.set(nodeId, hint);
        if (hint?.nodeId !== nodeId) snapshots.sender.cancelPartition(partition);
      },
      onSnapshotDue: (due) => {
        this.snapshotsDue.push(due);
        snapshots.sender.send(due, () => this.replicas.get(nodeId)?.snapshotEnded(due.to.replicaId));
      },
      pinnedIndex: () => snapshots.sender.pinnedIndex(partition),
      lowDisks: this.lowDisks,
      observer: undefined,
      onFailure: (error) => {
        throw error;
      },
      onRemoved: () => undefined,
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

  /** Lets `byMs` pass without a tick: timers that fall due run. */
  async advance(byMs: number): Promise<void> {
    this.now += byMs;
    await this.settle();
  }

  /** The process of `name` is gone, and so are its connections; its disk stays. */
  async kill(name: string): Promise<void> {
    const nodeId = name as NodeId;
    this.replicas.delete(nodeId);
    this.snapshots.delete(nodeId);
    this.leaders.delete(nodeId);
    this.storages.set(nodeId, await this.storage(name).crash({ incarnation: (this.#incarnation += 1) }));
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
    return this.propose(name, put(key, value), { timeoutMs });
  }

  propose(
    name: string,
    command: Command,
    { dedup, timeoutMs = 1000 }: { readonly dedup?: Dedup; readonly timeoutMs?: number } = {},
  ): Asked {
    const body = encodeCommand(command, dedup);
    return this.#ask((answer) => this.node(name).propose(body, this.now + timeoutMs, answer));
  }

  get(name: string, key: string, timeoutMs = 1000): Asked {
    return this.#ask((answer) =>
      this.node(name).read({ type: 'key', key: Buffer.from(key) }, this.now + timeoutMs, answer),
    );
  }

  range(name: string, range: Partial<KeyRange> = {}, timeoutMs = 1000): Asked {
    const whole = { from: Buffer.alloc(0), to: undefined, reverse: false, limit: 1000, bytesMax: 1e6, keysOnly: false };
    const query = { type: 'range', range: { ...whole, ...range } } as const;
    return this.#ask((answer) => this.node(name).read(query, this.now + timeoutMs, answer));
  }

  /** As a node has them: one sender and one receiver, joined to the replica. */
  #snapshotsOf(nodeId: NodeId): Snapshots {
    const storage = this.storages.get(nodeId) as MemoryStorage;
    const { clock } = this;
    const limits = this.#snapshotLimits;
    const ports: Snapshots = {
      sender: new SnapshotSender({
        clock,
        limits,
        request: (to, kind, payload) => this.#request({ from: nodeId, to }, kind, payload),
        openSnapshot: (id) => storage.openSnapshot(id),
        foundingConfiguration: () => encodeConfiguration(foundingConfiguration(this.members)),
      }),
      receiver: new SnapshotReceiver({
        clock,
        limits: { ...limits, nameBytesMax: 1024, recordsBytesMax: 2 * 1024 * 1024 },
        storage,
        noRoom: () => this.lowDisks.get(nodeId),
        wants: ({ to, term, index }) => this.node(nodeId).wantsSnapshot({ to, term, index }),
        install: (staged) => this.node(nodeId).install(staged),
      }),
    };
    this.snapshots.set(nodeId, ports);
    return ports;
  }

  async #request({ from, to }: Pick<Sent, 'from' | 'to'>, kind: string, payload: unknown): Promise<unknown> {
    const receiver = this.snapshots.get(to)?.receiver;
    if (receiver === undefined || this.cut.has(from) || this.cut.has(to)) throw new Error('not connected');
    this.onRequest(kind);
    return receiver.handle(from, kind, payload);
  }

  #ask(ask: (answer: (outcome: ReplicaOutcome) => void) => void): Asked {
    const asked: Asked = { outcomes: [] };
    ask((outcome) => void asked.outcomes.push(outcome));
    return asked;
  }

  #sent(sent: Sent): void {
    this.onSent(sent);
    if (!this.isLost(sent)) this.mail.push(sent);
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
    const due = [...this.#timers].filter(({ at }) => at <= this.now);
    for (const timer of due) {
      this.#timers.delete(timer);
      timer.callback();
    }
    let moved = mail.length > 0 || dirty.length > 0 || due.length > 0;
    for (const [nodeId, storage] of this.storages) {
      for (const database of ['log', 'state'] as const) {
        const stalled = database === 'log' ? this.stalled : this.stateStalled;
        if (stalled.has(nodeId) || !storage.batchUnderWay(database)) continue;
        await storage.completeBatch(database);
        moved = true;
      }
    }
    // What waits for promises alone (the steps of a snapshot's transfer) gets on.
    await new Promise((resolve) => setImmediate(resolve));
    return moved || this.mail.length > 0 || this.#dirty.size > 0;
  }
}

/** What a request came to: empty while it waits, and never more than one. */
export interface Asked {
  readonly outcomes: ReplicaOutcome[];
}

interface Snapshots {
  readonly sender: SnapshotSender;
  readonly receiver: SnapshotReceiver;
}

type SnapshotLimits = SnapshotConfig & { readonly bytesPerSecondMax: number };

interface WorldOptions {
  readonly limits?: Partial<Limits>;
  readonly snapshots?: Partial<SnapshotLimits>;
}

type Limits = ConstructorParameters<typeof Replica>[0]['limits'];
