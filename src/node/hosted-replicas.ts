/** The replicas that live on this node: mail for them, requests to them, what they say of themselves. */
import { unreachable } from '../assert.ts';
import type { Message, RaftStatus } from '../raft/types.ts';
import type { LeaderHint, NodeId, PartitionId } from '../replica/ports.ts';
import type { ReplicaOutcome } from '../replica/options.ts';
import type { Replica } from '../replica/replica.ts';
import { metadataPartition } from '../cluster/metadata/records.ts';
import type {
  KvOutcome,
  LeaderRequest,
  LocalOutcome,
  LocalReplicas,
  ReplicaStatus,
  StaleValue,
} from '../cluster/types.ts';
import type { WriteAdmission } from './write-admission.ts';

type Overloaded = Extract<KvOutcome, { type: 'overloaded' }>;

export class HostedReplicas implements LocalReplicas {
  readonly #nodeId: NodeId;
  readonly #admission: WriteAdmission;
  readonly #replicas = new Map<PartitionId, Replica>();

  constructor(nodeId: NodeId, admission: WriteAdmission) {
    this.#nodeId = nodeId;
    this.#admission = admission;
  }

  add(replica: Replica): void {
    this.#replicas.set(replica.partition, replica);
  }

  remove(replica: Replica): void {
    this.#replicas.delete(replica.partition);
  }

  all(): Iterable<Replica> {
    return this.#replicas.values();
  }

  /** Mail for a group that is not hosted here is dropped: Raft repairs, or the sender learns the newer map. */
  receive(sender: NodeId, partition: PartitionId, message: Message): void {
    this.#replicas.get(partition)?.receive(sender, message);
  }

  hosts(partition: PartitionId): boolean {
    return this.#replicas.get(partition)?.removed === false;
  }

  replica(partition: PartitionId): Replica | undefined {
    return this.#replicas.get(partition);
  }

  leader(partition: PartitionId): LeaderHint | undefined {
    return this.#replicas.get(partition)?.leader();
  }

  staleRead(partition: PartitionId, key: Uint8Array): StaleValue | undefined {
    const replica = this.#replicas.get(partition);
    const found = replica?.removed === false ? replica.staleRead(key) : undefined;
    if (replica === undefined || found === undefined) return undefined;
    const { term, ...value } = found;
    return { type: 'stale_value', origin: this.#origin(replica, term), ...value };
  }

  execute(partition: PartitionId, request: LeaderRequest, deadlineAt: number): Promise<LocalOutcome> {
    const replica = this.#replicas.get(partition);
    if (replica === undefined) return Promise.resolve({ type: 'not_leader', partition, hint: undefined });
    return new Promise((resolve) => {
      const answer = (outcome: ReplicaOutcome) => resolve(this.#local(replica, outcome));
      if (request.type === 'write') this.#write(replica, { body: request.body, deadlineAt, answer });
      else if (request.type === 'read') replica.read({ type: 'key', key: request.key }, deadlineAt, answer);
      else replica.read(request, deadlineAt, answer);
    });
  }

  /** What a client's write to the partition would come to if it were whole; undefined as well where another node leads. */
  refusal(partition: PartitionId): Overloaded | undefined {
    const replica = this.#replicas.get(partition);
    if (replica?.leads !== true || !this.#admission.isFull) return undefined;
    return this.#overloaded(partition, this.#admission.reason());
  }

  statuses(): ReplicaStatus[] {
    return [...this.#replicas.values()].map((replica) => this.#status(replica));
  }

  /** Moves, and who may take part, are never refused for a flood of clients' writes. */
  #write(
    replica: Replica,
    {
      body,
      deadlineAt,
      answer,
    }: {
      readonly body: Buffer;
      readonly deadlineAt: number;
      readonly answer: (outcome: ReplicaOutcome) => void;
    },
  ): void {
    // Who is led elsewhere is to hear that, and of no queue here.
    if (replica.partition === metadataPartition || !replica.leads) {
      return replica.propose(body, deadlineAt, answer);
    }
    const refusal = this.#admission.begin();
    if (refusal !== undefined) return answer({ type: 'overloaded', detail: refusal });
    replica.propose(body, deadlineAt, (outcome) => {
      this.#admission.end();
      answer(outcome);
    });
  }

  #local(replica: Replica, outcome: ReplicaOutcome): LocalOutcome {
    const { partition } = replica;
    const { type } = outcome;
    switch (type) {
      case 'value':
        return { type, origin: this.#origin(replica, outcome.term), record: outcome.record, logTime: outcome.logTime };
      case 'values':
        return { type, origin: this.#origin(replica, outcome.term), page: outcome.page, logTime: outcome.logTime };
      case 'point': {
        const { term, incarnation, index } = outcome;
        return { type, origin: this.#origin(replica, term), point: { incarnation, index } };
      }
      case 'result': {
        const { result, term, logTime, replayed } = outcome;
        // The range moved on before the command was applied: nothing was changed, and the newer map knows whom to ask.
        if (result.type === 'wrong_epoch') return { type: 'not_leader', partition, hint: undefined };
        return { type: 'done', origin: this.#origin(replica, term), result, logTime, replayed };
      }
      case 'not_leader':
        return { type: 'not_leader', partition, hint: replica.leader() };
      case 'overloaded':
        return this.#overloaded(partition, outcome.detail);
      case 'disk_full':
      case 'unknown':
      case 'in_progress':
        return { type, partition, detail: outcome.detail };
      default:
        return unreachable(outcome);
    }
  }

  #overloaded(partition: PartitionId, detail: string): Overloaded {
    return { type: 'overloaded', partition, detail, retryAfterMs: Math.ceil(this.#admission.waitMs) };
  }

  #origin(replica: Replica, term: number) {
    return { partition: replica.partition, term: term as LeaderHint['term'], nodeId: this.#nodeId };
  }

  #status(replica: Replica): ReplicaStatus {
    const { partition } = replica;
    const status = replica.status();
    const machine = replica.machineState();
    return {
      partition,
      nodeId: this.#nodeId,
      role: status.role === 'leader' ? 'leader' : isLearner(status) ? 'learner' : 'follower',
      state: 'ok',
      term: status.term,
      leader: replica.leader()?.nodeId,
      lastIndex: status.lastIndex,
      commitIndex: status.commitIndex,
      appliedIndex: status.appliedIndex,
      keys: machine.keys,
      bytes: machine.bytes,
      followers: status.progress.flatMap(({ replicaId, matchIndex }) => {
        const nodeId = replica.hostOf(replicaId);
        return nodeId === undefined || nodeId === this.#nodeId ? [] : [{ nodeId, matchIndex }];
      }),
    };
  }
}

function isLearner({ configuration, replicaId }: RaftStatus): boolean {
  return configuration.learners.includes(replicaId);
}
