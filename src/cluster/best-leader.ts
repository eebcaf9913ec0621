/** Whom a node takes for a partition's leader, and whom it asks when it takes nobody for it. */
import type { LeaderHint, NodeId, Transport } from '../replica/ports.ts';
import type { LeaderHints } from './hints.ts';
import type { LeaderSearch } from './leader-search.ts';
import type { PartitionMap } from './partition-map.ts';
import type { LocalReplicas, PartitionDescriptor } from './types.ts';

/** The term of a guess from the map; real terms are 1 and up. */
export const noTerm = 0 as LeaderHint['term'];

/** All that a node knows of leaders. */
export interface Knowledge {
  readonly nodeId: NodeId;
  readonly map: PartitionMap;
  readonly hints: LeaderHints;
  readonly replicas: LocalReplicas;
  readonly transport: Pick<Transport, 'connected'>;
}

/** The newest of what the local replica and this node know, unless it proved wrong in this search. Names this node only when its replica agrees. */
export function bestHint({ hints, replicas, nodeId, map }: Knowledge, search: LeaderSearch): LeaderHint | undefined {
  const { id } = search.partition;
  const known = replicas.leader(id);
  const heard = hints.get(id);
  const usable = heard !== undefined && heard.nodeId !== nodeId && map.node(heard.nodeId) !== undefined;
  const best = usable && heard.term > (known?.term ?? -1) ? heard : known;
  return best !== undefined && best.term > search.refutedTerm ? best : undefined;
}

/** A replica that the map names, for lack of a hint. */
export function guessLeader(knowledge: Knowledge, partition: PartitionDescriptor): LeaderHint {
  const [first] = askingOrder(knowledge, partition);
  return { nodeId: first ?? partition.preferredLeader, term: noTerm };
}

/** The partition's other replicas: those in reach first, the preferred leader before the rest. */
export function askingOrder(
  { transport, nodeId }: Knowledge,
  { replicas, preferredLeader }: PartitionDescriptor,
): readonly NodeId[] {
  const rank = (id: NodeId): number => (transport.connected(id) ? 0 : 2) + (id === preferredLeader ? 0 : 1);
  return replicas
    .map((replica) => replica.nodeId)
    .filter((id) => id !== nodeId)
    .toSorted((a, b) => rank(a) - rank(b));
}
