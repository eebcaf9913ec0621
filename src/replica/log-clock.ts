/**
 * Log time: the time by which a partition's keys grow old. It advances by monotonic time only, so that a wall clock set
 * forward or back expires nothing; every entry carries it and heartbeats spread it, so that a new leader goes on from
 * where the old one was. While no replica runs it stands still: a key may live longer than asked, never shorter.
 */
import type { Clock } from './ports.ts';

export class LogClock {
  readonly #clock: Clock;
  #logTime: number;
  #receivedAt: number;

  /** `applied`: log time of the newest applied entry, ms; 0 for a new partition, which starts at wall time. */
  constructor(clock: Clock, applied: number) {
    this.#clock = clock;
    this.#logTime = applied === 0 ? Math.floor(clock.wallMs()) : applied;
    this.#receivedAt = clock.monotonicMs();
  }

  /** Log time now, whole ms; never goes back. */
  now(): number {
    return this.#logTime + Math.floor(this.#clock.monotonicMs() - this.#receivedAt);
  }

  /** Takes over a log time heard from the leader or read from an entry when it is ahead of this replica's own. */
  observe(logTime: number): void {
    if (logTime <= this.now()) return;
    this.#logTime = logTime;
    this.#receivedAt = this.#clock.monotonicMs();
  }
}
