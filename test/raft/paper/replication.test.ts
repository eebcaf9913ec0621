/** Section 5.3 and figure 2: how entries travel, and what a follower does with them. */
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
  noop,
  nothing,
  refusedAppend,
  replica,
  TestMember,
} from '../member.ts';
import { Network } from '../network.ts';

/** A leader of three in term 1 whose followers hold its no-op. */
function settledLeader(options: ConstructorParameters<typeof TestMember>[0] = {}): TestMember {
  const leader = new TestMember(options);
  leader.becomeLeader();
  leader.receive(appended({ from: 2, term: 1, index: 1 }));
  leader.receive(appended({ from: 3, term: 1, index: 1 }));
  return leader;
}

const propose = (leader: TestMember, body: string) => leader.raft.propose(EntryKind.command, bytesOf(body));

describe('a leader', () => {
  test('appends what is proposed and sends all of one turn to each follower in one AppendEntries, before its own disk is done', () => {
    const leader = settledLeader();
    expect(propose(leader, 'a')).toEqual({ type: 'appended', index: 2, term: 1 });
    expect(propose(leader, 'b')).toEqual({ type: 'appended', index: 3, term: 1 });
    const entries = [command({ index: 2, term: 1, body: 'a' }), command({ index: 3, term: 1, body: 'b' })];
    expect(leader.takeReady()).toEqual({
      messages: [2, 3].map((to) => appendEntries({ from: 1, to, term: 1, prev: [1, 1], entries, leaderCommit: 1 })),
      persist: {
        sequence: 3,
        hardState: undefined,
        install: undefined,
        truncateFrom: undefined,
        compactThrough: undefined,
        entries,
        messagesAfterPersist: [],
      },
      committed: [],
      reads: [],
      readsRefused: [],
      leadership: undefined,
      snapshotsDue: [],
      configuration: undefined,
    });
    expect(leader.raft.hasReady()).toBe(false);
  });

  test('does not wait for answers while the window has room', () => {
    const leader = settledLeader();
    for (const [index, body] of [
      [2, 'a'],
      [3, 'b'],
      [4, 'c'],
    ] as const) {
      propose(leader, body);
      expect(leader.settle().messages).toEqual(
        [2, 3].map((to) =>
          appendEntries({
            from: 1,
            to,
            term: 1,
            prev: [index - 1, 1],
            entries: [command({ index, term: 1, body })],
            leaderCommit: 1,
          }),
        ),
      );
    }
  });

  test('cuts what it sends into messages of bounded size', () => {
    const leader = settledLeader({ limits: { appendBytesMax: 4 } });
    for (const body of ['aa', 'bb', 'c', 'too large', 'd']) propose(leader, body);
    const sent = leader.settle().messages.filter((message) => message.to === 2);
    expect(sent.map((message) => (message.type === 'AppendEntriesRequest' ? message.entries.length : 0))).toEqual([
      2, 1, 1, 1,
    ]);
  });

  test('commits what a majority holds durably, in order, and passes it on to apply (5.3)', () => {
    const leader = settledLeader();
    propose(leader, 'a');
    propose(leader, 'b');
    leader.settle();
    expect(leader.receive(appended({ from: 3, term: 1, index: 3 })).committed).toEqual([
      command({ index: 2, term: 1, body: 'a' }),
      command({ index: 3, term: 1, body: 'b' }),
    ]);
    expect(leader.receive(appended({ from: 2, term: 1, index: 3 })).committed).toEqual([]);
  });

  test.each([
    { voters: 1, answers: [], commits: true },
    { voters: 3, answers: [], commits: false },
    { voters: 3, answers: [2], commits: true },
    { voters: 5, answers: [2], commits: false },
    { voters: 5, answers: [2, 5], commits: true },
  ])('of $voters with answers from $answers commits: $commits', ({ voters, answers, commits }) => {
    const leader = new TestMember({ configuration: configurationOf([1, 2, 3, 4, 5].slice(0, voters)) });
    leader.becomeLeader();
    for (const from of answers) leader.receive(appended({ from, term: 1, index: 1 }));
    expect(leader.raft.status().commitIndex).toBe(commits ? 1 : 0);
  });

  test('does not count itself before its own disk is done', () => {
    const leader = settledLeader();
    leader.diskHeld = true;
    propose(leader, 'a');
    leader.settle();
    leader.receive(appended({ from: 2, term: 1, index: 2 }));
    expect(leader.raft.status().commitIndex).toBe(1);
    leader.completeWrite();
    expect(leader.raft.status().commitIndex).toBe(2);
  });

  test('commits without its own disk when a majority of others has it', () => {
    const leader = settledLeader();
    leader.diskHeld = true;
    propose(leader, 'a');
    leader.settle();
    leader.receive(appended({ from: 2, term: 1, index: 2 }));
    const { committed } = leader.receive(appended({ from: 3, term: 1, index: 2 }));
    expect(committed).toEqual([command({ index: 2, term: 1, body: 'a' })]);
  });

  test('an answer of a learner moves nothing but its own progress', () => {
    const leader = new TestMember({ configuration: configurationOf([1, 2, 3], { learners: [replica(4)] }) });
    leader.becomeLeader();
    leader.receive(appended({ from: 4, term: 1, index: 1 }));
    expect(leader.raft.status()).toMatchObject({ commitIndex: 0, progress: [{}, {}, { replicaId: 4, matchIndex: 1 }] });
  });

  test('tells each follower of the commit index with the next AppendEntries or heartbeat, never above what it holds', () => {
    const leader = settledLeader();
    propose(leader, 'a');
    leader.settle();
    leader.receive(appended({ from: 2, term: 1, index: 2 }));
    leader.tick();
    expect(leader.settle().messages).toEqual([
      heartbeat({ from: 1, to: 2, term: 1, leaderCommit: 2 }),
      heartbeat({ from: 1, to: 3, term: 1, leaderCommit: 1 }),
    ]);
  });

  test('refuses proposals above its bound of uncommitted bytes, but never when nothing is uncommitted', () => {
    const leader = settledLeader({ limits: { uncommittedBytesMax: 10 } });
    expect(propose(leader, 'larger than the bound').type).toBe('appended');
    expect(propose(leader, 'x')).toEqual({ type: 'overloaded' });
    leader.settle();
    leader.receive(appended({ from: 2, term: 1, index: 2 }));
    expect(propose(leader, '12345').type).toBe('appended');
    expect(propose(leader, '67890').type).toBe('appended');
    expect(propose(leader, 'x')).toEqual({ type: 'overloaded' });
    leader.settle();
    leader.receive(appended({ from: 2, term: 1, index: 3 }));
    expect(propose(leader, '54321').type).toBe('appended');
  });

  test('hands out what is committed in chunks of bounded size, without waiting for the earlier ones', () => {
    const leader = settledLeader({ limits: { applyBytesMax: 4 } });
    for (const body of ['aa', 'bb', 'too large', 'c']) propose(leader, body);
    leader.settle();
    leader.raft.step(appended({ from: 2, term: 1, index: 5 }));
    const chunks = [];
    while (leader.raft.hasReady()) chunks.push(leader.takeReady().committed.map((entry) => entry.index));
    expect(chunks).toEqual([[2, 3], [4], [5]]);
    expect(leader.raft.status()).toMatchObject({ commitIndex: 5, appliedIndex: 1 });
  });
});

test('whoever does not lead refuses proposals and reads, and names the leader it knows', () => {
  const member = new TestMember();
  expect(propose(member, 'a')).toEqual({ type: 'not_leader', leader: 0 });
  member.receive(heartbeat({ from: 3, term: 1 }));
  expect(propose(member, 'a')).toEqual({ type: 'not_leader', leader: 3 });
  expect(member.raft.readIndex(1)).toBe(false);
  expect(member.settle()).toMatchObject({ messages: [], committed: [], reads: [], readsRefused: [] });
});

describe('a follower', () => {
  test.each([
    { own: [1, 2], prev: [0, 0] },
    { own: [1, 2], prev: [1, 1] },
    { own: [1, 2], prev: [2, 2] },
  ] as const)('with terms $own accepts what follows $prev', ({ own, prev }) => {
    const follower = new TestMember({ entries: entriesOfTerms(own) });
    expect(follower.receive(appendEntries({ term: 2, prev })).messages).toEqual([
      appended({ from: 1, to: 2, term: 2, index: prev[0] }),
    ]);
  });

  test.each([
    { own: [1, 2], prev: [1, 2], hint: [1, 1] },
    { own: [1, 2], prev: [2, 1], hint: [1, 1] },
    { own: [1, 2], prev: [3, 3], hint: [2, 2] },
    { own: [1, 1, 1, 3, 3, 3], prev: [6, 2], hint: [3, 1] },
    { own: [2, 2, 2], prev: [3, 1], hint: [0, 0] },
  ] as const)('with terms $own refuses what follows $prev and hints at $hint', ({ own, prev, hint }) => {
    const follower = new TestMember({ entries: entriesOfTerms(own) });
    expect(follower.receive(appendEntries({ term: 4, prev })).messages).toEqual([
      refusedAppend({ from: 1, to: 2, term: 4, index: prev[0], hint }),
    ]);
    expect(follower.log).toEqual(entriesOfTerms(own));
  });

  test.each([
    { own: [1, 2], prev: [2, 2], terms: [3], log: [1, 2, 3], truncateFrom: undefined },
    { own: [1, 2], prev: [1, 1], terms: [3, 4], log: [1, 3, 4], truncateFrom: 2 },
    { own: [1, 2], prev: [0, 0], terms: [1], log: [1, 2], truncateFrom: undefined },
    { own: [1, 2], prev: [0, 0], terms: [3], log: [3], truncateFrom: 1 },
    { own: [1, 2, 2], prev: [0, 0], terms: [1, 2], log: [1, 2, 2], truncateFrom: undefined },
    { own: [], prev: [0, 0], terms: [1, 2], log: [1, 2], truncateFrom: undefined },
  ] as const)('with terms $own given $terms after $prev holds $log', ({ own, prev, terms, log, truncateFrom }) => {
    const follower = new TestMember({ entries: entriesOfTerms(own), term: 4 });
    follower.raft.step(appendEntries({ term: 4, prev, entries: entriesOfTerms(terms, prev[0] + 1) }));
    expect(follower.takeReady().persist?.truncateFrom).toBe(truncateFrom);
    expect(follower.log).toEqual(entriesOfTerms(log));
  });

  test('answers for new entries only once they are durable', () => {
    const follower = new TestMember({ term: 1 });
    follower.diskHeld = true;
    const entries = entriesOfTerms([1, 1]);
    expect(follower.receive(appendEntries({ term: 1, prev: [0, 0], entries, leaderCommit: 1 }))).toEqual({
      ...nothing,
      committed: [entries[0]],
      leadership: [{ role: 'follower', term: 1, leader: 2 }],
    });
    expect(follower.completeWrite()).toEqual([appended({ from: 1, to: 2, term: 1, index: 2 })]);
  });

  test('commits what the leader has committed, as far as this message reaches', () => {
    const follower = new TestMember({ term: 1 });
    const entries = entriesOfTerms([1, 1, 1]);
    const given = follower.receive(appendEntries({ term: 1, prev: [0, 0], entries, leaderCommit: 2 }));
    expect(given.committed).toEqual(entries.slice(0, 2));
    expect(follower.receive(heartbeat({ term: 1, leaderCommit: 3 })).committed).toEqual(entries.slice(2));
    expect(follower.receive(heartbeat({ term: 1, leaderCommit: 1 })).committed).toEqual([]);
  });

  test('answers heartbeats with the round they carry', () => {
    const follower = new TestMember({ term: 1 });
    expect(follower.receive(heartbeat({ term: 1, readRound: 7 })).messages).toEqual([
      heartbeatAnswered({ from: 1, to: 2, term: 1, readRound: 7 }),
    ]);
  });
});

test('a leader brings any follower of figure 7 to its own log', () => {
  const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  const followers = {
    a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
    b: [1, 1, 1, 4],
    c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    e: [1, 1, 1, 4, 4, 4, 4],
    f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  };
  for (const [name, terms] of Object.entries(followers)) {
    // The third is empty, so that the leader of term 8 wins with its vote.
    const network = new Network({
      logs: { 1: entriesOfTerms(leaderTerms), 2: entriesOfTerms(terms) },
      terms: { 1: 7, 2: 7, 3: 7 },
    });
    network.campaign(1);
    network.pass(2);
    const expected = [...entriesOfTerms(leaderTerms), noop({ index: 11, term: 8 })];
    expect(network.member(1).log, name).toEqual(expected);
    expect(network.member(2).log, name).toEqual(expected);
    expect(network.member(3).log, name).toEqual(expected);
  }
});

test('fast back-up passes over a whole term at once, not over one entry after the other', () => {
  const leader = entriesOfTerms([1, 1, ...Array.from({ length: 40 }, () => 5)]);
  const follower = entriesOfTerms([1, 1, ...Array.from({ length: 40 }, () => 3)]);
  const network = new Network({ logs: { 1: leader, 2: follower }, terms: { 3: 5 } });
  let refusals = 0;
  network.filter((message) => {
    if (message.type === 'AppendEntriesResponse' && message.from === 2 && !message.success) refusals++;
    return true;
  });
  network.campaign(1);
  expect(network.member(2).log).toEqual(network.member(1).log);
  expect(refusals).toBe(1);
});
