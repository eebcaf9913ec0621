/** How the wish to move a leadership, and its answer, travel between nodes: plain values that msgpack carries, checked on arrival. */
import type { LeaderHint, NodeId, PartitionId } from '../replica/ports.ts';
import { isCount, isFields, isNodeId, isPartitionId, isTerm, type Fields } from './shapes.ts';
import type { TransferOutcome } from './types.ts';

export interface TransferRequest {
  readonly partition: PartitionId;
  readonly to: NodeId;
  /** What is left of its caller's time. */
  readonly remainingMs: number;
}

/** `not_leader`: nothing was begun; `hint` says who may know better. */
export type TransferAnswer =
  | TransferOutcome
  | { readonly type: 'not_leader'; readonly partition: PartitionId; readonly hint: LeaderHint | undefined };

/** Says that a request was not understood; `decodeTransferAnswer` takes it for no answer. */
export const malformedTransfer: Fields = { type: 'malformed' };

export function encodeTransfer({ partition, to, remainingMs }: TransferRequest): Fields {
  return { partition, to, remainingMs };
}

/** Undefined when malformed. */
export function decodeTransfer(payload: unknown): TransferRequest | undefined {
  if (!isFields(payload)) return undefined;
  const { partition, to, remainingMs } = payload;
  if (!isPartitionId(partition) || !isNodeId(to) || !isCount(remainingMs)) return undefined;
  return { partition, to, remainingMs };
}

/** The answer of a node that stops: it begins nothing, and soon leads nothing. Whoever asked looks on for the leader. */
export function refuseTransfer(payload: unknown): Fields {
  const asked = decodeTransfer(payload);
  if (asked === undefined) return malformedTransfer;
  return encodeTransferAnswer({ type: 'not_leader', partition: asked.partition, hint: undefined });
}

export function encodeTransferAnswer(answer: TransferAnswer): Fields {
  // Nobody known is `null` in msgpack, which knows no `undefined`.
  return answer.type === 'not_leader' ? { ...answer, hint: answer.hint ?? null } : { ...answer };
}

/** Undefined when malformed, or when it answers something else than `asked`. */
export function decodeTransferAnswer(
  payload: unknown,
  asked: Pick<TransferRequest, 'partition' | 'to'>,
): TransferAnswer | undefined {
  if (!isFields(payload)) return undefined;
  const { type, detail } = payload;
  if (type === 'not_found') return typeof detail === 'string' ? { type, detail } : undefined;
  const { partition, to } = asked;
  if (payload['partition'] !== partition) return undefined;
  switch (type) {
    case 'done': {
      const { leader, term } = payload;
      return leader === to && isTerm(term) ? { type, partition, leader: to, term } : undefined;
    }
    case 'not_leader':
      return decodeNotLeader(partition, payload['hint']);
    case 'refused':
    case 'no_leader':
    case 'not_moved':
    case 'unknown':
      return typeof detail === 'string' ? { type, partition, detail } : undefined;
    default:
      return undefined;
  }
}

function decodeNotLeader(partition: PartitionId, hint: unknown): TransferAnswer | undefined {
  if (hint === null) return { type: 'not_leader', partition, hint: undefined };
  if (!isFields(hint)) return undefined;
  const { nodeId, term } = hint;
  return isNodeId(nodeId) && isTerm(term) ? { type: 'not_leader', partition, hint: { nodeId, term } } : undefined;
}
