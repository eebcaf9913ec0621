/** What a draft comes to: the moves, and how many no plan could do without. */
import type { NodeId } from '../replica/ports.ts';
import type { Planned } from './planner.ts';
import type { Draft, DraftPartition, Place } from './planner-draft.ts';

/** The moves that make of what is what is to be. Those who must leave are the first whose place is taken. */
export function changesOf(draft: Draft, partition: DraftPartition): readonly Planned[] {
  const { id, before, holders, leaving } = partition;
  const arriving = namesOf(
    draft,
    holders.filter((place) => !before.includes(place)),
  );
  const drained = leaving.slice(0, leaving.length - remaining(draft, partition));
  const departing = [
    ...drained,
    ...namesOf(
      draft,
      before.filter((place) => !holders.includes(place)),
    ),
  ];
  return Array.from({ length: Math.max(arriving.length, departing.length) }, (_, i) => {
    const [from, to] = [departing[i], arriving[i]];
    const reason = i < drained.length ? 'drain' : from === undefined || to === undefined ? 'repair' : 'balance';
    return { partition: id, from, to, reason };
  });
}

/** How many of its leaving replicas the partition has to do with for now: nobody is free to take their place. */
export function remaining({ replicationFactor }: Draft, { holders, leaving }: DraftPartition): number {
  return Math.min(leaving.length, Math.max(0, replicationFactor - holders.length));
}

export function isArrival({ to }: Planned): boolean {
  return to !== undefined;
}

/** How many replicas any plan has to give to some node to get as far as this one got. `Plan.ideal` says what counts. */
export function leastArrivals(draft: Draft, balanced: boolean): number {
  let missing = 0;
  let superfluous = 0;
  for (const { before, holders } of draft.partitions) {
    missing += Math.max(0, holders.length - before.length);
    superfluous += Math.max(0, before.length - holders.length);
  }
  if (!balanced) return missing;
  let lacking = 0;
  let exceeding = 0;
  for (const place of draft.takers) {
    const { least, most } = endOf(draft, place);
    lacking += Math.max(0, least - draft.loadBefore(place));
    exceeding += Math.max(0, draft.loadBefore(place) - most);
  }
  return Math.max(missing, lacking, missing + exceeding - superfluous);
}

/** Where the node ends in any plan that brings loads as far as this one: next to its quota, or just there where labels keep it. */
function endOf(draft: Draft, place: Place): { readonly least: number; readonly most: number } {
  const load = draft.load(place);
  const due = draft.due(place);
  return load >= due.least && load <= due.most ? due : { least: load, most: load };
}

function namesOf(draft: Draft, places: readonly Place[]): readonly NodeId[] {
  return places.toSorted((a, b) => a - b).flatMap((place) => draft.nodes[place]?.nodeId ?? []);
}
