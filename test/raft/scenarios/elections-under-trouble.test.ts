/** Members that were cut off, left behind or too eager meet the rest of the group again. */
import { describe, expect, test } from 'vitest';
import {
  command,
  entriesOfTerms,
  heartbeat,
  limits,
  preVoteRequest,
  TestMember,
  voted,
  voteRequest,
} from '../member.ts';
import { Network } from '../network.ts';

const statusOf = (network: Network, id: number) => network.member(id).raft.status();

describe('duelling candidates', () => {
  test('cut off from each other, only the one whom a majority hears wins; the other joins it later', () => {
    const network = new Network();
    network.cut(1, 3);
    network.cut(3, 1);
    network.member(1).raft.campaign();
    network.member(3).raft.campaign();
    network.run();
    const [leader] = network.leaders();
    expect(network.leaders()).toHaveLength(1);
    network.heal();
    network.pass(40);
    expect(network.leaders()).toEqual([leader]);
    for (const id of [1, 2, 3]) expect(statusOf(network, id).leader).toBe(leader);
  });

  test('two at once split the vote in one term, and one of them wins a later one', () => {
    const network = new Network({ voters: [1, 2, 3, 4] });
    network.member(1).raft.campaign();
    network.member(2).raft.campaign();
    network.run();
    network.pass(60);
    expect(network.leaders()).toHaveLength(1);
    network.judge.matchLogs(network.ids.map((id) => network.member(id)));
  });
});

test('duelling pre-candidates raise no term while nobody can win', () => {
  const network = new Network();
  for (const [a, b] of [
    [1, 2],
    [1, 3],
    [2, 3],
  ] as const) {
    network.cut(a, b);
    network.cut(b, a);
  }
  network.pass(200);
  for (const id of [1, 2, 3]) expect(statusOf(network, id)).toMatchObject({ role: 'preCandidate', term: 0 });
  network.heal();
  network.pass(30);
  expect(network.leaders()).toHaveLength(1);
  expect(statusOf(network, 1).term).toBe(1);
});

test('a pre-candidate with an old log cannot win, and does not keep the others from doing so', () => {
  const network = new Network({
    logs: { 1: entriesOfTerms([1]), 2: entriesOfTerms([1, 1]), 3: entriesOfTerms([1, 1]) },
  });
  network.campaign(1);
  expect(statusOf(network, 1)).toMatchObject({ role: 'follower', term: 1 });
  network.campaign(2);
  expect(network.leaders()).toEqual([2]);
  network.pass(1);
  expect(network.member(1).log).toEqual(network.member(2).log);
});

describe('a disruptive follower', () => {
  test('that hears nothing for a while comes back in the old term and changes nothing', () => {
    const network = new Network();
    network.campaign(1);
    network.isolate(3);
    network.pass(100);
    expect(statusOf(network, 3)).toMatchObject({ role: 'preCandidate', term: 1 });
    network.heal();
    network.pass(2);
    expect(statusOf(network, 3)).toMatchObject({ role: 'follower', term: 1, leader: 1 });
    expect(network.leaders()).toEqual([1]);
  });

  test('that hears nothing but is heard is ignored, by the leader and by those who hear the leader', () => {
    const network = new Network();
    network.campaign(1);
    network.cut(1, 3);
    network.pass(100);
    expect(statusOf(network, 1)).toMatchObject({ role: 'leader', term: 1 });
    expect(statusOf(network, 3)).toMatchObject({ role: 'preCandidate', term: 1 });
  });

  test.each([preVoteRequest, voteRequest])(
    'is ignored until the leader has been silent for the minimum timeout',
    (ask) => {
      const member = new TestMember({ random: () => 0.99 });
      member.receive(heartbeat({ from: 3, term: 1 }));
      member.tick(limits.electionTicksMin - 1);
      expect(member.receive(ask({ term: 2, last: [9, 1] })).messages).toEqual([]);
      expect(member.raft.status()).toMatchObject({ term: 1, leader: 3 });
      member.tick();
      expect(member.receive(ask({ term: 2, last: [9, 1] })).messages).toHaveLength(1);
    },
  );

  test('is heard at once when the leader itself has asked for the transfer', () => {
    const member = new TestMember();
    member.receive(heartbeat({ from: 3, term: 1 }));
    expect(member.receive(voteRequest({ term: 2, last: [0, 0], transfer: true })).messages).toEqual([
      voted({ from: 1, to: 2, term: 2, granted: true }),
    ]);
  });

  test('asking for a pre-vote is not heard as a leader: the silence goes on', () => {
    const member = new TestMember();
    member.receive(heartbeat({ from: 3, term: 1 }));
    for (let tick = 1; tick < limits.electionTicksMin; tick++) {
      member.tick();
      member.receive(preVoteRequest({ term: 2, last: [9, 1] }));
    }
    member.tick();
    expect(member.raft.status().role).toBe('preCandidate');
  });
});

describe('nobody is stuck for ever', () => {
  test('a candidate left in a higher term is freed by its answer to the leader, and the group goes on above it', () => {
    const network = new Network({ terms: { 3: 9 } });
    network.isolate(3);
    network.campaign(1);
    expect(statusOf(network, 1)).toMatchObject({ role: 'leader', term: 1 });
    network.heal();
    network.pass(60);
    expect(network.leaders()).toHaveLength(1);
    const [leader] = network.leaders();
    for (const id of [1, 2, 3]) expect(statusOf(network, id)).toMatchObject({ leader, term: 10 });
  });

  test('a member left in a lower term, with the longer log, is raised by a refusal and wins', () => {
    const network = new Network({
      logs: { 1: entriesOfTerms([1, 1]), 2: entriesOfTerms([1]), 3: entriesOfTerms([1]) },
      terms: { 1: 1, 2: 7, 3: 7 },
    });
    network.crash(3);
    network.campaign(1);
    expect(statusOf(network, 1)).toMatchObject({ role: 'follower', term: 7 });
    network.pass(20);
    expect(network.leaders()).toEqual([1]);
    expect(network.member(2).log).toEqual(network.member(1).log);
  });
});

describe('check-quorum', () => {
  test('a leader that hears from no majority steps down, and refuses what waits', () => {
    const network = new Network({ voters: [1, 2, 3, 4, 5] });
    network.campaign(1);
    for (const id of [3, 4, 5]) network.isolate(id);
    network.pass(limits.electionTicksMin);
    expect(statusOf(network, 1).role).toBe('leader');
    network.member(1).raft.readIndex(7);
    network.pass(limits.electionTicksMin);
    expect(statusOf(network, 1)).toMatchObject({ role: 'follower', term: 1, leader: 0 });
    expect(network.readsRefused).toEqual([7]);
    expect(network.reads).toEqual([]);
  });

  test('a leader that hears from a bare majority stays', () => {
    const network = new Network({ voters: [1, 2, 3, 4, 5] });
    network.campaign(1);
    for (const id of [4, 5]) network.isolate(id);
    network.pass(limits.electionTicksMin * 5);
    expect(network.leaders()).toEqual([1]);
  });
});

test('a new leader replaces what an old one could not commit, and the old one follows', () => {
  const network = new Network();
  network.campaign(1);
  network.isolate(1);
  network.propose(1, 'lost', 'lost too');
  network.pass(limits.electionTicksMin * 2);
  expect(network.leaders()).toEqual([2]);
  network.propose(2, 'kept');
  network.heal();
  network.pass(5);
  for (const id of [1, 2, 3]) expect(network.appliedTexts(id)).toEqual(['kept']);
  expect(network.member(1).log).toEqual(network.member(2).log);
});

test('logs of five members that grew apart under many leaders become one', () => {
  const network = new Network({
    voters: [1, 2, 3, 4, 5],
    logs: {
      1: entriesOfTerms([1, 2]),
      2: entriesOfTerms([1, 3]),
      3: entriesOfTerms([1, 3, 3]),
      4: entriesOfTerms([1]),
      5: [...entriesOfTerms([1]), command({ index: 2, term: 4 })],
    },
    terms: { 1: 5, 2: 5, 3: 5, 4: 5, 5: 5 },
  });
  network.campaign(3);
  // 5 has the newer entry and says no; 1, 2 and 4 are enough.
  expect(network.leaders()).toEqual([3]);
  network.pass(2);
  for (const id of [1, 2, 4, 5]) expect(network.member(id).log).toEqual(network.member(3).log);
  expect(network.member(5).log.slice(0, 3)).toEqual(entriesOfTerms([1, 3, 3]));
});
