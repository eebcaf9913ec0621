import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LoopLag } from '../../src/http/loop-lag.ts';

let lag: LoopLag;
let at: number;

beforeEach(() => {
  vi.useFakeTimers();
  at = 0;
  lag = new LoopLag(() => at);
});
afterEach(() => {
  lag.close();
  vi.useRealTimers();
});

test('a loop that is in time is not late', () => {
  for (let look = 0; look < 8; look += 1) nextLook(0);
  expect(lag.lastingMs).toBe(0);
});

test('one long turn is no overload, a second of them is', () => {
  for (let look = 0; look < 3; look += 1) {
    nextLook(700);
    expect(lag.lastingMs).toBe(0);
  }
  nextLook(400);
  expect(lag.lastingMs).toBe(400);
});

test('one turn in time ends it', () => {
  for (let look = 0; look < 4; look += 1) nextLook(400);
  nextLook(0);
  expect(lag.lastingMs).toBe(0);
});

/** The next look comes so much too late. */
function nextLook(lateMs: number): void {
  at += 250 + lateMs;
  vi.advanceTimersByTime(250);
}
