/** Leaderships evened out by the fewest transfers. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { evenerLeaders, type LeadersRequest } from '../../src/cluster/planner-leaders.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';

/** `'*a b c'`: led by a, with replicas on b and c too. */
function led(texts: readonly string[], mayLead = 'a b c d e'): LeadersRequest {
  const partitions = texts.map((text, i) => {
    const names = text.split(' ');
    const leader = names.find((name) => name.startsWith('*'))?.slice(1) as NodeId | undefined;
    const replicas = names.map((name) => name.replace('*', '')) as NodeId[];
    return { id: (i + 1) as PartitionId, replicas, leader };
  });
  return { partitions, mayLead: new Set(mayLead.split(' ') as NodeId[]) };
}

function changes(asked: LeadersRequest): readonly string[] {
  return [...evenerLeaders(asked)].map(([id, leader]) => `${id} ${leader}`);
}

test('one node leads all: each of the others is given its part, and no more changes than that', () => {
  const asked = led(Array.from({ length: 6 }, () => '*a b c'));
  const given = [...evenerLeaders(asked).values()];
  expect(given.toSorted()).toEqual(['b', 'b', 'c', 'c']);
});

test('even leaderships are left alone, however uneven the replicas', () => {
  expect(changes(led(['*a b', '*b a', '*c a', 'a *b', 'a *c', '*a c']))).toEqual([]);
  expect(changes(led(['*a b', '*a b', 'a *b']))).toEqual([]);
});

test('where no direct exchange helps, leaderships are passed along a chain', () => {
  expect(changes(led(['*a', '*a b', '*a b', '*b c', '*b c', '*c']))).toEqual(['2 b', '4 c']);
  expect(changes(led(['*a b', '*a b', '*a', '*b c', '*b', '*b', '*c']))).toHaveLength(1);
  expect(changes(led(['*a b', '*a b', '*a', '*b c', '*b', 'c']))).toEqual(['1 b', '4 c', '6 c']);
});

test('a leader that may not lead, or is not known: somebody else is told to, the least busy first', () => {
  const given = evenerLeaders(led(['*a b c', 'a b c', '*d b c', '*b c', '*a b', 'b c'], 'b c'));
  expect([...given.keys()]).toEqual([1, 2, 3, 5, 6]);
  expect([...given.values()].filter((leader) => leader === 'c')).toHaveLength(3);
});

test('a leader without a replica counts as none', () => {
  const { partitions, mayLead } = led(['a b', '*a c']);
  const misled = partitions.map((partition) => ({ ...partition, leader: partition.leader ?? ('c' as NodeId) }));
  expect([...evenerLeaders({ partitions: misled, mayLead })]).toEqual([[1, 'b']]);
});

test('a partition of which no replica may lead is left alone', () => {
  expect(changes(led(['*a', 'a', '*b'], 'b'))).toEqual([]);
});

test('the order of partitions and replicas means nothing', () => {
  const texts = ['*a b c', '*a b d', '*a c d', '*b c d', 'a b', '*a b c'];
  const asked = led(texts);
  const turned = {
    ...asked,
    partitions: asked.partitions.toReversed().map((p) => ({ ...p, replicas: p.replicas.toReversed() })),
  };
  expect([...evenerLeaders(turned)]).toEqual([...evenerLeaders(asked)]);
});

interface Judged {
  /** The sum of squares: lower is more even. */
  readonly unevenness: number;
  readonly changes: number;
}

function judge({ partitions }: LeadersRequest, leaders: readonly (NodeId | undefined)[]): Judged {
  const leads = new Map<NodeId, number>();
  for (const leader of leaders) if (leader !== undefined) leads.set(leader, (leads.get(leader) ?? 0) + 1);
  return {
    unevenness: [...leads.values()].reduce((sum, count) => sum + count * count, 0),
    changes: leaders.filter((leader, i) => leader !== undefined && leader !== partitions[i]?.leader).length,
  };
}

function compareJudged(a: Judged, b: Judged): number {
  return a.unevenness - b.unevenness || a.changes - b.changes;
}

/** All that there is to choose from. */
function* allChoices({ partitions, mayLead }: LeadersRequest, from = 0): Generator<readonly (NodeId | undefined)[]> {
  const partition = partitions[from];
  if (partition === undefined) {
    yield [];
    return;
  }
  const eligible = partition.replicas.filter((nodeId) => mayLead.has(nodeId));
  for (const rest of allChoices({ partitions, mayLead }, from + 1)) {
    for (const leader of eligible.length === 0 ? [undefined] : eligible) yield [leader, ...rest];
  }
}

test('no choice of leaders is more even, and none that is as even takes fewer changes', () => {
  const names = ['a', 'b', 'c', 'd', 'e'] as NodeId[];
  const partition = fc
    .subarray(names, { minLength: 1, maxLength: 3 })
    .chain((replicas) =>
      fc.record({ replicas: fc.constant(replicas), leader: fc.option(fc.constantFrom(...replicas)) }),
    );
  const request = fc.record({
    partitions: fc
      .array(partition, { minLength: 4, maxLength: 9 })
      .map((drawn) => drawn.map((p, i) => ({ ...p, id: i as PartitionId, leader: p.leader ?? undefined }))),
    mayLead: fc.subarray(names, { minLength: 3 }).map((drawn) => new Set(drawn)),
  });
  fc.assert(
    fc.property(request, (asked) => {
      const given = evenerLeaders(asked);
      const may = (leader: NodeId | undefined): NodeId | undefined =>
        leader !== undefined && asked.mayLead.has(leader) ? leader : undefined;
      const made = judge(
        asked,
        asked.partitions.map(({ id, leader }) => given.get(id) ?? may(leader)),
      );
      let best: Judged | undefined;
      for (const leaders of allChoices(asked)) {
        const other = judge(asked, leaders);
        if (best === undefined || compareJudged(other, best) < 0) best = other;
      }
      expect(made).toEqual(best);
    }),
    { numRuns: 600, seed: 1 },
  );
});
