/**
 * A replica that must never speak again asks to be left out of its group: a move without its node is begun, and once the group's own committed
 * configuration has left it out, it is told that configuration, as its tombstone. Then the group lacks a replica, which is mended like any
 * other lack: there or on another node, by a learner with an id of its own.
 *
 * Safety: the others decide it by a majority of all who voted until then, in which the replica counts and says nothing. Where they are no
 * majority, the group stands still.
 */
import { decodeConfiguration, encodeConfiguration } from '../../raft/configuration.ts';
import type { Configuration, ReplicaId } from '../../raft/types.ts';
import type { Clock, NodeId, PartitionId } from '../../replica/ports.ts';
import type { GroupMembers } from '../group-members.ts';
import { isUnanswered } from '../leader-questions.ts';
import type { PartitionMap } from '../partition-map.ts';
import { isBytes, isCount, isNodeId, isPartitionId, type Fields } from '../shapes.ts';
import { placementOf, placementWithout } from './placements.ts';
import type { MoveRecord } from './records.ts';
import type { MetadataState } from './state.ts';
import type { MetadataWriter } from './writer.ts';

/** Who is to be left out. */
export interface LeaveRequest {
  readonly partition: PartitionId;
  readonly nodeId: NodeId;
  readonly replicaId: ReplicaId;
}

export type LeaveAnswer =
  | { readonly type: 'left_out'; readonly configuration: Configuration }
  /** Ask again; `detail` says what it waits for. */
  | { readonly type: 'not_yet'; readonly detail: string };

export interface LeavingOutPorts {
  readonly map: PartitionMap;
  readonly state: MetadataState;
  readonly writer: MetadataWriter;
  readonly members: GroupMembers;
  readonly clock: Clock;
}

/** Only by whoever leads the metadata group, and has read it. May be asked again and again. */
export async function leaveOut(
  { map, state, writer, members, clock }: LeavingOutPorts,
  { partition, nodeId, replicaId }: LeaveRequest,
  deadlineAt: number,
): Promise<LeaveAnswer> {
  // Half of the time: that a group does not answer has to be said while somebody still listens.
  const now = clock.monotonicMs();
  const view = await members.view(partition, now + (deadlineAt - now) / 2);
  if (isUnanswered(view)) return notYet('the group has no leader that answers: a majority of it is missing');
  const { configuration, committed } = view;
  if (configuration.hosts.get(replicaId) !== nodeId) {
    return committed ? { type: 'left_out', configuration } : notYet('the group is about to go on without it');
  }
  const move = state.moves.get(partition);
  const placement = placementOf({ map, moves: state.moves }, partition);
  if (!placement.includes(nodeId)) return notYet('a move without it is under way');
  // Whom another move leaves out because of what it has lost must not come back for this one's sake.
  const present = move?.record.reason === 'purge' ? undefined : configuration;
  const target = placementWithout(nodeId, placement, present);
  if (target.length === 0) return notYet('nobody else holds the partition');
  const record: MoveRecord = { partition, target, reason: 'purge', sinceMs: Math.floor(clock.wallMs()) };
  await writer.write([{ type: 'put', record: { type: 'move', record }, revision: move?.revision ?? 0 }], deadlineAt);
  return notYet('a move without it begins');
}

function notYet(detail: string): LeaveAnswer {
  return { type: 'not_yet', detail };
}

/** Undefined when malformed. */
export function decodeLeaveRequest({ partition, nodeId, replicaId }: Fields): LeaveRequest | undefined {
  if (!isPartitionId(partition) || !isNodeId(nodeId) || !isCount(replicaId)) return undefined;
  return { partition, nodeId, replicaId: replicaId as ReplicaId };
}

/** As it travels between nodes. */
export type EncodedLeaveAnswer = Fields &
  (
    | { readonly type: 'left_out'; readonly configuration: Uint8Array }
    | { readonly type: 'not_yet'; readonly detail: string }
  );

export function encodeLeaveAnswer(answer: LeaveAnswer): EncodedLeaveAnswer {
  if (answer.type === 'not_yet') return { ...answer };
  return { type: 'left_out', configuration: encodeConfiguration(answer.configuration) };
}

/** Undefined when malformed. */
export function decodeLeaveAnswer({ type, configuration, detail }: Fields): EncodedLeaveAnswer | undefined {
  if (type === 'not_yet') return typeof detail === 'string' ? { type, detail } : undefined;
  if (type !== 'left_out' || !isBytes(configuration)) return undefined;
  try {
    decodeConfiguration(configuration);
    return { type, configuration };
  } catch {
    return undefined;
  }
}
