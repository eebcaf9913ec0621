/** Sections 5.2 and 5.4.1: timeouts, votes, and who may win. */
import { describe, expect, test } from 'vitest';
import {
  configurationOf,
  entriesOfTerms,
  heartbeat,
  limits,
  noop,
  preVoteRequest,
  replica,
  TestMember,
  voted,
  voteRequest,
} from '../member.ts';
import { Network } from '../network.ts';

test('a member starts as follower, knows no leader and says nothing', () => {
  const member = new TestMember();
  expect(member.raft.hasReady()).toBe(false);
  expect(member.raft.status()).toEqual({
    role: 'follower',
    term: 0,
    leader: 0,
    replicaId: 1,
    votedFor: 0,
    commitIndex: 0,
    appliedIndex: 0,
    lastIndex: 0,
    firstIndex: 1,
    configuration: configurationOf([1, 2, 3]),
    quiesced: false,
    removed: false,
    transferee: 0,
    progress: [],
  });
});

test('a leader sends heartbeats to everyone at each interval', () => {
  const member = new TestMember({ limits: { heartbeatTicks: 3 } });
  member.becomeLeader();
  member.tick(2);
  expect(member.settle().messages).toEqual([]);
  member.tick();
  expect(member.settle().messages).toEqual([
    heartbeat({ from: 1, to: 2, term: 1 }),
    heartbeat({ from: 1, to: 3, term: 1 }),
  ]);
});

test('a follower whose timeout passes asks whether it would win, and changes neither term nor vote', () => {
  const member = new TestMember({ entries: entriesOfTerms([1, 2]), votedFor: 3 });
  member.tick(limits.electionTicksMin - 1);
  expect(member.raft.hasReady()).toBe(false);
  member.tick();
  expect(member.settle()).toMatchObject({
    messages: [
      preVoteRequest({ from: 1, to: 2, term: 3, last: [2, 2] }),
      preVoteRequest({ from: 1, to: 3, term: 3, last: [2, 2] }),
    ],
    leadership: [{ role: 'preCandidate', term: 2, leader: 0 }],
  });
  expect(member.raft.status()).toMatchObject({ role: 'preCandidate', term: 2, votedFor: 3 });
  expect(member.disk.hardState).toEqual({ currentTerm: 2, votedFor: 3 });
});

test('with enough yeses it raises its term, votes for itself, makes both durable, and only then asks for votes', () => {
  const member = new TestMember({ entries: entriesOfTerms([1, 2]) });
  member.raft.campaign();
  member.settle();
  member.diskHeld = true;
  expect(member.receive(voted({ pre: true, term: 3, granted: true })).messages).toEqual([]);
  expect(member.raft.status()).toMatchObject({ role: 'candidate', term: 3, votedFor: 1 });
  expect(member.writes).toMatchObject([{ hardState: { currentTerm: 3, votedFor: 1 }, entries: [] }]);
  expect(member.completeWrite()).toEqual([
    voteRequest({ from: 1, to: 2, term: 3, last: [2, 2] }),
    voteRequest({ from: 1, to: 3, term: 3, last: [2, 2] }),
  ]);
});

test('a candidate without a majority asks around again in its term, and goes on to the next', () => {
  const member = new TestMember();
  member.raft.campaign();
  member.receive(voted({ pre: true, term: 1, granted: true }));
  expect(member.raft.status()).toMatchObject({ role: 'candidate', term: 1 });
  member.tick(limits.electionTicksMin);
  expect(member.settle().messages).toEqual([
    preVoteRequest({ from: 1, to: 2, term: 2, last: [0, 0] }),
    preVoteRequest({ from: 1, to: 3, term: 2, last: [0, 0] }),
  ]);
  member.receive(voted({ pre: true, term: 2, granted: true }));
  expect(member.raft.status()).toMatchObject({ role: 'candidate', term: 2, votedFor: 1 });
});

test('a yes that was given to an earlier question does not count', () => {
  const member = new TestMember({ term: 5 });
  member.raft.campaign();
  member.receive(voted({ pre: true, term: 7, granted: true }));
  expect(member.raft.status()).toMatchObject({ role: 'preCandidate', term: 5 });
});

describe.each([
  { voters: 1, granted: [], refused: [], role: 'leader' },
  { voters: 3, granted: [2, 3], refused: [], role: 'leader' },
  { voters: 3, granted: [2], refused: [], role: 'leader' },
  { voters: 5, granted: [2, 3], refused: [], role: 'leader' },
  { voters: 3, granted: [], refused: [2, 3], role: 'follower' },
  { voters: 5, granted: [], refused: [2, 3, 4], role: 'follower' },
  { voters: 5, granted: [5], refused: [2, 3, 4], role: 'follower' },
  { voters: 3, granted: [], refused: [2], role: 'candidate' },
  { voters: 5, granted: [2], refused: [3, 4], role: 'candidate' },
  { voters: 5, granted: [], refused: [], role: 'candidate' },
])('of $voters voters, with yes from $granted and no from $refused', ({ voters, granted, refused, role }) => {
  test(`a candidate becomes ${role}`, () => {
    const ids = [1, 2, 3, 4, 5].slice(0, voters);
    const member = new TestMember({ configuration: configurationOf(ids) });
    member.raft.campaign();
    member.settle();
    for (const from of ids.slice(1)) member.receive(voted({ pre: true, from, term: 1, granted: true }));
    for (const from of granted) member.receive(voted({ from, term: 1, granted: true }));
    for (const from of refused) member.receive(voted({ from, term: 1, granted: false }));
    expect(member.raft.status()).toMatchObject({ role, term: 1 });
  });
});

test('a voter counts once, by its first answer, however often it is heard', () => {
  const member = new TestMember({ configuration: configurationOf([1, 2, 3, 4, 5]) });
  member.raft.campaign();
  for (let count = 0; count < 3; count++) member.receive(voted({ pre: true, from: 2, term: 1, granted: true }));
  expect(member.raft.status().role).toBe('preCandidate');
  member.receive(voted({ pre: true, from: 3, term: 1, granted: true }));
  for (let count = 0; count < 3; count++) member.receive(voted({ from: 2, term: 1, granted: true }));
  expect(member.raft.status().role).toBe('candidate');
  member.receive(voted({ from: 3, term: 1, granted: false }));
  member.receive(voted({ from: 3, term: 1, granted: true }));
  expect(member.raft.status().role).toBe('candidate');
});

test('a vote of a learner elects nobody', () => {
  const member = new TestMember({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
  member.raft.campaign();
  member.receive(voted({ pre: true, from: 4, term: 1, granted: true }));
  expect(member.raft.status().role).toBe('preCandidate');
});

test('a learner never campaigns', () => {
  const member = new TestMember({ id: 4, configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
  member.raft.campaign();
  expect(member.settle().messages).toEqual([]);
  // It asks when it hears nothing, for it may have been removed without knowing; yeses mean nothing to it.
  member.tick(limits.electionTicksMin);
  expect(member.settle().messages).toEqual(
    [1, 2, 3].map((to) => preVoteRequest({ from: 4, to, term: 1, last: [0, 0] })),
  );
  for (const from of [1, 2, 3]) member.receive(voted({ pre: true, from, to: 4, term: 1, granted: true }));
  member.tick(100);
  expect(member.settle().leadership).toEqual([]);
  expect(member.raft.status()).toMatchObject({ role: 'follower', term: 0 });
});

describe('a vote', () => {
  test.each([
    { votedFor: 0, from: 2, granted: true },
    { votedFor: 2, from: 2, granted: true },
    { votedFor: 3, from: 2, granted: false },
    { votedFor: 1, from: 2, granted: false },
  ])('of one who voted for $votedFor in this term is given to 2: $granted', ({ votedFor, from, granted }) => {
    const member = new TestMember({ term: 1, votedFor });
    const { messages } = member.receive(voteRequest({ from, term: 1, last: [0, 0] }));
    expect(messages).toEqual([voted({ from: 1, to: from, term: 1, granted })]);
  });

  test.each([
    { own: [1], last: [1, 1], granted: true },
    { own: [1], last: [2, 1], granted: true },
    { own: [1, 1], last: [1, 1], granted: false },
    { own: [1], last: [1, 2], granted: true },
    { own: [1, 1], last: [1, 2], granted: true },
    { own: [2], last: [1, 1], granted: false },
    { own: [2], last: [9, 1], granted: false },
    { own: [], last: [0, 0], granted: true },
  ] as const)(
    'for a log that ends with $last by one with the terms $own: $granted (5.4.1)',
    ({ own, last, granted }) => {
      const member = new TestMember({ entries: entriesOfTerms(own) });
      expect(member.receive(preVoteRequest({ term: 3, last })).messages).toEqual([
        voted({ pre: true, from: 1, to: 2, term: granted ? 3 : (own.at(-1) ?? 0), granted }),
      ]);
      expect(member.receive(voteRequest({ term: 3, last })).messages).toEqual([
        voted({ from: 1, to: 2, term: 3, granted }),
      ]);
      expect(member.raft.status()).toMatchObject({ term: 3, votedFor: granted ? 2 : 0 });
    },
  );

  test('given restarts the timeout; a vote refused or a pre-vote does not', () => {
    const member = new TestMember({ entries: entriesOfTerms([1]) });
    member.tick(limits.electionTicksMin - 1);
    member.receive(preVoteRequest({ term: 2, last: [1, 1] }));
    member.receive(voteRequest({ term: 2, last: [0, 0] }));
    member.tick();
    expect(member.raft.status().role).toBe('preCandidate');

    const generous = new TestMember({ entries: entriesOfTerms([1]) });
    generous.tick(limits.electionTicksMin - 1);
    generous.receive(voteRequest({ term: 2, last: [1, 1] }));
    generous.tick(limits.electionTicksMin - 1);
    expect(generous.raft.status().role).toBe('follower');
  });

  test('is not given by whoever follows a leader in this term', () => {
    const member = new TestMember();
    member.receive(heartbeat({ from: 3, term: 1 }));
    member.tick(limits.electionTicksMin);
    const follower = new TestMember({ random: () => 0.99 });
    follower.receive(heartbeat({ from: 3, term: 1 }));
    follower.tick(limits.electionTicksMin);
    expect(follower.raft.status().role).toBe('follower');
    expect(follower.receive(voteRequest({ from: 2, term: 1, last: [9, 9] })).messages).toEqual([
      voted({ from: 1, to: 2, term: 1, granted: false }),
    ]);
  });
});

test('a new leader knows no match, probes from its end, and begins its term with a no-op', () => {
  const member = new TestMember({ entries: entriesOfTerms([1, 1]) });
  const { messages, leadership } = member.becomeLeader();
  expect(leadership.at(-1)).toEqual({ role: 'leader', term: 2, leader: 1 });
  expect(messages).toMatchObject(
    [2, 3].map((to) => ({
      to,
      prevLogIndex: 2,
      prevLogTerm: 1,
      entries: [noop({ index: 3, term: 2 })],
      leaderCommit: 0,
    })),
  );
  expect(member.raft.status().progress).toEqual(
    [2, 3].map((id) => ({ replicaId: id, matchIndex: 0, nextIndex: 3, state: 'probe', recentlyActive: false })),
  );
});

describe('timeouts', () => {
  /** Ticks from the start of a follower, or of a candidate's next try, to its question. */
  function ticksToCampaign(member: TestMember): number {
    for (let ticks = 1; ; ticks++) {
      member.tick();
      if (member.settle().messages.length > 0) return ticks;
    }
  }

  test.each(['follower', 'preCandidate'])('of a %s are spread over the whole range', (role) => {
    let random = 0;
    const seen = new Set<number>();
    for (let step = 0; step < 100; step++) {
      random = step / 100;
      const member = new TestMember({ random: () => random });
      if (role === 'preCandidate') ticksToCampaign(member);
      seen.add(ticksToCampaign(member));
    }
    const whole = Array.from({ length: 10 }, (_, offset) => limits.electionTicksMin + offset);
    expect([...seen].sort((a, b) => a - b)).toEqual(whole);
  });

  test('are drawn anew for each campaign', () => {
    const draws = [0, 0.5, 0.99];
    const member = new TestMember({ random: () => draws.shift() ?? 0 });
    expect([ticksToCampaign(member), ticksToCampaign(member), ticksToCampaign(member)]).toEqual([10, 15, 19]);
  });

  test('that are the same for two end in a split vote once, and not for ever', () => {
    // Three draws each: at the start, before the pre-vote, before the vote.
    const draws: Record<number, number[]> = { 1: [0, 0, 0.2], 2: [0, 0, 0.5], 3: [0.99] };
    const network = new Network({ random: (id) => draws[id]?.shift() ?? 0.99 });
    network.isolate(3);
    network.pass(10);
    expect([1, 2].map((id) => network.member(id).raft.status())).toMatchObject([
      { role: 'candidate', term: 1, votedFor: 1 },
      { role: 'candidate', term: 1, votedFor: 2 },
    ]);
    network.pass(12);
    expect(network.leaders()).toEqual([1]);
  });
});
