import type { Clock } from '../../src/replica/ports.ts';

/** Time that moves only when a test says so. */
export class VirtualClock implements Clock {
  #now = 1_000;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();

  monotonicMs(): number {
    return this.#now;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  pendingTimers(): number {
    return this.#timers.size;
  }

  /** Lets time pass, running what falls due in order, each with all that follows from it. */
  async advance(byMs: number): Promise<void> {
    const end = this.#now + byMs;
    await settle();
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
    this.#now = end;
  }

  /** Lets time pass until `work` is done, at most `limitMs`; returns what it came to and how long it took. */
  async until<T>(work: Promise<T>, limitMs: number): Promise<{ readonly outcome: T; readonly tookMs: number }> {
    const started = this.#now;
    let done: { readonly outcome: T; readonly tookMs: number } | undefined;
    const finished = work.then((outcome) => {
      done = { outcome, tookMs: this.#now - started };
    });
    await settle();
    while (done === undefined && this.#now - started < limitMs) await this.advance(1);
    if (done === undefined) throw new Error(`not done after ${limitMs} ms`);
    await finished;
    return done;
  }
}

/** Runs everything that is ready to run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
