/** A sender and receivers of snapshots over a network and storages in memory, on virtual time. */
import { defaults } from '../../src/config.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Configuration, ReplicaId, Term } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { SnapshotRequest } from '../../src/replica/snapshot-messages.ts';
import {
  SnapshotReceiver,
  type SnapshotReceiverOptions,
  type SnapshotWanted,
} from '../../src/replica/snapshot-receiver.ts';
import type { InstallOutcome, StagedSnapshot } from '../../src/replica/snapshot-reception.ts';
import { SnapshotSender } from '../../src/replica/snapshot-sender.ts';
import type { SnapshotOutcome, SnapshotTarget } from '../../src/replica/snapshot-transfer.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';
import { Source, Staging } from './snapshot-fakes.ts';

export const p1 = 1 as PartitionId;
export const n1 = 'n1' as NodeId;
export const n2 = 'n2' as NodeId;
export const n3 = 'n3' as NodeId;

export const limits = {
  ...defaults.snapshots,
  chunkBytes: 1000,
  pauseFactor: 0,
  bytesPerSecondMax: 1_000_000,
  transfersMax: 2,
  chunkTimeoutMs: 100,
  resumeMs: 2000,
  retryDelayMs: 50,
};

const founders: Configuration = {
  voters: [1, 2, 3] as ReplicaId[],
  votersOutgoing: [],
  learners: [],
  replicaIdMax: 3 as ReplicaId,
  incarnation: 1,
  hosts: new Map([1, 2, 3].map((id) => [id as ReplicaId, `n${id}`])),
};
export const founding = encodeConfiguration(founders);

/** A node that receives. `installed`: what its replica became by snapshots. */
export class Receiving {
  readonly staging: Staging;
  readonly installed: (StagedSnapshot & { state: Map<string, string> })[] = [];
  wanted: SnapshotWanted = { type: 'yes' };
  /** By its snapshots or otherwise. */
  readonly appliedIndex = new Map<PartitionId, number>();
  /** What its disk still takes. */
  roomBytes = Infinity;
  installs: InstallOutcome = 'installed';
  installMs = 1;
  receiver: SnapshotReceiver;
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
    this.staging = new Staging(clock);
    this.receiver = this.#start();
  }

  /** The process is started anew: what was staged is still on its disk. */
  restart(): void {
    this.receiver.stop();
    this.receiver = this.#start();
  }

  #start(): SnapshotReceiver {
    const options: SnapshotReceiverOptions = {
      clock: this.#clock,
      limits: { ...limits, nameBytesMax: 100, recordsBytesMax: 4000 },
      storage: this.staging,
      noRoom: (bytes) => (bytes > this.roomBytes ? `no room for ${bytes} bytes` : undefined),
      wants: ({ partition, index }) =>
        this.wanted.type === 'yes' && index <= (this.appliedIndex.get(partition) ?? 0)
          ? { type: 'not_needed' }
          : this.wanted,
      install: async (staged) => {
        await new Promise<void>((resolve) => this.#clock.after(this.installMs, resolve));
        if (this.installs !== 'installed') return this.installs;
        this.installed.push({ ...staged, state: new Map(this.staging.staged.get(staged.partition)) });
        this.appliedIndex.set(staged.partition, staged.request.index);
        return 'installed';
      },
    };
    return new SnapshotReceiver(options);
  }
}

export interface Sent {
  readonly to: NodeId;
  readonly kind: SnapshotRequest;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly at: number;
}

/** What becomes of one request. `late`: it arrives so long after its sender has given up, or the connection was lost. */
export type Fate = 'arrives' | 'lost' | 'answer_lost' | 'twice' | 'cut' | { readonly lateMs: number };

export class World {
  readonly clock = new VirtualClock();
  readonly nodes = new Map<NodeId, Receiving>();
  readonly sources = new Map<PartitionId, Source>();
  readonly sent: Sent[] = [];
  fate: (sent: Sent) => Fate = () => 'arrives';
  /** Chunks that the sender waits for an answer to, by receiver: now, and at most. */
  chunksUnderWay = 0;
  chunksUnderWayMax = 0;
  readonly outcomes: SnapshotOutcome[] = [];
  readonly sender: SnapshotSender;

  constructor(overrides: Partial<typeof limits> = {}) {
    this.sender = this.newSender(n1, overrides);
    for (const node of [n2, n3]) this.nodes.set(node, new Receiving(this.clock));
  }

  newSender(node: NodeId, overrides: Partial<typeof limits> = {}): SnapshotSender {
    return new SnapshotSender({
      clock: this.clock,
      limits: { ...limits, ...overrides },
      request: (to, kind, payload, timeoutMs) =>
        this.#request(node, { to, kind, payload: payload as Sent['payload'] }, timeoutMs),
      openSnapshot: (partition) => this.source(partition).open(),
      foundingConfiguration: () => founding,
    });
  }

  source(partition: PartitionId = p1, keys = 40): Source {
    const source = this.sources.get(partition) ?? new Source(this.clock, keys);
    this.sources.set(partition, source);
    return source;
  }

  node(name: NodeId = n2): Receiving {
    return this.nodes.get(name)!;
  }

  send(change: { partition?: PartitionId; term?: number; replicaId?: number; nodeId?: NodeId } = {}): boolean {
    return this.sender.send(target(change), (outcome) => this.outcomes.push(outcome));
  }

  kinds(): string[] {
    return this.sent.map(({ kind }) => kind.replace('snapshot.', ''));
  }

  openSnapshots(): number {
    return [...this.sources.values()].reduce((sum, { opened, closed }) => sum + opened - closed, 0);
  }

  async #request(from: NodeId, what: Omit<Sent, 'at'>, timeoutMs: number): Promise<unknown> {
    const { to, kind, payload } = what;
    const sent: Sent = { ...what, at: this.clock.monotonicMs() };
    this.sent.push(sent);
    const fate = this.fate(sent);
    if (kind === 'snapshot.chunk') this.chunksUnderWay += 1;
    this.chunksUnderWayMax = Math.max(this.chunksUnderWayMax, this.chunksUnderWay);
    try {
      return await new Promise((resolve, reject) => {
        const fail = (reason: string) =>
          reject(Object.assign(new Error(reason), { type: 'request_failure', sent: true, reason }));
        this.clock.after(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
        if (fate === 'cut') return fail('connection lost');
        if (fate === 'lost') return;
        const deliver = async () => {
          // As the bulk lane has it: what was sent is what the sender's memory holds, and the receiver is only lent it.
          const lent = structuredClone(payload);
          const answer = await this.node(to).receiver.handle(from, kind, lent);
          for (const part of Object.values(lent)) if (part instanceof Uint8Array) part.fill(0xdb);
          if (fate !== 'answer_lost') this.clock.after(1, () => resolve(answer));
        };
        this.clock.after(typeof fate === 'object' ? fate.lateMs : 1, () => void deliver());
        if (fate === 'twice') this.clock.after(2, () => void deliver());
      });
    } finally {
      if (kind === 'snapshot.chunk') this.chunksUnderWay -= 1;
    }
  }
}

export function target(
  change: { partition?: PartitionId; term?: number; replicaId?: number; nodeId?: NodeId } = {},
): SnapshotTarget {
  const { partition = p1, term = 5, replicaId = 2, nodeId = n2 } = change;
  return {
    partition,
    from: 1 as ReplicaId,
    to: { replicaId: replicaId as ReplicaId, nodeId },
    term: term as Term,
  };
}
