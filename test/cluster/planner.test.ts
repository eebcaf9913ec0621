/** Who is to hold what, as nodes come, go and fail: what moves, how little, and where it ends. */
import { expect, test } from 'vitest';
import { textHash } from '../../src/cluster/hash.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import { planMoves } from '../../src/cluster/planner.ts';
import { buildRing, replicasFor } from '../../src/cluster/ring.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { bootstrap } from './founders.ts';
import { after, loads, node, nodes, partitions, request, settled, standing } from './planner-world.ts';

test('a fourth node joins three with twelve partitions: it is given nine replicas, three of each, and nothing else moves', () => {
  const asked = request(nodes(4), settled(nodes(3), 12));
  const plan = planMoves(asked);
  expect(loads(asked.nodes, after(asked, plan))).toEqual([9, 9, 9, 9]);
  expect(plan.moves.map(({ from, to, reason }) => `${from} ${to} ${reason}`).toSorted()).toEqual(
    ['n1', 'n2', 'n3'].flatMap((from) => Array.from({ length: 3 }, () => `${from} n4 balance`)),
  );
  expect(plan).toMatchObject({ fraction: 0.25, ideal: 0.25, problems: [] });
});

test('three nodes become nine: two thirds of all replicas move, all to the new ones', () => {
  const asked = request(nodes(9), settled(nodes(3), 12));
  const plan = planMoves(asked);
  expect(loads(asked.nodes, after(asked, plan))).toEqual(Array.from({ length: 9 }, () => 4));
  expect(new Set(plan.moves.map(({ to }) => to))).toEqual(new Set(['n4', 'n5', 'n6', 'n7', 'n8', 'n9']));
  expect(plan.moves).toHaveLength(24);
  expect(plan.ideal).toBeCloseTo(2 / 3);
});

test('the plan of a join, move by move: any change of it is a change of who is moved', () => {
  const { moves } = planMoves(request(nodes(4), settled(nodes(3), 12)));
  expect(moves.map(({ partition, from, to }) => `${partition}: ${from} ${to}`)).toMatchInlineSnapshot(`
    [
      "1: n3 n4",
      "2: n3 n4",
      "3: n3 n4",
      "4: n2 n4",
      "5: n2 n4",
      "6: n1 n4",
      "7: n1 n4",
      "8: n1 n4",
      "11: n2 n4",
    ]
  `);
});

test('a node is drained: what it had goes to the others, as evenly as can be, and they move nothing among them', () => {
  const members = standing(nodes(5), { n2: 'leaves' });
  const asked = request(members, settled(nodes(5), 20));
  const plan = planMoves(asked);
  expect(loads(asked.nodes, after(asked, plan))).toEqual([15, 0, 15, 15, 15]);
  expect(new Set(plan.moves.map(({ from, reason }) => `${from} ${reason}`))).toEqual(new Set(['n2 drain']));
  expect(plan).toMatchObject({ fraction: 12 / 60, ideal: 12 / 60, problems: [] });
});

test('without balancing a drain is the same, and an uneven cluster is left uneven', () => {
  const held = settled(nodes(5), 20);
  const drained = request(standing(nodes(6), { n2: 'leaves', n6: 'keeps' }), held, { balance: false });
  expect(loads(drained.nodes, after(drained, planMoves(drained)))).toEqual([15, 0, 15, 15, 15, 0]);
  expect(planMoves(request(nodes(6), held, { balance: false }))).toEqual({
    moves: [],
    fraction: 0,
    ideal: 0,
    problems: [],
  });
});

test('what leaves goes to whom it makes even, without balancing too', () => {
  const held = partitions('n1 n2 n3', 'n1 n2 n3', 'n1 n2 n3', 'n1 n2 n4');
  const asked = request(standing(nodes(5), { n1: 'leaves' }), held, { balance: false });
  expect(loads(asked.nodes, after(asked, planMoves(asked)))).toEqual([0, 4, 3, 3, 2]);
});

test('a node cannot be drained while no other is free for what it has, and the plan says so in one line', () => {
  const asked = request(standing(nodes(3), { n3: 'leaves' }), settled(nodes(3), 12));
  expect(planMoves(asked)).toEqual({
    moves: [],
    fraction: 0,
    ideal: 0,
    problems: [
      'n3 cannot give up partitions 1, 2, 3, 4, 5 and 7 more: each of the 2 nodes that may be given replicas now has one already',
    ],
  });
});

test('of a drain as much is done as can be: one of two leaving nodes is replaced, the other has to stay', () => {
  const held = partitions('n1 n3 n4', 'n1 n2 n3');
  const asked = request(standing(nodes(4), { n3: 'leaves', n4: 'leaves' }), held);
  const plan = planMoves(asked);
  expect(plan.moves).toEqual([{ partition: 1, from: 'n3', to: 'n2', reason: 'drain' }]);
  expect(plan.problems).toEqual([
    'n3 cannot give up partition 2: each of the 2 nodes that may be given replicas now has one already',
    'n4 cannot give up partition 1: each of the 2 nodes that may be given replicas now has one already',
  ]);
});

test('a node that is down for a moment keeps what it has and is given nothing', () => {
  const held = settled(nodes(3), 12);
  const plan = planMoves(request(standing(nodes(4), { n3: 'keeps' }), held));
  expect(plan.moves.map(({ from, to }) => `${from} ${to}`)).toEqual(
    expect.arrayContaining(['n1 n4', 'n2 n4']) as string[],
  );
  expect(new Set(plan.moves.flatMap(({ from, to }) => [from, to]))).toEqual(new Set(['n1', 'n2', 'n4']));
  expect(plan.moves).toHaveLength(8);
  expect(planMoves(request(standing(nodes(4), { n4: 'keeps' }), held)).moves).toEqual([]);
});

test('a node is down for good: a node that nobody knows any more counts as one', () => {
  const held = settled(nodes(5), 20);
  const gone = nodes(5).filter(({ nodeId }) => nodeId !== 'n4');
  const plan = planMoves(request(gone, held));
  expect(plan).toEqual(planMoves(request(standing(nodes(5), { n4: 'leaves' }), held)));
  expect(plan.moves).toHaveLength(12);
});

test('partitions with too few replicas get more, those with too many lose some', () => {
  const asked = request(nodes(4), partitions('n1 n2', 'n1 n2 n3 n4', 'n1 n2 n3', ''), { balance: false });
  const plan = planMoves(asked);
  expect(plan.moves.map(({ partition, from, to, reason }) => [partition, from, to, reason])).toEqual([
    [1, undefined, 'n4', 'repair'],
    [2, 'n1', undefined, 'repair'],
    [4, undefined, 'n1', 'repair'],
    [4, undefined, 'n3', 'repair'],
    [4, undefined, 'n4', 'repair'],
  ]);
  expect(plan).toMatchObject({ fraction: 4 / 12, ideal: 4 / 12, problems: [] });
});

test('with too few nodes a partition stays short, and the plan says so', () => {
  const missing = planMoves(request(nodes(2), partitions('n1', 'n1 n2')));
  expect(missing.moves).toEqual([{ partition: 1, from: undefined, to: 'n2', reason: 'repair' }]);
  expect(missing.problems).toEqual([
    'fewer than 3 replicas of partitions 1, 2: each of the 2 nodes that may be given replicas now has one already',
  ]);
  const nobody = planMoves(request(standing(nodes(2), { n1: 'keeps', n2: 'leaves' }), partitions('n1 n2')));
  expect(nobody).toMatchObject({ moves: [], fraction: 0, ideal: 0 });
  expect(nobody.problems).toEqual([
    'n2 cannot give up partition 1: no node may be given replicas now',
    'fewer than 3 replicas of partition 1: no node may be given replicas now',
  ]);
  const alone = planMoves(request(nodes(1), partitions('n1')));
  expect(alone.problems).toEqual([
    'fewer than 3 replicas of partition 1: the only node that may be given replicas now has one already',
  ]);
});

test('a leaving replica that is not needed goes without another coming', () => {
  const plan = planMoves(request(standing(nodes(4), { n1: 'leaves' }), partitions('n1 n2 n3 n4')));
  expect(plan.moves).toEqual([{ partition: 1, from: 'n1', to: undefined, reason: 'drain' }]);
});

test('what is superfluous goes from whoever has most', () => {
  const held = partitions('n1 n2 n3 n4', 'n1 n2 n3', 'n1 n2 n4', 'n1 n3 n4');
  const plan = planMoves(request(nodes(4), held));
  expect(plan.moves).toEqual([{ partition: 1, from: 'n1', to: undefined, reason: 'repair' }]);
});

test('a node of weight 2 is given twice what the others keep', () => {
  const members = [...nodes(4), node('big', { weight: 2 })];
  const asked = request(members, settled(nodes(4), 28));
  const plan = planMoves(asked);
  expect(loads(members, after(asked, plan))).toEqual([14, 14, 14, 14, 28]);
  expect(plan.moves).toHaveLength(28);
  expect(plan.fraction).toBe(plan.ideal);
});

test('a node too light to count holds little; one too heavy holds one replica of each partition, not more', () => {
  const members = [...nodes(4), node('giant', { weight: 100 }), node('dwarf', { weight: 0.5 })];
  expect(loads(members, settled(members, 45))).toEqual([20, 20, 20, 20, 45, 10]);
});

test('a weight changes: only the difference moves', () => {
  const members = nodes(4).map((member, i) => ({ ...member, weight: i === 0 ? 0.5 : 1 }));
  const asked = request(members, settled(nodes(4), 28));
  const plan = planMoves(asked);
  expect(loads(members, after(asked, plan))).toEqual([12, 24, 24, 24]);
  expect(plan.moves).toHaveLength(9);
});

test('replicas are passed along where no single move helps', () => {
  // n1 has one too many and n2 one too few, but n2 holds all that n1 does: a third takes one of n1 and gives another to n2.
  const members = [1, 3, 2, 2].map((weight, i) => node(`n${i + 1}`, { weight }));
  const asked = request(members, partitions('n1 n2', 'n1 n2', 'n3 n4', 'n3 n4'), { replicationFactor: 2 });
  const plan = planMoves(asked);
  expect(loads(members, after(asked, plan))).toEqual([1, 3, 2, 2]);
  expect(plan.moves).toHaveLength(2);
});

test('whoever joins is given what the ring proposes for it, as far as its quota goes', () => {
  const ring = buildRing(nodes(10), 64);
  const { moves } = planMoves(request(nodes(10), settled(nodes(9), 960)));
  const proposed = moves.filter(({ partition }) =>
    replicasFor(ring, textHash(`partition ${partition}`), 3).some(({ nodeId }) => nodeId === 'n10'),
  );
  expect(moves).toHaveLength(288);
  expect(proposed.length).toBeGreaterThan(0.9 * moves.length);
});

test('the metadata group is planned for like any other partition', () => {
  const held = partitions('n1 n2 n3').map((partition) => ({ ...partition, id: 0 as PartitionId }));
  expect(planMoves(request(standing(nodes(4), { n2: 'leaves' }), held)).moves).toEqual([
    { partition: 0, from: 'n2', to: 'n4', reason: 'drain' },
  ]);
});

test('a cluster as it was founded needs no moves, whatever its zones', () => {
  const zones = [() => ({}), (i: number) => ({ zone: `z${i % 3}` }), (i: number) => ({ zone: 'aaaabcc'[i % 7] ?? '' })];
  for (const labels of zones) {
    for (let count = 3; count <= 14; count++) {
      const map = buildPartitionMap({ ...bootstrap(count, labels), partitions: 24 });
      const held = map.partitions.map(({ id, replicas }) => ({
        id,
        replicas: replicas.map((r) => r.nodeId),
        bytes: 0,
      }));
      expect(planMoves(request(nodes(count, labels), held)).moves).toEqual([]);
    }
  }
});
