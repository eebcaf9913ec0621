/** What a configuration decides, against the definition spelled out the slow way. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isQuorum, quorumValue, voteResult } from '../../src/raft/quorum.ts';
import type { Configuration, ReplicaId } from '../../src/raft/types.ts';
import { configurationOf, replica } from './member.ts';

const ids = [1, 2, 3, 4, 5, 6, 7].map(replica);
const someVoters = fc.subarray(ids, { minLength: 1 });
const configurations: fc.Arbitrary<Configuration> = fc
  .tuple(someVoters, fc.subarray(ids))
  .map(([voters, votersOutgoing]) => configurationOf(voters, { votersOutgoing }));

/** More than half of every non-empty set of voters. */
function decides(configuration: Configuration, yes: (id: ReplicaId) => boolean): boolean {
  return [configuration.voters, configuration.votersOutgoing]
    .filter((voters) => voters.length > 0)
    .every((voters) => voters.filter(yes).length * 2 > voters.length);
}

describe('quorumValue', () => {
  const three = configurationOf([1, 2, 3]);
  const reached = (values: readonly number[]) => (id: ReplicaId) => values[id - 1] ?? 0;

  test.each([
    { voters: [1], values: [5], expected: 5 },
    { voters: [1, 2], values: [5, 3], expected: 3 },
    { voters: [1, 2, 3], values: [5, 3, 4], expected: 4 },
    { voters: [1, 2, 3], values: [5, 0, 0], expected: 0 },
    { voters: [1, 2, 3, 4], values: [9, 8, 7, 6], expected: 7 },
    { voters: [1, 2, 3, 4, 5], values: [1, 2, 3, 4, 5], expected: 3 },
    { voters: [1, 2, 3], values: [100, 20, 3], expected: 20 },
  ])('of voters $voters at $values is $expected', ({ voters, values, expected }) => {
    expect(quorumValue(configurationOf(voters), reached(values))).toBe(expected);
  });

  test('within a change both majorities must have reached it', () => {
    const joint = { ...three, votersOutgoing: [3, 4, 5].map(replica) };
    expect(quorumValue(joint, reached([9, 9, 1, 7, 8]))).toBe(7);
    expect(quorumValue(joint, reached([9, 9, 1, 7, 0]))).toBe(1);
  });

  test('is the highest value that a quorum has reached, for any configuration', () => {
    fc.assert(
      fc.property(configurations, fc.array(fc.nat(20), { minLength: 7, maxLength: 7 }), (configuration, values) => {
        const candidates = [0, ...values].filter((value) =>
          decides(configuration, (id) => reached(values)(id) >= value),
        );
        expect(quorumValue(configuration, reached(values))).toBe(Math.max(...candidates));
      }),
    );
  });
});

describe('votes', () => {
  const answers = fc.array(fc.constantFrom(true, false, undefined), { minLength: 7, maxLength: 7 });

  test('are won or lost as soon as the missing ones can no longer turn it, for any configuration', () => {
    fc.assert(
      fc.property(configurations, answers, (configuration, given) => {
        const votes = new Map<ReplicaId, boolean>();
        for (const id of ids) {
          const answer = given[id - 1];
          if (answer !== undefined) votes.set(id, answer);
        }
        const won = decides(configuration, (id) => votes.get(id) === true);
        const winnable = decides(configuration, (id) => votes.get(id) !== false);
        expect(voteResult(configuration, votes)).toBe(won ? 'won' : winnable ? 'pending' : 'lost');
        expect(isQuorum(configuration, (id) => votes.get(id) === true)).toBe(won);
      }),
    );
  });

  test('of half the voters decide nothing', () => {
    const votes = new Map([
      [replica(1), true],
      [replica(2), true],
    ]);
    expect(voteResult(configurationOf([1, 2, 3, 4]), votes)).toBe('pending');
  });

  test('of learners count for nothing', () => {
    const configuration = configurationOf([1, 2, 3], { learners: [replica(4), replica(5)] });
    const votes = new Map([1, 4, 5].map((id) => [replica(id), true]));
    expect(voteResult(configuration, votes)).toBe('pending');
  });
});
