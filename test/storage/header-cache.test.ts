/** Headers of the newest records in memory: always what a read of the database would find, and never more than allowed. */
import { expect, test } from 'vitest';
import { HeaderCache, HeaderCacheBudget } from '../../src/storage/header-cache.ts';

const header = (revision: number) => ({ valueBytes: 3, revision, incarnation: 1, expiresAt: 0 });

test('what was put is found, also that a key has no record', () => {
  const cache = new HeaderCache(new HeaderCacheBudget(10_000));
  cache.put('a', header(7));
  cache.put('b', undefined);
  expect(cache.get('a')).toEqual({ header: header(7) });
  expect(cache.get('b')).toEqual({ header: undefined });
  expect(cache.get('c')).toBeUndefined();
});

test('a later change replaces an earlier one in whichever generation it is', () => {
  const budget = new HeaderCacheBudget(2000);
  const cache = new HeaderCache(budget);
  cache.put('a', header(1));
  budget.grew(1001);
  cache.put('a', undefined);
  expect(cache.get('a')).toEqual({ header: undefined });
  budget.grew(1001);
  expect(cache.get('a')).toEqual({ header: undefined });
});

test('what is used lives on, what is not is forgotten after two generations', () => {
  const budget = new HeaderCacheBudget(2000);
  const cache = new HeaderCache(budget);
  cache.put('used', header(1));
  cache.put('unused', header(2));
  budget.grew(1001);
  expect(cache.get('used')).toEqual({ header: header(1) });
  budget.grew(1001);
  expect(cache.get('used')).toEqual({ header: header(1) });
  expect(cache.get('unused')).toBeUndefined();
});

test('a group that slept through two generations forgets both', () => {
  const budget = new HeaderCacheBudget(2000);
  const cache = new HeaderCache(budget);
  cache.put('a', header(1));
  budget.grew(1001);
  budget.grew(1001);
  expect(cache.get('a')).toBeUndefined();
});

test('writing one key again and again pushes nothing else out', () => {
  const budget = new HeaderCacheBudget(2000);
  const cache = new HeaderCache(budget);
  cache.put('other', header(1));
  for (let i = 0; i < 1000; i += 1) cache.put('hot', header(i));
  expect(budget.generation).toBe(0);
  expect(cache.get('other')).toEqual({ header: header(1) });
});

test('many keys are forgotten before they exceed what is allowed', () => {
  const budget = new HeaderCacheBudget(100_000);
  const cache = new HeaderCache(budget);
  for (let i = 0; i < 10_000; i += 1) cache.put(`key-${i}`, header(i));
  const kept = Array.from({ length: 10_000 }, (_, i) => i).filter((i) => cache.get(`key-${i}`) !== undefined);
  expect(kept.length).toBeLessThan(700);
  expect(kept.at(-1)).toBe(9999);
});

test('switched off, it keeps nothing', () => {
  const cache = new HeaderCache(new HeaderCacheBudget(0));
  cache.put('a', header(1));
  expect(cache.get('a')).toBeUndefined();
});
