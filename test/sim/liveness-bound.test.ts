/** How long the simulator waits for a write in the end: no longer than the drawn network gives reason for. */
import { expect, test } from 'vitest';
import { livenessBoundMs, livenessMs, type LivenessBoundOptions } from '../../src/sim/liveness-bound.ts';

function bound(
  { lossChance = 0, stragglerChance = 0 }: { readonly lossChance?: number; readonly stragglerChance?: number },
  options: Partial<LivenessBoundOptions> = {},
): number {
  return livenessBoundMs({
    quality: { delayMsMin: 0.1, delayMsMax: 1, stragglerMs: 1000, duplicateChance: 0, lossChance, stragglerChance },
    votersMin: 3,
    votersMax: 3,
    away: 0,
    electionTimeoutMs: 1200,
    ...options,
  });
}

test('a network that loses nothing is given no more than five seconds, however many are away', () => {
  expect(bound({})).toBe(livenessMs);
  expect(bound({}, { votersMax: 7, away: 3 })).toBe(livenessMs);
});

test('neither is one that loses a few messages of a whole group', () => {
  expect(bound({ lossChance: 0.01, stragglerChance: 0.01 })).toBe(livenessMs);
  expect(bound({ lossChance: 0.02 }, { votersMax: 7 })).toBe(livenessMs);
});

test('neither is a bad network, as long as there are some to spare', () => {
  const drawn = { lossChance: 0.09, stragglerChance: 0.07 };
  expect(bound(drawn, { votersMax: 7 })).toBe(livenessMs);
  expect(bound(drawn, { votersMin: 7, votersMax: 7, away: 1 })).toBe(livenessMs);
});

test('the fewer are to spare on a bad network, the longer', () => {
  const drawn = { lossChance: 0.09, stragglerChance: 0.07 };
  const bounds = [0, 1, 2, 3].map((away) => bound(drawn, { votersMin: 7, votersMax: 7, away }));
  expect(bounds).toEqual([...bounds].sort((one, other) => one - other));
  expect(bounds[0]).toBe(livenessMs);
  expect(bounds[3]).toBeGreaterThan(60_000);
  expect(bounds[3]).toBeLessThan(400_000);
});

test('it is that of the size which has it hardest', () => {
  const drawn = { lossChance: 0.05 };
  const sizes = [3, 4, 5, 6, 7].map((voters) => bound(drawn, { votersMin: voters, votersMax: voters, away: 3 }));
  expect(bound(drawn, { votersMin: 3, votersMax: 7, away: 3 })).toBe(Math.max(...sizes));
});
