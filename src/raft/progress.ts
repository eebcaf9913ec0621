/**
 * What a leader knows of one follower (paper, figure 2: `nextIndex`, `matchIndex`), and how it sends to it:
 *
 * - `probe`: it is not known where the logs meet. One AppendEntries at a time, the next after an answer or a heartbeat.
 * - `replicate`: they meet at `matchIndex`. AppendEntries are pipelined, `nextIndex` runs ahead of the answers, and a
 *   window bounds what is under way.
 * - `snapshot`: what it needs is no longer in the leader's log. It is sent a snapshot, and no entries until that has ended.
 */
import { assert } from '../assert.ts';
import type { LogIndex, ProgressStatus, ReplicaId } from './types.ts';

interface Window {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

export class Progress {
  readonly #inflight: Inflight;
  #state: ProgressStatus['state'] = 'probe';
  #matchIndex = 0 as LogIndex;
  #nextIndex: LogIndex;
  #probeSent = false;
  /** It answered in this term since the last check for a quorum. */
  recentlyActive = false;
  #activeBefore = false;
  /** It answered since the leader was last woken: what it said before a silence does not allow another one. */
  answeredSinceSilence = false;
  /** The newest ReadIndex round it has answered. */
  acknowledgedRound = 0;
  /**
   * Nothing is sent to a newcomer before the entry that brings it is committed: rolled back, its id may be given again, so
   * until then no replica may come into being under it (ids are never reused).
   */
  held = false;
  /** A heartbeat went out: the first answer to it repairs what may have been lost, further ones don't. */
  repairDue = false;

  constructor(nextIndex: LogIndex, window: Window) {
    this.#nextIndex = nextIndex;
    this.#inflight = new Inflight(window);
  }

  get state(): ProgressStatus['state'] {
    return this.#state;
  }

  /** The highest entry known to be durable there and equal to ours. Only grows within a term, but for `restarted`. */
  get matchIndex(): LogIndex {
    return this.#matchIndex;
  }

  /** The next entry to send. > `matchIndex`. */
  get nextIndex(): LogIndex {
    return this.#nextIndex;
  }

  /** True when entries may be sent to it now. */
  canSend(): boolean {
    if (this.held) return false;
    if (this.#state === 'replicate') return !this.#inflight.isFull();
    return this.#state === 'probe' && !this.#probeSent;
  }

  /** It said something in this term. */
  answered(): void {
    this.recentlyActive = true;
    this.answeredSinceSilence = true;
  }

  /** An AppendEntries with entries up to `lastIndex` left (`nextIndex - 1` when it carried none). */
  sent(lastIndex: LogIndex, bodyBytes: number): void {
    assert(this.canSend(), 'sent to a follower that had to wait');
    if (this.#state === 'probe') {
      this.#probeSent = true;
      return;
    }
    assert(lastIndex >= this.#nextIndex, 'replication sends something');
    this.#nextIndex = (lastIndex + 1) as LogIndex;
    this.#inflight.add(lastIndex, bodyBytes);
  }

  /** It holds everything up to `index`. Returns whether that is more than was known. */
  succeeded(index: LogIndex): boolean {
    const grew = index > this.#matchIndex;
    if (grew) this.#matchIndex = index;
    this.#nextIndex = Math.max(this.#nextIndex, this.#matchIndex + 1) as LogIndex;
    if (this.#state === 'replicate') this.#inflight.freeTo(index);
    else if (this.#state === 'probe' && index >= this.#matchIndex) this.#become('replicate');
    return grew;
  }

  /**
   * It refused an AppendEntries after `rejected`; the logs can't agree above `hint`. Returns whether that was news.
   * Safety: `nextIndex` never falls to `matchIndex` or below; an answer to an older probe changes nothing.
   */
  refused(rejected: LogIndex, hint: LogIndex): boolean {
    if (this.#state === 'replicate') {
      if (rejected <= this.#matchIndex) return false;
      this.#become('probe');
      return true;
    }
    if (this.#state === 'snapshot' || rejected !== this.#nextIndex - 1) return false;
    this.#nextIndex = Math.max(Math.min(rejected, hint + 1), this.#matchIndex + 1) as LogIndex;
    this.#probeSent = false;
    return true;
  }

  /** The probe under way may have been lost: another one may go. */
  allowProbe(): void {
    this.#probeSent = false;
  }

  /**
   * Its process was started anew. Safety: what it acknowledged before is taken as unknown, in case its disk was put
   * back to an older state; the one time that `matchIndex` falls within a term. What is committed stays committed.
   * Probing begins at the log's end, where a member that lost nothing is found again at once.
   */
  restarted(lastIndex: LogIndex): void {
    this.#matchIndex = 0 as LogIndex;
    this.#become('probe');
    this.#nextIndex = (lastIndex + 1) as LogIndex;
    this.recentlyActive = false;
    this.#activeBefore = false;
    this.answeredSinceSilence = false;
    this.acknowledgedRound = 0;
  }

  /** What it needs next was compacted away. */
  becomeSnapshot(): void {
    this.#become('snapshot');
  }

  /** Its answers have brought it back to where the log begins. */
  leaveSnapshot(): void {
    this.#become('probe');
  }

  /** The transfer has ended, well or not: a probe at the log's end is refused with the place where it is now. */
  snapshotEnded(lastIndex: LogIndex): void {
    this.#become('probe');
    this.#nextIndex = (lastIndex + 1) as LogIndex;
  }

  #become(state: ProgressStatus['state']): void {
    this.#state = state;
    this.#nextIndex = (this.#matchIndex + 1) as LogIndex;
    this.#probeSent = false;
    this.#inflight.clear();
  }

  /** A new span of listening begins. */
  listenAnew(): void {
    this.#activeBefore = this.recentlyActive;
    this.recentlyActive = false;
  }

  /** It answered in this span or the one before: each begins with nobody heard of. */
  get isThere(): boolean {
    return this.recentlyActive || this.#activeBefore;
  }

  status(replicaId: ReplicaId): ProgressStatus {
    return {
      replicaId,
      matchIndex: this.#matchIndex,
      nextIndex: this.#nextIndex,
      state: this.#state,
      recentlyActive: this.isThere,
    };
  }
}

/** The AppendEntries sent and not yet answered: a ring of (last index, body bytes), bounded by count and by bytes. */
class Inflight {
  readonly #window: Window;
  readonly #lastIndexes: LogIndex[] = [];
  readonly #bytes: number[] = [];
  #start = 0;
  #count = 0;
  #bytesTotal = 0;

  constructor(window: Window) {
    this.#window = window;
  }

  /** Full by bytes once they have reached the bound: a single large message fits an empty window. */
  isFull(): boolean {
    return this.#count >= this.#window.messagesMax || this.#bytesTotal >= this.#window.bytesMax;
  }

  add(lastIndex: LogIndex, bytes: number): void {
    const slot = (this.#start + this.#count) % this.#window.messagesMax;
    this.#lastIndexes[slot] = lastIndex;
    this.#bytes[slot] = bytes;
    this.#count++;
    this.#bytesTotal += bytes;
  }

  /** Answers may be lost, but the answer to a later one speaks for all before it. */
  freeTo(index: LogIndex): void {
    while (this.#count > 0 && (this.#lastIndexes[this.#start] as LogIndex) <= index) {
      this.#bytesTotal -= this.#bytes[this.#start] as number;
      this.#start = (this.#start + 1) % this.#window.messagesMax;
      this.#count--;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytesTotal = 0;
  }
}
