/** Ends waits at their deadline, whatever becomes of the work. One timer serves all, and none runs while nobody waits. */
import type { Clock } from '../replica/ports.ts';

interface Wait {
  readonly deadlineAt: number;
  /** Undefined once it has ended: see `#end`. */
  expire: (() => void) | undefined;
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
          this.#end(wait);
          resolve(value);
        },
        (error: unknown) => {
          this.#end(wait);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
      this.#ensureSweep();
    });
  }

  /**
   * Each time a Set has grown full of what was added and deleted, V8 goes on in a new table, to which the one before keeps a link. Once one
   * of them is old, all later ones outlive the collections of young garbage, and with them whatever they held: so no answer may
   * hang on a wait that has ended.
   */
  #end(wait: Wait): void {
    wait.expire = undefined;
    this.#waits.delete(wait);
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
      const { expire } = wait;
      this.#end(wait);
      expire?.();
    }
    this.#ensureSweep();
  }
}
