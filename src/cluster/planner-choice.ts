/** How a plan chooses where several choices are as good. */
import type { Draft, DraftPartition, Step } from './planner-draft.ts';

/** The candidate with the lowest first key; among equals by the second, and so on. */
export function firstBy<T>(candidates: readonly T[], keys: readonly ((candidate: T) => number)[]): T | undefined {
  let best = candidates;
  for (const key of keys) {
    if (best.length < 2) break;
    const values = best.map(key);
    const lowest = Math.min(...values);
    best = best.filter((_, i) => values[i] === lowest);
  }
  return best[0];
}

/** 0 when the ring proposes the new node and not the old one, 3 when it is the other way round. */
export function againstRing(draft: Draft, partition: DraftPartition, { from, to }: Step): number {
  const proposed = draft.proposed(partition);
  return 2 * Number(!proposed.includes(to)) + Number(proposed.includes(from));
}
