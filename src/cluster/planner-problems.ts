/** What a plan cannot place, in words for people: a line for each node or shortage, however many partitions it concerns. */
import type { NodeId, PartitionId } from '../replica/ports.ts';
import type { Draft } from './planner-draft.ts';
import { remaining } from './planner-outcome.ts';
import { compareText } from './ring.ts';

/** Partitions named in one line. */
const namedMax = 5;

export function problemsOf(draft: Draft): readonly string[] {
  const staying = new Map<NodeId, PartitionId[]>();
  const short: PartitionId[] = [];
  for (const partition of draft.partitions) {
    const kept = remaining(draft, partition);
    for (const nodeId of partition.leaving.slice(partition.leaving.length - kept)) {
      const ids = staying.get(nodeId) ?? [];
      ids.push(partition.id);
      staying.set(nodeId, ids);
    }
    if (partition.holders.length + kept < draft.replicationFactor) short.push(partition.id);
  }
  const why = reason(draft);
  const lines = [...staying]
    .toSorted(([a], [b]) => compareText(a, b))
    .map(([nodeId, ids]) => `${nodeId} cannot give up ${named(ids)}: ${why}`);
  if (short.length > 0) lines.push(`fewer than ${draft.replicationFactor} replicas of ${named(short)}: ${why}`);
  return lines;
}

function reason({ takers }: Draft): string {
  if (takers.length === 0) return 'no node may be given replicas now';
  if (takers.length === 1) return 'the only node that may be given replicas now has one already';
  return `each of the ${takers.length} nodes that may be given replicas now has one already`;
}

function named(ids: readonly PartitionId[]): string {
  const names = ids.slice(0, namedMax).join(', ');
  const more = ids.length > namedMax ? ` and ${ids.length - namedMax} more` : '';
  return `${ids.length === 1 ? 'partition' : 'partitions'} ${names}${more}`;
}
