/**
 * A token bucket as virtual scheduling (the generic cell rate algorithm, ITU-T I.371): instead of filling a bucket by a
 * timer it keeps the moment at which the bytes granted so far are paid for. Whoever asks is granted in order.
 */
import type { Clock } from './ports.ts';

export interface ByteGrant {
  /** Resolves when the bytes may go, or at once when cancelled: never rejects. */
  readonly granted: Promise<void>;
  /** The bytes stay paid for. */
  readonly cancel: () => void;
}

export class ByteRate {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  readonly #burstMs: number;
  /** Monotonic ms. */
  #paidAt = -Infinity;

  /** After a pause `burstBytes` go at once; over any time t no more than `burstBytes` + one grant + t × the rate. */
  constructor(clock: Clock, rate: { readonly bytesPerSecondMax: number; readonly burstBytes: number }) {
    this.#clock = clock;
    this.#bytesPerMs = rate.bytesPerSecondMax / 1000;
    this.#burstMs = rate.burstBytes / this.#bytesPerMs;
  }

  take(bytes: number): ByteGrant {
    const now = this.#clock.monotonicMs();
    const startAt = Math.max(this.#paidAt, now - this.#burstMs);
    this.#paidAt = startAt + bytes / this.#bytesPerMs;
    if (startAt <= now) return { granted: Promise.resolve(), cancel: () => undefined };
    let grant: () => void = () => undefined;
    const granted = new Promise<void>((resolve) => (grant = resolve));
    const cancelTimer = this.#clock.after(startAt - now, grant);
    return {
      granted,
      cancel: () => {
        cancelTimer();
        grant();
      },
    };
  }

  /** What was granted by an estimate turned out `bytes` larger, or smaller when negative. */
  correct(bytes: number): void {
    this.#paidAt += bytes / this.#bytesPerMs;
  }
}
