/** Section 5.1: terms are a logical clock; whoever is behind catches up, and what is behind is refused. */
import { describe, expect, test } from 'vitest';
import {
  appended,
  appendEntries,
  configurationOf,
  entriesOfTerms,
  heartbeat,
  heartbeatAnswered,
  preVoteRequest,
  TestMember,
  voted,
  voteRequest,
} from '../member.ts';

type RoleName = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** A member of three in the given role, in term 1 when it campaigned. */
function memberAs(role: RoleName): TestMember {
  const member = new TestMember(role === 'preCandidate' ? { term: 1 } : {});
  if (role === 'follower') member.receive(heartbeat({ term: 1 }));
  if (role === 'leader') member.becomeLeader();
  if (role === 'preCandidate' || role === 'candidate') {
    member.raft.campaign();
    member.settle();
  }
  if (role === 'candidate') member.receive(voted({ pre: true, term: 1, granted: true }));
  expect(member.raft.status()).toMatchObject({ role, term: 1 });
  return member;
}

const roles: RoleName[] = ['follower', 'preCandidate', 'candidate', 'leader'];

describe.each(roles)('a %s', (role) => {
  test('that hears a leader of a higher term joins it as follower', () => {
    const member = memberAs(role);
    member.receive(appendEntries({ from: 3, term: 5, prev: [0, 0] }));
    expect(member.raft.status()).toMatchObject({ role: 'follower', term: 5, votedFor: 0, leader: 3 });
  });

  test('that is told of a higher term in an answer joins it, and knows no leader there', () => {
    for (const answer of [
      voted({ term: 5, granted: false }),
      voted({ pre: true, term: 5, granted: false }),
      heartbeatAnswered({ term: 5 }),
      appended({ term: 5, index: 0 }),
    ]) {
      const member = memberAs(role);
      member.receive(answer);
      expect(member.raft.status()).toMatchObject({ role: 'follower', term: 5, votedFor: 0, leader: 0 });
    }
  });

  test('refuses what an older term asks, with its own term, and changes nothing', () => {
    const member = memberAs(role);
    member.receive(voted({ pre: true, term: 4, granted: false }));
    const before = member.raft.status();
    expect(member.receive(voteRequest({ from: 3, term: 3, last: [9, 3] })).messages).toEqual([
      voted({ from: 1, to: 3, term: 4, granted: false }),
    ]);
    expect(member.receive(heartbeat({ from: 3, term: 3, leaderCommit: 9, readRound: 8 })).messages).toEqual([
      heartbeatAnswered({ from: 1, to: 3, term: 4, readRound: 0 }),
    ]);
    expect(member.receive(appendEntries({ from: 3, term: 3, prev: [0, 0] })).messages).toMatchObject([
      { type: 'AppendEntriesResponse', from: 1, to: 3, term: 4, success: false },
    ]);
    expect(member.raft.status()).toEqual(before);
  });

  test('drops answers of an older term', () => {
    const member = memberAs(role);
    member.receive(voted({ pre: true, term: 4, granted: false }));
    const before = member.raft.status();
    for (const answer of [
      voted({ term: 3, granted: true }),
      voted({ pre: true, term: 3, granted: true }),
      heartbeatAnswered({ term: 3 }),
      appended({ term: 3, index: 7 }),
    ]) {
      expect(member.receive(answer).messages).toEqual([]);
    }
    expect(member.raft.status()).toEqual(before);
  });

  test("drops what is meant for another stay of its own, its own words, and strangers' answers", () => {
    const member = memberAs(role);
    const before = member.raft.status();
    for (const message of [
      heartbeat({ to: 9, term: 7 }),
      heartbeat({ from: 1, term: 7 }),
      voteRequest({ to: 9, term: 7, last: [99, 6] }),
      heartbeatAnswered({ from: 9, term: 7 }),
      appended({ from: 9, term: 7, index: 1 }),
    ]) {
      expect(member.receive(message).messages).toEqual([]);
    }
    expect(member.raft.status()).toEqual(before);
  });

  test('hears a leader whom its configuration does not name, as it may have come with an entry not here yet', () => {
    const member = memberAs(role);
    expect(member.receive(heartbeat({ from: 9, term: 7 })).messages).toEqual([
      heartbeatAnswered({ from: 1, to: 9, term: 7 }),
    ]);
    expect(member.raft.status()).toMatchObject({ role: 'follower', term: 7, leader: 9 });
  });
});

test('a replica that was left out for good is told so, and not followed into its term', () => {
  const member = new TestMember({ term: 1, configuration: configurationOf([1, 3, 4]) });
  const before = member.raft.status();
  const told = { type: 'ReplicaRemoved', from: 1, to: 2, term: 1 };
  expect(member.receive(voteRequest({ term: 7, last: [99, 6] })).messages).toEqual([told]);
  expect(member.receive(preVoteRequest({ term: 7, last: [99, 6] })).messages).toEqual([told]);
  expect(member.raft.status()).toEqual(before);
});

test('an answer to what was asked in an older term counts for nothing in a newer one', () => {
  const leader = new TestMember({ entries: entriesOfTerms([1, 1]), term: 4 });
  leader.becomeLeader();
  leader.raft.readIndex(1);
  const before = leader.raft.status();
  leader.receive(appended({ term: 4, index: 3 }));
  leader.receive(heartbeatAnswered({ term: 4, readRound: 9 }));
  expect(leader.raft.status()).toEqual(before);
  expect(leader.receive(appended({ term: 5, index: 3 })).reads).toEqual([]);

  const candidate = new TestMember({ term: 4 });
  candidate.raft.campaign();
  candidate.receive(voted({ pre: true, term: 5, granted: true }));
  candidate.receive(voted({ term: 4, granted: true }));
  expect(candidate.raft.status()).toMatchObject({ role: 'candidate', term: 5 });
});

test('a step down leaves no vote behind in the new term, and keeps it in the same one', () => {
  const member = memberAs('candidate');
  member.receive(heartbeat({ from: 3, term: 1 }));
  expect(member.raft.status()).toMatchObject({ role: 'follower', term: 1, votedFor: 1, leader: 3 });
  member.receive(heartbeat({ from: 3, term: 2 }));
  expect(member.raft.status()).toMatchObject({ role: 'follower', term: 2, votedFor: 0, leader: 3 });
});

test('two leaders in one term are a broken promise, and stop the member', () => {
  const follower = memberAs('follower');
  expect(() => follower.receive(heartbeat({ from: 3, term: 1 }))).toThrow('two leaders in term 1');
  const leader = memberAs('leader');
  expect(() => leader.receive(heartbeat({ from: 3, term: 1 }))).toThrow('leads in our own term 1');
});
