/** A hundred nodes and 4,096 partitions: plans come at once and move no more than a fifth above what any plan must. */
import { expect, test } from 'vitest';
import { planMoves, type Plan, type PlanRequest } from '../../src/cluster/planner.ts';
import { evenerLeaders } from '../../src/cluster/planner-leaders.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { after, loads, nodes, request, settled, spread, standing, unplaced, worse } from './planner-world.ts';

const planMsMax = 1000;
const count = 4096;

interface Timed<T> {
  readonly result: T;
  readonly tookMs: number;
}

function timed<T>(work: () => T): Timed<T> {
  // Processor time: who else runs on this machine does not count.
  const from = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(from);
  return { result, tookMs: (user + system) / 1000 };
}

function planInTime(asked: PlanRequest): Plan {
  const { result, tookMs } = timed(() => planMoves(asked));
  expect(tookMs).toBeLessThan(planMsMax);
  return result;
}

test.each([3, 9, 99])('one more node than %d: what moves is the ideal, and the loads are one apart', (size) => {
  const asked = request(nodes(size + 1), settled(nodes(size), count));
  const plan = planInTime(asked);
  expect(plan.fraction).toBeLessThanOrEqual(1.2 * plan.ideal);
  expect(plan.fraction).toBeLessThanOrEqual(1.2 / (size + 1));
  expect(spread(loads(asked.nodes, after(asked, plan)))).toBeLessThanOrEqual(1);
});

test('from nothing to a hundred nodes, from three to nine, from nine to three, and one of a hundred drained', () => {
  planInTime(request(nodes(100), unplaced(count)));
  const nine = request(nodes(9), settled(nodes(3), count));
  const grown = planInTime(nine);
  expect(grown.fraction).toBeLessThanOrEqual(1.2 * grown.ideal);
  const leaving = { n4: 'leaves', n5: 'leaves', n6: 'leaves', n7: 'leaves', n8: 'leaves', n9: 'leaves' } as const;
  const shrunk = planInTime(request(standing(nodes(9), leaving), after(nine, grown)));
  expect(shrunk.fraction).toBe(shrunk.ideal);
  const drained = planInTime(request(standing(nodes(100), { n50: 'leaves' }), settled(nodes(100), count)));
  expect(drained.fraction).toBe(drained.ideal);
});

test.each([
  ['three even zones', (i: number) => ({ zone: `z${i % 3}`, host: `h${i >> 1}` })],
  ['uneven zones', (i: number) => ({ zone: 'aaaaabbbcc'[i % 10] ?? '' })],
  ['two zones of one node in a large third', (i: number) => ({ zone: i < 98 ? 'a' : i < 99 ? 'b' : 'c' })],
  ['one zone', (i: number) => ({ zone: 'a', host: `h${i >> 2}` })],
])('%s: joins and drains are planned as fast, and share no more', (_, labels) => {
  const held = settled(nodes(99, labels), count);
  const joined = request(nodes(100, labels), held);
  const plan = planInTime(joined);
  expect(worse(joined.nodes, held, after(joined, plan))).toEqual([]);
  expect(plan.fraction).toBeLessThanOrEqual(1.2 * plan.ideal);
  planInTime(request(standing(nodes(100, labels), { n2: 'leaves' }), after(joined, plan)));
  planInTime(request(nodes(149, labels), held));
});

test('leaders of 4,096 partitions are evened out in time, from the worst that there can be', () => {
  const members = nodes(100);
  const partitions = settled(members, count).map(({ id, replicas }) => ({
    id,
    replicas,
    leader: replicas.toSorted()[0],
  }));
  const mayLead = new Set(members.map(({ nodeId }) => nodeId));
  const { result: changed, tookMs } = timed(() => evenerLeaders({ partitions, mayLead }));
  expect(tookMs).toBeLessThan(planMsMax);
  const leads = new Map<NodeId, number>(members.map(({ nodeId }) => [nodeId, 0]));
  for (const { id, leader } of partitions) {
    const now = changed.get(id) ?? leader;
    if (now !== undefined) leads.set(now, (leads.get(now) ?? 0) + 1);
  }
  expect(spread([...leads.values()])).toBeLessThanOrEqual(1);
});
