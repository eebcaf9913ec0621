import { expect, test } from 'vitest';
import { Ways, waysOf, type Way } from '../../src/chaos/ways.ts';
import type { TestNode } from '../../src/testing/cluster.ts';

const nodes = ['n1', 'n2', 'n3'].map((nodeId) => ({ nodeId }) as TestNode);

function words({ node, route }: Way): string {
  return `${node.nodeId} ${route}`;
}

test('as many as there are ways go by another one each', () => {
  const ways = new Ways(Math.random);
  const taken = Array.from({ length: waysOf(nodes.length) }, () => words(ways.take(1, nodes)));
  expect(new Set(taken).size).toBe(6);
});

test('one that was given back is taken again, however long the others are', () => {
  const ways = new Ways(Math.random);
  const taken = Array.from({ length: waysOf(nodes.length) }, () => ways.take(1, nodes));
  const given = taken[3] as Way;
  for (let turn = 0; turn < 20; turn += 1) {
    ways.giveBack(1, given);
    expect(words(ways.take(1, nodes))).toBe(words(given));
  }
});

test('other partitions have ways of their own, and more than there are ways share them evenly', () => {
  const ways = new Ways(() => 0);
  expect(words(ways.take(1, nodes))).toBe(words(ways.take(2, nodes)));
  const counts = new Map<string, number>();
  for (let turn = 0; turn < 18; turn += 1) {
    const way = words(ways.take(3, nodes));
    counts.set(way, (counts.get(way) ?? 0) + 1);
  }
  expect([...counts.values()]).toEqual([3, 3, 3, 3, 3, 3]);
});
