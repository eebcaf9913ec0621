/** From the founders' list to the map: ranges, placement and leaderships, the same for everyone and for good. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { BootstrapConfig } from '../../src/config.ts';
import { evenLeaders } from '../../src/cluster/placement.ts';
import { buildPartitionMap, type PartitionMap } from '../../src/cluster/partition-map.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { bootstrap } from './founders.ts';

function counts(map: PartitionMap, of: 'replicas' | 'leaders'): readonly number[] {
  return map.nodes.map(
    ({ nodeId }) =>
      map.partitions.filter(({ replicas, preferredLeader }) =>
        of === 'leaders' ? preferredLeader === nodeId : replicas.some((replica) => replica.nodeId === nodeId),
      ).length,
  );
}

const spread = (numbers: readonly number[]): number => Math.max(...numbers) - Math.min(...numbers);

test('twelve partitions on three nodes: equal ranges, everyone holds all, everyone leads four', () => {
  const map = buildPartitionMap(bootstrap(3));
  expect(map.epoch).toBe(1);
  expect(map.partitions.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  expect(map.partitions[0]).toMatchObject({ from: 0, to: 357_913_940, epoch: 1, incarnation: 1 });
  expect(map.partitions[11]).toMatchObject({ from: 3_937_053_354, to: 4_294_967_295 });
  for (const { replicas } of map.partitions) expect(replicas.map(({ replicaId }) => replicaId)).toEqual([1, 2, 3]);
  expect(counts(map, 'replicas')).toEqual([12, 12, 12]);
  expect(counts(map, 'leaders')).toEqual([4, 4, 4]);
});

test('the map of a founding list is frozen: every version of the program must place it so', () => {
  const map = buildPartitionMap({ ...bootstrap(5), partitions: 6 });
  const placed = map.partitions.map(({ replicas, preferredLeader }) =>
    replicas.map(({ nodeId }) => (nodeId === preferredLeader ? `*${nodeId}` : nodeId)).join(' '),
  );
  expect(placed).toMatchInlineSnapshot(`
    [
      "*n3 n2 n5",
      "*n2 n4 n1",
      "n2 *n4 n1",
      "n4 n3 *n1",
      "n4 n1 *n5",
      "*n3 n2 n5",
    ]
  `);
});

test('the order of the founders and of their labels means nothing', () => {
  const list = bootstrap(5, (i) => ({ zone: `z${i % 3}`, host: `h${i}` }));
  const turned: BootstrapConfig = {
    ...list,
    nodes: list.nodes.toReversed().map((node) => ({
      ...node,
      labels: Object.fromEntries(Object.entries(node.labels ?? {}).toReversed()),
    })),
  };
  const [a, b] = [buildPartitionMap(list), buildPartitionMap(turned)];
  expect({ nodes: b.nodes, partitions: b.partitions }).toEqual({ nodes: a.nodes, partitions: a.partitions });
});

test('for any number of founders and partitions: no gap, no shared node, loads and leaderships at most one apart', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 96 }),
      fc.constantFrom(1, 3, 5, 7),
      fc.integer({ min: 0, max: 12 }),
      (partitions, replicationFactor, extra) => {
        const map = buildPartitionMap({ ...bootstrap(replicationFactor + extra), partitions, replicationFactor });
        expect(map.partitions[0]?.from).toBe(0);
        expect(map.partitions.at(-1)?.to).toBe(0xffff_ffff);
        for (const [i, partition] of map.partitions.entries()) {
          if (i > 0) expect(partition.from).toBe((map.partitions[i - 1]?.to ?? 0) + 1);
          const holders = partition.replicas.map(({ nodeId }) => nodeId);
          expect(new Set(holders).size).toBe(replicationFactor);
          expect(holders).toContain(partition.preferredLeader);
        }
        expect(spread(counts(map, 'replicas'))).toBeLessThanOrEqual(1);
        expect(spread(counts(map, 'leaders'))).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 150, seed: 1 },
  );
});

test('evening out never puts two replicas in one zone while there are zones enough', () => {
  const zones = ['a', 'a', 'a', 'a', 'b', 'c', 'c'];
  const map = buildPartitionMap({ ...bootstrap(7, (i) => ({ zone: zones[i] ?? '' })), partitions: 24 });
  for (const { replicas } of map.partitions) {
    const labels = replicas.map(({ nodeId }) => map.node(nodeId)?.labels['zone']);
    expect(new Set(labels)).toEqual(new Set(['a', 'b', 'c']));
  }
  expect(counts(map, 'replicas')).toEqual([6, 6, 6, 6, 24, 12, 12]);
  expect(spread(counts(map, 'leaders'))).toBeLessThanOrEqual(1);
});

test('leaderships are passed along chains where no direct exchange helps', () => {
  const leaders = evenLeaders([['a'], ['a', 'b'], ['b', 'c'], ['a', 'b'], ['b', 'c'], ['c']] as NodeId[][]);
  const led = (name: string): number => leaders.filter((leader) => leader === name).length;
  expect([led('a'), led('b'), led('c')]).toEqual([2, 2, 2]);
});

test('each hash is found in the partition whose range holds it, to the very edges', () => {
  const map = buildPartitionMap({ ...bootstrap(3), partitions: 7 });
  for (const partition of map.partitions) {
    const middle = Math.floor((partition.from + partition.to) / 2);
    for (const hash of [partition.from, middle, partition.to]) expect(map.partitionOf(hash)).toBe(partition);
    expect(map.partition(partition.id)).toBe(partition);
  }
  expect(map.partition(99 as PartitionId)).toBeUndefined();
  expect(map.node('n2' as NodeId)?.http).toBe('http://127.0.0.1:7002');
});

test('4,096 partitions with replication factor 7 on 100 nodes are placed as evenly', () => {
  const map = buildPartitionMap({ ...bootstrap(100), partitions: 4096, replicationFactor: 7 });
  expect(spread(counts(map, 'replicas'))).toBeLessThanOrEqual(1);
  expect(spread(counts(map, 'leaders'))).toBeLessThanOrEqual(1);
});
