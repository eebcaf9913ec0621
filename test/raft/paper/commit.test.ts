/** Sections 5.4.2 and 8: what a leader may call committed, and when it may answer reads. */
import { expect, test } from 'vitest';
import { appended, entriesOfTerms, noop, TestMember } from '../member.ts';

test('an entry of an earlier term on a majority is not committed by counting it (5.4.2)', () => {
  const leader = new TestMember({ entries: entriesOfTerms([1, 2]) });
  leader.becomeLeader();
  expect(leader.raft.status()).toMatchObject({ term: 3, lastIndex: 3, commitIndex: 0 });
  expect(leader.receive(appended({ term: 3, index: 1 })).committed).toEqual([]);
  expect(leader.receive(appended({ term: 3, index: 2 })).committed).toEqual([]);
  expect(leader.raft.status().commitIndex).toBe(0);
});

test('the no-op of the current term commits everything before it', () => {
  const leader = new TestMember({ entries: entriesOfTerms([1, 2]) });
  leader.becomeLeader();
  expect(leader.receive(appended({ term: 3, index: 3 })).committed).toEqual([
    ...entriesOfTerms([1, 2]),
    noop({ index: 3, term: 3 }),
  ]);
});

test('what was applied before a restart is not handed out again', () => {
  const leader = new TestMember({ entries: entriesOfTerms([1, 2]), appliedIndex: 1 });
  leader.becomeLeader();
  const { committed } = leader.receive(appended({ term: 3, index: 3 }));
  expect(committed.map((entry) => entry.index)).toEqual([2, 3]);
});

test('applied reports go forward and never beyond what was handed out', () => {
  const leader = new TestMember({ entries: entriesOfTerms([1, 2]) });
  leader.becomeLeader();
  leader.raft.step(appended({ term: 3, index: 3 }));
  leader.takeReady();
  leader.raft.applied(entriesOfTerms([1, 2])[1]!.index);
  expect(leader.raft.status().appliedIndex).toBe(2);
  expect(() => leader.raft.applied(entriesOfTerms([1])[0]!.index)).toThrow('applied 1');
  expect(() => leader.raft.applied(entriesOfTerms([1, 1, 1, 1])[3]!.index)).toThrow('applied 4');
});
