/** Who is doubted, and when nobody can tell. */
import { expect, test } from 'vitest';
import fc from 'fast-check';
import type { ReplicaId } from '../../src/raft/types.ts';
import { verdictOf, type TakenDigest, type Verdict } from '../../src/replica/digest-verdict.ts';

const ids = (...numbers: readonly number[]): ReplicaId[] => numbers as ReplicaId[];

/** `1a 2a 3b`: replica 1 holds a, and so on. */
function digests(text: string): TakenDigest[] {
  return text
    .split(' ')
    .map((one) => ({ replicaId: Number(one.slice(0, -1)) as ReplicaId, sum: Buffer.from(one.slice(-1)) }));
}

const differ = (sum: string, holders: number[], odd: number[]): Verdict => ({
  type: 'differ',
  sum: Buffer.from(sum),
  holders: ids(...holders),
  odd: ids(...odd),
});

test.each<[string, number[], string, Verdict]>([
  ['all hold the same', [1, 2, 3], '1a 2a 3a', { type: 'agree' }],
  ['the only one', [1], '1a', { type: 'agree' }],
  ['two of three hold the same, the third did not answer', [1, 2, 3], '1a 2a', { type: 'agree' }],
  ['a follower differs', [1, 2, 3], '1a 2a 3b', differ('a', [1, 2], [3])],
  ['the leader, who is named first, differs', [1, 2, 3], '1b 2a 3a', differ('a', [2, 3], [1])],
  ['two that answered differ, the third did not', [1, 2, 3], '1a 2b', { type: 'split' }],
  ['all three differ', [1, 2, 3], '1a 2b 3c', { type: 'split' }],
  ['two of five differ, each in its way', [1, 2, 3, 4, 5], '1a 2b 3a 4c 5a', differ('a', [1, 3, 5], [2, 4])],
  ['two of five hold the same, which the three others do not', [1, 2, 3, 4, 5], '1a 2b 3a 4c 5d', { type: 'split' }],
  ['two of four: half is no majority', [1, 2, 3, 4], '1a 2a 3b 4b', { type: 'split' }],
  ['one of two', [1, 2], '1a 2b', { type: 'split' }],
  ['a learner differs', [1, 2, 3], '1a 2a 3a 4b', differ('a', [1, 2, 3], [4])],
  ['learners make no majority', [1, 2, 3], '1a 2b 4b 5b', { type: 'split' }],
])('%s', (_what, voters, answers, verdict) => {
  expect(verdictOf(ids(...voters), digests(answers))).toEqual(verdict);
});

test('whoever is doubted holds something else than a majority of all voters, and no two majorities are found', () => {
  const replica = fc.integer({ min: 1, max: 9 });
  const answers = fc.uniqueArray(fc.record({ replicaId: replica, sum: fc.constantFrom('a', 'b', 'c') }), {
    selector: ({ replicaId }) => replicaId,
    minLength: 1,
  });
  fc.assert(
    fc.property(fc.uniqueArray(replica, { minLength: 1 }), answers, (voters, held) => {
      const verdict = verdictOf(
        ids(...voters),
        digests(held.map(({ replicaId, sum }) => `${replicaId}${sum}`).join(' ')),
      );
      const sumOf = new Map(held.map(({ replicaId, sum }) => [replicaId, sum]));
      const majority = ['a', 'b', 'c'].filter(
        (sum) => 2 * voters.filter((id) => sumOf.get(id) === sum).length > voters.length,
      );
      const differ = new Set(sumOf.values()).size > 1;
      expect(verdict.type).toBe(!differ ? 'agree' : majority.length === 1 ? 'differ' : 'split');
      if (verdict.type !== 'differ') return;
      expect(verdict.odd.map((id) => sumOf.get(id))).not.toContain(majority[0]);
      expect(new Set(verdict.odd).size + held.filter(({ sum }) => sum === majority[0]).length).toBe(held.length);
    }),
  );
});
