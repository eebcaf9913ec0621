/** Passing replicas on, from the nodes with the most to those with the least, along others where need be. */
import { firstBy } from './planner-choice.ts';
import type { Draft, DraftPartition, Place, Step } from './planner-draft.ts';
import type { Links } from './planner-links.ts';

/**
 * From the heaviest node on, replicas are passed along chains of nodes to the lightest that can be reached: each node of a
 * chain gives one and, but for the first, gets one; mostly a chain is a single step. No link makes a partition share more.
 * Ends, as each chain lowers the sum of squared differences from the quotas. Without labels no placement has a lower one
 * when no chain is left: augmenting paths reach all there are, and the sum is convex.
 */
export function evenLoads(draft: Draft, links: Links): void {
  for (let passed = true; passed;) {
    passed = false;
    const stuck = new Set<Place>();
    for (let heavy = heaviest(draft, stuck); heavy !== undefined; heavy = heaviest(draft, stuck)) {
      const { chain, reached } = findChain(draft, heavy, links);
      if (chain.length > 0 && maybePass(draft, chain, links)) passed = true;
      // Whoever it reaches reaches no more than it does, and is lighter: the heavier ones were tried before.
      else for (const place of reached) stuck.add(place);
    }
  }
}

function heaviest(draft: Draft, stuck: ReadonlySet<Place>): Place | undefined {
  const candidates = draft.takers.filter((place) => !stuck.has(place));
  return firstBy(candidates, [(place) => -draft.excess(place), (place) => place]);
}

interface Search {
  /** From `heavy` on; empty when nobody light enough is reached. */
  readonly chain: readonly Step[];
  /** `heavy` among them. */
  readonly reached: Iterable<Place>;
}

/** Breadth-first, the lightest first, over "holds a partition that may go to …". */
function findChain(draft: Draft, heavy: Place, links: Links): Search {
  const reachedFrom = new Map<Place, Place | undefined>([[heavy, undefined]]);
  const waiting = draft.takers.toSorted((a, b) => draft.excess(a) - draft.excess(b) || a - b);
  const lightest = waiting[0] as Place;
  if (!draft.evens({ from: heavy, to: lightest })) return { chain: [], reached: [heavy] };
  // A map iterates over what is added meanwhile too.
  for (const from of reachedFrom.keys()) {
    for (const to of waiting) {
      if (reachedFrom.has(to) || !links.exists({ from, to })) continue;
      reachedFrom.set(to, from);
      if (draft.evens({ from: heavy, to })) return { chain: chainTo(to, reachedFrom), reached: reachedFrom.keys() };
    }
  }
  return { chain: [], reached: reachedFrom.keys() };
}

function chainTo(end: Place, reachedFrom: ReadonlyMap<Place, Place | undefined>): readonly Step[] {
  const chain: Step[] = [];
  let to = end;
  for (let from = reachedFrom.get(to); from !== undefined; from = reachedFrom.get(to)) {
    chain.unshift({ from, to });
    to = from;
  }
  return chain;
}

/** From the light end on. Two links may want to move the same partition; when the second then finds no other, all is taken back. */
function maybePass(draft: Draft, chain: readonly Step[], links: Links): boolean {
  const done: { readonly partition: DraftPartition; readonly step: Step }[] = [];
  for (const step of chain.toReversed()) {
    const partition = links.best(step);
    if (partition === undefined) {
      for (const {
        partition: moved,
        step: { from, to },
      } of done.toReversed())
        draft.move(moved, { from: to, to: from });
      return false;
    }
    draft.move(partition, step);
    done.push({ partition, step });
  }
  return true;
}
