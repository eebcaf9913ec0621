/** What holds of every plan, whatever the cluster: drawn at random, and each draw can be replayed. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planMoves, type PlanNode, type PlanPartition, type PlanRequest } from '../../src/cluster/planner.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { after, loads, node, nodes, request, settled, spread, standing, worse } from './planner-world.ts';

const runs = { numRuns: 300, seed: 1 };

const anyLabels = fc.oneof(
  fc.constant({}),
  fc.record({ zone: fc.constantFrom('a', 'b', 'c') }),
  fc.record({ zone: fc.constantFrom('a', 'b', 'c'), host: fc.constantFrom('g', 'h', 'i', 'j') }),
);

/** Nodes n1, n2, … of any kind; `gone` is known to partitions only. */
function anyNodes(labels: fc.Arbitrary<Readonly<Record<string, string>>>): fc.Arbitrary<readonly PlanNode[]> {
  const any = fc.record({
    labels,
    weight: fc.constantFrom(0.3, 1, 1, 1, 2, 5),
    standing: fc.constantFrom<PlanNode['standing'][]>('takes', 'takes', 'takes', 'keeps', 'leaves'),
  });
  return fc.array(any, { maxLength: 9, size: 'max' }).map((drawn) => drawn.map((more, i) => node(`n${i + 1}`, more)));
}

function anyPartitions(members: readonly PlanNode[], replicas = { maxLength: 5 }): fc.Arbitrary<PlanPartition[]> {
  const names = [...members.map(({ nodeId }) => nodeId), 'gone' as NodeId];
  return fc
    .array(fc.subarray(names, { maxLength: Math.min(replicas.maxLength, names.length) }), {
      maxLength: 20,
      size: 'max',
    })
    .map((drawn) => drawn.map((held, i) => ({ id: i as PartitionId, replicas: held, bytes: i })));
}

/** Any cluster, however far from what it should be. */
const anyRequest: fc.Arbitrary<PlanRequest> = anyNodes(anyLabels).chain((members) =>
  fc.record({
    nodes: fc.constant(members),
    partitions: anyPartitions(members),
    replicationFactor: fc.integer({ min: 1, max: 4 }),
    virtualNodes: fc.constant(16),
    balance: fc.boolean(),
  }),
);

function staying({ nodes: members }: PlanRequest, { replicas }: PlanPartition): readonly PlanNode[] {
  return members.filter((member) => member.standing !== 'leaves' && replicas.includes(member.nodeId));
}

test('every move can be made; only those that take are given any, and those that keep lose none', () => {
  fc.assert(
    fc.property(anyRequest, (asked) => {
      const plan = planMoves(asked);
      after(asked, plan);
      const of = (kind: PlanNode['standing']): readonly NodeId[] =>
        asked.nodes.filter((member) => member.standing === kind).map(({ nodeId }) => nodeId);
      for (const { from, to, reason } of plan.moves) {
        if (to !== undefined) expect(of('takes')).toContain(to);
        if (from !== undefined) expect(of('keeps')).not.toContain(from);
        const leaves = from !== undefined && !of('takes').includes(from);
        expect(reason).toBe(leaves ? 'drain' : from === undefined || to === undefined ? 'repair' : 'balance');
      }
      if (!asked.balance) expect(plan.moves.filter(({ reason }) => reason === 'balance')).toEqual([]);
    }),
    runs,
  );
});

test('each partition ends with as many replicas as the factor says, or with all that can be had: then a problem is told', () => {
  fc.assert(
    fc.property(anyRequest, (asked) => {
      const plan = planMoves(asked);
      const rf = asked.replicationFactor;
      let lacking = false;
      for (const [i, made] of after(asked, plan).entries()) {
        const old = asked.partitions[i] as PlanPartition;
        const kept = staying(asked, old).filter((member) => member.standing === 'keeps').length;
        const takers = asked.nodes.filter((member) => member.standing === 'takes').length;
        const stay = staying(asked, made).length;
        expect(stay).toBe(Math.max(kept, Math.min(rf, kept + takers)));
        // What leaves stays only where nobody is free for it, and then it does stay.
        const leaving = old.replicas.length - staying(asked, old).length;
        expect(made.replicas.length - stay).toBe(Math.min(leaving, Math.max(0, rf - stay)));
        lacking ||= stay < rf;
      }
      expect(plan.problems.length > 0).toBe(lacking);
    }),
    runs,
  );
});

test('a second plan finds nothing left to do', () => {
  fc.assert(
    fc.property(anyRequest, (asked) => {
      const plan = planMoves(asked);
      const next = planMoves({ ...asked, partitions: after(asked, plan) });
      expect({ moves: next.moves, fraction: next.fraction, problems: next.problems }).toEqual({
        moves: [],
        fraction: 0,
        problems: plan.problems,
      });
    }),
    { ...runs, numRuns: 1000 },
  );
});

test('the order of nodes, partitions and replicas means nothing', () => {
  const turned = <T>(list: readonly T[]): fc.Arbitrary<T[]> =>
    fc.shuffledSubarray([...list], { minLength: list.length, maxLength: list.length });
  const both = anyRequest.chain((asked) =>
    fc.tuple(
      fc.constant(asked),
      turned(asked.nodes),
      turned(asked.partitions.map((partition) => ({ ...partition, replicas: partition.replicas.toReversed() }))),
    ),
  );
  fc.assert(
    fc.property(both, ([asked, otherNodes, otherPartitions]) => {
      expect(planMoves({ ...asked, nodes: otherNodes, partitions: otherPartitions })).toEqual(planMoves(asked));
    }),
    runs,
  );
});

test('no plan says that it moved less than any plan has to', () => {
  fc.assert(
    fc.property(anyRequest, (asked) => {
      const { fraction, ideal } = planMoves(asked);
      expect(fraction).toBeGreaterThanOrEqual(ideal);
    }),
    runs,
  );
});

test('moves that only even out never make a partition share more zones, then hosts', () => {
  const even = anyNodes(anyLabels).chain((members) =>
    fc.tuple(fc.constant(members.map((member) => ({ ...member, standing: 'takes' as const }))), anyPartitions(members)),
  );
  fc.assert(
    fc.property(even, fc.integer({ min: 1, max: 4 }), ([members, drawn], replicationFactor) => {
      const held = drawn
        .map((p) => ({ ...p, replicas: p.replicas.filter((nodeId) => nodeId !== 'gone') }))
        .filter(({ replicas }) => replicas.length === replicationFactor);
      const asked = request(members, held, { replicationFactor });
      const plan = planMoves(asked);
      expect(plan.moves.filter(({ reason }) => reason !== 'balance')).toEqual([]);
      expect(worse(members, held, after(asked, plan))).toEqual([]);
    }),
    runs,
  );
});

/** What is due to each node, found by raising a level until all is shared out: each has the level times its weight, at most one of each. */
function quotas(members: readonly PlanNode[], count: number, replicationFactor: number): readonly number[] {
  const at = (level: number): readonly number[] => members.map(({ weight }) => Math.min(count, level * weight));
  let [low, high] = [0, (count * members.length) / Math.min(...members.map(({ weight }) => weight))];
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    const shared = at(middle).reduce((sum, quota) => sum + quota, 0);
    if (shared < count * replicationFactor) low = middle;
    else high = middle;
  }
  return at(high);
}

test('without labels every load ends less than one from its quota, from whatever placement, with whatever weights', () => {
  const weighted = anyNodes(fc.constant({})).chain((members) =>
    fc.tuple(fc.constant(members.map((member) => ({ ...member, standing: 'takes' as const }))), anyPartitions(members)),
  );
  fc.assert(
    fc.property(weighted, fc.integer({ min: 1, max: 4 }), ([members, held], replicationFactor) => {
      fc.pre(members.length >= replicationFactor);
      const asked = request(members, held, { replicationFactor });
      const made = loads(members, after(asked, planMoves(asked)));
      for (const [i, quota] of quotas(members, held.length, replicationFactor).entries()) {
        expect(Math.abs((made[i] as number) - quota)).toBeLessThan(1 + 1e-6);
      }
    }),
    { ...runs, numRuns: 1000 },
  );
});

test('nodes that join or leave a settled cluster move no more than they must, and nothing is exchanged', () => {
  const change = fc.record({
    count: fc.integer({ min: 3, max: 12 }),
    joining: fc.integer({ min: 0, max: 3 }),
    leaving: fc.boolean(),
    partitions: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(change, ({ count, joining, leaving, partitions }) => {
      const held = settled(nodes(count), partitions);
      const members = standing(nodes(count + joining), leaving ? { n1: 'leaves' } : {});
      const asked = request(members, held);
      const plan = planMoves(asked);
      expect(plan.fraction).toBe(plan.ideal);
      if (plan.problems.length === 0) {
        const taking = members.filter((member) => member.standing === 'takes');
        expect(spread(loads(taking, after(asked, plan)))).toBeLessThanOrEqual(1);
      }
      const directions = new Set(plan.moves.map(({ from, to }) => `${from} ${to}`));
      for (const { from, to } of plan.moves) expect(directions).not.toContain(`${to} ${from}`);
    }),
    runs,
  );
});

test('fewer replicas are asked for than there are: those that go leave the rest even, and none moves for it', () => {
  const lowered = fc.record({
    count: fc.integer({ min: 5, max: 12 }),
    partitions: fc.integer({ min: 1, max: 60 }),
    balance: fc.boolean(),
  });
  fc.assert(
    fc.property(lowered, ({ count, partitions, balance }) => {
      const asked = request(nodes(count), settled(nodes(count), partitions, 5), { balance });
      const plan = planMoves(asked);
      expect(plan.moves.filter(({ to }) => to !== undefined)).toEqual([]);
      expect(plan.moves).toHaveLength(2 * partitions);
      expect(spread(loads(asked.nodes, after(asked, plan)))).toBeLessThanOrEqual(1);
    }),
    runs,
  );
});
