/** How a request looks for a partition's leader from node to node. Shared by all that go to a leader. */
import type { Clock, LeaderHint, NodeId } from '../replica/ports.ts';
import type { LimitsConfig } from '../config.ts';
import { askingOrder, noTerm, type Knowledge } from './best-leader.ts';
import type { LeaderHints } from './hints.ts';
import { memberNodes } from './partition-map.ts';
import { isFields } from './shapes.ts';
import type { PartitionDescriptor } from './types.ts';

export interface LeaderSearch {
  readonly partition: PartitionDescriptor;
  /** Hints of this term and below proved wrong in this search: a leader that was deposed never leads in that term again. */
  refutedTerm: number;
  /** When waiting for a leader ends; set by the first wait. */
  waitUntil: number | undefined;
  /** Turns of asking without a hint so far. */
  asked: number;
  /** Rounds of it in which a node that the map does not name could have been asked. */
  strangers: number | undefined;
}

/** Below every term, and below a guess's. */
export const nothingRefuted = -1;

export function beginSearch(partition: PartitionDescriptor): LeaderSearch {
  return { partition, refutedTerm: nothingRefuted, waitUntil: undefined, asked: 0, strangers: undefined };
}

/** What follows an attempt that brought no outcome and certainly no effect. */
export type Next = 'again' | 'wait';

/** Whom to ask now, where this node does not lead: `hint` while it is in reach. Undefined: nobody, so wait. */
export function peerToAsk(
  knowledge: Knowledge,
  search: LeaderSearch,
  hint: LeaderHint | undefined,
): LeaderHint | undefined {
  const { replicas, transport, hints } = knowledge;
  // The map may have learnt of other members since the search began.
  const partition = knowledge.map.partition(search.partition.id) ?? search.partition;
  const { id } = partition;
  if (hint !== undefined && transport.connected(hint.nodeId)) return hint;
  if (hint !== undefined) hints.drop(id, hint);
  if (replicas.hosts(id)) return undefined;
  // No replica here that would hear of a leader: ask those who have one in turn, and rest after each round.
  const members = askingOrder(knowledge, partition);
  const turn = search.asked++;
  const at = turn % (members.length + 2);
  const asked = members[at] ?? (at === members.length ? stranger(knowledge, partition, search) : undefined);
  return asked === undefined ? undefined : { nodeId: asked, term: noTerm };
}

/**
 * A node that the map does not place the partition on, another one in each round. All that the map names may have been left out by a
 * move that is not written down yet: where they were few, none of them is left who could say who leads, not even to the controller, which
 * must hear of the group before it writes. Undefined in the first round, and where nobody else is in reach.
 */
function stranger(
  { map, transport, nodeId }: Knowledge,
  partition: PartitionDescriptor,
  search: LeaderSearch,
): NodeId | undefined {
  const isOther = (id: NodeId): boolean =>
    id !== nodeId && !partition.replicas.some((replica) => replica.nodeId === id);
  const reachable = memberNodes(map).filter((node) => isOther(node.nodeId) && transport.connected(node.nodeId));
  const found = search.strangers === undefined ? undefined : reachable[search.strangers % reachable.length]?.nodeId;
  search.strangers = (search.strangers ?? -1) + 1;
  // The round ends here.
  if (found === undefined) search.asked++;
  return found;
}

/** `wrong` does not lead. At once again when `newer` says who does; else wait, or ask the next when this was only a guess. */
export function refute(
  hints: LeaderHints,
  search: LeaderSearch,
  { wrong, newer }: { readonly wrong: LeaderHint; readonly newer: LeaderHint | undefined },
): Next {
  const { id } = search.partition;
  hints.drop(id, wrong);
  search.refutedTerm = Math.max(search.refutedTerm, wrong.term);
  if (newer !== undefined && newer.term > search.refutedTerm) {
    hints.learn(id, newer);
    return 'again';
  }
  return afterFailure(wrong);
}

/** `asked` could not be asked, or what it said is lost and does not matter: a mere guess gives way to the next one. */
export function afterFailure(asked: LeaderHint): Next {
  return asked.term === noTerm ? 'again' : 'wait';
}

/** Only an explicit `sent: false` says that nothing left this node; anything else may have been acted upon. */
export function neverSent(failure: unknown): boolean {
  return isFields(failure) && failure['type'] === 'request_failure' && failure['sent'] === false;
}

export function patienceIsOver(
  { clock, limits }: { readonly clock: Clock; readonly limits: Pick<LimitsConfig, 'leaderWaitMsMax'> },
  search: LeaderSearch,
): boolean {
  const now = clock.monotonicMs();
  search.waitUntil ??= now + limits.leaderWaitMsMax;
  return now >= search.waitUntil;
}
