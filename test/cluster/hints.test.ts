/** Leader hints: the newest term wins, and only the hint that proved wrong is dropped. */
import { expect, test } from 'vitest';
import { LeaderHints } from '../../src/cluster/hints.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { hint } from './router-world.ts';

const [one, two] = [1 as PartitionId, 2 as PartitionId];

test('a newer term replaces an older one, never the other way; partitions are apart', () => {
  const hints = new LeaderHints();
  expect(hints.learn(one, hint('n1', 3))).toBe(true);
  expect(hints.learn(one, hint('n2', 2))).toBe(false);
  expect(hints.learn(one, hint('n2', 3)), 'a term has one leader').toBe(false);
  expect(hints.get(one)).toEqual(hint('n1', 3));
  expect(hints.learn(one, hint('n2', 4))).toBe(true);
  expect(hints.get(one)).toEqual(hint('n2', 4));
  expect(hints.get(two)).toBeUndefined();
});

test('a guess of term 0 is not kept', () => {
  const hints = new LeaderHints();
  expect(hints.learn(one, hint('n1', 0))).toBe(false);
  expect(hints.get(one)).toBeUndefined();
});

test('the hint that proved wrong is dropped; one that took its place meanwhile stays', () => {
  const hints = new LeaderHints();
  hints.learn(one, hint('n1', 3));
  hints.learn(one, hint('n2', 4));
  hints.drop(one, hint('n1', 3));
  hints.drop(one, hint('n3', 4));
  hints.drop(one, hint('n2', 3));
  expect(hints.get(one)).toEqual(hint('n2', 4));
  hints.drop(one, hint('n2', 4));
  expect(hints.get(one)).toBeUndefined();
});
