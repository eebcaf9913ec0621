/** Who leads what while that is being planned, and what each change costs. Kept by pairs of nodes: no change looks at all partitions. */
import { assert } from '../assert.ts';

/** Leaders by their place in a sorted list of nodes. */
export interface LeaderChoice {
  /** Those that may lead, sorted. */
  readonly candidates: readonly number[];
  /** The leader of today, one of the candidates. */
  readonly before: number | undefined;
}

/** One leadership from one node to another. */
export interface Passing {
  readonly from: number;
  readonly to: number;
}

interface Led extends LeaderChoice {
  readonly partition: number;
  leader: number;
}

/** No partition can be passed so: more than any sum of costs, and far from what 32 bits hold. */
const impossible = 1 << 28;

export class Leaderships {
  /** Of nodes. */
  readonly count: number;
  readonly loads: Int32Array;
  readonly #led: readonly Led[];
  /** For each pair of nodes, what the first leads and the second may lead. */
  readonly #passable: readonly Set<Led>[];
  /** The cheapest of these. */
  readonly #costs: Int32Array;

  constructor(count: number, choices: readonly LeaderChoice[]) {
    this.count = count;
    this.loads = new Int32Array(count);
    this.#passable = Array.from({ length: count * count }, () => new Set());
    this.#costs = new Int32Array(count * count).fill(impossible);
    const led = choices.map((choice, partition): Led => ({ ...choice, partition, leader: choice.before ?? nobody }));
    this.#led = led.filter(({ candidates }) => candidates.length > 0);
    for (const entry of this.#led) if (entry.leader !== nobody) this.#begin(entry, entry.leader);
    for (const entry of this.#led) if (entry.leader === nobody) this.#begin(entry, this.#lightest(entry));
  }

  /** -1 to 1: by how many partitions more will be led by another node than today. Huge when nothing can be passed so. */
  cost({ from, to }: Passing): number {
    return this.#costs[this.#pair(from, to)] ?? impossible;
  }

  /** Passes the leadership of whichever partition costs least. */
  pass(passing: Passing): void {
    const lowest = this.cost(passing);
    for (const led of this.#passable[this.#pair(passing.from, passing.to)] ?? []) {
      if (costOf(led, passing) !== lowest) continue;
      this.#end(led);
      this.#begin(led, passing.to);
      return;
    }
    assert(false, () => `nothing can be passed from ${passing.from} to ${passing.to}`);
  }

  changed(): readonly { readonly partition: number; readonly leader: number }[] {
    return this.#led.filter(({ before, leader }) => leader !== before);
  }

  #begin(led: Led, leader: number): void {
    led.leader = leader;
    this.loads[leader] = (this.loads[leader] ?? 0) + 1;
    for (const to of led.candidates) {
      if (to === leader) continue;
      const pair = this.#pair(leader, to);
      this.#passable[pair]?.add(led);
      this.#costs[pair] = Math.min(this.#costs[pair] ?? impossible, costOf(led, { from: leader, to }));
    }
  }

  #end(led: Led): void {
    const from = led.leader;
    this.loads[from] = (this.loads[from] ?? 0) - 1;
    for (const to of led.candidates) {
      if (to === from) continue;
      const pair = this.#pair(from, to);
      this.#passable[pair]?.delete(led);
      if (costOf(led, { from, to }) === this.#costs[pair]) this.#costs[pair] = this.#cheapest({ from, to });
    }
  }

  /** After one of the cheapest is gone: mostly the next is as cheap, and none is cheaper. */
  #cheapest(passing: Passing): number {
    const pair = this.#pair(passing.from, passing.to);
    const before = this.#costs[pair];
    let lowest = impossible;
    for (const led of this.#passable[pair] ?? []) {
      lowest = Math.min(lowest, costOf(led, passing));
      if (lowest === before) break;
    }
    return lowest;
  }

  #lightest({ candidates }: Led): number {
    return candidates.reduce((best, place) => ((this.loads[place] ?? 0) < (this.loads[best] ?? 0) ? place : best));
  }

  #pair(from: number, to: number): number {
    return from * this.count + to;
  }
}

const nobody = -1;

/** Where nobody leads today, whoever it becomes is a change: nothing more, nothing less. */
function costOf({ before }: LeaderChoice, { from, to }: Passing): number {
  return Number(to !== before) - Number(from !== before);
}
