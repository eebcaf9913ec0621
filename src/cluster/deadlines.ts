/** Ends waits at their deadline, whatever becomes of the work. One timer serves all, and none runs while nobody waits. */
import type { Clock } from '../replica/ports.ts';

interface Wait {
  readonly deadlineAt: number;
  readonly expire: () => void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #sweepMs: number;
  readonly #waits = new Set<Wait>();
  #sweeping = false;

  /** A wait ends at most `sweepMs` late. */
  constructor(clock: Clock, sweepMs: number) {
    this.#clock = clock;
    this.#sweepMs = sweepMs;
  }

  /**
   * What `work` comes to, or what `expired` says once `deadlineAt` (monotonic ms) has passed; never before it. Work that
   * is overtaken goes on unheard.
   */
  bound<T>(work: Promise<T>, deadlineAt: number, expired: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const wait: Wait = { deadlineAt, expire: () => resolve(expired()) };
      this.#waits.add(wait);
      work.then(
        (value) => {
          this.#waits.delete(wait);
          resolve(value);
        },
        (error: unknown) => {
          this.#waits.delete(wait);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
      this.#ensureSweep();
    });
  }

  #ensureSweep(): void {
    if (this.#sweeping || this.#waits.size === 0) return;
    this.#sweeping = true;
    this.#clock.after(this.#sweepMs, () => this.#sweep());
  }

  #sweep(): void {
    this.#sweeping = false;
    const now = this.#clock.monotonicMs();
    for (const wait of this.#waits) {
      if (wait.deadlineAt > now) continue;
      this.#waits.delete(wait);
      wait.expire();
    }
    this.#ensureSweep();
  }
}
