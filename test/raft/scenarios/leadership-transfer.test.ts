/** Leadership goes from one member to another on request (thesis 3.10), or stays where it is when that fails. */
import { describe, expect, test } from 'vitest';
import { EntryKind } from '../../../src/raft/types.ts';
import {
  appended,
  bytesOf,
  configurationOf,
  entriesOfTerms,
  heartbeat,
  heartbeatAnswered,
  limits,
  nothing,
  replica,
  TestMember,
  timeoutNow,
  voted,
  voteRequest,
} from '../member.ts';
import { Network, type NetworkOptions } from '../network.ts';

const statusOf = (network: Network, id: number) => network.member(id).raft.status();
const transfer = (network: Network, { from, to }: { from: number; to: number }) =>
  network.member(from).raft.transferLeadership(replica(to));

/** Three members, of which the first leads and all hold everything. */
function led(options: NetworkOptions = {}): Network {
  const network = new Network(options);
  network.campaign(1);
  network.pass(1);
  return network;
}

/** A leader of three in term 1 whose followers hold its no-op. */
function settledLeader(): TestMember {
  const leader = new TestMember();
  leader.becomeLeader();
  for (const from of [2, 3]) leader.receive(appended({ from, term: 1, index: 1 }));
  return leader;
}

test('to a follower that holds everything: it is told at once, wins the next term, and the others follow', () => {
  const network = led();
  expect(transfer(network, { from: 1, to: 3 })).toEqual({ type: 'started' });
  expect(statusOf(network, 1).transferee).toBe(3);
  network.settle(1);
  expect(network.mail).toEqual([timeoutNow({ from: 1, to: 3, term: 1 })]);
  network.run();
  expect(network.leaders()).toEqual([3]);
  network.pass(1);
  for (const id of [1, 2, 3]) expect(statusOf(network, id)).toMatchObject({ term: 2, leader: 3, transferee: 0 });
});

test('the target asks for votes without asking beforehand, and as one whom the leader sent', () => {
  const member = new TestMember({ entries: entriesOfTerms([1]) });
  member.receive(heartbeat({ term: 1 }));
  expect(member.receive(timeoutNow({ term: 1 }))).toEqual({
    ...nothing,
    messages: [2, 3].map((to) => voteRequest({ from: 1, to, term: 2, last: [1, 1], transfer: true })),
    leadership: [{ role: 'candidate', term: 2, leader: 0 }],
  });
});

test('while the others still hear the leader: their stickiness is set aside for this one question', () => {
  const network = led({ voters: [1, 2, 3, 4, 5] });
  network.pass(3);
  transfer(network, { from: 1, to: 2 });
  network.run();
  expect(network.leaders()).toEqual([2]);
});

test('while the leader has just checked for its quorum', () => {
  const network = led();
  network.pass(limits.electionTicksMin);
  transfer(network, { from: 1, to: 2 });
  network.run();
  expect(network.leaders()).toEqual([2]);
});

test('to a follower that lags: first it is brought up to date, then told', () => {
  const network = led();
  network.isolate(3);
  network.propose(1, 'a', 'b');
  network.run();
  transfer(network, { from: 1, to: 3 });
  network.run();
  expect(network.leaders()).toEqual([1]);
  network.heal();
  network.pass(2);
  expect(network.leaders()).toEqual([3]);
  expect(network.appliedTexts(3)).toEqual(['a', 'b']);
});

test('to a follower that needs a snapshot', () => {
  const network = led();
  network.isolate(3);
  network.propose(1, 'a', 'b', 'c');
  network.pass(1);
  network.propose(1, 'd');
  network.run();
  network.compact(1);
  transfer(network, { from: 1, to: 3 });
  network.heal();
  network.pass(3);
  expect(network.leaders()).toEqual([3]);
  expect(statusOf(network, 3).firstIndex).toBeGreaterThan(1);
  expect(network.appliedTexts(3)).toEqual(['a', 'b', 'c', 'd']);
});

test('the target is told only when all of the log is committed as well, and not only held by it', () => {
  const leader = new TestMember({ configuration: configurationOf([1, 2, 3, 4, 5]) });
  leader.becomeLeader();
  leader.raft.transferLeadership(replica(2));
  expect(leader.receive(appended({ from: 2, term: 1, index: 1 })).messages).toEqual([]);
  expect(leader.receive(appended({ from: 3, term: 1, index: 1 })).messages).toEqual([
    timeoutNow({ from: 1, to: 2, term: 1 }),
  ]);
});

describe('there is nothing to do', () => {
  test('to the leader itself, which is done, and takes back what was under way', () => {
    const network = led();
    network.isolate(2);
    transfer(network, { from: 1, to: 2 });
    expect(transfer(network, { from: 1, to: 1 })).toEqual({ type: 'done' });
    expect(statusOf(network, 1)).toMatchObject({ role: 'leader', transferee: 0 });
    expect(network.member(1).raft.propose(EntryKind.command, bytesOf('a'))).toMatchObject({ type: 'appended' });
  });

  test.each([9, 4])('to replica %i, which is none or a learner', (to) => {
    const network = led({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
    expect(transfer(network, { from: 1, to })).toEqual({ type: 'refused', reason: `replica ${to} is no voter` });
    network.pass(2);
    expect(network.leaders()).toEqual([1]);
  });

  test('on a follower, which names the leader', () => {
    expect(transfer(led(), { from: 2, to: 3 })).toEqual({ type: 'not_leader', leader: 1 });
  });

  test('for a learner or a leader that is told to campaign', () => {
    const learner = new TestMember({ id: 4, configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
    expect(learner.receive(timeoutNow({ to: 4, term: 0 }))).toEqual(nothing);
    const leader = settledLeader();
    expect(leader.receive(timeoutNow({ term: 1 }))).toEqual(nothing);
    expect(leader.raft.status().role).toBe('leader');
  });

  test('for a word from an older term', () => {
    const member = new TestMember({ term: 4 });
    expect(member.receive(timeoutNow({ term: 3 }))).toEqual(nothing);
    expect(member.raft.status()).toMatchObject({ role: 'follower', term: 4 });
  });
});

test('given up after an election timeout, in which nothing was appended, and proposals go on', () => {
  const network = led();
  network.isolate(3);
  transfer(network, { from: 1, to: 3 });
  network.pass(limits.electionTicksMin - 1);
  expect(statusOf(network, 1)).toMatchObject({ role: 'leader', transferee: 3, lastIndex: 1 });
  expect(network.member(1).raft.propose(EntryKind.command, bytesOf('a'))).toEqual({ type: 'transferring' });
  expect(network.member(1).raft.changeConfiguration({ type: 'addLearner', host: 'n4' })).toEqual({
    type: 'refused',
    reason: 'leadership is being handed over',
  });
  expect(statusOf(network, 1).lastIndex).toBe(1);
  network.pass(1);
  expect(statusOf(network, 1)).toMatchObject({ role: 'leader', transferee: 0 });
  network.propose(1, 'b');
  network.pass(2);
  expect(network.appliedTexts(2)).toEqual(['b']);
});

test('reads are answered while it is under way', () => {
  const leader = settledLeader();
  leader.raft.transferLeadership(replica(2));
  leader.settle();
  expect(leader.raft.readIndex(1)).toBe(true);
  leader.settle();
  expect(leader.receive(heartbeatAnswered({ term: 1, readRound: 1 })).reads).toEqual([{ context: 1, index: 1 }]);
});

test('a vote asked for in a higher term meanwhile ends it: the leader joins that term', () => {
  const leader = settledLeader();
  leader.raft.transferLeadership(replica(2));
  leader.settle();
  leader.receive(voteRequest({ from: 3, term: 2, last: [1, 1], transfer: true }));
  expect(leader.raft.status()).toMatchObject({ role: 'follower', term: 2, votedFor: 3, transferee: 0 });
  expect(leader.raft.transferLeadership(replica(3))).toEqual({ type: 'not_leader', leader: 0 });
});

test('its reads that wait are refused when it ends with another leader', () => {
  const network = led();
  network.cut(2, 1);
  network.cut(3, 1);
  network.member(1).raft.readIndex(7);
  network.run();
  network.heal();
  transfer(network, { from: 1, to: 2 });
  network.run();
  expect(network.leaders()).toEqual([2]);
  expect(network.readsRefused).toEqual([7]);
});

describe('a second request', () => {
  test('to another takes the place of the first', () => {
    const network = led();
    network.isolate(3);
    transfer(network, { from: 1, to: 3 });
    network.run();
    expect(transfer(network, { from: 1, to: 2 })).toEqual({ type: 'started' });
    network.run();
    expect(network.leaders()).toEqual([2]);
  });

  test('to the same one changes nothing, and gives it no more time', () => {
    const network = led();
    network.isolate(3);
    transfer(network, { from: 1, to: 3 });
    network.pass(limits.electionTicksMin - 1);
    expect(transfer(network, { from: 1, to: 3 })).toEqual({ type: 'started' });
    network.pass(1);
    expect(statusOf(network, 1)).toMatchObject({ role: 'leader', transferee: 0 });
  });

  test('back to the first leader, from the new one', () => {
    const network = led();
    transfer(network, { from: 1, to: 2 });
    network.pass(1);
    transfer(network, { from: 2, to: 1 });
    network.pass(1);
    expect(network.leaders()).toEqual([1]);
    expect(statusOf(network, 1).term).toBe(3);
  });
});

test('a word that was lost is repeated with each heartbeat', () => {
  const network = led();
  let lost = 0;
  network.filter((message) => message.type !== 'TimeoutNow' || ++lost > 2);
  transfer(network, { from: 1, to: 2 });
  network.run();
  expect(network.leaders()).toEqual([1]);
  network.pass(2);
  expect(network.leaders()).toEqual([2]);
  expect(lost).toBe(3);
});

test('a word that comes twice is taken once', () => {
  const member = new TestMember();
  member.receive(heartbeat({ term: 1 }));
  expect(member.receive(timeoutNow({ term: 1 })).messages).toHaveLength(2);
  expect(member.receive(timeoutNow({ term: 1 }))).toEqual(nothing);
  expect(member.raft.status()).toMatchObject({ role: 'candidate', term: 2 });
});

test('a target that dies on the way leaves the group with its leader', () => {
  const network = led();
  transfer(network, { from: 1, to: 3 });
  network.crash(3);
  network.pass(limits.electionTicksMin);
  expect(network.leaders()).toEqual([1]);
  network.propose(1, 'a');
  network.pass(2);
  expect(network.appliedTexts(2)).toEqual(['a']);
});

test('a target that can not win, for another has gone on meanwhile, becomes a follower again', () => {
  const network = led();
  network.isolate(3);
  network.propose(1, 'a');
  network.run();
  network.heal();
  // As if the word had been under way since before the proposal.
  network.deliver(timeoutNow({ from: 1, to: 3, term: 1 }));
  network.run();
  expect(network.leaders()).not.toContain(3);
  network.pass(40);
  expect(network.leaders()).toHaveLength(1);
  expect(network.appliedTexts(3)).toEqual(['a']);
});

test('voters outgoing in a change are no targets, and the incoming ones are', () => {
  const network = led({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
  network.pass(1);
  network.change(1, { type: 'changeVoters', voters: [1, 2, 4].map(replica) });
  expect(transfer(network, { from: 1, to: 3 })).toEqual({ type: 'refused', reason: 'replica 3 is no voter' });
  expect(transfer(network, { from: 1, to: 4 })).toEqual({ type: 'started' });
  network.pass(3);
  expect(network.leaders()).toEqual([4]);
  // Nothing is appended while leadership is handed over, so the new leader ends the change.
  expect(statusOf(network, 4).configuration).toEqual(configurationOf([1, 2, 4], { replicaIdMax: replica(4) }));
  expect(statusOf(network, 3).removed).toBe(true);
});

test('a change whose end was held back by a transfer that came to nothing is ended all the same', () => {
  const network = led({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
  network.pass(1);
  network.change(1, { type: 'changeVoters', voters: [1, 2, 4].map(replica) });
  network.filter((message) => message.type !== 'TimeoutNow');
  transfer(network, { from: 1, to: 4 });
  network.pass(limits.electionTicksMin + 2);
  expect(statusOf(network, 1)).toMatchObject({ role: 'leader', transferee: 0 });
  expect(statusOf(network, 1).configuration).toMatchObject({ voters: [1, 2, 4], votersOutgoing: [] });
});

test('votes that a target collects are counted like any others: one no short of a majority keeps it waiting', () => {
  const member = new TestMember({ configuration: configurationOf([1, 2, 3, 4, 5]) });
  member.receive(heartbeat({ term: 1 }));
  member.receive(timeoutNow({ term: 1 }));
  member.receive(voted({ from: 2, term: 2, granted: true }));
  expect(member.raft.status().role).toBe('candidate');
  member.receive(voted({ from: 3, term: 2, granted: true }));
  expect(member.raft.status().role).toBe('leader');
});
