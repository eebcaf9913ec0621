/** ReadIndex: a read sees everything that was committed anywhere when it was asked for, or it is not answered. */
import { expect, test } from 'vitest';
import { EntryKind, type Message } from '../../../src/raft/types.ts';
import {
  appended,
  bytesOf,
  configurationOf,
  heartbeat,
  heartbeatAnswered,
  nothing,
  replica,
  TestMember,
} from '../member.ts';
import { Network } from '../network.ts';

/** A leader of three in term 1 whose no-op is committed. */
function settledLeader(): TestMember {
  const leader = new TestMember();
  leader.becomeLeader();
  leader.receive(appended({ from: 2, term: 1, index: 1 }));
  leader.receive(appended({ from: 3, term: 1, index: 1 }));
  return leader;
}

const round = (readRound: number, leaderCommit = 1) =>
  [2, 3].map((to) => heartbeat({ from: 1, to, term: 1, leaderCommit, readRound }));

test('reads of one turn share a round, and are confirmed by the first answer that makes a majority', () => {
  const leader = settledLeader();
  expect([leader.raft.readIndex(1), leader.raft.readIndex(2)]).toEqual([true, true]);
  expect(leader.settle()).toEqual({ ...nothing, messages: round(1) });
  expect(leader.receive(heartbeatAnswered({ from: 3, term: 1, readRound: 1 })).reads).toEqual([
    { context: 1, index: 1 },
    { context: 2, index: 1 },
  ]);
  expect(leader.receive(heartbeatAnswered({ from: 2, term: 1, readRound: 1 })).reads).toEqual([]);
});

test('a read that comes while a round is under way is not covered by it, but by the next, which starts at once', () => {
  const leader = settledLeader();
  leader.raft.readIndex(1);
  leader.settle();
  leader.raft.readIndex(2);
  expect(leader.settle().messages).toEqual([]);
  const first = leader.receive(heartbeatAnswered({ term: 1, readRound: 1 }));
  expect(first.reads).toEqual([{ context: 1, index: 1 }]);
  expect(first.messages).toEqual(round(2));
  // The late answer to the first round says nothing about the second.
  expect(leader.receive(heartbeatAnswered({ from: 3, term: 1, readRound: 1 })).reads).toEqual([]);
  expect(leader.receive(heartbeatAnswered({ from: 3, term: 1, readRound: 2 })).reads).toEqual([
    { context: 2, index: 1 },
  ]);
});

test('a read names the commit index of when it was asked for, not of when it was confirmed', () => {
  const leader = settledLeader();
  leader.raft.readIndex(1);
  leader.raft.propose(EntryKind.command, bytesOf('later'));
  leader.settle();
  leader.receive(appended({ term: 1, index: 2 }));
  expect(leader.raft.status().commitIndex).toBe(2);
  leader.raft.readIndex(2);
  leader.settle();
  expect(leader.receive(heartbeatAnswered({ term: 1, readRound: 1 })).reads).toEqual([{ context: 1, index: 1 }]);
  expect(leader.receive(heartbeatAnswered({ term: 1, readRound: 2 })).reads).toEqual([{ context: 2, index: 2 }]);
});

test('when a round is lost the next heartbeat begins another for all that wait, and either answer will do', () => {
  const leader = settledLeader();
  leader.raft.readIndex(1);
  leader.settle();
  leader.raft.readIndex(2);
  leader.tick();
  expect(leader.settle().messages).toEqual(round(2));
  leader.tick();
  expect(leader.settle().messages).toEqual(round(3));
  expect(leader.receive(heartbeatAnswered({ term: 1, readRound: 1 })).reads).toEqual([{ context: 1, index: 1 }]);
  expect(leader.receive(heartbeatAnswered({ term: 1, readRound: 3 })).reads).toEqual([{ context: 2, index: 1 }]);
  // With nothing left to confirm, heartbeats carry no round.
  leader.tick();
  expect(leader.settle().messages).toEqual(round(0));
});

test('repeated answers of one follower are no majority', () => {
  const leader = new TestMember({ configuration: configurationOf([1, 2, 3, 4, 5]) });
  leader.becomeLeader();
  for (const from of [2, 3, 4]) leader.receive(appended({ from, term: 1, index: 1 }));
  leader.raft.readIndex(1);
  leader.settle();
  for (let count = 0; count < 5; count++) {
    expect(leader.receive(heartbeatAnswered({ from: 2, term: 1, readRound: 1 })).reads).toEqual([]);
  }
  expect(leader.receive(heartbeatAnswered({ from: 5, term: 1, readRound: 1 })).reads).toHaveLength(1);
});

test('a learner confirms nothing and is not asked', () => {
  const leader = new TestMember({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
  leader.becomeLeader();
  leader.receive(appended({ from: 2, term: 1, index: 1 }));
  leader.raft.readIndex(1);
  expect(leader.settle().messages.map((message) => message.to)).toEqual([2, 3]);
  expect(leader.receive(heartbeatAnswered({ from: 4, term: 1, readRound: 1 })).reads).toEqual([]);
});

test('within a change a round needs a majority of both', () => {
  const leader = new TestMember({ configuration: configurationOf([1, 4, 5], { learners: [2, 3].map(replica) }) });
  leader.becomeLeader();
  for (const from of [2, 3, 4, 5]) leader.receive(appended({ from, term: 1, index: 1 }));
  leader.raft.changeConfiguration({ type: 'changeVoters', voters: [1, 2, 3].map(replica) });
  leader.raft.readIndex(1);
  leader.settle();
  expect(leader.receive(heartbeatAnswered({ from: 2, term: 1, readRound: 1 })).reads).toEqual([]);
  expect(leader.receive(heartbeatAnswered({ from: 3, term: 1, readRound: 1 })).reads).toEqual([]);
  expect(leader.receive(heartbeatAnswered({ from: 4, term: 1, readRound: 1 })).reads).toHaveLength(1);
});

test('a new leader lets reads wait until the no-op of its term is committed', () => {
  const leader = new TestMember();
  leader.becomeLeader();
  expect(leader.raft.readIndex(1)).toBe(true);
  leader.tick();
  expect(leader.settle().messages).toEqual([2, 3].map((to) => heartbeat({ from: 1, to, term: 1 })));
  expect(leader.receive(heartbeatAnswered({ term: 1 })).reads).toEqual([]);

  const committed = leader.receive(appended({ term: 1, index: 1 }));
  expect(committed.reads).toEqual([]);
  expect(committed.messages).toContainEqual(heartbeat({ from: 1, to: 2, term: 1, leaderCommit: 1, readRound: 1 }));
  expect(leader.receive(heartbeatAnswered({ term: 1, readRound: 1 })).reads).toEqual([{ context: 1, index: 1 }]);
});

test('a single voter confirms its reads at once, but not before its no-op', () => {
  const leader = new TestMember({ configuration: configurationOf([1]) });
  leader.raft.campaign();
  leader.takeReady();
  leader.completeWrite();
  expect(leader.raft.readIndex(1)).toBe(true);
  expect(leader.takeReady().reads).toEqual([]);
  leader.completeWrite();
  expect(leader.takeReady().reads).toEqual([{ context: 1, index: 1 }]);
  leader.raft.readIndex(2);
  expect(leader.takeReady()).toMatchObject({ messages: [], persist: undefined, reads: [{ context: 2, index: 1 }] });
});

test('whoever loses the leadership refuses all reads that wait, wherever they wait', () => {
  const leader = settledLeader();
  leader.raft.readIndex(1);
  leader.settle();
  leader.raft.readIndex(2);
  expect(leader.receive(heartbeat({ from: 3, term: 2 })).readsRefused).toEqual([1, 2]);

  const early = new TestMember();
  early.becomeLeader();
  early.raft.readIndex(3);
  expect(early.receive(heartbeat({ from: 3, term: 2 })).readsRefused).toEqual([3]);
});

test('a leader that was replaced without knowing it answers no read', () => {
  const network = new Network();
  network.campaign(1);
  network.isolate(1);
  // Time stands still at the old leader: it has no chance to notice its silence.
  for (const id of [2, 3]) network.member(id).tick(11);
  network.run();
  expect(network.leaders()).toEqual([1, 2]);
  network.propose(2, 'newer');
  network.run();

  network.member(1).raft.readIndex(1);
  network.run();
  network.heal();
  network.pass(2);
  expect(network.reads).toEqual([]);
  expect(network.readsRefused).toEqual([1]);
});

test('what a leader asked in an earlier term of its own confirms nothing in a later one', () => {
  const leader = new TestMember({ term: 1 });
  leader.becomeLeader();
  leader.receive(appended({ from: 3, term: 2, index: 1 }));
  leader.raft.readIndex(1);
  leader.settle();

  // A heartbeat of its term 1 finds a follower that has voted for it in term 2.
  const follower = new TestMember({ id: 2, term: 2, votedFor: 1 });
  const { messages } = follower.receive(heartbeat({ from: 1, to: 2, term: 1, readRound: 1 }));
  expect(messages).toEqual([heartbeatAnswered({ from: 2, to: 1, term: 2, readRound: 0 })]);
  expect(leader.receive(messages[0] as Message).reads).toEqual([]);
  expect(leader.receive(heartbeatAnswered({ term: 2, readRound: 1 })).reads).toEqual([{ context: 1, index: 1 }]);
});
