/** The process of a leader is gone, or its disk is: others take over without waiting for a whole election timeout. */
import { describe, expect, test } from 'vitest';
import { EntryKind } from '../../../src/raft/types.ts';
import {
  appended,
  appendEntries,
  bytesOf,
  configurationOf,
  entriesOfTerms,
  heartbeat,
  limits,
  nothing,
  preVoteRequest,
  replica,
  TestMember,
  timeoutNow,
  voted,
  voteRequest,
} from '../member.ts';
import { Network, type NetworkOptions } from '../network.ts';

const statusOf = (network: Network, id: number) => network.member(id).raft.status();

/** The first member leads and has just been heard. */
function led(options: NetworkOptions = {}): Network {
  const network = new Network(options);
  network.campaign(1);
  network.pass(2);
  return network;
}

/** As a shell does that finds the leader's process gone. */
function notice(network: Network, ...ids: readonly number[]): void {
  for (const id of ids) expect(network.member(id).raft.leaderGone(replica(1))).toBe(true);
}

describe('a leader whose process is gone', () => {
  test('is replaced at once when the followers know it', () => {
    const network = led();
    network.crash(1);
    notice(network, 2, 3);
    network.campaign(2);
    expect(network.leaders()).toEqual([2]);
    network.pass(1);
    expect(statusOf(network, 3)).toMatchObject({ term: 2, leader: 2 });
  });

  test('still holds those who do not know it: they vote only after the minimum timeout', () => {
    const network = led();
    network.crash(1);
    notice(network, 2);
    network.campaign(2);
    expect(statusOf(network, 2)).toMatchObject({ role: 'preCandidate', term: 1 });
    network.pass(2 * limits.electionTicksMax);
    expect(network.leaders()).toHaveLength(1);
  });

  test('is one among five that three have noticed', () => {
    const network = led({ voters: [1, 2, 3, 4, 5] });
    network.crash(1);
    notice(network, 2, 4, 5);
    network.campaign(2);
    expect(network.leaders()).toEqual([2]);
  });

  test('makes two campaign at once, and one of them wins before an election timeout would have passed', () => {
    const network = led({ voters: [1, 2, 3, 4, 5] });
    network.crash(1);
    notice(network, 2, 3, 4, 5);
    network.member(2).raft.campaign();
    network.member(3).raft.campaign();
    network.run();
    network.pass(2 * limits.electionTicksMax);
    expect(network.leaders()).toHaveLength(1);
    network.pass(1);
    const [leader] = network.leaders();
    for (const id of [2, 3, 4, 5]) expect(statusOf(network, id).leader).toBe(leader);
  });
});

describe('the news', () => {
  const following = (options: ConstructorParameters<typeof TestMember>[0] = {}) => {
    const member = new TestMember({ random: () => 0.99, ...options });
    member.receive(heartbeat({ term: 1 }));
    return member;
  };
  const question = preVoteRequest({ from: 3, term: 2, last: [0, 0] });

  test('sets stickiness aside, for pre-votes and votes', () => {
    const member = following();
    expect(member.receive(question)).toEqual(nothing);
    member.raft.leaderGone(replica(2));
    expect(member.receive(question).messages).toEqual([voted({ pre: true, from: 1, to: 3, term: 2, granted: true })]);
    expect(member.receive(voteRequest({ from: 3, term: 2, last: [0, 0] })).messages).toEqual([
      voted({ from: 1, to: 3, term: 2, granted: true }),
    ]);
  });

  test.each([heartbeat({ term: 1 }), appendEntries({ term: 1, prev: [0, 0] })])(
    'is taken back by any word of the leader: $type',
    (word) => {
      const member = following();
      member.raft.leaderGone(replica(2));
      member.receive(word);
      expect(member.receive(question)).toEqual(nothing);
    },
  );

  test('of somebody else, or on one who follows nobody, changes nothing', () => {
    const member = following();
    expect(member.raft.leaderGone(replica(3))).toBe(false);
    expect(member.receive(question)).toEqual(nothing);
    const nobody = new TestMember();
    expect(nobody.raft.leaderGone(replica(0))).toBe(false);
    const leader = new TestMember();
    leader.becomeLeader();
    expect(leader.raft.leaderGone(replica(1))).toBe(false);
    expect(leader.raft.status().role).toBe('leader');
  });

  test('makes no learner campaign', () => {
    const learner = following({ configuration: configurationOf([2, 3], { learners: [replica(1)] }) });
    expect(learner.raft.leaderGone(replica(2))).toBe(false);
    learner.raft.campaign();
    expect(learner.settle()).toEqual(nothing);
  });

  test('that is wrong costs one election at most, and nothing that was committed', () => {
    const network = led();
    network.propose(1, 'a');
    network.run();
    notice(network, 2, 3);
    network.campaign(2);
    network.pass(3);
    expect(network.leaders()).toHaveLength(1);
    const [leader] = network.leaders();
    network.propose(leader!, 'b');
    network.pass(2);
    for (const id of [1, 2, 3]) expect(network.appliedTexts(id)).toEqual(['a', 'b']);
  });

  test('that is wrong and not shared by the others does not even cost that', () => {
    const network = led();
    notice(network, 2);
    network.campaign(2);
    network.pass(3);
    expect(network.leaders()).toEqual([1]);
    expect(statusOf(network, 1).term).toBe(1);
  });
});

test('a candidate stuck in a higher term is freed by the leader, who takes over its term', () => {
  const network = led();
  network.isolate(3);
  // As if its pre-vote had been granted just before the link was cut.
  network.member(3).raft.step(timeoutNow({ from: 1, to: 3, term: 1 }));
  network.settle(3);
  expect(statusOf(network, 3)).toMatchObject({ role: 'candidate', term: 2 });
  network.mail = [];
  network.heal();
  network.pass(3 * limits.electionTicksMax);
  expect(network.leaders()).toHaveLength(1);
  const [leader] = network.leaders();
  expect(statusOf(network, leader!).term).toBeGreaterThan(1);
  for (const id of [1, 2, 3]) expect(statusOf(network, id).leader).toBe(leader);
});

describe('a disk that completes nothing', () => {
  test('makes its leader hand over to one who holds everything, and step down', () => {
    const leader = new TestMember();
    leader.becomeLeader();
    leader.receive(appended({ from: 2, term: 1, index: 1 }));
    leader.diskHeld = true;
    leader.raft.propose(EntryKind.command, bytesOf('a'));
    leader.settle();
    leader.receive(appended({ from: 3, term: 1, index: 2 }));
    leader.tick(limits.electionTicksMin - 1);
    expect(leader.raft.status().role).toBe('leader');
    leader.settle();
    leader.tick();
    expect(leader.settle()).toEqual({
      ...nothing,
      messages: [timeoutNow({ from: 1, to: 3, term: 1 })],
      leadership: [{ role: 'follower', term: 1, leader: 0 }],
    });
  });

  test('is followed by another leader, while the stalled one does not campaign', () => {
    const network = led();
    network.member(1).diskHeld = true;
    network.propose(1, 'a');
    network.pass(limits.electionTicksMin + 1);
    expect(network.leaders()).toEqual([2]);
    expect(network.appliedTexts(2)).toEqual(['a']);
    network.isolate(1);
    network.pass(100);
    expect(statusOf(network, 1).role).toBe('follower');
    network.member(1).diskHeld = false;
    network.heal();
    network.pass(5);
    expect(statusOf(network, 1)).toMatchObject({ role: 'follower', leader: 2 });
    expect(network.appliedTexts(1)).toEqual(['a']);
  });

  test('keeps a follower from campaigning, asked or not, until it has completed something', () => {
    const member = new TestMember({ entries: entriesOfTerms([1]) });
    member.diskHeld = true;
    member.receive(heartbeat({ term: 2 }));
    member.tick(limits.electionTicksMin);
    expect(member.settle()).toEqual(nothing);
    member.raft.campaign();
    expect(member.receive(timeoutNow({ term: 2 }))).toEqual(nothing);
    member.completeWrite();
    member.tick();
    expect(member.settle().messages).toEqual(
      [2, 3].map((to) => preVoteRequest({ from: 1, to, term: 3, last: [1, 1] })),
    );
  });

  test('that is only slow makes nobody step down', () => {
    const leader = new TestMember();
    leader.becomeLeader();
    leader.diskHeld = true;
    for (let write = 0; write < 10; write++) {
      leader.raft.propose(EntryKind.command, bytesOf('a'));
      leader.settle();
      leader.receive(appended({ from: 2, term: 1, index: write + 2 }));
      leader.tick(limits.electionTicksMin - 1);
      leader.settle();
      leader.completeWrite();
    }
    expect(leader.raft.status().role).toBe('leader');
  });

  test.each([[[1]], [[1, 2, 3]]])('no more than any other in its group changes no leader: %j', (voters) => {
    const network = led({ voters });
    for (const id of voters) network.member(id).diskHeld = true;
    network.propose(1, 'a');
    network.pass(10 * limits.electionTicksMax);
    expect(network.leaders()).toEqual([1]);
    expect(network.appliedTexts(1)).toEqual([]);
    for (const id of voters) network.member(id).diskHeld = false;
    network.pass(2);
    expect(statusOf(network, 1)).toMatchObject({ role: 'leader', term: 1 });
    expect(network.appliedTexts(1)).toEqual(['a']);
  });

  test('counts from when another got ahead of it, and anew once it has completed something', () => {
    const network = led();
    for (const id of [1, 2, 3]) network.member(id).diskHeld = true;
    network.propose(1, 'a');
    network.pass(5 * limits.electionTicksMin);
    network.member(3).diskHeld = false;
    network.pass(limits.electionTicksMin - 1);
    expect(network.leaders()).toEqual([1]);
    // It completes that and is given more, with which another is ahead of it again.
    network.mail.push(...network.member(1).completeWrite());
    network.propose(1, 'b');
    network.run();
    network.pass(limits.electionTicksMin - 1);
    expect(network.leaders()).toEqual([1]);
    network.pass(1);
    expect(statusOf(network, 1).role).toBe('follower');
  });
});

test('a node that stood still steps down before it says anything', () => {
  const leader = new TestMember();
  leader.becomeLeader();
  leader.raft.readIndex(3);
  leader.raft.stalled();
  expect(leader.settle()).toEqual({
    ...nothing,
    readsRefused: [3],
    leadership: [{ role: 'follower', term: 1, leader: 0 }],
  });
  const follower = new TestMember();
  follower.receive(heartbeat({ term: 1 }));
  follower.raft.stalled();
  expect(follower.settle()).toEqual(nothing);
});
