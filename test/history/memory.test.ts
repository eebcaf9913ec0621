/** What the search remembers: nothing is forgotten, nothing is taken for something else. */
import { expect, test } from 'vitest';
import { Amounts, Memory } from '../../src/history/memory.ts';
import { seeded } from './generator.ts';

test('amounts have one number, whatever the order in which they came about', () => {
  const amounts = new Amounts();
  const numbers = new Map<string, number>();
  const random = seeded(1);
  for (let round = 0; round < 2000; round += 1) {
    const counts = [0, 0, 0, 0];
    let number = 0;
    for (let more = Math.floor(random() * 8); more > 0; more -= 1) {
      const pool = Math.floor(random() * counts.length);
      counts[pool]! += 1;
      number = amounts.add(number, pool);
    }
    expect(number).toBe(numbers.get(counts.join()) ?? number);
    numbers.set(counts.join(), number);
  }
  expect(new Set(numbers.values()).size).toBe(numbers.size);
});

test('a configuration is new once, however many there are', () => {
  const memory = new Memory();
  const configurations = Array.from({ length: 20_000 }, (_, at) => [
    at % 100,
    Math.floor(at / 100),
    ...[-1, 7].slice(at % 3),
  ]);
  for (const numbers of configurations) expect(memory.add(numbers, [0, 0])).toBe(true);
  for (const numbers of configurations) expect(memory.add(numbers, [0, 0])).toBe(false);
});

test('a configuration is new with less of either amount than before', () => {
  const memory = new Memory();
  const isNew = (...amounts: [number, number]): boolean => memory.add([1, 2], amounts);
  expect([
    isNew(2, 2),
    isNew(3, 2),
    isNew(2, 2),
    isNew(1, 3),
    isNew(2, 3),
    isNew(3, 1),
    isNew(0, 0),
    isNew(1, 1),
  ]).toEqual([true, false, false, true, false, true, true, false]);
});
