/**
 * A whole store behind the node's facade, one partition in plain maps: what the HTTP front is tested against where the question is what
 * the front makes of an outcome. `answerNext` puts an outcome in the place of the store's own.
 */
import type {
  ChangeOptions,
  ClusterChange,
  ClusterChangeOutcome,
  ClusterStatus,
  KeyLocation,
  KvOutcome,
  KvRequest,
  NodeFacade,
  OperationsOutcome,
  Origin,
  PartitionStatus,
  PlanSummary,
  Readiness,
  RequestOptions,
  TransferOutcome,
} from '../../src/cluster/types.ts';
import { asBuffer } from '../../src/bytes.ts';
import type { WatchCall, WatchOutcome } from '../../src/cluster/watch/hub.ts';
import type { WatchSink } from '../../src/cluster/watch/watcher.ts';
import { decodeCommand } from '../../src/kv/command.ts';
import type { KeyRange, RangePage } from '../../src/kv/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { Term } from '../../src/raft/types.ts';
import { Partition } from '../kv/partition.ts';

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

export interface SeenChange {
  readonly change: ClusterChange;
  readonly dryRun: boolean;
  readonly timeoutMs: number;
}

type Answer = (request: KvRequest, store: () => KvOutcome) => KvOutcome | Promise<KvOutcome>;

export class LocalFacade implements NodeFacade {
  readonly nodeId = 'n1' as NodeId;
  readonly seen: SeenRequest[] = [];
  readonly seenTransfers: SeenTransfer[] = [];
  readonly seenChanges: SeenChange[] = [];
  /** How long each question for operations might have taken, ms. */
  readonly seenOperations: number[] = [];
  /** What comes of changes of the cluster, and what is told of moves. */
  changeOutcome: () => ClusterChangeOutcome | Promise<ClusterChangeOutcome> = () => accepted;
  operationsOutcome: () => OperationsOutcome | Promise<OperationsOutcome> = () => ({
    type: 'operations',
    operations: [],
  });
  readiness: () => Readiness = () => ({ ready: true, reasons: [] });
  readonly #partition = new Partition();
  readonly #answers: Answer[] = [];
  readonly #transferAnswers: (() => TransferOutcome | Promise<TransferOutcome>)[] = [];
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

  /** Stands still. */
  wallMs(): number {
    return Date.UTC(2026, 0, 1);
  }

  async execute(request: KvRequest, options: RequestOptions): Promise<KvOutcome> {
    this.seen.push({ request, options, at: this.nowMs() });
    const answer = this.#answers.shift();
    const store = (): KvOutcome => this.#apply(request);
    return answer === undefined ? store() : answer(request, store);
  }

  /** What comes of a write whatever it says. */
  refusal: NodeFacade['refusal'] = () => undefined;

  /** What comes of watches. */
  watchOutcome: (call: WatchCall) => WatchOutcome = (call) => {
    this.watches.push({ call, sink: call.begin() });
    return { type: 'watching', close: () => (this.watchesClosed += 1) };
  };
  readonly watches: { readonly call: WatchCall; readonly sink: WatchSink }[] = [];
  watchesClosed = 0;

  watch(call: WatchCall): Promise<WatchOutcome> {
    return Promise.resolve(this.watchOutcome(call));
  }

  endWatches(): void {
    for (const { sink } of this.watches) sink.end({ type: 'shutting_down' });
  }

  /** Where keys lie, as far as the front asks. */
  partitionOf: (key: Buffer) => number = () => onePartition;

  locate(key: Uint8Array): KeyLocation {
    const partition = this.partitionOf(asBuffer(key)) as PartitionId;
    return { hash: 0x1234_5678, partition, leader: this.#leader, replicas: nodeIds };
  }

  partitions(): readonly PartitionId[] {
    return [onePartition];
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
      return { nodeId, role, matchIndex: this.#partition.state.appliedIndex, lag: 0, state: 'ok' } as const;
    });
    const status: PartitionStatus = {
      id: onePartition,
      range: [0, 0xffff_ffff],
      epoch: 1,
      incarnation: 1,
      leader: this.#leader,
      term: this.#term,
      commitIndex: this.#partition.state.appliedIndex,
      appliedIndex: this.#partition.state.appliedIndex,
      replicas,
      keys: this.#partition.records.size,
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

  async changeCluster(change: ClusterChange, { dryRun, deadlineAt }: ChangeOptions): Promise<ClusterChangeOutcome> {
    this.seenChanges.push({ change, dryRun, timeoutMs: deadlineAt - this.nowMs() });
    return this.changeOutcome();
  }

  async operations(deadlineAt: number): Promise<OperationsOutcome> {
    this.seenOperations.push(deadlineAt - this.nowMs());
    return this.operationsOutcome();
  }

  async metadataStatus(): Promise<PartitionStatus> {
    const [status] = await this.partitionStatus();
    if (status === undefined) throw new Error('there is one partition');
    const { keys: _keys, ...others } = status;
    return { ...others, id: 0 as PartitionId, term: 3 };
  }

  #page({ from, to, reverse, limit, keysOnly }: KeyRange): RangePage {
    const within = [...this.#partition.records]
      .map(([name, record]) => ({ key: Buffer.from(name, 'latin1'), record }))
      .filter(({ key }) => Buffer.compare(key, from) >= 0 && (to === undefined || Buffer.compare(key, to) < 0))
      .sort((one, other) => Buffer.compare(one.key, other.key));
    if (reverse) within.reverse();
    const values = within
      .slice(0, limit)
      .map(({ key, record }) => ({ key, record: keysOnly ? { ...record, value: Buffer.alloc(0) } : record }));
    return { values, moreAfter: within.length > limit ? values.at(-1)?.key : undefined };
  }

  #apply(request: KvRequest): KvOutcome {
    const logTime = this.wallMs();
    if (request.type === 'read') {
      const name = Buffer.from(request.key).toString('latin1');
      return { type: 'value', origin: localOrigin, record: this.#partition.records.get(name), logTime };
    }
    if (request.type === 'stale') {
      const record = this.#partition.records.get(Buffer.from(request.key).toString('latin1'));
      return { type: 'stale_value', origin: otherOrigin, record, logTime, stalenessMs: 120, estimated: false };
    }
    if (request.type === 'range') {
      return { type: 'values', origin: localOrigin, page: this.#page(request.range), logTime };
    }
    if (request.type === 'point') return { type: 'point', origin: localOrigin, point: { incarnation: 1, index: 1 } };
    const { command, dedup } = decodeCommand(request.body);
    const { result, replayed } = this.#partition.apply(command, dedup === undefined ? { logTime } : { logTime, dedup });
    if (result.type === 'wrong_epoch') throw new Error('there is one epoch');
    return { type: 'done', origin: localOrigin, result, logTime, replayed };
  }
}

const nodeIds = ['n1', 'n2'] as NodeId[];
const emptyPlan: PlanSummary = { moves: [], replicas: 0, bytes: 0, fraction: 0, ideal: 0, risks: [] };
const accepted: ClusterChangeOutcome = { type: 'accepted', plan: emptyPlan };
export const onePartition = 1 as PartitionId;
export const oneTerm = 7 as Term;
export const localOrigin: Origin = { partition: onePartition, term: oneTerm, nodeId: 'n1' as NodeId };
export const otherOrigin: Origin = { partition: onePartition, term: oneTerm, nodeId: 'n2' as NodeId };
