/**
 * A whole store behind the node's facade, in one Map: what the HTTP front is tested against where the question is what
 * the front makes of an outcome. `answerNext` puts an outcome in the place of the store's own.
 */
import type {
  ClusterStatus,
  KeyLocation,
  KvOutcome,
  KvRequest,
  NodeFacade,
  Origin,
  PartitionStatus,
  Readiness,
  RequestOptions,
  TransferOutcome,
} from '../../src/cluster/types.ts';
import { decodeCommand } from '../../src/kv/command.ts';
import type { ValueRecord } from '../../src/kv/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { Term } from '../../src/raft/types.ts';

export interface SeenRequest {
  readonly request: KvRequest;
  readonly options: RequestOptions;
  readonly at: number;
}

export interface SeenTransfer {
  readonly partition: number;
  readonly to: string;
  readonly timeoutMs: number;
}

type Answer = (request: KvRequest, store: () => KvOutcome) => KvOutcome | Promise<KvOutcome>;

export class LocalFacade implements NodeFacade {
  readonly nodeId = 'n1' as NodeId;
  readonly seen: SeenRequest[] = [];
  readonly seenTransfers: SeenTransfer[] = [];
  readiness: () => Readiness = () => ({ ready: true, reasons: [] });
  readonly #records = new Map<string, ValueRecord>();
  readonly #answers: Answer[] = [];
  readonly #transferAnswers: (() => TransferOutcome | Promise<TransferOutcome>)[] = [];
  #revision = 0;
  #leader: NodeId = this.nodeId;
  #term: Term = oneTerm;

  /** Requests to come are answered so, in turn, before the store answers by itself again. */
  answerNext(answer: Answer): void {
    this.#answers.push(answer);
  }

  answerNextTransfer(answer: () => TransferOutcome | Promise<TransferOutcome>): void {
    this.#transferAnswers.push(answer);
  }

  nowMs(): number {
    return performance.now();
  }

  async execute(request: KvRequest, options: RequestOptions): Promise<KvOutcome> {
    this.seen.push({ request, options, at: this.nowMs() });
    const answer = this.#answers.shift();
    const store = (): KvOutcome => this.#apply(request);
    return answer === undefined ? store() : answer(request, store);
  }

  locate(): KeyLocation {
    return { hash: 0x1234_5678, partition: onePartition, leader: this.#leader, replicas: nodeIds };
  }

  nodeAddress(): string | undefined {
    return undefined;
  }

  clusterStatus(): Promise<ClusterStatus> {
    const nodes = nodeIds.map((nodeId) => {
      const node = { nodeId, http: 'http://127.0.0.1:1', peer: '127.0.0.1:2', labels: { zone: 'a' } };
      return { ...node, state: 'up', leads: nodeId === this.#leader ? 1 : 0, replicas: 1 } as const;
    });
    return Promise.resolve({ clusterId: 'c'.repeat(32), name: 'test', epoch: 1, partitions: 1, nodes });
  }

  partitionStatus(): Promise<readonly PartitionStatus[]> {
    const replicas = nodeIds.map((nodeId) => {
      const role = nodeId === this.#leader ? 'leader' : 'follower';
      return { nodeId, role, matchIndex: this.#revision, lag: 0, state: 'ok' } as const;
    });
    const status: PartitionStatus = {
      id: onePartition,
      range: [0, 0xffff_ffff],
      epoch: 1,
      leader: this.#leader,
      term: this.#term,
      commitIndex: this.#revision,
      appliedIndex: this.#revision,
      replicas,
      keys: this.#records.size,
    };
    return Promise.resolve([status]);
  }

  async transferLeadership(partition: PartitionId, to: NodeId, deadlineAt: number): Promise<TransferOutcome> {
    this.seenTransfers.push({ partition, to, timeoutMs: deadlineAt - this.nowMs() });
    const answer = this.#transferAnswers.shift();
    if (answer !== undefined) return answer();
    if (partition !== onePartition) return { type: 'not_found', detail: 'no such partition' };
    if (!nodeIds.includes(to)) return { type: 'not_found', detail: 'no such node' };
    if (to !== this.#leader) this.#term = (this.#term + 1) as Term;
    this.#leader = to;
    return { type: 'done', partition, leader: to, term: this.#term };
  }

  #apply(request: KvRequest): KvOutcome {
    const name = Buffer.from(request.key).toString('latin1');
    const record = this.#records.get(name);
    if (request.type === 'read') return { type: 'value', origin: localOrigin, record };
    const { command } = decodeCommand(request.body);
    if (command.type === 'delete' && record === undefined) {
      return { type: 'done', origin: localOrigin, result: { type: 'not_found' } };
    }
    this.#revision += 1;
    const revision = this.#revision;
    if (command.type === 'delete') {
      this.#records.delete(name);
      return { type: 'done', origin: localOrigin, result: { type: 'deleted', revision } };
    }
    const { value, contentType } = command;
    this.#records.set(name, { value, contentType, revision, incarnation: 1, expiresAt: 0 });
    const result = { type: 'put', revision, incarnation: 1, created: record === undefined } as const;
    return { type: 'done', origin: localOrigin, result };
  }
}

const nodeIds = ['n1', 'n2'] as NodeId[];
export const onePartition = 1 as PartitionId;
export const oneTerm = 7 as Term;
export const localOrigin: Origin = { partition: onePartition, term: oneTerm, nodeId: 'n1' as NodeId };
export const otherOrigin: Origin = { partition: onePartition, term: oneTerm, nodeId: 'n2' as NodeId };
