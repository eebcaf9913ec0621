/**
 * Log time: the time by which a partition's keys grow old. It advances by monotonic time only, so that a wall clock set
 * forward or back expires nothing; every entry carries it and heartbeats spread it, so that a new leader goes on from
 * where the old one was. While no replica runs it stands still: a key may live longer than asked, never shorter.
 *
 * A replica that was started anew has lost what passed since the last entry it applied; one that was cut off may have kept more
 * than those who went on without it. So each replica's time belongs to a term, that of the leader it last heard it from, and the time of a
 * later term goes before that of an earlier one, be it behind: keys were given their ends by it. Within a term the later time
 * counts. A candidate hears the time of those who vote for it: unless all of them were started anew, nothing is lost. What was lost may
 * be found again with one who kept it, if nothing of the later term was written yet: no key was given an end by what that one told.
 *
 * Only who leads without anybody knowing the time begins at wall time: the first leader of a new partition.
 */
import { planted } from '../planted.ts';
import { stampedTime } from '../kv/command.ts';
import { EntryKind, type Entry, type LogIndex, type LogReader, type Term } from '../raft/types.ts';
import type { Clock } from './ports.ts';

/** What is read at once of a log. */
const readBytesMax = 1024 * 1024;

/** A log time, ms, and the term of the leader that went by it; 0 where it is not known. */
export interface TermTime {
  readonly timeTerm: Term;
  readonly logTime: number;
}

export class LogClock {
  readonly #clock: Clock;
  #timeTerm: Term;
  /** 0: not known. */
  #logTime: number;
  #receivedAt: number;
  /** Of the newest command that was applied here: never less than this. */
  #appliedTime: number;

  /** `applied`: of the newest applied entry; `logTime` 0 when no command was applied. */
  constructor(clock: Clock, { timeTerm, logTime }: TermTime) {
    this.#clock = clock;
    this.#timeTerm = timeTerm;
    this.#logTime = logTime;
    this.#appliedTime = logTime;
    this.#receivedAt = clock.monotonicMs();
  }

  /** Log time now, whole ms. On a leader it never goes back. */
  now(): number {
    if (planted('expiry-by-local-clock')) return Math.floor(this.#clock.wallMs());
    if (this.#logTime === 0) this.#take(Math.floor(this.#clock.wallMs()));
    return this.#logTime + Math.floor(this.#clock.monotonicMs() - this.#receivedAt);
  }

  /** What a candidate is told. */
  reading(): TermTime {
    return { timeTerm: this.#timeTerm, logTime: this.#logTime === 0 ? 0 : this.now() };
  }

  /** Takes over what was heard, unless what is known here goes before it. */
  follow({ timeTerm, logTime }: TermTime): void {
    if (logTime === 0) return;
    const known = this.#logTime !== 0;
    if (known && timeTerm < this.#timeTerm) return;
    if (known && timeTerm === this.#timeTerm && logTime <= this.now()) return;
    this.#timeTerm = timeTerm;
    this.#take(Math.max(logTime, this.#appliedTime));
  }

  /** This replica leads: its time is that of the term. */
  lead(term: Term): void {
    this.#timeTerm = term;
  }

  /** A command was applied, or a snapshot of the state installed. */
  applied(point: TermTime): void {
    this.#appliedTime = Math.max(this.#appliedTime, point.logTime);
    this.follow(point);
    if (this.#logTime !== 0 && this.now() < this.#appliedTime) this.#take(this.#appliedTime);
  }

  /** Entries were stored here: each was stamped by the leader of its term. */
  stored(entries: readonly Entry[]): void {
    for (const { kind, term: timeTerm, body } of entries) {
      if (kind === EntryKind.command && timeTerm >= this.#timeTerm) {
        this.follow({ timeTerm, logTime: stampedTime(body) });
      }
    }
  }

  /** At a start: what a log holds beyond what was applied. */
  storedIn(log: LogReader, appliedIndex: number): void {
    const last = log.lastIndex();
    for (let next = Math.max(log.firstIndex(), appliedIndex + 1) as LogIndex; next <= last;) {
      const entries = log.entries(next, last, readBytesMax);
      this.stored(entries);
      next = (next + entries.length) as LogIndex;
    }
  }

  #take(logTime: number): void {
    this.#logTime = logTime;
    this.#receivedAt = this.#clock.monotonicMs();
  }
}
