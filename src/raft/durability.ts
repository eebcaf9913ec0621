/**
 * What this member has handed to its disk, what has come back, and which messages wait for it.
 *
 * Safety (paper, figure 2: "updated on stable storage before responding"): a message that speaks of a term, a vote or
 * an entry leaves only once that is durable. Such messages are held here, travel with a hand-out, and are released by
 * its completion.
 *
 * Safety (the ABA race of asynchronous appends): a completion is matched to the hand-out it belongs to, never to an
 * index and a term. Truncation lowers what every outstanding hand-out still stands for, so that the late completion of
 * an entry that was since replaced, even by one that looks the same, counts for nothing; and it silences the replies
 * that ride with them. What lies below the truncation is untouched on disk and goes on counting.
 */
import { assert } from '../assert.ts';
import type { Entry, HardState, LogIndex, Message, Persist, SnapshotPoint, Term } from './types.ts';

interface HandOut {
  readonly sequence: number;
  readonly term: Term;
  readonly hardState: HardState;
  /** Completions are FIFO: with this one, everything up to here is durable, unless truncated since. */
  lastIndex: LogIndex;
  truncatedSince: boolean;
}

export class Durability {
  #sequence = 0;
  readonly #outstanding: HandOut[] = [];
  #held: Message[] = [];
  #install: SnapshotPoint | undefined;
  #truncateFrom: LogIndex | undefined;
  #compactThrough: LogIndex | undefined;
  /** Ticks since the oldest outstanding hand-out was made, or the one before it came back. */
  #waitedTicks = 0;
  #handedOutIndex: LogIndex;
  #durableIndex: LogIndex;
  #handedOut: HardState;
  #durable: HardState;

  constructor(stored: { readonly lastIndex: LogIndex; readonly hardState: HardState }) {
    this.#handedOutIndex = stored.lastIndex;
    this.#durableIndex = stored.lastIndex;
    this.#handedOut = stored.hardState;
    this.#durable = stored.hardState;
  }

  /** Entries up to here are on disk exactly as they are in the log. <= `handedOutIndex`. */
  get durableIndex(): LogIndex {
    return this.#durableIndex;
  }

  /** Entries up to here are on disk or on their way. */
  get handedOutIndex(): LogIndex {
    return this.#handedOutIndex;
  }

  /** True when this very term and vote are durable. They never return to an earlier value, so equality is enough. */
  holds(state: HardState): boolean {
    return sameHardState(this.#durable, state);
  }

  /** Keeps a message back until everything that the member holds now is durable. */
  hold(message: Message): void {
    this.#held.push(message);
  }

  /** The term moved on: what waited to be said in the old one is no longer said. */
  forgetHeld(): void {
    if (this.#held.length > 0) this.#held = [];
  }

  /** The log forgot `index` and all that follows. */
  truncated(index: LogIndex): void {
    for (const handOut of this.#outstanding) {
      handOut.lastIndex = Math.min(handOut.lastIndex, index - 1) as LogIndex;
      handOut.truncatedSince = true;
    }
    this.#durableIndex = Math.min(this.#durableIndex, index - 1) as LogIndex;
    if (index > this.#handedOutIndex) return;
    this.#handedOutIndex = (index - 1) as LogIndex;
    this.#truncateFrom = Math.min(this.#truncateFrom ?? index, index) as LogIndex;
  }

  /**
   * The whole log gave way to a snapshot. Safety: what is still under way was of the log before it, so none of it counts,
   * and nothing is durable until the hand-out with the snapshot is.
   */
  installed(point: SnapshotPoint): void {
    for (const handOut of this.#outstanding) {
      handOut.lastIndex = 0 as LogIndex;
      handOut.truncatedSince = true;
    }
    this.#durableIndex = 0 as LogIndex;
    this.#handedOutIndex = point.index;
    this.#truncateFrom = undefined;
    this.#compactThrough = undefined;
    this.#install = point;
  }

  /** The log forgot all up to and with `through`. */
  compacted(through: LogIndex): void {
    this.#compactThrough = through;
  }

  /** Once a tick. */
  tick(): void {
    if (this.#outstanding.length > 0) this.#waitedTicks++;
  }

  /** For so many ticks the disk has not completed what it was given; 0 when nothing is under way. */
  get waitedTicks(): number {
    return this.#waitedTicks;
  }

  /** True when there is anything to hand out. */
  isDue(lastIndex: LogIndex, hardState: HardState): boolean {
    if (this.#install !== undefined || this.#compactThrough !== undefined) return true;
    return lastIndex > this.#handedOutIndex || this.#held.length > 0 || !sameHardState(this.#handedOut, hardState);
  }

  /** `entries` are all those after `handedOutIndex`, `hardState` as it stands now. */
  handOut(entries: readonly Entry[], hardState: HardState): Persist {
    const truncateFrom = this.#truncateFrom;
    const first = entries[0]?.index;
    assert(first === undefined || first === this.#handedOutIndex + 1, 'entries are handed out without a gap');
    assert(truncateFrom === undefined || truncateFrom === first, 'what is truncated is replaced in the same batch');
    const changed = !sameHardState(this.#handedOut, hardState);
    const persist: Persist = {
      sequence: ++this.#sequence,
      hardState: changed ? hardState : undefined,
      install: this.#install,
      truncateFrom,
      compactThrough: this.#compactThrough,
      entries,
      messagesAfterPersist: this.#held,
    };
    this.#held = [];
    this.#install = undefined;
    this.#truncateFrom = undefined;
    this.#compactThrough = undefined;
    this.#handedOutIndex = (this.#handedOutIndex + entries.length) as LogIndex;
    this.#handedOut = hardState;
    this.#outstanding.push({
      sequence: persist.sequence,
      term: hardState.currentTerm,
      hardState,
      lastIndex: this.#handedOutIndex,
      truncatedSince: false,
    });
    return persist;
  }

  /**
   * The oldest outstanding hand-out is durable. Returns the replies that may go now: none when the term has moved on
   * or a truncation has overtaken them. (They would then be stale; a lost message is repaired, a false one is not.)
   */
  completed(persist: Persist, currentTerm: Term): readonly Message[] {
    const handOut = this.#outstanding.shift();
    assert(handOut?.sequence === persist.sequence, () => `completion ${persist.sequence} out of order`);
    this.#waitedTicks = 0;
    this.#durable = handOut.hardState;
    this.#durableIndex = Math.max(this.#durableIndex, handOut.lastIndex) as LogIndex;
    return handOut.term === currentTerm && !handOut.truncatedSince ? persist.messagesAfterPersist : [];
  }
}

function sameHardState(a: HardState, b: HardState): boolean {
  return a.currentTerm === b.currentTerm && a.votedFor === b.votedFor;
}
