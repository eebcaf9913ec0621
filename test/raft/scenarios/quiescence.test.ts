/** A group with nothing to do falls silent and costs nothing; whatever happens to it wakes it again. */
import { describe, expect, test } from 'vitest';
import { EntryKind } from '../../../src/raft/types.ts';
import {
  appended,
  appendEntries,
  bytesOf,
  command,
  configurationOf,
  entriesOfTerms,
  heartbeat,
  heartbeatAnswered,
  limits,
  nothing,
  preVoteRequest,
  replica,
  TestMember,
  timeoutNow,
  voteRequest,
} from '../member.ts';
import { Network, type NetworkOptions } from '../network.ts';

const quiesceTicks = 5;
const statusOf = (network: Network, id: number) => network.member(id).raft.status();
const silent = (network: Network) => network.ids.filter((id) => network.member(id).raft.quiesced);

/** A group that has fallen silent under its first member. */
function asleep(options: NetworkOptions = {}): Network {
  const network = new Network({ limits: { quiesceTicks }, ...options });
  network.campaign(1);
  network.propose(1, 'a');
  network.pass(2 * quiesceTicks);
  expect(silent(network)).toEqual(network.ids);
  return network;
}

/** A leader of three in term 1 whose followers hold its no-op and have answered. */
function idleLeader(options: ConstructorParameters<typeof TestMember>[0] = {}): TestMember {
  const leader = new TestMember({ limits: { quiesceTicks }, ...options });
  leader.becomeLeader();
  for (const { replicaId } of leader.raft.status().progress) {
    leader.receive(appended({ from: replicaId, term: 1, index: 1 }));
  }
  return leader;
}

function sleepingLeader(): TestMember {
  const leader = idleLeader({ limits: { quiesceTicks, heartbeatTicks: 3 } });
  leader.tick(quiesceTicks);
  leader.settle();
  expect(leader.raft.quiesced).toBe(true);
  return leader;
}

function sleepingFollower(): TestMember {
  const follower = new TestMember({ limits: { quiesceTicks }, entries: entriesOfTerms([1]) });
  follower.receive(appendEntries({ term: 1, prev: [1, 1] }));
  follower.receive(heartbeat({ term: 1, leaderCommit: 1, quiesce: true }));
  expect(follower.raft.quiesced).toBe(true);
  return follower;
}

test('it costs nothing: no message, no Ready and no change in a thousand ticks', () => {
  const network = asleep();
  const before = network.ids.map((id) => statusOf(network, id));
  for (let tick = 0; tick < 1000; tick++) {
    for (const id of network.ids) {
      network.member(id).raft.tick();
      expect(network.member(id).raft.hasReady()).toBe(false);
    }
  }
  expect(network.mail).toEqual([]);
  expect(network.ids.map((id) => statusOf(network, id))).toEqual(before);
});

test('the last heartbeat says so, reaches learners too, and is not answered', () => {
  const leader = idleLeader({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
  leader.tick(quiesceTicks - 1);
  leader.settle();
  expect(leader.raft.quiesced).toBe(false);
  leader.tick();
  expect(leader.settle()).toEqual({
    ...nothing,
    messages: [2, 3, 4].map((to) => heartbeat({ from: 1, to, term: 1, leaderCommit: 1, quiesce: true })),
  });
  const follower = new TestMember({ limits: { quiesceTicks }, entries: entriesOfTerms([1]) });
  follower.receive(appendEntries({ term: 1, prev: [1, 1] }));
  expect(follower.receive(heartbeat({ term: 1, leaderCommit: 1, quiesce: true }))).toMatchObject({
    messages: [],
    committed: entriesOfTerms([1]),
  });
  expect(follower.raft.quiesced).toBe(true);
});

test('a leader alone in its group falls silent too', () => {
  asleep({ voters: [1] });
});

test('with no limit set, never', () => {
  const leader = idleLeader({ limits: {} });
  for (let tick = 0; tick < 100; tick++) {
    leader.tick();
    for (const from of [2, 3]) leader.receive(heartbeatAnswered({ from, term: 1 }));
  }
  expect(leader.raft.quiesced).toBe(false);
});

describe('a leader stays awake', () => {
  /** Ticks enough to fall silent, with everybody answering but those who are named. */
  function idle(leader: TestMember, { unheard = [] as number[] } = {}): boolean {
    for (let tick = 0; tick < 2 * quiesceTicks; tick++) {
      leader.tick();
      leader.settle();
      for (const { replicaId: from } of leader.raft.status().progress) {
        if (!unheard.includes(from)) leader.receive(heartbeatAnswered({ from, term: 1 }));
      }
    }
    return !leader.raft.quiesced;
  }

  test('but falls silent when nothing of this is so', () => {
    expect(idle(idleLeader())).toBe(false);
  });

  test('while a follower lacks an entry', () => {
    const leader = idleLeader();
    leader.raft.propose(EntryKind.command, bytesOf('a'));
    leader.settle();
    leader.receive(appended({ from: 2, term: 1, index: 2 }));
    expect(leader.raft.status().commitIndex).toBe(2);
    expect(idle(leader)).toBe(true);
    leader.receive(appended({ from: 3, term: 1, index: 2 }));
    expect(idle(leader)).toBe(false);
  });

  test('while a learner lacks one', () => {
    const leader = new TestMember({
      limits: { quiesceTicks },
      configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }),
    });
    leader.becomeLeader();
    for (const from of [2, 3]) leader.receive(appended({ from, term: 1, index: 1 }));
    expect(idle(leader)).toBe(true);
  });

  test('while its own disk is not done', () => {
    const leader = idleLeader();
    leader.diskHeld = true;
    leader.raft.propose(EntryKind.command, bytesOf('a'));
    leader.settle();
    for (const from of [2, 3]) leader.receive(appended({ from, term: 1, index: 2 }));
    leader.tick(quiesceTicks);
    expect(leader.raft.quiesced).toBe(false);
    leader.diskHeld = false;
    leader.settle();
    expect(idle(leader)).toBe(false);
  });

  test('while something is not applied', () => {
    const leader = idleLeader();
    leader.raft.propose(EntryKind.command, bytesOf('a'));
    leader.settle();
    leader.raft.step(appended({ from: 2, term: 1, index: 2 }));
    leader.raft.step(appended({ from: 3, term: 1, index: 2 }));
    leader.tick(quiesceTicks);
    expect(leader.raft.quiesced).toBe(false);
  });

  test('while a follower does not answer, for nobody would notice that it is gone', () => {
    const leader = idleLeader({ limits: { quiesceTicks: limits.electionTicksMin + 1 } });
    for (let tick = 0; tick < 40; tick++) {
      leader.tick();
      leader.receive(heartbeatAnswered({ from: 2, term: 1 }));
    }
    expect(leader.raft.status().role).toBe('leader');
    expect(leader.raft.quiesced).toBe(false);
  });

  test('while a read waits', () => {
    const leader = idleLeader();
    leader.raft.readIndex(1);
    expect(idle(leader, { unheard: [2, 3] })).toBe(true);
  });

  test('while leadership is handed over', () => {
    const leader = idleLeader({ limits: { quiesceTicks: 1 } });
    leader.raft.transferLeadership(replica(2));
    leader.tick(2);
    expect(leader.raft.quiesced).toBe(false);
  });

  test('while a change of members is under way', () => {
    const leader = idleLeader({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
    leader.raft.changeConfiguration({ type: 'changeVoters', voters: [1, 2, 4].map(replica) });
    leader.settle();
    for (const from of [3, 4]) leader.receive(appended({ from, term: 1, index: 2 }));
    expect(idle(leader, { unheard: [2] })).toBe(true);
  });
});

describe('a follower stays awake', () => {
  const quiesce = heartbeat({ term: 1, leaderCommit: 1, quiesce: true });

  test('when it holds more than the leader says is committed, and answers', () => {
    const follower = new TestMember({ term: 1 });
    follower.receive(appendEntries({ term: 1, prev: [0, 0], entries: entriesOfTerms([1, 1]), leaderCommit: 1 }));
    expect(follower.receive(quiesce).messages).toEqual([heartbeatAnswered({ from: 1, to: 2, term: 1 })]);
    expect(follower.raft.quiesced).toBe(false);
  });

  test('when it has committed more, so that the word is an old one', () => {
    const follower = new TestMember({ term: 1 });
    follower.receive(appendEntries({ term: 1, prev: [0, 0], entries: entriesOfTerms([1, 1]), leaderCommit: 2 }));
    expect(follower.receive(quiesce).messages).toHaveLength(1);
    expect(follower.raft.quiesced).toBe(false);
  });

  test('when its leader is known to be gone, so that the word is its last one', () => {
    const follower = new TestMember({ term: 1 });
    follower.receive(appendEntries({ term: 1, prev: [0, 0], entries: entriesOfTerms([1]), leaderCommit: 1 }));
    expect(follower.raft.leaderGone(replica(2))).toBe(true);
    expect(follower.receive(quiesce).messages).toEqual([heartbeatAnswered({ from: 1, to: 2, term: 1 })]);
    expect(follower.raft.quiesced).toBe(false);
    expect(follower.receive(quiesce)).toEqual(nothing);
    expect(follower.raft.quiesced).toBe(true);
  });
});

describe('a silent leader is woken', () => {
  const wakers: readonly { by: string; wake: (leader: TestMember) => unknown }[] = [
    { by: 'a proposal', wake: ({ raft }) => raft.propose(EntryKind.command, bytesOf('a')) },
    { by: 'a read', wake: ({ raft }) => raft.readIndex(1) },
    { by: 'a transfer', wake: ({ raft }) => raft.transferLeadership(replica(2)) },
    { by: 'a change', wake: ({ raft }) => raft.changeConfiguration({ type: 'addLearner', host: 'n4' }) },
    { by: 'its shell', wake: ({ raft }) => raft.wake() },
    { by: 'a follower that was started anew', wake: ({ raft }) => raft.peerRestarted(replica(2)) },
    { by: 'a question', wake: ({ raft }) => raft.step(preVoteRequest({ term: 2, last: [1, 1] })) },
    { by: 'a refusal', wake: ({ raft }) => raft.step({ ...appended({ term: 1, index: 1 }), success: false } as never) },
    { by: 'an old leader', wake: ({ raft }) => raft.step(heartbeat({ term: 0 })) },
  ];

  test.each(wakers)('by $by, and speaks with its next tick', ({ wake }) => {
    const leader = sleepingLeader();
    wake(leader);
    expect(leader.raft.quiesced).toBe(false);
    leader.settle();
    leader.tick();
    const heartbeats = leader.settle().messages.filter(({ type, to }) => type === 'Heartbeat' && to <= 3);
    expect(heartbeats).toMatchObject([
      { to: 2, quiesce: false },
      { to: 3, quiesce: false },
    ]);
  });

  test('a follower that was started anew is asked at once what it has, and so learns who leads', () => {
    const leader = sleepingLeader();
    leader.raft.peerRestarted(replica(2));
    const { messages } = leader.settle();
    expect(messages.filter(({ to }) => to <= 3)).toMatchObject([{ type: 'AppendEntriesRequest', to: 2, entries: [] }]);
  });

  test('and not by late answers', () => {
    const leader = sleepingLeader();
    leader.receive(heartbeatAnswered({ term: 1 }));
    leader.receive(appended({ term: 1, index: 1 }));
    expect(leader.raft.quiesced).toBe(true);
  });

  test('and not by the endless question of a learner whose addition was rolled back', () => {
    const leader = sleepingLeader();
    expect(leader.receive(preVoteRequest({ from: 9, term: 2, last: [0, 0] }))).toEqual(nothing);
    expect(leader.raft.quiesced).toBe(true);
    leader.receive(preVoteRequest({ from: 9, term: 2, last: [1, 1] }));
    expect(leader.raft.quiesced).toBe(false);
  });

  test('has a whole election timeout to hear from a quorum, then steps down', () => {
    const leader = sleepingLeader();
    leader.raft.wake();
    // What was answered before the silence still holds for the first check.
    leader.tick(2 * limits.electionTicksMin - 1);
    expect(leader.raft.status().role).toBe('leader');
    leader.tick();
    expect(leader.raft.status().role).toBe('follower');
  });

  test('and falls silent again once there is nothing more to do', () => {
    const network = asleep();
    network.propose(1, 'b');
    expect(silent(network)).toEqual([2, 3]);
    network.pass(2);
    expect(silent(network)).toEqual([]);
    for (const id of network.ids) expect(network.appliedTexts(id)).toEqual(['a', 'b']);
    network.pass(2 * quiesceTicks);
    expect(silent(network)).toEqual([1, 2, 3]);
  });
});

describe('a silent follower is woken', () => {
  const wakers: readonly { by: string; wake: (follower: TestMember) => unknown }[] = [
    { by: 'a heartbeat', wake: ({ raft }) => raft.step(heartbeat({ term: 1, leaderCommit: 1 })) },
    {
      by: 'an entry',
      wake: ({ raft }) =>
        raft.step(appendEntries({ term: 1, prev: [1, 1], entries: [command({ index: 2, term: 1 })] })),
    },
    { by: 'a question', wake: ({ raft }) => raft.step(preVoteRequest({ from: 3, term: 2, last: [1, 1] })) },
    { by: 'an election', wake: ({ raft }) => raft.step(voteRequest({ from: 3, term: 2, last: [1, 1] })) },
    { by: 'a transfer', wake: ({ raft }) => raft.step(timeoutNow({ term: 1 })) },
    { by: 'its shell', wake: ({ raft }) => raft.wake() },
    { by: 'its own campaign', wake: ({ raft }) => raft.campaign() },
    { by: 'the news that its leader is gone', wake: ({ raft }) => raft.leaderGone(replica(2)) },
    { by: 'standing still', wake: ({ raft }) => raft.stalled() },
  ];

  test.each(wakers)('by $by, and counts the time again', ({ wake }) => {
    const follower = sleepingFollower();
    follower.tick(1000);
    wake(follower);
    expect(follower.raft.quiesced).toBe(false);
    follower.settle();
    follower.tick(2 * limits.electionTicksMax);
    expect(follower.settle().messages.map(({ type }) => type)).toContain('PreVoteRequest');
  });

  test('and does not help to depose its leader at once', () => {
    const follower = sleepingFollower();
    expect(follower.receive(voteRequest({ from: 3, term: 2, last: [1, 1] }))).toEqual(nothing);
    expect(follower.raft.status()).toMatchObject({ term: 1, leader: 2 });
  });
});

describe('the group goes on', () => {
  test('when a follower missed the last heartbeat: its question wakes the leader, and all fall silent anew', () => {
    const network = new Network({ limits: { quiesceTicks } });
    network.campaign(1);
    network.pass(1);
    let lost = 0;
    network.filter((message) => message.type !== 'Heartbeat' || !message.quiesce || message.to !== 3 || ++lost > 1);
    network.pass(quiesceTicks + 1);
    expect(silent(network)).toEqual([1, 2]);
    network.pass(limits.electionTicksMax + 2 * quiesceTicks);
    expect(silent(network)).toEqual([1, 2, 3]);
    expect(network.leaders()).toEqual([1]);
    expect(statusOf(network, 1).term).toBe(1);
  });

  test('when its leader dies, once the shells have noticed', () => {
    const network = asleep();
    network.crash(1);
    network.pass(100);
    expect(silent(network)).toEqual([2, 3]);
    for (const id of [2, 3]) network.member(id).raft.wake();
    network.pass(2 * limits.electionTicksMax);
    expect(network.leaders()).toHaveLength(1);
    network.restart(1);
    network.pass(30);
    for (const id of network.ids) expect(network.appliedTexts(id)).toEqual(['a']);
  });

  test('when a single shell has noticed', () => {
    const network = asleep();
    network.crash(1);
    network.member(2).raft.wake();
    network.pass(4 * limits.electionTicksMax);
    expect(network.leaders()).toHaveLength(1);
  });

  test('when a silent leader has stood still and steps down', () => {
    const network = asleep();
    network.member(1).raft.stalled();
    network.pass(4 * limits.electionTicksMax);
    expect(network.leaders()).toHaveLength(1);
  });

  test('when a follower comes back with nothing to do', () => {
    const network = asleep();
    network.crash(3);
    network.restart(3, 2);
    network.pass(limits.electionTicksMax + 3 * quiesceTicks);
    expect(silent(network)).toEqual([1, 2, 3]);
    expect(network.leaders()).toEqual([1]);
  });
});

test('a read on a silent leader is answered only after a round that a quorum has answered', () => {
  const leader = sleepingLeader();
  expect(leader.raft.readIndex(1)).toBe(true);
  expect(leader.settle()).toEqual({
    ...nothing,
    messages: [2, 3].map((to) => heartbeat({ from: 1, to, term: 1, leaderCommit: 1, readRound: 1 })),
  });
  expect(leader.receive(heartbeatAnswered({ term: 1, readRound: 1 })).reads).toEqual([{ context: 1, index: 1 }]);
});

test('a silent leader that was replaced without knowing answers no read', () => {
  const network = asleep();
  network.isolate(1);
  for (const id of [2, 3]) network.member(id).raft.wake();
  network.pass(2 * limits.electionTicksMax);
  const [newLeader] = network.leaders().filter((id) => id !== 1);
  network.propose(newLeader!, 'b');
  network.run();
  network.member(1).raft.readIndex(1);
  network.pass(2 * limits.electionTicksMin);
  expect(network.reads).toEqual([]);
  expect(network.readsRefused).toEqual([1]);
});
