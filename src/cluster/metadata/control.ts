/** What any node may ask of the controller, wherever it is: changes of the cluster, and which moves are under way. */
import type { NodeId } from '../../replica/ports.ts';
import { isUnanswered, type LeaderQuestions, type Question } from '../leader-questions.ts';
import { isCount, isFields, isNodeId, isPartitionId, type Fields } from '../shapes.ts';
import type {
  ChangeOptions,
  ClusterChange,
  ClusterChangeOutcome,
  MoveReason,
  MoveStep,
  NodeAddition,
  OperationsOutcome,
  OperationStatus,
  PlannedMove,
  PlanSummary,
} from '../types.ts';
import type { Controller } from './controller.ts';
import {
  decodeLeaveAnswer,
  decodeLeaveRequest,
  encodeLeaveAnswer,
  type EncodedLeaveAnswer,
  type LeaveRequest,
} from './leaving-out.ts';
import { metadataPartition } from './records.ts';

interface Asked extends Fields {
  readonly change: ClusterChange;
  readonly dryRun: boolean;
}

export class Control {
  readonly #questions: LeaderQuestions;
  readonly #change: Question<Asked, ClusterChangeOutcome & Fields>;
  readonly #operations: Question<Fields, { readonly operations: readonly OperationStatus[] } & Fields>;
  readonly #leave: Question<LeaveRequest & Fields, EncodedLeaveAnswer>;

  constructor(questions: LeaderQuestions, controller: Controller) {
    this.#questions = questions;
    this.#change = {
      kind: 'cluster.change',
      decodePayload: decodeAsked,
      decodeAnswer: decodeOutcome,
      answer: async (_, { change, dryRun }, deadlineAt) => {
        return await controller.change(change, { dryRun, deadlineAt });
      },
    };
    this.#operations = {
      kind: 'cluster.operations',
      decodePayload: (fields) => fields,
      decodeAnswer: decodeOperations,
      answer: () => Promise.resolve(controller.leads() ? { operations: controller.operations() } : undefined),
    };
    this.#leave = {
      kind: 'replica.leave',
      decodePayload: (fields) => decodeLeaveRequest(fields) as (LeaveRequest & Fields) | undefined,
      decodeAnswer: decodeLeaveAnswer,
      answer: async (_, request, deadlineAt) => {
        const answer = await controller.leaveOut(request, deadlineAt);
        return answer && encodeLeaveAnswer(answer);
      },
    };
  }

  async change(change: ClusterChange, { dryRun, deadlineAt }: ChangeOptions): Promise<ClusterChangeOutcome> {
    const answer = await this.#questions.ask(this.#change, {
      partition: metadataPartition,
      payload: { change, dryRun },
      deadlineAt,
    });
    if (!isUnanswered(answer)) return answer;
    if (answer.asked && !dryRun)
      return { type: 'unknown', detail: 'who leads the metadata group did not answer in time' };
    return { type: 'no_leader', detail: 'the metadata group has no leader that answers in time' };
  }

  async operations(deadlineAt: number): Promise<OperationsOutcome> {
    const asking = { partition: metadataPartition, payload: {}, deadlineAt };
    const answer = await this.#questions.ask(this.#operations, asking);
    if (!isUnanswered(answer)) return { type: 'operations', operations: answer.operations };
    return { type: 'no_leader', detail: 'the metadata group has no leader that answers in time' };
  }

  /** For a replica of this node that must never speak again. Asked until it is left out. */
  async leave(request: LeaveRequest, deadlineAt: number): Promise<EncodedLeaveAnswer> {
    const asking = { partition: metadataPartition, payload: { ...request }, deadlineAt };
    const answer = await this.#questions.ask(this.#leave, asking);
    if (!isUnanswered(answer)) return answer;
    return { type: 'not_yet', detail: 'the metadata group has no leader that answers in time' };
  }

  /** Serves a peer's request; undefined for a kind that is not one of these. */
  handle(kind: string, request: unknown): Promise<unknown> | undefined {
    if (kind === this.#change.kind) return this.#questions.handle(this.#change, request);
    if (kind === this.#leave.kind) return this.#questions.handle(this.#leave, request);
    if (kind === this.#operations.kind) return this.#questions.handle(this.#operations, request);
    return undefined;
  }
}

function decodeAsked({ change, dryRun }: Fields): Asked | undefined {
  const decoded = isFields(change) ? decodeChange(change) : undefined;
  return decoded === undefined || typeof dryRun !== 'boolean' ? undefined : { change: decoded, dryRun };
}

function decodeChange({ type, nodeId, node }: Fields): ClusterChange | undefined {
  switch (type) {
    case 'rebalance':
      return { type };
    case 'remove_node':
      return isNodeId(nodeId) ? { type, nodeId } : undefined;
    case 'add_node': {
      const decoded = isFields(node) ? decodeNode(node) : undefined;
      return decoded && { type, node: decoded };
    }
    default:
      return undefined;
  }
}

function decodeNode({ nodeId, http, peer, labels, weight }: Fields): NodeAddition | undefined {
  if (!isNodeId(nodeId) || typeof http !== 'string' || typeof peer !== 'string' || !isFields(labels)) return undefined;
  if (!Object.values(labels).every((label) => typeof label === 'string')) return undefined;
  if (typeof weight !== 'number' || !(weight > 0)) return undefined;
  return { nodeId, http, peer, labels: labels as Readonly<Record<string, string>>, weight };
}

function decodeOutcome({ type, detail, plan }: Fields): (ClusterChangeOutcome & Fields) | undefined {
  if (type === 'accepted') {
    const decoded = isFields(plan) ? decodePlan(plan) : undefined;
    return decoded && { type, plan: decoded };
  }
  if (type !== 'refused' && type !== 'not_found' && type !== 'no_leader' && type !== 'unknown') return undefined;
  return typeof detail === 'string' ? { type, detail } : undefined;
}

function decodePlan({ moves, replicas, bytes, fraction, ideal, risks }: Fields): PlanSummary | undefined {
  if (!Array.isArray(moves) || !Array.isArray(risks) || !risks.every((risk) => typeof risk === 'string'))
    return undefined;
  if (!isCount(replicas) || !isCount(bytes) || typeof fraction !== 'number' || typeof ideal !== 'number')
    return undefined;
  const decoded = moves.map(decodeMove);
  return decoded.every((move) => move !== undefined)
    ? { moves: decoded, replicas, bytes, fraction, ideal, risks }
    : undefined;
}

function decodeMove(move: unknown): PlannedMove | undefined {
  if (!isFields(move)) return undefined;
  const { partition, from, to, bytes } = move;
  if (!isPartitionId(partition) || !isCount(bytes)) return undefined;
  return { partition, from: isNodeId(from) ? from : undefined, to: isNodeId(to) ? to : undefined, bytes };
}

function decodeOperations({
  operations,
}: Fields): ({ readonly operations: readonly OperationStatus[] } & Fields) | undefined {
  if (!Array.isArray(operations)) return undefined;
  const decoded = operations.map(decodeOperation);
  return decoded.every((operation) => operation !== undefined) ? { operations: decoded } : undefined;
}

function decodeOperation(operation: unknown): OperationStatus | undefined {
  if (!isFields(operation)) return undefined;
  const { partition, reason, from, to, step, progress, lag, sinceMs, blockedBy } = operation;
  if (!isPartitionId(partition) || typeof reason !== 'string' || typeof step !== 'string') return undefined;
  if (!areNodes(from) || !areNodes(to) || typeof progress !== 'number' || !isCount(lag) || !isCount(sinceMs))
    return undefined;
  return {
    partition: partition,
    reason: reason as MoveReason,
    from,
    to,
    step: step as MoveStep,
    progress,
    lag,
    sinceMs,
    blockedBy: typeof blockedBy === 'string' ? blockedBy : undefined,
  };
}

function areNodes(value: unknown): value is readonly NodeId[] {
  return Array.isArray(value) && value.every(isNodeId);
}
