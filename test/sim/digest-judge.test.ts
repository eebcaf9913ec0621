/** What is judged of states that are summed up, and of who is told that it differs; and a world in which values rot. */
import { expect, test } from 'vitest';
import type { NodeId, PartitionId, StateDigest } from '../../src/replica/ports.ts';
import { DigestJudge } from '../../src/sim/digest-judge.ts';
import { simulate } from '../../src/sim/simulation.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const p1 = 1 as PartitionId;

function judged(tell: (judge: DigestJudge) => void): string[] {
  const violations: string[] = [];
  const judge = new DigestJudge((violation) => violations.push(String(violation)));
  tell(judge);
  const unfound = judge.unfound();
  return unfound === undefined ? violations : [...violations, `unfound ${unfound}`];
}

function at(index: number, sum: string, miscounted?: string): { readonly index: number; readonly digest: StateDigest } {
  return { index, digest: { version: 1, sum: Buffer.from(sum), records: 1, bytes: 10, miscounted } };
}

test('whole replicas come to the same at an index, and may come to another at the next', () => {
  const summed = judged((judge) => {
    for (const node of [n1, n2, n3]) judge.summed(node, p1, at(5, 'five'));
    judge.summed(n1, p1, at(6, 'six'));
    judge.summed(n1, 2 as PartitionId, at(5, 'another partition'));
  });
  expect(summed).toEqual([]);
});

test('one that comes to something else breaks the rule, unless its disk was damaged', () => {
  expect(judged((judge) => [judge.summed(n1, p1, at(5, 'a')), judge.summed(n2, p1, at(5, 'b'))])).toEqual([
    'Violation: the state of index 5 comes to 61 on n1, and to 62 on n2',
  ]);
  const damaged = judged((judge) => {
    judge.rotten(n2, p1);
    judge.summed(n1, p1, at(5, 'a'));
    judge.summed(n2, p1, at(5, 'b', '1 key, and 2 are counted'));
  });
  expect(damaged).toEqual(['unfound n2/1']);
});

test('so does one that has stored something else than it has counted', () => {
  expect(judged((judge) => judge.summed(n1, p1, at(5, 'a', 'one key is missing')))).toEqual([
    'Violation: n1 has stored something else than it has counted at index 5: one key is missing',
  ]);
});

test('who is told that it differs is one that was damaged; and it is told', () => {
  expect(judged((judge) => judge.told(n1, p1, 'you differ'))).toEqual([
    'Violation: n1 is whole, and is told: you differ',
  ]);
  const found = judged((judge) => {
    judge.rotten(n2, p1);
    judge.told(n2, p1, 'you differ');
  });
  expect(found).toEqual([]);
});

test.each([16, 45])(
  'in a world in which values rot each is found, and nobody else is told anything: seed %i',
  async (seed) => {
    const { violation, happened, swarm } = await simulate({ seed, swarm: { seconds: 30 } });
    expect([violation, swarm.rot]).toEqual([undefined, true]);
    expect(happened.rotten).toBeGreaterThan(0);
    expect(happened.digests).toBeGreaterThan(20);
  },
);
