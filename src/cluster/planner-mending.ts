/** Separating replicas of one partition that share a zone or host. */
import { againstRing, firstBy } from './planner-choice.ts';
import type { Draft, DraftPartition, Place, Step } from './planner-draft.ts';
import type { Links } from './planner-links.ts';

/**
 * Moves replicas to where they share less: to nodes that have room, or in exchange for a partition that does not mind. Ends
 * when no such step is left; each lowers how much is shared.
 */
export function maybeMend(draft: Draft, links: Links): boolean {
  let mended = false;
  for (;;) {
    const gains = draft.partitions.map((partition) => mendingsOf(draft, links, partition).gain);
    if (Math.max(0, ...gains) === 0) return mended;
    mendByGain(draft, links, gains);
    mended = true;
  }
}

/** What separates most goes first, so that room is not taken up by less. `gains` are those of the partitions. */
function mendByGain(draft: Draft, links: Links, gains: number[]): void {
  for (let most = Math.max(...gains); most > 0; most = Math.max(...gains)) {
    for (const [i, partition] of draft.partitions.entries()) {
      if (gains[i] !== most) continue;
      // Those before it may have taken the room.
      const mendings = mendingsOf(draft, links, partition);
      if (mendings.gain === most) mend(draft, links, { partition, steps: mendings.steps });
      gains[i] = mendingsOf(draft, links, partition).gain;
    }
  }
}

interface Mendings {
  /** By how much the partition would share less, as `Draft.sharing` counts; 0 when nothing can be done. */
  readonly gain: number;
  /** All that gain it. */
  readonly steps: readonly Step[];
}

function mendingsOf(draft: Draft, links: Links, partition: DraftPartition): Mendings {
  let gain = 0;
  let steps: Step[] = [];
  for (const from of partition.holders) {
    const sharing = draft.sharing(partition, from);
    if (sharing === 0 || sharing < gain || !draft.takes(from)) continue;
    for (const to of draft.takers) {
      const stepGain = sharing - draft.sharing(partition, to, from);
      if (stepGain <= 0 || stepGain < gain || partition.holders.includes(to)) continue;
      if (!hasRoom(draft, to) && !links.exists({ from: to, to: from })) continue;
      if (stepGain > gain) steps = [];
      gain = stepGain;
      steps.push({ from, to });
    }
  }
  return { gain, steps };
}

interface Choice {
  readonly partition: DraftPartition;
  readonly steps: readonly Step[];
}

/** Without an exchange if possible, from a node that must give anyway, as the ring proposes, from heavy to light. */
function mend(draft: Draft, links: Links, { partition, steps }: Choice): void {
  const step = firstBy(steps, [
    ({ to }) => Number(!hasRoom(draft, to)),
    ({ from }) => Number(draft.load(from) <= draft.due(from).most),
    (one) => againstRing(draft, partition, one),
    ({ from }) => -draft.excess(from),
    ({ to }) => draft.excess(to),
    ({ from }) => from,
    ({ to }) => to,
  ]);
  if (step === undefined) return;
  const back = { from: step.to, to: step.from };
  const other = hasRoom(draft, step.to) ? undefined : links.best(back);
  draft.move(partition, step);
  if (other !== undefined) draft.move(other, back);
}

function hasRoom(draft: Draft, place: Place): boolean {
  return draft.load(place) < draft.due(place).most;
}
