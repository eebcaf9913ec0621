/** The wall clock to a fraction of a millisecond, to compare with other programs' time stamps. */
import { performance } from 'node:perf_hooks';

/** `Date.now` counts whole ms: the instant at which it turns gives the monotonic clock's distance from it. */
export function wallClock(): () => number {
  const before = Date.now();
  let turned = before;
  while (turned === before) turned = Date.now();
  const distance = turned - performance.now();
  return () => performance.now() + distance;
}
