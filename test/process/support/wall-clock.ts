/** The wall clock to a fraction of a millisecond, to compare with other programs' time stamps. */
import { performance } from 'node:perf_hooks';

/** A process that is interrupted between the two readings sets its clock late, never early: the largest distance is the truest. */
const readings = 5;

/** `Date.now` counts whole ms: the instant at which it turns gives the monotonic clock's distance from it. */
export function wallClock(): () => number {
  const distance = Math.max(...Array.from({ length: readings }, distanceFromWallClock));
  return () => performance.now() + distance;
}

function distanceFromWallClock(): number {
  const before = Date.now();
  let turned = before;
  while (turned === before) turned = Date.now();
  return turned - performance.now();
}
