import { expect, test } from 'vitest';
import { longestGaps } from '../../src/chaos/gaps.ts';
import type { RecordedWrite } from '../../src/chaos/load.ts';
import { added, noTotals } from '../../src/chaos/totals.ts';
import { tableOf } from '../../src/chaos/table.ts';

function write(partition: number, endedAt: number, outcome: RecordedWrite['outcome'] = 'acknowledged'): RecordedWrite {
  return { key: `${partition}`, version: 1, startedAt: endedAt - 1, endedAt, outcome, partition };
}

test('the longest time without an acknowledged write, of the worst partition', () => {
  const writes = [write(1, 90), write(1, 110), write(2, 120), write(1, 180, 'unknown'), write(1, 250), write(2, 260)];
  const gaps = longestGaps(writes, 2, { from: 100, ends: 260, to: 300 });
  expect(gaps.during).toEqual({ ms: 140, partition: 1, from: 110 });
  expect(gaps.after).toEqual({ ms: 40, partition: 2, from: 260 });
});

test('what was before does not count, and what is missing at the end does', () => {
  const during = (writes: readonly RecordedWrite[]): number =>
    longestGaps(writes, 1, { from: 100, ends: 300, to: 300 }).during.ms;
  expect(during([write(1, 50)])).toBe(200);
  expect(during([write(1, 110), write(1, 400)])).toBe(190);
});

test('a gap belongs to when it began, however long it lasts', () => {
  const writes = [write(1, 110), write(1, 199), write(1, 290), write(1, 450)];
  const gaps = longestGaps(writes, 1, { from: 100, ends: 200, to: 460 });
  expect(gaps.during).toEqual({ ms: 91, partition: 1, from: 199 });
  expect(gaps.after).toEqual({ ms: 160, partition: 1, from: 290 });
});

test('totals add up, kind by kind', () => {
  const kinds = (gapMs: number): typeof noTotals.kinds => ({
    pause: { count: 1, gapsMs: [gapMs], longestGapMs: gapMs, afterMs: [2 * gapMs], longestAfterMs: 2 * gapMs },
  });
  const both = added(
    { ...noTotals, runs: 1, writes: 10, kinds: kinds(5) },
    { ...noTotals, runs: 2, writes: 1, kinds: kinds(3) },
  );
  expect(both).toMatchObject({ runs: 3, writes: 11, kinds: { pause: { count: 2, gapsMs: [5, 3], longestGapMs: 5 } } });
  expect(tableOf(both)[1]).toBe('pause      2         5 ms  5 ms     5 ms             10 ms  10 ms    10 ms');
  expect(tableOf(both).at(-1)).toContain('every acknowledged write is there');
  expect(tableOf({ ...both, illegal: 1 }).at(-1)).toContain('BROKEN');
});
