import type { Clock } from '../replica/ports.ts';
import type { Scheduler } from './scheduler.ts';

const worldBeganAt = Date.UTC(2026, 0, 1);

/** What a machine's clocks do, whoever runs on it. */
export interface ClockSetting {
  /** Monotonic seconds per true second. */
  readonly rate: number;
  /** By how much wall time is off. */
  wallOffsetMs: number;
}

/** The clocks as one start of a node sees them: its timers end with it. */
export class SimClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #setting: ClockSetting;
  readonly #deliver: (event: () => void) => void;

  /** `deliver` runs a timer that is due: see `SimNode`. */
  constructor(scheduler: Scheduler, setting: ClockSetting, deliver: (event: () => void) => void) {
    this.#scheduler = scheduler;
    this.#setting = setting;
    this.#deliver = deliver;
  }

  monotonicMs(): number {
    return this.#scheduler.now() * this.#setting.rate;
  }

  wallMs(): number {
    return worldBeganAt + this.monotonicMs() + this.#setting.wallOffsetMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    let cancelled = false;
    const cancel = this.#scheduler.after(delayMs / this.#setting.rate, () =>
      this.#deliver(() => {
        if (cancelled) return;
        // Somebody may wait for this timer by a promise.
        this.#scheduler.promisesMove();
        callback();
      }),
    );
    return () => {
      cancelled = true;
      cancel();
    };
  }
}
