/** Evening out: who gives which replica to whom, until nothing gets better. */
import { evenLoads } from './planner-chains.ts';
import { firstBy } from './planner-choice.ts';
import type { Draft, DraftPartition, Place } from './planner-draft.ts';
import { Links } from './planner-links.ts';
import { maybeMend } from './planner-mending.ts';

/** Ends: each round but the last lowers how much is shared, and evening out never raises it. */
export function balance(draft: Draft): void {
  const links = new Links(draft, 'any');
  maybeMend(draft, links);
  followRing(draft);
  do {
    evenLoads(draft, links);
  } while (maybeMend(draft, links));
}

/**
 * Moves from nodes that have more than is due to them, however fractions fall, to nodes that lack some. No plan does with
 * fewer. First where the ring proposes it, then wherever it may be.
 */
function followRing(draft: Draft): void {
  for (const proposedOnly of [true, false]) {
    for (const partition of draft.partitions) {
      for (const from of partition.holders.filter((place) => draft.takes(place))) {
        if (draft.load(from) <= draft.due(from).most) continue;
        const to = neededStep(draft, partition, { from, proposedOnly });
        if (to !== undefined) draft.move(partition, { from, to });
      }
    }
  }
}

interface Giver {
  readonly from: Place;
  readonly proposedOnly: boolean;
}

function neededStep(draft: Draft, partition: DraftPartition, { from, proposedOnly }: Giver): Place | undefined {
  const proposed = draft.proposed(partition);
  if (proposedOnly && proposed.includes(from)) return undefined;
  const candidates = (proposedOnly ? proposed : draft.takers).filter(
    (to) =>
      draft.load(to) < draft.due(to).least &&
      !partition.holders.includes(to) &&
      draft.sharingChange(partition, { from, to }) <= 0,
  );
  return firstBy(candidates, [
    (to) => draft.sharing(partition, to, from),
    (to) => Number(!proposed.includes(to)),
    (to) => draft.excess(to),
    (to) => to,
  ]);
}
