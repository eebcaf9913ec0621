/** What must be done: superfluous replicas go, missing ones and those of leaving nodes are placed. */
import { firstBy } from './planner-choice.ts';
import type { Draft, DraftPartition, Place } from './planner-draft.ts';

/**
 * Each partition comes to have as many holders as the replication factor says, as far as there are nodes. Which of its
 * leaving replicas each newcomer takes the place of is told afterwards, when no other change can follow.
 */
export function placeWhatMust(draft: Draft): void {
  for (const partition of draft.partitions) {
    while (partition.holders.length > draft.replicationFactor) {
      const from = mostSuperfluous(draft, partition);
      if (from === undefined) break;
      draft.drop(partition, from);
    }
  }
  for (const partition of draft.partitions) {
    while (partition.holders.length < draft.replicationFactor) {
      const to = bestTaker(draft, partition);
      if (to === undefined) break;
      draft.add(partition, to);
    }
  }
}

/** One that shares much, then one with much to hold, then one that the ring does not propose. */
function mostSuperfluous(draft: Draft, partition: DraftPartition): Place | undefined {
  const candidates = partition.holders.filter((place) => draft.takes(place));
  return firstBy(candidates, [
    (place) => -draft.sharing(partition, place),
    (place) => -draft.excess(place),
    (place) => Number(draft.proposed(partition).includes(place)),
    (place) => place,
  ]);
}

/** One that shares little, then the ring's choice while it has room, then one with little to hold. */
function bestTaker(draft: Draft, partition: DraftPartition): Place | undefined {
  const candidates = draft.takers.filter((place) => !partition.holders.includes(place));
  const proposed = draft.proposed(partition);
  const choice = (place: Place): number => {
    const at = proposed.indexOf(place);
    return at !== -1 && draft.load(place) < draft.due(place).least ? at : proposed.length;
  };
  return firstBy(candidates, [
    (place) => draft.sharing(partition, place),
    choice,
    (place) => draft.excess(place),
    (place) => place,
  ]);
}
