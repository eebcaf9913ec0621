/** A few nodes with a router each, over a network and replicas that do as the test says. */
import { put } from '../kv/partition.ts';
import { decode, encode } from '@msgpack/msgpack';
import { LeaderHints } from '../../src/cluster/hints.ts';
import { buildPartitionMap, createPartitionMap, type PartitionMap } from '../../src/cluster/partition-map.ts';
import { Router, type RouterLimits } from '../../src/cluster/router.ts';
import type {
  KvOutcome,
  KvRequest,
  LocalOutcome,
  LocalReplicas,
  RequestOptions,
  StaleValue,
} from '../../src/cluster/types.ts';
import { encodeCommand } from '../../src/kv/command.ts';
import type { Term } from '../../src/raft/types.ts';
import type { LeaderHint, NodeId, PartitionId, RequestFailure } from '../../src/replica/ports.ts';
import { bootstrap } from './founders.ts';
import { VirtualClock } from './virtual-clock.ts';

export const limits: RouterLimits = {
  hopsMax: 1,
  leaderWaitMsMax: 1500,
  leaderRetryDelayMs: 50,
  forwardReturnMs: 50,
  deadlineSweepMs: 20,
  requestTimeoutMsMax: 60_000,
  staleReadTimeoutMs: 500,
};

export const partition = 1 as PartitionId;
const key = Buffer.from('hello');
export const read: Extract<KvRequest, { type: 'read' }> = { type: 'read', key };

export function write(): KvRequest {
  return {
    type: 'write',
    key,
    body: encodeCommand(put('hello', 'world')),
  };
}

export function hint(nodeId: string, term: number): LeaderHint {
  return { nodeId: nodeId as NodeId, term: term as Term };
}

export function failure(sent: boolean): RequestFailure & Error {
  const reason = sent ? 'connection lost' : 'not connected';
  return Object.assign(new Error(reason), { type: 'request_failure' as const, sent, reason });
}

/** A replica that answers as its own state says, or as a test makes it. */
export class FakeReplica implements LocalReplicas {
  hosted = true;
  knows: LeaderHint | undefined;
  stale: StaleValue | undefined;
  executed: KvRequest[] = [];
  readonly #nodeId: NodeId;
  answer: ((request: KvRequest) => LocalOutcome | Promise<LocalOutcome>) | undefined;

  constructor(nodeId: NodeId) {
    this.#nodeId = nodeId;
  }

  hosts(): boolean {
    return this.hosted;
  }

  staleRead(): StaleValue | undefined {
    return this.stale;
  }

  leader(): LeaderHint | undefined {
    return this.knows;
  }

  async execute(id: PartitionId, request: KvRequest): Promise<LocalOutcome> {
    this.executed.push(request);
    if (this.answer !== undefined) return this.answer(request);
    if (this.knows?.nodeId !== this.#nodeId) return { type: 'not_leader', partition: id, hint: this.knows };
    return success(this.#nodeId, this.knows.term, request);
  }
}

/** What a leader in `term` answers when all goes well. */
export function success(
  nodeId: string,
  term: number,
  request: KvRequest,
): Extract<KvOutcome, { type: 'value' | 'done' }> {
  const origin = { partition, nodeId: nodeId as NodeId, term: term as Term };
  if (request.type === 'write') {
    return {
      type: 'done',
      origin,
      result: { type: 'put', revision: 7, incarnation: 1, created: true, expiresAt: 0 },
      logTime: 5000,
      replayed: false,
    };
  }
  const record = { value: Buffer.of(0, 255), contentType: 'text/plain', revision: 7, incarnation: 1, expiresAt: 0 };
  return { type: 'value', origin, record, logTime: 5000 };
}

interface WorldNode {
  readonly router: Router;
  readonly hints: LeaderHints;
  readonly replica: FakeReplica;
}

/** What a test does to one request on the wire: `deliver` takes it to the addressee and brings its answer. */
export type Fault = (deliver: () => Promise<unknown>, to: NodeId, payload: unknown) => Promise<unknown>;

export class World {
  readonly clock = new VirtualClock();
  readonly map: PartitionMap = onePartition();
  readonly down = new Set<string>();
  readonly asked: string[] = [];
  fault: Fault = (deliver) => deliver();
  readonly #nodes = new Map<string, WorldNode>();

  constructor(changes: Partial<RouterLimits> = {}) {
    for (const { nodeId } of this.map.nodes) {
      const hints = new LeaderHints();
      const replica = new FakeReplica(nodeId);
      const transport = {
        connected: (to: NodeId) => !this.down.has(to),
        request: (to: NodeId, kind: string, payload: unknown) => this.#carry(nodeId, to, kind, payload),
      };
      const ports = { nodeId, map: this.map, hints, replicas: replica, transport, clock: this.clock };
      const router = new Router({ ...ports, limits: { ...limits, ...changes } });
      this.#nodes.set(nodeId, { router, hints, replica });
    }
  }

  node(name: string): WorldNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** All replicas agree that `name` leads in `term`. */
  elect(name: string, term: number): void {
    for (const { replica, router } of this.#nodes.values()) {
      if (!replica.hosted) continue;
      replica.knows = hint(name, term);
      router.leaderChanged(partition);
    }
  }

  run(at: string, request: KvRequest, options: Partial<RequestOptions> & { timeoutMs?: number } = {}) {
    const { timeoutMs = 5000, ...rest } = options;
    const deadlineAt = this.clock.monotonicMs() + timeoutMs;
    const outcome = this.node(at).router.execute(request, { route: 'forward', hops: 0, deadlineAt, ...rest });
    return this.clock.until(outcome, timeoutMs + 10_000);
  }

  async #carry(from: string, to: NodeId, kind: string, payload: unknown): Promise<unknown> {
    if (kind !== 'forward') throw new Error(`unexpected request ${kind}`);
    if (this.down.has(to)) throw failure(false);
    this.asked.push(`${from}>${to}`);
    const deliver = async (): Promise<unknown> =>
      overTheWire(await this.node(to).router.handleForward(overTheWire(payload)));
    return this.fault(deliver, to, payload);
  }
}

export function overTheWire(value: unknown): unknown {
  return decode(encode(value));
}

/** Nodes n1 to n4; the only partition is on n1, n2 and n3, n1 preferred. */
export function onePartition(): PartitionMap {
  const { nodes, partitions, metadata } = buildPartitionMap({ ...bootstrap(3), partitions: 1 });
  const address = { http: 'http://127.0.0.1:7004', peer: '127.0.0.1:7104' };
  const extra = { nodeId: 'n4' as NodeId, ...address, labels: {}, weight: 1, standing: 'up' as const };
  const placed = partitions.map((p) => ({ ...p, preferredLeader: 'n1' as NodeId }));
  return createPartitionMap({ epoch: 1, nodes: [...nodes, extra], partitions: placed, metadata });
}
