import { performance } from 'node:perf_hooks';
import type { Clock } from '../replica/ports.ts';

/** The machine's clocks. A timer set here keeps no process alive. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
