/** Which partition may go from one node to another without sharing more, and which of them had best. Remembers what it found. */
import { againstRing } from './planner-choice.ts';
import type { Draft, DraftPartition, Step } from './planner-draft.ts';

/** `free`: only replicas that are on their way already. */
export type Cost = 'free' | 'any';

interface Ranked {
  readonly partition: DraftPartition;
  readonly rank: number;
}

/** What was found for a pair of nodes. */
interface Found {
  /** One that may go; it is looked at again before it is believed. */
  witness: DraftPartition | undefined;
  /** Of `Draft.touched` of the first node, how many are taken into account. */
  touched: number;
  /** All that may go, the best last, and some that may no longer; undefined while nobody asked for the best. */
  ranked: Ranked[] | undefined;
}

export class Links {
  readonly #draft: Draft;
  readonly #cost: Cost;
  readonly #found = new Map<number, Found>();

  constructor(draft: Draft, cost: Cost) {
    this.#draft = draft;
    this.#cost = cost;
  }

  exists(step: Step): boolean {
    const found = this.#of(step);
    if (found.ranked !== undefined) return this.best(step) !== undefined;
    const { witness } = found;
    if (witness !== undefined && this.#mayMove(witness, step)) return true;
    // Without a witness so far, only what has been touched since can be one.
    const among = witness === undefined ? this.#touchedSince(found, step) : this.#draft.heldBy(step.from);
    found.touched = this.#draft.touched(step.from).length;
    found.witness = undefined;
    for (const partition of among) {
      if (!this.#mayMove(partition, step)) continue;
      found.witness = partition;
      return true;
    }
    return false;
  }

  /** One that costs nothing, then one that comes to share less, then one that the ring would move so, then the lowest id. */
  best(step: Step): DraftPartition | undefined {
    const found = this.#of(step);
    found.ranked ??= this.#rankAll(found, step);
    for (const partition of this.#touchedSince(found, step)) {
      if (this.#mayMove(partition, step)) insert(found.ranked, { partition, rank: this.#rank(partition, step) });
    }
    found.touched = this.#draft.touched(step.from).length;
    for (let last = found.ranked.at(-1); last !== undefined; last = found.ranked.at(-1)) {
      // One that was touched is there once more, with the rank that it has now.
      if (this.#mayMove(last.partition, step) && this.#rank(last.partition, step) === last.rank) return last.partition;
      found.ranked.pop();
    }
    return undefined;
  }

  #of(step: Step): Found {
    const pair = step.from * this.#draft.nodes.length + step.to;
    const known = this.#found.get(pair);
    if (known !== undefined) return known;
    const [first] = this.#draft.heldBy(step.from);
    const found: Found = { witness: first, touched: this.#draft.touched(step.from).length, ranked: undefined };
    this.#found.set(pair, found);
    return found;
  }

  #touchedSince({ touched }: Found, { from }: Step): readonly DraftPartition[] {
    return this.#draft.touched(from).slice(touched);
  }

  #rankAll(found: Found, step: Step): Ranked[] {
    found.touched = this.#draft.touched(step.from).length;
    const ranked: Ranked[] = [];
    for (const partition of this.#draft.heldBy(step.from)) {
      if (this.#mayMove(partition, step)) ranked.push({ partition, rank: this.#rank(partition, step) });
    }
    return ranked.sort(worstFirst);
  }

  #rank(partition: DraftPartition, step: Step): number {
    const change = this.#draft.sharingChange(partition, step);
    return (isFree(partition, step) ? 0 : costWeight) + change * ringWeight + againstRing(this.#draft, partition, step);
  }

  #mayMove(partition: DraftPartition, step: Step): boolean {
    if (!partition.holders.includes(step.from)) return false;
    if (partition.holders.includes(step.to)) return false;
    if (this.#cost === 'free' && !isFree(partition, step)) return false;
    return this.#draft.sharingChange(partition, step) <= 0;
  }
}

/** Above all that `againstRing` says. */
const ringWeight = 4;
/** Above all that changes of sharing come to. */
const costWeight = 2 ** 40;

/** The replica is on its way already, or it stays where it was to be taken from. */
function isFree({ before }: DraftPartition, { from, to }: Step): boolean {
  return !before.includes(from) || before.includes(to);
}

function worstFirst(a: Ranked, b: Ranked): number {
  return b.rank - a.rank || b.partition.id - a.partition.id;
}

function insert(ranked: Ranked[], one: Ranked): void {
  let low = 0;
  let high = ranked.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (worstFirst(ranked[middle] as Ranked, one) < 0) low = middle + 1;
    else high = middle;
  }
  ranked.splice(low, 0, one);
}
