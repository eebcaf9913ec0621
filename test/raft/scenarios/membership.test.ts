/** Members come as learners, become voters by joint consensus, and go (paper, section 6; thesis, chapter 4). */
import { describe, expect, test } from 'vitest';
import { encodeConfiguration } from '../../../src/raft/configuration.ts';
import { type Configuration, type ConfigurationChange, EntryKind } from '../../../src/raft/types.ts';
import {
  appended,
  appendEntries,
  at,
  bytesOf,
  command,
  configurationOf,
  entriesOfTerms,
  foundedWith,
  heartbeat,
  heartbeatAnswered,
  inTerm,
  limits,
  noop,
  nothing,
  preVoteRequest,
  removedWord,
  replica,
  TestMember,
  voted,
  voteRequest,
} from '../member.ts';
import { Network, type NetworkOptions } from '../network.ts';

const statusOf = (network: Network, id: number) => network.member(id).raft.status();
const voters = (...ids: readonly number[]): ConfigurationChange => ({
  type: 'changeVoters',
  voters: ids.map(replica),
});
const addLearner = (host: string): ConfigurationChange => ({ type: 'addLearner', host });

const withLearner = configurationOf([1, 2, 3], { learners: [replica(4)] });
const joint = configurationOf([1, 2, 4], { votersOutgoing: [1, 2, 3].map(replica) });
const after = configurationOf([1, 2, 4]);

const configurationEntry = (index: number, term: number, configuration: Configuration) => ({
  index: at(index),
  term: inTerm(term),
  kind: EntryKind.configuration,
  body: encodeConfiguration(configuration),
});

/** The first member leads, and all hold everything. */
function led(options: NetworkOptions = {}): Network {
  const network = new Network(options);
  network.campaign(1);
  network.pass(2);
  return network;
}

/** A leader whose followers, learners included, hold its no-op. */
function settledLeader(configuration: Configuration): TestMember {
  const leader = new TestMember({ configuration });
  leader.becomeLeader();
  for (const { replicaId } of leader.raft.status().progress) {
    leader.receive(appended({ from: replicaId, term: 1, index: 1 }));
  }
  return leader;
}

describe('a learner', () => {
  test('comes with the next id, receives the log, and counts in nothing', () => {
    const network = led();
    network.propose(1, 'a');
    expect(network.change(1, addLearner('n4'))).toEqual(withLearner);
    network.pass(3);
    expect(network.appliedTexts(4)).toEqual(['a']);
    for (const id of [1, 2, 3, 4]) expect(statusOf(network, id).configuration).toEqual(withLearner);
    network.isolate(2);
    network.isolate(3);
    network.pass(2 * limits.electionTicksMin);
    expect(network.leaders()).toEqual([]);
  });

  test('is founded by a snapshot where the beginning of the log is gone', () => {
    const network = led();
    network.propose(1, 'a', 'b');
    network.pass(1);
    network.propose(1, 'c');
    network.pass(1);
    network.compact(1);
    network.change(1, addLearner('n4'));
    network.pass(3);
    expect(network.appliedTexts(4)).toEqual(['a', 'b', 'c']);
    expect(statusOf(network, 4).configuration).toEqual(withLearner);
  });

  test('becomes a voter, and the group is one of four', () => {
    const network = led({ configuration: withLearner });
    network.change(1, voters(1, 2, 3, 4));
    network.pass(2);
    for (const id of [1, 2, 3, 4]) {
      expect(statusOf(network, id).configuration).toEqual(configurationOf([1, 2, 3, 4]));
    }
    network.isolate(1);
    network.pass(2 * limits.electionTicksMax);
    expect(network.leaders()).toContain(2);
  });

  test('that has heard of no leader for its election timeout is there for whoever asks, from then on', () => {
    // It may have become a voter by an entry that it lacks.
    const learner = new TestMember({
      id: 4,
      configuration: withLearner,
      entries: entriesOfTerms([1]),
      appliedIndex: 1,
    });
    const ask = preVoteRequest({ from: 2, to: 4, term: 2, last: [2, 1] });
    learner.receive(heartbeat({ from: 1, to: 4, term: 1 }));
    learner.tick(limits.electionTicksMin - 1);
    expect(learner.receive(ask).messages).toEqual([]);
    learner.tick(1);
    for (let tick = 0; tick < 3 * limits.electionTicksMax; tick += 1) {
      learner.tick();
      learner.settle();
      expect(learner.receive(ask).messages, `tick ${tick}`).toMatchObject([{ type: 'PreVoteResponse', granted: true }]);
    }
  });

  test('is removed, told, and silent from then on', () => {
    const network = led({ configuration: withLearner });
    network.change(1, { type: 'removeLearner', replicaId: replica(4) });
    network.pass(1);
    expect(statusOf(network, 4).removed).toBe(true);
    expect(statusOf(network, 1).configuration).toEqual(configurationOf([1, 2, 3], { replicaIdMax: replica(4) }));
    network.member(4).tick(100);
    expect(network.member(4).settle().messages).toEqual([]);
  });

  test('that was removed and not told asks, and is told then', () => {
    const network = led({ configuration: withLearner });
    network.filter((message) => message.to !== 4);
    network.change(1, { type: 'removeLearner', replicaId: replica(4) });
    network.pass(3);
    network.heal();
    expect(statusOf(network, 4).removed).toBe(false);
    network.pass(limits.electionTicksMax);
    expect(statusOf(network, 4).removed).toBe(true);
    expect(network.leaders()).toEqual([1]);
  });
});

describe('a change is refused', () => {
  const reasonFor = (leader: TestMember, change: ConfigurationChange) => {
    const result = leader.raft.changeConfiguration(change);
    return result.type === 'refused' ? result.reason : result.type;
  };

  test('by a follower, which names the leader', () => {
    expect(led().member(2).raft.changeConfiguration(addLearner('n4'))).toEqual({ type: 'not_leader', leader: 1 });
  });

  test("before the term's no-op is committed", () => {
    const leader = new TestMember();
    leader.becomeLeader();
    expect(reasonFor(leader, addLearner('n4'))).toBe('no entry of this term is committed yet');
    leader.receive(appended({ term: 1, index: 1 }));
    expect(reasonFor(leader, addLearner('n4'))).toBe('appended');
  });

  test('while another is not committed, and while one of voters is not ended', () => {
    const leader = settledLeader(withLearner);
    expect(reasonFor(leader, addLearner('n5'))).toBe('appended');
    expect(reasonFor(leader, voters(1, 2, 3, 4))).toBe('the last change is not committed yet');
    for (const from of [2, 4]) leader.receive(appended({ from, term: 1, index: 2 }));
    expect(reasonFor(leader, voters(1, 2, 3, 4))).toBe('appended');
    expect(reasonFor(leader, addLearner('n6'))).toBe('a change of voters is under way');
    for (const from of [2, 3]) leader.receive(appended({ from, term: 1, index: 3 }));
    expect(leader.raft.status().configuration.votersOutgoing).toEqual([]);
    expect(reasonFor(leader, addLearner('n6'))).toBe('the last change is not committed yet');
  });

  test('when a newcomer is no learner, lags, or has not answered', () => {
    const leader = settledLeader(withLearner);
    expect(reasonFor(leader, voters(1, 2, 9))).toBe('replica 9 is no learner');
    for (let count = 0; count <= limits.promotionLagMax; count++) {
      leader.raft.propose(EntryKind.command, bytesOf('a'));
    }
    expect(reasonFor(leader, voters(1, 2, 4))).toBe('replica 4 lacks 11 entries');
    leader.receive(appended({ from: 2, term: 1, index: 12 }));
    leader.receive(appended({ from: 4, term: 1, index: 3 }));
    leader.tick(limits.electionTicksMin);
    expect(reasonFor(leader, voters(1, 2, 4))).toBe('replica 4 has not answered lately');
    leader.receive(heartbeatAnswered({ from: 4, term: 1 }));
    expect(reasonFor(leader, voters(1, 2, 4))).toBe('appended');
  });

  test('when it changes nothing, leaves nobody, or doubles a host', () => {
    const leader = settledLeader(withLearner);
    expect(reasonFor(leader, voters(3, 2, 1, 1))).toBe('these are the voters');
    expect(reasonFor(leader, voters())).toBe('a group has voters');
    expect(reasonFor(leader, addLearner('n4'))).toBe('n4 has a replica already');
    expect(reasonFor(leader, { type: 'removeLearner', replicaId: replica(3) })).toBe('replica 3 is no learner');
    expect(leader.raft.status().lastIndex).toBe(1);
  });
});

describe('a change of voters', () => {
  test('goes through the joint configuration, which the leader leaves by itself', () => {
    const leader = settledLeader(withLearner);
    expect(leader.raft.changeConfiguration(voters(1, 2, 4))).toEqual({
      type: 'appended',
      index: 2,
      term: 1,
      configuration: joint,
    });
    expect(leader.settle().configurations).toEqual([{ index: 2, configuration: joint }]);
    leader.receive(appended({ from: 2, term: 1, index: 2 }));
    expect(leader.raft.status()).toMatchObject({ commitIndex: 2, lastIndex: 3, configuration: after });
    // Who is left out hears of it once it is committed, by both that stay.
    const given = leader.receive(appended({ from: 4, term: 1, index: 3 }));
    expect(given.messages).toEqual([removedWord({ from: 1, to: 3, term: 1 })]);
    expect(leader.raft.status().commitIndex).toBe(3);
  });

  test('commits by a majority of both', () => {
    const before = configurationOf([1, 2, 3], { learners: [4, 5].map(replica) });
    const leader = settledLeader(before);
    leader.raft.changeConfiguration(voters(1, 4, 5));
    leader.settle();
    leader.receive(appended({ from: 2, term: 1, index: 2 }));
    leader.receive(appended({ from: 3, term: 1, index: 2 }));
    expect(leader.raft.status().commitIndex).toBe(1);
    leader.receive(appended({ from: 4, term: 1, index: 2 }));
    expect(leader.raft.status().commitIndex).toBe(2);
  });

  test('elects by a majority of both', () => {
    const configuration = configurationOf([1, 4, 5], { votersOutgoing: [1, 2, 3].map(replica) });
    const member = new TestMember({ configuration });
    member.raft.campaign();
    for (const from of [2, 3]) member.receive(voted({ pre: true, from, term: 1, granted: true }));
    expect(member.raft.status().role).toBe('preCandidate');
    member.receive(voted({ pre: true, from: 4, term: 1, granted: true }));
    expect(member.raft.status().role).toBe('candidate');
    for (const from of [4, 5]) member.receive(voted({ from, term: 1, granted: true }));
    expect(member.raft.status().role).toBe('candidate');
    member.receive(voted({ from: 3, term: 1, granted: true }));
    expect(member.raft.status().role).toBe('leader');
  });

  test('checks for a quorum of both', () => {
    const leader = settledLeader(configurationOf([1, 2, 3], { learners: [4, 5].map(replica) }));
    leader.raft.changeConfiguration(voters(1, 4, 5));
    leader.tick(limits.electionTicksMin);
    expect(leader.raft.status().role).toBe('leader');
    for (const from of [2, 3]) leader.receive(heartbeatAnswered({ from, term: 1 }));
    leader.tick(limits.electionTicksMin);
    expect(leader.raft.status().role).toBe('follower');
  });

  test('is ended by the next leader, who inherits it committed or not', () => {
    for (const appliedIndex of [0, 2]) {
      const entries = [...entriesOfTerms([1]), configurationEntry(2, 1, joint)];
      const member = new TestMember({ entries, appliedIndex, configuration: withLearner });
      member.becomeLeader();
      expect(member.raft.status().configuration).toEqual(joint);
      for (const from of [2, 4]) member.receive(appended({ from, term: 2, index: 3 }));
      expect(member.raft.status()).toMatchObject({ commitIndex: 3, lastIndex: 4, configuration: after });
    }
  });

  test('is undone when its entry is truncated, and the one before is in force again', () => {
    const member = new TestMember({ configuration: withLearner, term: 1 });
    const entry = configurationEntry(2, 1, joint);
    const given = member.receive(
      appendEntries({ term: 1, prev: [0, 0], entries: [command({ index: 1, term: 1 }), entry] }),
    );
    expect(given.configurations).toEqual([{ index: 2, configuration: joint }]);
    const back = member.receive(
      appendEntries({ from: 3, term: 2, prev: [1, 1], entries: [noop({ index: 2, term: 2 })] }),
    );
    expect(back.configurations).toEqual([foundedWith(withLearner)]);
    expect(member.raft.status().configuration).toEqual(withLearner);
  });

  test.each([{ crashed: 1 }, { crashed: 2 }, { crashed: 3 }, { crashed: 4 }])(
    'comes to one of its two ends whenever replica $crashed dies and comes back',
    ({ crashed }) => {
      // As many messages and writes as are needed for all of it, and more.
      for (let events = 0; events < 40; events++) {
        const network = led({ configuration: withLearner });
        network.change(1, voters(1, 2, 4));
        for (let left = events; left > 0 && network.mail.length > 0; left--) {
          network.deliver(network.mail.shift()!);
        }
        network.crash(crashed);
        network.pass(3);
        network.restart(crashed);
        network.pass(60);
        const [leader, ...others] = network.leaders();
        expect(others).toEqual([]);
        const { configuration } = statusOf(network, leader!);
        expect([withLearner, after]).toContainEqual(configuration);
        for (const id of [...configuration.voters, ...configuration.learners]) {
          expect(statusOf(network, id)).toMatchObject({ leader, removed: false, configuration });
        }
        if (configuration.voters.includes(replica(4))) expect(statusOf(network, 3).removed).toBe(true);
      }
    },
  );

  test('replaces all voters, the leader among them', () => {
    const network = led({ configuration: configurationOf([1, 2, 3], { learners: [4, 5, 6].map(replica) }) });
    network.propose(1, 'a');
    network.change(1, voters(4, 5, 6));
    network.pass(5);
    for (const id of [1, 2, 3]) expect(statusOf(network, id)).toMatchObject({ role: 'follower', removed: true });
    const [leader] = network.leaders();
    expect([4, 5, 6]).toContain(leader);
    network.propose(leader!, 'b');
    network.pass(2);
    for (const id of [4, 5, 6]) expect(network.appliedTexts(id)).toEqual(['a', 'b']);
  });
});

describe('a leader that is left out', () => {
  test('leads until that is committed, counts itself in nothing, then hands over and steps down', () => {
    const leader = settledLeader(withLearner);
    leader.raft.changeConfiguration(voters(2, 3, 4));
    leader.settle();
    for (const from of [2, 3]) leader.receive(appended({ from, term: 1, index: 2 }));
    expect(leader.raft.status()).toMatchObject({ role: 'leader', commitIndex: 2, lastIndex: 3 });
    leader.receive(appended({ from: 2, term: 1, index: 3 }));
    expect(leader.raft.status()).toMatchObject({ role: 'leader', commitIndex: 2 });
    const given = leader.receive(appended({ from: 4, term: 1, index: 3 }));
    expect(given).toMatchObject({
      messages: [{ type: 'TimeoutNow', from: 1, to: 2, term: 1 }],
      leadership: [{ role: 'follower', term: 1, leader: 0 }],
    });
    expect(leader.raft.status()).toMatchObject({ role: 'follower', removed: true, commitIndex: 3 });
  });

  test('hands over without a pause', () => {
    const network = led({ configuration: withLearner });
    network.change(1, voters(2, 3, 4));
    network.run();
    expect(network.leaders()).toEqual([2]);
    expect(statusOf(network, 1)).toMatchObject({ removed: true });
  });

  test('and alone holds the word of it, is needed for the election that commits it (thesis 4.2.2)', () => {
    // Replica 3 is dead. Replica 1 led, appended its own removal, and has told nobody: without it the others lack a majority
    // of the outgoing voters, and its log is longer than theirs.
    const before = configurationOf([1, 2, 3], { learners: [4, 5, 6].map(replica) });
    const change = configurationOf([4, 5, 6], { votersOutgoing: [1, 2, 3].map(replica) });
    const both = [...entriesOfTerms([1]), configurationEntry(2, 1, change)];
    const leaving = configurationEntry(3, 1, configurationOf([4, 5, 6]));
    const network = new Network({
      configuration: before,
      logs: { 1: [...both, leaving], 2: both, 3: both, 4: both, 5: both, 6: both },
    });
    network.crash(3);
    network.pass(100);
    expect(network.leaders()).toHaveLength(1);
    expect([4, 5, 6]).toContain(network.leaders()[0]);
    expect(statusOf(network, network.leaders()[0]!).configuration).toEqual(configurationOf([4, 5, 6]));
    expect(statusOf(network, 1).removed).toBe(true);
  });

  test('alone in the group it leaves behind another alone', () => {
    const network = led({ configuration: configurationOf([1], { learners: [replica(2)] }) });
    network.change(1, voters(2));
    network.pass(20);
    expect(network.leaders()).toEqual([2]);
    expect(statusOf(network, 1).removed).toBe(true);
  });
});

test('what a removed voter held up is committed by those who stay', () => {
  const network = led({ voters: [1, 2] });
  network.change(1, voters(1));
  network.propose(1, 'a');
  network.run();
  expect(statusOf(network, 1)).toMatchObject({ configuration: { voters: [1], votersOutgoing: [] }, commitIndex: 4 });
  network.crash(2);
  network.propose(1, 'b');
  network.run();
  expect(network.appliedTexts(1)).toEqual(['a', 'b']);
});

describe('a removed replica', () => {
  /** Replica 3 was left out, and has not heard of it. */
  function leftOut(): Network {
    const network = led({ configuration: withLearner });
    network.isolate(3);
    network.change(1, voters(1, 2, 4));
    network.pass(3);
    network.heal();
    expect(statusOf(network, 3).removed).toBe(false);
    return network;
  }

  test('that does not know it asks, is told, and disturbs nobody', () => {
    const network = leftOut();
    const { term } = statusOf(network, 1);
    network.campaign(3);
    expect(statusOf(network, 3)).toMatchObject({ role: 'follower', removed: true });
    network.pass(50);
    expect(network.leaders()).toEqual([1]);
    expect(statusOf(network, 1).term).toBe(term);
  });

  test('elects nobody by its vote', () => {
    const candidate = new TestMember({ configuration: after });
    candidate.raft.campaign();
    candidate.receive(voted({ pre: true, from: 3, term: 1, granted: true }));
    expect(candidate.raft.status().role).toBe('preCandidate');
    candidate.receive(voted({ pre: true, from: 2, term: 1, granted: true }));
    candidate.receive(voted({ from: 3, term: 1, granted: true }));
    expect(candidate.raft.status().role).toBe('candidate');
  });

  test('says and hears nothing any more, whatever it is told', () => {
    const member = new TestMember({ term: 1 });
    member.receive(removedWord({ term: 1 }));
    expect(member.raft.status()).toMatchObject({ role: 'follower', removed: true });
    for (const message of [
      heartbeat({ term: 9 }),
      appendEntries({ term: 9, prev: [0, 0] }),
      voteRequest({ term: 9, last: [9, 9], transfer: true }),
      preVoteRequest({ term: 9, last: [9, 9] }),
    ]) {
      expect(member.receive(message)).toEqual(nothing);
    }
    member.tick(100);
    member.raft.campaign();
    expect(member.settle()).toEqual(nothing);
    expect(member.raft.propose(EntryKind.command, bytesOf('a'))).toEqual({ type: 'not_leader', leader: 0 });
  });

  test('that follows and sees its own removal committed needs nobody to tell it', () => {
    const member = new TestMember({ id: 3, configuration: withLearner, term: 1 });
    const entries = [configurationEntry(1, 1, joint), configurationEntry(2, 1, after)];
    member.receive(appendEntries({ from: 1, to: 3, term: 1, prev: [0, 0], entries, leaderCommit: 1 }));
    expect(member.raft.removed).toBe(false);
    member.receive(heartbeat({ from: 1, to: 3, term: 1, leaderCommit: 2 }));
    expect(member.raft.removed).toBe(true);
  });

  test('asks a stranger only without a leader, and is elected by no yes of one', () => {
    const member = new TestMember({ configuration: configurationOf([1, 2, 3]), term: 1 });
    member.receive(heartbeat({ from: 2, term: 1 }));
    member.raft.askStranger(replica(7));
    expect(member.settle().messages).toEqual([]);
    member.raft.campaign();
    member.settle();
    for (const id of [2, 7, 8]) member.raft.askStranger(replica(id));
    expect(member.settle().messages).toEqual(
      [7, 8].map((to) => preVoteRequest({ from: 1, to, term: 2, last: [0, 0] })),
    );
    for (const from of [7, 8]) member.receive(voted({ pre: true, from, term: 2, granted: true }));
    expect(member.raft.status().role).toBe('preCandidate');
    member.receive(removedWord({ from: 7, term: 9 }));
    expect(member.raft.removed).toBe(true);
  });

  test('tells whoever asks it and was removed as well', () => {
    const member = new TestMember({ configuration: configurationOf([2, 3, 5]), term: 1 });
    expect(member.raft.removed).toBe(true);
    expect(member.receive(preVoteRequest({ from: 4, term: 2, last: [9, 9] })).messages).toEqual([
      removedWord({ from: 1, to: 4, term: 1 }),
    ]);
  });

  test('stays one when its process starts anew', () => {
    const network = led({ configuration: withLearner });
    network.change(1, voters(2, 3, 4));
    network.pass(3);
    expect(statusOf(network, 1).removed).toBe(true);
    network.settle(1);
    network.crash(1);
    network.restart(1, network.disk(1).appliedIndex);
    network.pass(40);
    expect(statusOf(network, 1)).toMatchObject({ role: 'follower', removed: true });
  });

  test('a leader that hears so stops leading, and refuses the reads that wait', () => {
    const leader = settledLeader(configurationOf([1, 2, 3]));
    leader.raft.readIndex(5);
    expect(leader.receive(removedWord({ term: 7 }))).toMatchObject({
      readsRefused: [5],
      leadership: [{ role: 'follower', term: 1, leader: 0 }],
    });
  });
});

test('ids are never given twice, not even when the last one is gone', () => {
  const network = led();
  for (const id of [4, 5]) {
    expect(network.change(1, addLearner('n4')).learners).toEqual([id]);
    network.pass(3);
    network.change(1, { type: 'removeLearner', replicaId: replica(id) });
    network.pass(3);
    expect(statusOf(network, id).removed).toBe(true);
  }
});

test('a stranger that may be new is given a vote by the rules for all', () => {
  const member = new TestMember({ entries: entriesOfTerms([1]) });
  expect(member.receive(voteRequest({ from: 4, term: 2, last: [0, 0] })).messages).toEqual([
    voted({ from: 1, to: 4, term: 2, granted: false }),
  ]);
  expect(member.receive(voteRequest({ from: 4, term: 3, last: [1, 1] })).messages).toEqual([
    voted({ from: 1, to: 4, term: 3, granted: true }),
  ]);
});

test('a newcomer that knows nobody campaigns never, and follows whoever writes to it', () => {
  const member = new TestMember({ id: 4, configuration: configurationOf([]) });
  member.tick(100);
  member.raft.campaign();
  expect(member.settle()).toEqual(nothing);
  const entries = [configurationEntry(1, 1, withLearner)];
  const given = member.receive(appendEntries({ from: 1, to: 4, term: 1, prev: [0, 0], entries, leaderCommit: 1 }));
  expect(given).toMatchObject({ configurations: [{ index: 1, configuration: withLearner }], committed: entries });
});
