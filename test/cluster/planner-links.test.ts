/** What is remembered of earlier looks is as true as a look anew. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Draft } from '../../src/cluster/planner-draft.ts';
import { Links } from '../../src/cluster/planner-links.ts';
import { node, partitions, request } from './planner-world.ts';

const size = 6;
const members = Array.from({ length: size }, (_, i) =>
  node(`n${i + 1}`, { labels: { zone: 'aabbcc'[i] ?? '', host: 'ghghgi'[i] ?? '' } }),
);

/** A move of a partition, where it can be made; or else a look at one of a few pairs, so that some are looked at often. */
const event = fc.oneof(
  fc.record({ move: fc.nat({ max: 9 }), from: fc.nat({ max: size - 1 }), to: fc.nat({ max: size - 1 }) }),
  fc.record({ move: fc.constant(undefined), from: fc.nat({ max: 1 }), to: fc.integer({ min: 2, max: 3 }) }),
);

test.each(['any', 'free'] as const)(
  'looks and moves in any order, links that are %s: the same partition comes out best',
  (cost) => {
    const held = fc.array(fc.subarray(members, { minLength: 2, maxLength: 3 }), { minLength: 10, maxLength: 10 });
    fc.assert(
      fc.property(held, fc.array(event, { maxLength: 60, size: 'max' }), (placed, events) => {
        const names = placed.map((holders) => holders.map(({ nodeId }) => nodeId).join(' '));
        const draft = new Draft(request(members, partitions(...names)));
        const links = new Links(draft, cost);
        for (const { move, from, to } of events) {
          if (move === undefined) {
            const anew = new Links(draft, cost).best({ from, to })?.id;
            expect(links.exists({ from, to })).toBe(anew !== undefined);
            expect(links.best({ from, to })?.id).toBe(anew);
            expect(links.exists({ from, to })).toBe(anew !== undefined);
            continue;
          }
          const partition = draft.partitions[move];
          if (partition?.holders.includes(from) !== true || partition.holders.includes(to)) continue;
          draft.move(partition, { from, to });
        }
      }),
      { numRuns: 300, seed: 1 },
    );
  },
);

test('a node is looked at only for whether there is a link, again and again, as partitions come and go', () => {
  const draft = new Draft(request(members, partitions('n1 n3', 'n1 n5', 'n3 n5'), { replicationFactor: 2 }));
  const links = new Links(draft, 'any');
  const [first, second, third] = draft.partitions;
  if (first === undefined || second === undefined || third === undefined) throw new Error('three partitions');
  expect(links.exists({ from: 0, to: 1 })).toBe(true);
  draft.move(first, { from: 0, to: 1 });
  expect(links.exists({ from: 0, to: 1 })).toBe(true);
  draft.move(second, { from: 0, to: 1 });
  expect(links.exists({ from: 0, to: 1 })).toBe(false);
  draft.move(third, { from: 2, to: 0 });
  expect(links.exists({ from: 0, to: 1 })).toBe(true);
});
