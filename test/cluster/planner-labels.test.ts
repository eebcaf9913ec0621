/** Zones and hosts: no move to even things out makes a partition share more, and what is shared is mended where it can be. */
import { expect, test } from 'vitest';
import { textHash } from '../../src/cluster/hash.ts';
import { planMoves, type PlanNode, type PlanPartition } from '../../src/cluster/planner.ts';
import { buildRing, replicasFor } from '../../src/cluster/ring.ts';
import { after, loads, node, nodes, partitions, request, settled, sharing, standing, worse } from './planner-world.ts';

/** `a1` is a node in zone `a`. */
function zoned(...names: readonly string[]): PlanNode[] {
  return names.map((name) => node(name, { labels: { zone: name.slice(0, 1) } }));
}

function shared(members: readonly PlanNode[], held: readonly PlanPartition[]): { zones: number; hosts: number } {
  const each = held.map((partition) => sharing(members, partition));
  const sum = (of: 'zones' | 'hosts'): number => each.reduce((total, one) => total + one[of], 0);
  return { zones: sum('zones'), hosts: sum('hosts') };
}

test('a node joins one of three zones: it takes over from that zone only, and each partition stays in all three', () => {
  const asked = request(zoned('a1', 'b1', 'c1', 'b2'), settled(zoned('a1', 'b1', 'c1'), 12));
  const plan = planMoves(asked);
  expect(loads(asked.nodes, after(asked, plan))).toEqual([12, 6, 12, 6]);
  expect(new Set(plan.moves.map(({ from, to }) => `${from} ${to}`))).toEqual(new Set(['b1 b2']));
  expect(plan.fraction).toBe(plan.ideal);
  expect(shared(asked.nodes, after(asked, plan)).zones).toBe(0);
});

test('a second and a third zone come up: they are given replicas of partitions that had all in one zone', () => {
  const held = settled(zoned('a1', 'a2', 'a3'), 10);
  const asked = request(zoned('a1', 'a2', 'a3', 'b1', 'c1'), held);
  const made = after(asked, planMoves(asked));
  expect(loads(asked.nodes, made)).toEqual([6, 6, 6, 6, 6]);
  expect(worse(asked.nodes, held, made)).toEqual([]);
  // Three pairs in zone a each; the first to leave it undoes two of them, the second the last.
  expect(shared(asked.nodes, held).zones).toBe(30);
  expect(shared(asked.nodes, made).zones).toBeLessThanOrEqual(30 - 2 * 10);
});

test('loads are even, yet partitions lie in one zone each: they are exchanged', () => {
  const asked = request(zoned('a1', 'a2', 'b1', 'b2'), partitions('a1 a2', 'b1 b2'), { replicationFactor: 2 });
  const plan = planMoves(asked);
  const made = after(asked, plan);
  expect(plan.moves).toHaveLength(2);
  expect(loads(asked.nodes, made)).toEqual([1, 1, 1, 1]);
  expect(shared(asked.nodes, made).zones).toBe(0);
});

test('a shared host is mended, but never by sharing a zone', () => {
  const members = [
    node('n1', { labels: { zone: 'a', host: 'h1' } }),
    node('n2', { labels: { zone: 'b', host: 'h1' } }),
    node('n3', { labels: { zone: 'a', host: 'h2' } }),
    node('n4', { labels: { zone: 'b', host: 'h3' } }),
  ];
  const free = request(members, partitions('n1 n2'), { replicationFactor: 2 });
  expect(shared(members, after(free, planMoves(free)))).toEqual({ zones: 0, hosts: 0 });
  const bound = request(standing(members, { n4: 'keeps', n1: 'keeps' }), free.partitions, { replicationFactor: 2 });
  expect(planMoves(bound).moves).toEqual([]);
});

test('mending goes as far as there is room: one node in a zone of its own is not flooded', () => {
  const members = zoned('a1', 'a2', 'a3', 'a4', 'b1');
  const asked = request(members, settled(members.slice(0, 4), 20));
  const plan = planMoves(asked);
  expect(loads(members, after(asked, plan))).toEqual([12, 12, 12, 12, 12]);
  expect(plan.fraction).toBe(plan.ideal);
});

test('a zone loses its only node: its replicas go elsewhere all the same, and come back to the zone with a new node', () => {
  const members = zoned('a1', 'a2', 'b1', 'b2', 'c1');
  const drained = request(standing(members, { c1: 'leaves' }), settled(members, 12), { balance: false });
  const plan = planMoves(drained);
  const crowded = after(drained, plan);
  expect(plan.problems).toEqual([]);
  expect(loads(members, crowded)).toEqual([9, 9, 9, 9, 0]);
  expect(shared(members, crowded).zones).toBe(12);
  const again = request(zoned('a1', 'a2', 'b1', 'b2', 'c2', 'c3'), crowded);
  const spread = after(again, planMoves(again));
  expect(loads(again.nodes, spread)).toEqual([6, 6, 6, 6, 6, 6]);
  expect(shared(again.nodes, spread).zones).toBe(0);
});

test('what must move goes where it shares least, even to a node that has much already', () => {
  const members = zoned('a1', 'a2', 'b1', 'b2', 'c1', 'c2');
  const asked = request(standing(members, { c2: 'leaves' }), settled(members, 12));
  const plan = planMoves(asked);
  expect(new Set(plan.moves.map(({ from, to }) => `${from} ${to}`))).toEqual(new Set(['c2 c1']));
  expect(loads(members, after(asked, plan))).toEqual([6, 6, 6, 6, 12, 0]);
});

test('of too many replicas one goes that shares a zone, though others have more to hold', () => {
  const held = partitions('a1 a2 b1 c1', 'b1 c1 a1', 'b1 c1 a2');
  const asked = request(zoned('a1', 'a2', 'b1', 'c1'), held, { balance: false });
  expect(planMoves(asked).moves).toEqual([{ partition: 1, from: 'a2', to: undefined, reason: 'repair' }]);
});

test('a zone counts for more than a host', () => {
  const members = [
    node('n1', { labels: { zone: 'a', host: 'h1' }, standing: 'keeps' }),
    node('n2', { labels: { zone: 'a', host: 'h2' } }),
    node('n3', { labels: { zone: 'b', host: 'h1' } }),
  ];
  const asked = request(members, partitions('n1 n2'), { replicationFactor: 2 });
  expect(planMoves(asked).moves).toEqual([{ partition: 1, from: 'n2', to: 'n3', reason: 'balance' }]);
});

test('where room is scarce it goes to the partition that gains most', () => {
  const members = [...zoned('a1', 'a2', 'a3', 'b1'), node('c1', { labels: { zone: 'c' }, weight: 0.25 })];
  const plan = planMoves(request(standing(members, { b1: 'keeps' }), partitions('a1 a2 b1', 'a1 a2 a3')));
  expect(plan.moves.filter(({ to }) => to === 'c1').map(({ partition }) => partition)).toEqual([2]);
});

test('of what a zone passes on to its new node, most is what the ring proposes for it', () => {
  const members = zoned('a1', 'b1', 'c1', 'b2');
  const ring = buildRing(members, 64);
  const { moves } = planMoves(request(members, settled(members.slice(0, 3), 96)));
  const proposed = moves.filter(({ partition }) =>
    replicasFor(ring, textHash(`partition ${partition}`), 3).some(({ nodeId }) => nodeId === 'b2'),
  );
  expect(moves).toHaveLength(48);
  expect(proposed.length).toBeGreaterThan(0.8 * moves.length);
});

test('a node without labels stands alone', () => {
  const members = [...zoned('a1', 'a2', 'a3'), ...nodes(2)];
  const asked = request(members, settled(zoned('a1', 'a2', 'a3'), 5));
  expect(shared(members, after(asked, planMoves(asked))).zones).toBeLessThanOrEqual(15 - 2 * 5);
});
