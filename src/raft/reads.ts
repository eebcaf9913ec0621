/**
 * ReadIndex on a leader (thesis 6.4): reads that wait together share a round of heartbeats.
 *
 * Safety: the commit index is noted first, then a round numbered after it is sent, and only an answer to that round or
 * a later one confirms the read. An answer says that its sender still followed this leader after the read began; from a
 * quorum, that no other leader had committed anything before. Round numbers only grow within a leadership.
 */
import type { LogIndex, ReadState } from './types.ts';

interface Round {
  readonly number: number;
  readonly reads: readonly ReadState[];
}

export class ReadRounds {
  /** Asked for before the term's no-op was committed: the commit index means nothing yet. */
  #early: number[] = [];
  /** Noted, and not yet covered by a round. */
  #noted: ReadState[] = [];
  /** Sent and not yet confirmed, oldest first. A later round's answer confirms the earlier ones too. */
  readonly #sent: Round[] = [];
  #newest = 0;

  /** The newest round sent; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Remembers a read until the no-op is committed. */
  addEarly(context: number): void {
    this.#early.push(context);
  }

  /** The term's no-op is committed: reads may begin. */
  releaseEarly(commitIndex: LogIndex): void {
    if (this.#early.length === 0) return;
    for (const context of this.#early) this.add(context, commitIndex);
    this.#early = [];
  }

  add(context: number, commitIndex: LogIndex): void {
    this.#noted.push({ context, index: commitIndex });
  }

  /** Reads wait and no round is under way that they would have to wait for. */
  isRoundDue(): boolean {
    return this.#noted.length > 0 && this.#sent.length === 0;
  }

  /** Reads wait, covered by a round or not. */
  isWaiting(): boolean {
    return this.#noted.length > 0 || this.#sent.length > 0;
  }

  /** Begins a round that covers all reads noted so far; returns its number, never used before. */
  startRound(): number {
    this.#newest++;
    if (this.#noted.length > 0) this.#sent.push({ number: this.#newest, reads: this.#noted });
    this.#noted = [];
    return this.#newest;
  }

  /** A quorum has answered `round` or later: hands over the reads of all rounds up to it. */
  confirmTo(round: number, confirmed: ReadState[]): void {
    let count = 0;
    for (const sent of this.#sent) {
      if (sent.number > round) break;
      for (const read of sent.reads) confirmed.push(read);
      count++;
    }
    this.#sent.splice(0, count);
  }

  /** The contexts of all reads that still wait, oldest first. */
  contexts(): number[] {
    const reads = [...this.#sent.flatMap((round) => round.reads), ...this.#noted];
    return [...reads.map((read) => read.context), ...this.#early];
  }
}
