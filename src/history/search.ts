/**
 * Looks for an order of the operations on one key that explains every answer: the search of Wing and Gong ("Testing and
 * verifying concurrent objects", 1993) with the memory of Lowe ("Testing for linearizability", 2017).
 *
 * A configuration is the set of answered operations placed so far, the register's state and what was used of the writes of
 * unknown outcome. The next operation may be any that was called before all others left have returned. The set is kept as
 * the last one placed, by call, and the `holes` before it: those overlap its call, so there are never more of them than
 * were under way at one time, however long the history.
 *
 * What follows keeps the search narrow. Each rule leaves out only orders for which another one is still tried ("complete"),
 * and every order found obeys every answer ("sound").
 *
 * 1. An operation that the state explains and that changes nothing is placed at once, without an alternative: in any order
 *    that completes this configuration it can be moved to the front.
 * 2. A write of unknown outcome takes effect only directly before an answered operation that the state without it does not
 *    explain. In any order, look at such a write and at the next answered operation: of several unknown writes between
 *    two answered operations only the last one is seen, so leave out the others. If the answered operation is explained
 *    without the write, then either it overwrites what the write did, so leave the write out, or it changes nothing, so
 *    let the write take effect after it. Unknown writes have no return, so later is always allowed; repeat until none is left.
 * 3. Unknown writes of one effect are interchangeable, and one that may take effect now always may: only their number
 *    counts, and they are used in the order of their calls. Puts of values that nobody read are of one effect. An order
 *    with fewer used is as good as any with more, which the memory knows.
 * 4. Where any value will do (before `created: false`, `deleted: true`) one that nobody is left to read is taken, if there is
 *    one: had the order another put there, and this one later or never, the two could change places.
 * 5. Every revision that was told is of a write that took effect, and they grow: the next write with a revision is the one
 *    with the next higher revision, or none of the rest can be explained.
 * 6. A state is not left while answered gets of it are missing that no put that is left could explain.
 * 7. Of operations that ask and do the same and may all come next, only the one that returned first is tried: in any order
 *    that begins with another one the two can change places.
 * 8. A value with a time to live may be gone once its time is over, by the log's time that answers tell. It goes only directly before an
 *    answered operation that finds nothing, for the reason of rule 2: it may always go later.
 */
import { Amounts, Memory } from './memory.ts';
import { Before, deletesPool, Kind, none, unreadPutsPool, type Known, type Pool, type Register } from './register.ts';
import type { Operation } from './types.ts';

export type Verdict = 'linearizable' | 'impossible' | 'undecided';

/** A move is an answered operation and what must take effect directly before it: a pool's next operation, or nothing. */
const directly = -1;

/** The value that is there has become due and is gone. It needs no write, and may happen whenever it is true. */
const expiry = -3;

/** In the state, after a put that nobody reads: some value. */
const unreadValue = -2;

/** The configuration in which a choice was made. */
interface Choice {
  readonly last: number;
  readonly holes: readonly number[];
  readonly value: number;
  readonly rank: number;
  readonly bound: number;
  readonly amounts: number;
  readonly placed: number;
  /** Where its moves begin in the list of all that are yet to try. */
  readonly movesFrom: number;
}

export class Search {
  readonly #known: readonly Known[];
  readonly #pools: readonly Pool[];
  readonly #poolOfValue: Int32Array;
  readonly #rankIsOfPut: readonly boolean[];
  readonly #dueAt: Float64Array;
  /** Whether any value has a time to live. */
  readonly #expires: boolean;
  /** The earliest return among the operations from each one on. */
  readonly #earliestReturn: Float64Array;

  /** The last operation placed, by call, and those before it that are not placed. */
  #last = none;
  #holes: number[] = [];
  /** The state: what value is there (`none`: nothing), and its revision's rank if it is known. */
  #value = none;
  #rank = none;
  /** The highest rank so far. */
  #bound = none;
  /** Of every pool from the third on; the first two are in `#used`. */
  #amounts = 0;

  /** All placed, in order: the index of an answered operation, or ~pool. */
  readonly #placed: number[] = [];
  readonly #used: Int32Array;
  /** Of each value, answered gets not yet placed, and puts that may still be. */
  readonly #readersLeft: Int32Array;
  readonly #writersLeft: Int32Array;
  readonly #readersOfRankLeft: Int32Array;
  #absenceSeersLeft = 0;
  #removersLeft: number;
  /** The latest that everything answered before it could be placed. */
  #reached = -Infinity;

  readonly #memory = new Memory();
  readonly #allAmounts = new Amounts();
  /** Moves yet to try, two numbers each. */
  readonly #moves: number[] = [];
  /** Those of one configuration, while they are gathered. */
  readonly #direct: number[] = [];
  readonly #deletes: number[] = [];
  readonly #through: number[] = [];

  constructor({ known, pools, values, rankIsOfPut, dueAt }: Register) {
    this.#known = known;
    this.#pools = pools;
    this.#rankIsOfPut = rankIsOfPut;
    this.#dueAt = dueAt;
    this.#expires = dueAt.some((at) => at < Infinity);
    this.#used = new Int32Array(pools.length);
    this.#earliestReturn = new Float64Array(known.length + 1).fill(Infinity);
    this.#readersLeft = new Int32Array(values);
    this.#writersLeft = new Int32Array(values);
    this.#readersOfRankLeft = new Int32Array(rankIsOfPut.length);
    this.#poolOfValue = new Int32Array(values).fill(none);
    this.#removersLeft = pools[deletesPool]?.operations.length ?? 0;
    for (const [index, { value, operations }] of pools.entries()) {
      if (value === none) continue;
      this.#poolOfValue[value] = index;
      this.#writersLeft[value] = operations.length;
    }
    for (let index = known.length - 1; index >= 0; index -= 1) {
      const { return: returned } = this.#at(index);
      this.#earliestReturn[index] = Math.min(returned, this.#earliestReturn[index + 1] ?? Infinity);
      this.#count(index, 1);
    }
  }

  /** `maySpend` is asked before each step, a move tried: false ends the search. */
  run(maySpend: () => boolean): Verdict {
    const choices: Choice[] = [];
    this.#placeSeers();
    if (this.#isComplete()) return 'linearizable';
    choices.push(this.#choose());
    for (let choice = choices.at(-1); choice !== undefined; choice = choices.at(-1)) {
      this.#goBack(choice);
      if (this.#moves.length === choice.movesFrom) {
        choices.pop();
        continue;
      }
      if (!maySpend()) return 'undecided';
      const through = this.#moves.pop() ?? directly;
      const index = this.#moves.pop() ?? 0;
      if (through !== directly) this.#takeEffect(through);
      this.#place(index);
      this.#placeSeers();
      if (this.#isComplete()) return 'linearizable';
      if (this.#isNew()) choices.push(this.#choose());
    }
    return 'impossible';
  }

  /** What was placed, in order, with the writes of unknown outcome that took effect: after success, everything. */
  order(): Operation[] {
    const used = this.#pools.map(() => 0);
    return this.#placed.flatMap((placed) => {
      if (placed >= 0) return [this.#at(placed).operation];
      const at = used[~placed] ?? 0;
      used[~placed] = at + 1;
      return this.#pools[~placed]?.operations[at] ?? [];
    });
  }

  /** When the first answer came that could not be placed, in the order that came furthest. */
  reached(): number {
    return this.#reached;
  }

  #at(index: number): Known {
    return this.#known[index] as Known;
  }

  #isComplete(): boolean {
    return this.#last === this.#known.length - 1 && this.#holes.length === 0;
  }

  #isNew(): boolean {
    return this.#memory.add(
      [this.#last, this.#value, this.#rank, this.#amounts, ...this.#holes],
      [this.#used[deletesPool] ?? 0, this.#used[unreadPutsPool] ?? 0],
    );
  }

  /** What is called after this must wait: someone who is not placed has returned. */
  #horizon(): number {
    let horizon = this.#earliestReturn[this.#last + 1] ?? Infinity;
    for (const hole of this.#holes) horizon = Math.min(horizon, this.#at(hole).return);
    return horizon;
  }

  /** Rule 1. */
  #placeSeers(): void {
    while (this.#placeSeer());
  }

  #placeSeer(): boolean {
    const seer = this.#holes.find((hole) => this.#isExplainedSeer(this.#at(hole)));
    if (seer !== undefined) {
      this.#place(seer);
      return true;
    }
    const horizon = this.#horizon();
    for (let index = this.#last + 1; index < this.#known.length; index += 1) {
      const operation = this.#at(index);
      if (operation.call > horizon) return false;
      if (!this.#isExplainedSeer(operation)) continue;
      this.#place(index);
      return true;
    }
    return false;
  }

  #isExplainedSeer({ kind, value, rank }: Known): boolean {
    if (kind === Kind.seesAbsence) return this.#value === none;
    if (kind === Kind.seesRevision) return this.#value !== none && rank === this.#rank;
    return kind === Kind.seesValue && value === this.#value && (rank === none || rank === this.#rank);
  }

  #choose(): Choice {
    const choice = {
      last: this.#last,
      holes: [...this.#holes],
      value: this.#value,
      rank: this.#rank,
      bound: this.#bound,
      amounts: this.#amounts,
      placed: this.#placed.length,
      movesFrom: this.#moves.length,
    };
    this.#addMoves();
    return choice;
  }

  #goBack({ placed, last, holes, value, rank, bound, amounts }: Choice): void {
    if (this.#placed.length === placed) return;
    while (this.#placed.length > placed) {
      const undone = this.#placed.pop() ?? 0;
      if (undone >= 0) this.#count(undone, 1);
      else this.#countUse(~undone, -1);
    }
    this.#last = last;
    this.#holes = [...holes];
    this.#value = value;
    this.#rank = rank;
    this.#bound = bound;
    this.#amounts = amounts;
  }

  /** What needs no unknown write is tried before what does, puts before deletes, and else the earlier call first. */
  #addMoves(): void {
    const mayLeave = this.#mayLeave();
    const horizon = this.#horizon();
    this.#reached = Math.max(this.#reached, horizon);
    const candidates: number[] = [];
    for (const hole of this.#holes) this.#addCandidate(candidates, hole);
    for (let index = this.#last + 1; index < this.#known.length; index += 1) {
      if (this.#at(index).call > horizon) break;
      this.#addCandidate(candidates, index);
    }
    const [direct, deletes, through] = [this.#direct, this.#deletes, this.#through];
    for (const index of candidates) this.#addMovesOf(index, mayLeave, horizon);
    // The last one added is tried first.
    for (const list of [through, deletes, direct]) {
      for (let at = list.length - 2; at >= 0; at -= 2) this.#moves.push(list[at] ?? 0, list[at + 1] ?? directly);
      list.length = 0;
    }
  }

  /** Rule 7. */
  #addCandidate(candidates: number[], index: number): void {
    const operation = this.#at(index);
    // Rule 5.
    if (operation.rank !== none && operation.rank !== this.#bound + 1) return;
    const same = candidates.findIndex((other) => this.#isSame(operation, this.#at(other)));
    if (same === -1) candidates.push(index);
    else if (operation.return < this.#at(candidates[same] ?? 0).return) candidates[same] = index;
  }

  #isSame(one: Known, other: Known): boolean {
    const asks = one.kind === other.kind && one.before === other.before && one.requires === other.requires;
    const does = one.value === other.value && one.rank === other.rank;
    // What is due for the one may not be due for the other.
    return asks && does && (!this.#expires || one.at === other.at);
  }

  #addMovesOf(index: number, mayLeave: boolean, horizon: number): void {
    const { kind, before, value, rank, requires, at } = this.#at(index);
    const isAbsent = this.#value === none;
    if (kind === Kind.seesRevision && value === none) return this.#addMovesOfRevision(index, mayLeave, horizon);
    if (kind === Kind.seesValue || kind === Kind.seesRevision) {
      // An explained seer is placed by now, so that an answered put of this revision would have to come first.
      if (rank !== none && this.#rankIsOfPut[rank] === true) return;
      // The revision of the present value was not known: it may be this. Then no further put is needed for it.
      if (value === this.#value && rank !== none && this.#rank === none) this.#direct.push(index, directly);
      else if (mayLeave) this.#addThrough(index, this.#poolOfValue[value] ?? none, horizon);
      return;
    }
    if (!mayLeave || (requires !== none && requires !== this.#rank)) return;
    const wanted = kind === Kind.seesAbsence ? Before.absent : kind === Kind.removes ? Before.present : before;
    if (wanted === Before.any || (wanted === Before.absent) === isAbsent) {
      (kind === Kind.removes ? this.#deletes : this.#direct).push(index, directly);
    } else if (wanted === Before.absent) {
      this.#addThrough(index, deletesPool, horizon);
      // Rule 8.
      if ((this.#dueAt[this.#value] ?? Infinity) <= at) this.#through.push(index, expiry);
    } else this.#addThroughAnyPut(index, horizon);
  }

  /** Nobody tells the value of this revision, so only a put of unknown outcome can have had it: any of them. */
  #addMovesOfRevision(index: number, mayLeave: boolean, horizon: number): void {
    if (this.#rankIsOfPut[this.#at(index).rank] === true) return;
    if (this.#value !== none && this.#rank === none) this.#direct.push(index, directly);
    if (mayLeave) this.#addThroughAnyPut(index, horizon);
  }

  #addThrough(index: number, pool: number, horizon: number): boolean {
    if (pool === none || !this.#isReady(pool, horizon)) return false;
    this.#through.push(index, pool);
    return true;
  }

  #isReady(pool: number, horizon: number): boolean {
    const next = this.#pools[pool]?.operations[this.#used[pool] ?? 0];
    return next !== undefined && next.call <= horizon;
  }

  /** Rule 4. */
  #addThroughAnyPut(index: number, horizon: number): void {
    if (this.#addThrough(index, unreadPutsPool, horizon)) return;
    const read: number[] = [];
    for (let pool = unreadPutsPool + 1; pool < this.#pools.length; pool += 1) {
      if (!this.#isReady(pool, horizon)) continue;
      const { value } = this.#pools[pool] as Pool;
      if (this.#readersLeft[value] === 0) {
        this.#through.push(index, pool);
        return;
      }
      // Rule 6: it is overwritten at once.
      if ((this.#writersLeft[value] ?? 0) > 1) read.push(index, pool);
    }
    this.#through.push(...read);
  }

  /** Rule 6. */
  #mayLeave(): boolean {
    if (this.#value === none) return this.#absenceSeersLeft === 0 || this.#removersLeft > 0 || this.#expires;
    if (this.#rank !== none && (this.#readersOfRankLeft[this.#rank] ?? 0) > 0) return false;
    return (
      this.#value === unreadValue || this.#readersLeft[this.#value] === 0 || (this.#writersLeft[this.#value] ?? 0) > 0
    );
  }

  #takeEffect(pool: number): void {
    if (pool === expiry) {
      this.#value = none;
      this.#rank = none;
      return;
    }
    this.#placed.push(~pool);
    this.#countUse(pool, 1);
    this.#rank = none;
    if (pool === deletesPool) this.#value = none;
    else this.#value = pool === unreadPutsPool ? unreadValue : (this.#pools[pool]?.value ?? none);
    if (pool > unreadPutsPool) this.#amounts = this.#allAmounts.add(this.#amounts, pool);
  }

  #place(index: number): void {
    this.#placed.push(index);
    this.#count(index, -1);
    if (index > this.#last) {
      for (let hole = this.#last + 1; hole < index; hole += 1) this.#holes.push(hole);
      this.#last = index;
    } else this.#holes.splice(this.#holes.indexOf(index), 1);
    const { kind, value, rank } = this.#at(index);
    this.#bound = Math.max(this.#bound, rank);
    if (kind === Kind.writes || kind === Kind.removes) {
      this.#value = value;
      this.#rank = rank;
    } else if (rank !== none) this.#rank = rank;
  }

  /** Adds an operation to what is left, or takes it away. */
  #count(index: number, change: 1 | -1): void {
    const { kind, value, rank } = this.#at(index);
    if (kind === Kind.seesAbsence) this.#absenceSeersLeft += change;
    else if (kind === Kind.removes) this.#removersLeft += change;
    else if (kind === Kind.writes) add(this.#writersLeft, value, change);
    else {
      if (value !== none) add(this.#readersLeft, value, change);
      if (rank !== none) add(this.#readersOfRankLeft, rank, change);
    }
  }

  #countUse(pool: number, change: 1 | -1): void {
    add(this.#used, pool, change);
    const value = this.#pools[pool]?.value ?? none;
    if (pool === deletesPool) this.#removersLeft -= change;
    else if (value !== none) add(this.#writersLeft, value, -change);
  }
}

function add(counts: Int32Array, index: number, change: number): void {
  counts[index] = (counts[index] ?? 0) + change;
}
