/** A follower needs what its leader has compacted away, and gets the state instead of the log (paper, section 7). */
import { describe, expect, test } from 'vitest';
import { encodeConfiguration } from '../../../src/raft/configuration.ts';
import { type Entry, EntryKind, type InstallSnapshot } from '../../../src/raft/types.ts';
import {
  appended,
  appendEntries,
  at,
  command,
  configurationOf,
  entriesOfTerms,
  foundedWith,
  heartbeat,
  heartbeatAnswered,
  inTerm,
  MemoryDisk,
  noop,
  nothing,
  refusedAppend,
  replica,
  TestMember,
  voted,
  voteRequest,
} from '../member.ts';
import { Network } from '../network.ts';

const statusOf = (network: Network, id: number) => network.member(id).raft.status();
const progressOf = (network: Network, of: number) =>
  network.members
    .get(1)
    ?.raft.status()
    .progress.find(({ replicaId }) => replicaId === of);

/** Three members; the third one is cut off while the first, who leads, forgets the beginning of its log. */
function compacted(): Network {
  const network = new Network();
  network.campaign(1);
  network.pass(1);
  network.isolate(3);
  network.propose(1, 'a', 'b', 'c');
  network.pass(1);
  network.propose(1, 'd');
  network.pass(1);
  network.compact(1);
  expect(statusOf(network, 1)).toMatchObject({ firstIndex: 5, lastIndex: 5 });
  return network;
}

/** What the shell of replica 1 hands over when replica 2 has sent it everything up to `index`. */
function snapshot(fields: Partial<Omit<InstallSnapshot, 'type'>> & { readonly index: InstallSnapshot['index'] }) {
  const configuration = foundedWith(configurationOf([1, 2, 3]));
  const request: InstallSnapshot = {
    type: 'InstallSnapshot',
    from: replica(2),
    to: replica(1),
    term: inTerm(5),
    snapshotTerm: inTerm(4),
    configuration,
    ...fields,
  };
  const entries = entriesOfTerms(Array.from({ length: request.index }, () => request.snapshotTerm));
  return { request, state: { entries, appliedIndex: request.index, founding: configuration } };
}

const configurationEntry = (index: number, term: number, configuration = configurationOf([1, 2, 3])): Entry => ({
  index: at(index),
  term: inTerm(term),
  kind: EntryKind.configuration,
  body: encodeConfiguration(configuration),
});

test('a follower that was away is sent the state, then the entries after it, and applies what the others did', () => {
  const network = compacted();
  network.snapshotsHeld = true;
  network.heal();
  network.pass(2);
  network.propose(1, 'e');
  network.snapshotsHeld = false;
  network.pass(2);
  expect(progressOf(network, 3)).toMatchObject({ state: 'replicate', matchIndex: 6 });
  for (const id of [1, 2, 3]) expect(network.appliedTexts(id)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(network.member(3).applied.map(({ index }) => index)).toEqual([1, 6]);
});

test('the leader says once who needs it, and until its shell reports the end sends nothing but heartbeats', () => {
  const network = compacted();
  network.snapshotsHeld = true;
  network.heal();
  network.pass(2);
  expect(network.snapshots.map(({ request }) => request)).toMatchObject([{ from: 1, to: 3, index: 5, term: 1 }]);
  expect(progressOf(network, 3)).toMatchObject({ state: 'snapshot', matchIndex: 1, recentlyActive: true });
  const seen = new Set<string>();
  network.filter((message) => {
    if (message.to === 3) seen.add(message.type);
    return true;
  });
  network.propose(1, 'e');
  network.pass(20);
  expect(seen).toEqual(new Set(['Heartbeat']));
  expect(network.snapshots).toHaveLength(1);
  expect(statusOf(network, 3)).toMatchObject({ role: 'follower', leader: 1 });
});

test('a transfer that failed is asked for again, and the second one succeeds', () => {
  const network = compacted();
  network.snapshotsHeld = true;
  network.heal();
  network.pass(2);
  network.endSnapshot(network.snapshots.shift()!);
  network.run();
  expect(progressOf(network, 3)).toMatchObject({ state: 'snapshot' });
  expect(network.snapshots).toHaveLength(1);
  network.snapshotsHeld = false;
  network.pass(2);
  expect(network.appliedTexts(3)).toEqual(['a', 'b', 'c', 'd']);
});

test('a transfer to one who died on the way goes on with the one who comes back', () => {
  const network = compacted();
  network.snapshotsHeld = true;
  network.heal();
  network.pass(2);
  network.crash(3);
  network.deliverSnapshot(network.snapshots.shift()!);
  network.snapshotsHeld = false;
  network.pass(3);
  network.restart(3);
  network.pass(3);
  expect(network.appliedTexts(3)).toEqual(['a', 'b', 'c', 'd']);
});

test('the report of a transfer that nobody waits for changes nothing', () => {
  const network = compacted();
  const before = statusOf(network, 1);
  network.member(1).raft.snapshotEnded(replica(2));
  network.member(1).raft.snapshotEnded(replica(9));
  network.member(2).raft.snapshotEnded(replica(3));
  expect(statusOf(network, 1)).toEqual(before);
  expect(network.member(1).raft.hasReady()).toBe(false);
});

test('a snapshot that the leader has compacted beyond meanwhile is followed by another', () => {
  const network = compacted();
  network.snapshotsHeld = true;
  network.heal();
  network.pass(2);
  network.propose(1, 'e', 'f');
  network.pass(2);
  network.propose(1, 'g');
  network.pass(2);
  network.compact(1);
  expect(statusOf(network, 1).firstIndex).toBe(8);
  network.snapshotsHeld = false;
  network.pass(4);
  expect(network.appliedTexts(3)).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
});

test('answers that show that it has got to the beginning of the log end its need by themselves', () => {
  const leader = new TestMember({ disk: compactedDisk(), appliedIndex: 3 });
  leader.becomeLeader();
  expect(leader.receive(refusedAppend({ term: 2, index: 4, hint: [1, 1] })).snapshotsDue).toEqual([2]);
  leader.receive(appended({ term: 2, index: 2 }));
  expect(leader.raft.status().progress[0]).toMatchObject({ state: 'snapshot', matchIndex: 2 });
  const { messages } = leader.receive(appended({ term: 2, index: 3 }));
  expect(leader.raft.status().progress[0]).toMatchObject({ state: 'probe', matchIndex: 3 });
  expect(messages).toMatchObject([{ type: 'AppendEntriesRequest', to: 2, prevLogIndex: 3 }]);
});

function compactedDisk(): MemoryDisk {
  const hardState = { currentTerm: inTerm(1), votedFor: replica(0) };
  const disk = new MemoryDisk({ hardState, entries: entriesOfTerms([1, 1, 1, 1]) });
  disk.compactTo(3);
  return disk;
}

describe('where the log begins', () => {
  test('one that ends just before the first entry needs no snapshot', () => {
    const leader = new TestMember({ disk: compactedDisk(), appliedIndex: 3 });
    leader.becomeLeader();
    const given = leader.receive(refusedAppend({ term: 2, index: 4, hint: [3, 1] }));
    expect(given.snapshotsDue).toEqual([]);
    expect(given.messages).toMatchObject([{ prevLogIndex: 3, prevLogTerm: 1, entries: [{ index: 4 }] }]);
  });

  test('one that ends an entry earlier does', () => {
    const leader = new TestMember({ disk: compactedDisk(), appliedIndex: 3 });
    leader.becomeLeader();
    const given = leader.receive(refusedAppend({ term: 2, index: 4, hint: [2, 1] }));
    expect(given).toEqual({ ...nothing, snapshotsDue: [2] });
  });

  test('one that ends there with another term does', () => {
    const leader = new TestMember({ disk: compactedDisk(), appliedIndex: 3 });
    leader.becomeLeader();
    const probed = leader.receive(refusedAppend({ term: 2, index: 4, hint: [3, 0] }));
    expect(probed.messages).toMatchObject([{ prevLogIndex: 3 }]);
    expect(leader.receive(refusedAppend({ term: 2, index: 3, hint: [3, 0] }))).toEqual({
      ...nothing,
      snapshotsDue: [2],
    });
  });

  test('a leader whose whole log is a snapshot begins its term behind it', () => {
    const member = new TestMember({ term: 5 });
    member.install(snapshot({ index: at(6) }));
    member.settle();
    const given = member.becomeLeader();
    expect(given.messages).toMatchObject([
      { to: 2, prevLogIndex: 6, prevLogTerm: 4, entries: [{ index: 7, term: 6 }] },
      { to: 3, prevLogIndex: 6, prevLogTerm: 4, entries: [{ index: 7, term: 6 }] },
    ]);
    expect(member.receive(refusedAppend({ term: 6, index: 6, hint: [0, 0] })).snapshotsDue).toEqual([2]);
  });
});

describe('an install', () => {
  test('takes the place of a log that ends before it, and is answered once it is durable', () => {
    const member = new TestMember({ entries: entriesOfTerms([1, 1]), term: 5 });
    member.diskHeld = true;
    expect(member.install(snapshot({ index: at(6) }))).toBe('installing');
    expect(member.raft.status()).toMatchObject({
      leader: 2,
      firstIndex: 7,
      lastIndex: 6,
      commitIndex: 6,
      appliedIndex: 6,
    });
    expect(member.settle()).toEqual({
      ...nothing,
      leadership: [{ role: 'follower', term: 5, leader: 2 }],
      configurations: [foundedWith(configurationOf([1, 2, 3]))],
    });
    expect(member.writes).toEqual([
      {
        sequence: 1,
        hardState: undefined,
        install: { index: 6, term: 4 },
        truncateFrom: undefined,
        compactThrough: undefined,
        entries: [],
        messagesAfterPersist: [appended({ from: 1, to: 2, term: 5, index: 6 })],
      },
    ]);
    expect(member.completeWrite()).toEqual([appended({ from: 1, to: 2, term: 5, index: 6 })]);
    expect([member.disk.firstIndex(), member.disk.lastIndex(), member.disk.appliedIndex]).toEqual([7, 6, 6]);
  });

  test('takes the place of entries that conflict with it, however long they are', () => {
    const member = new TestMember({ entries: entriesOfTerms([1, 1, 3, 3, 3, 3]), term: 5 });
    expect(member.install(snapshot({ index: at(4) }))).toBe('installing');
    expect(member.settle().messages).toEqual([appended({ from: 1, to: 2, term: 5, index: 4 })]);
    expect(member.log).toEqual([]);
    const entries = [command({ index: 5, term: 5 })];
    member.receive(appendEntries({ term: 5, prev: [4, 4], entries, leaderCommit: 5 }));
    expect(member.log).toEqual(entries);
    expect(member.applied).toEqual(entries);
  });

  test('leaves a log alone that holds its last entry, commits up to it, and is answered', () => {
    const entries = entriesOfTerms([4, 4, 4, 5]);
    const member = new TestMember({ entries });
    expect(member.install(snapshot({ index: at(3) }))).toBe('not_needed');
    expect(member.settle()).toMatchObject({
      messages: [appended({ from: 1, to: 2, term: 5, index: 3 })],
      committed: entries.slice(0, 3),
    });
    expect(member.log).toEqual(entries);
  });

  test('that is behind what is committed changes nothing, and is answered with what is', () => {
    const member = new TestMember({ term: 5 });
    const entries = entriesOfTerms([4, 4, 4, 4]);
    member.receive(appendEntries({ term: 5, prev: [0, 0], entries, leaderCommit: 4 }));
    expect(member.install(snapshot({ index: at(2) }))).toBe('not_needed');
    expect(member.settle()).toEqual({ ...nothing, messages: [appended({ from: 1, to: 2, term: 5, index: 4 })] });
    expect(member.log).toEqual(entries);
  });

  test('from an older term is not wanted, and not answered', () => {
    const member = new TestMember({ term: 6 });
    expect(member.install(snapshot({ index: at(3) }))).toBe('not_needed');
    expect(member.settle()).toEqual(nothing);
    expect(member.raft.status()).toMatchObject({ lastIndex: 0, leader: 0 });
  });

  test('from a newer term is joined there', () => {
    const member = new TestMember({ term: 3, votedFor: 3 });
    expect(member.install(snapshot({ index: at(3) }))).toBe('installing');
    expect(member.raft.status()).toMatchObject({ role: 'follower', term: 5, votedFor: 0, leader: 2 });
    member.settle();
    expect(member.disk.hardState).toEqual({ currentTerm: 5, votedFor: 0 });
  });

  test('ends a campaign of its own term', () => {
    const member = new TestMember({ term: 4 });
    member.raft.campaign();
    member.receive(voted({ pre: true, term: 5, granted: true }));
    expect(member.raft.status()).toMatchObject({ role: 'candidate', term: 5 });
    expect(member.install(snapshot({ index: at(3) }))).toBe('installing');
    expect(member.raft.status()).toMatchObject({ role: 'follower', term: 5, votedFor: 1, leader: 2 });
  });

  test('brings its configuration, over a later one that was not committed', () => {
    const rejected = configurationOf([1, 2], { votersOutgoing: [1, 2, 3].map(replica) });
    const entries = [...entriesOfTerms([1]), configurationEntry(2, 2, rejected), command({ index: 3, term: 2 })];
    const member = new TestMember({ entries, term: 5 });
    expect(member.raft.status().configuration).toEqual(rejected);
    const configuration = { index: at(1), configuration: configurationOf([1, 2, 4]) };
    expect(member.install(snapshot({ index: at(2), configuration }))).toBe('installing');
    expect(member.settle().configurations).toEqual([configuration]);
    expect(member.raft.configuration).toEqual(configuration);
    // What was in force before is forgotten for good: a later one that is rolled back gives way to the snapshot's.
    const later = [configurationEntry(3, 5, configurationOf([1, 2]))];
    member.receive(appendEntries({ term: 5, prev: [2, 4], entries: later }));
    member.receive(appendEntries({ term: 6, prev: [2, 4], entries: [noop({ index: 3, term: 6 })] }));
    expect(member.raft.configuration).toEqual(configuration);
  });

  test('that leaves its receiver out removes it', () => {
    const member = new TestMember({ term: 5 });
    const configuration = { index: at(1), configuration: configurationOf([2, 3, 4]) };
    member.install(snapshot({ index: at(2), configuration }));
    expect(member.raft.removed).toBe(true);
    member.tick(100);
    expect(member.settle().leadership).toMatchObject([{ role: 'follower' }]);
  });

  test('before a newer one can be followed by it at once, and only the newer is durable', () => {
    const member = new TestMember({ term: 5 });
    member.install(snapshot({ index: at(3) }));
    member.install(snapshot({ index: at(8) }));
    member.settle();
    expect([member.disk.firstIndex(), member.disk.lastIndex(), member.disk.appliedIndex]).toEqual([9, 8, 8]);
  });
});

describe('the disk', () => {
  test('what was under way when a snapshot came counts for nothing when it completes', () => {
    const member = new TestMember({ term: 5 });
    member.diskHeld = true;
    // Entries of a leader that has lost: they reach beyond the snapshot.
    member.receive(appendEntries({ from: 3, term: 5, prev: [0, 0], entries: entriesOfTerms([2, 2, 2, 2, 2, 2]) }));
    member.receive(heartbeat({ term: 6 }));
    expect(member.install(snapshot({ index: at(4), term: inTerm(6) }))).toBe('installing');
    member.settle();
    expect(member.completeWrite()).toEqual([]);
    expect(member.receive(heartbeat({ term: 6, leaderCommit: 4 })).messages).toEqual([]);
    while (member.writes.length > 0) member.completeWrite();
    expect(member.disk.entriesStored).toEqual([]);
    expect(member.disk.lastIndex()).toBe(4);
    // An answer that speaks of the fourth entry waited for the snapshot, and a later one need not.
    expect(member.receive(appendEntries({ term: 6, prev: [4, 4] })).messages).toEqual([
      appended({ from: 1, to: 2, term: 6, index: 4 }),
    ]);
  });

  test('entries that follow a snapshot not yet durable wait for it', () => {
    const member = new TestMember({ term: 5 });
    member.diskHeld = true;
    member.install(snapshot({ index: at(4) }));
    member.takeReady();
    const entries = [command({ index: 5, term: 5 })];
    expect(member.receive(appendEntries({ term: 5, prev: [4, 4], entries })).messages).toEqual([]);
    expect(member.completeWrite()).toEqual([appended({ from: 1, to: 2, term: 5, index: 4 })]);
    expect(member.completeWrite()).toEqual([appended({ from: 1, to: 2, term: 5, index: 5 })]);
    expect(member.disk.entriesStored).toEqual(entries);
  });

  test('what was to be truncated or compacted, and not handed over yet, is no more: the snapshot replaces all', () => {
    const member = new TestMember({ entries: entriesOfTerms([1, 1, 1]), term: 5 });
    member.receive(heartbeat({ term: 5, leaderCommit: 2 }));
    member.raft.compact(at(1));
    member.raft.step(appendEntries({ term: 5, prev: [2, 1], entries: entriesOfTerms([2], 3) }));
    member.install(snapshot({ index: at(6) }));
    expect(member.takeReady().persist).toMatchObject({
      install: { index: 6, term: 4 },
      truncateFrom: undefined,
      compactThrough: undefined,
      entries: [],
    });
  });

  test('a truncation above a snapshot stays above it', () => {
    const member = new TestMember({ term: 5 });
    member.install(snapshot({ index: at(4) }));
    member.receive(appendEntries({ term: 5, prev: [4, 4], entries: entriesOfTerms([5, 5], 5) }));
    member.receive(appendEntries({ term: 6, prev: [4, 4], entries: entriesOfTerms([6], 5) }));
    expect(member.disk.entriesStored).toEqual(entriesOfTerms([6], 5));
    expect([member.disk.firstIndex(), member.disk.lastIndex()]).toEqual([5, 5]);
  });

  test.each([
    { when: 'before', lastIndex: 1, texts: [] },
    { when: 'after', lastIndex: 5, texts: ['a', 'b', 'c', 'd'] },
  ])('a crash $when the snapshot is durable leaves one log or the other, and the member catches up', (story) => {
    const network = compacted();
    network.snapshotsHeld = true;
    network.heal();
    network.pass(2);
    network.member(3).diskHeld = true;
    network.member(3).install(network.snapshots.shift()!);
    network.settle(3);
    if (story.when === 'after') network.member(3).completeWrite();
    network.crash(3);
    network.restart(3);
    expect(statusOf(network, 3).lastIndex).toBe(story.lastIndex);
    expect(network.appliedTexts(3)).toEqual(story.texts);
    // As its shell does when the other's process is gone.
    network.member(1).raft.snapshotEnded(replica(3));
    network.snapshotsHeld = false;
    network.pass(4);
    expect(network.appliedTexts(3)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('a vote that waits for the disk when a snapshot comes is given by what the log was', () => {
    const member = new TestMember({ entries: entriesOfTerms([1, 1]), term: 4 });
    member.diskHeld = true;
    member.receive(voteRequest({ term: 5, last: [6, 4] }));
    expect(member.install(snapshot({ index: at(6) }))).toBe('installing');
    member.settle();
    // The answer to the vote was overtaken; nobody needs it any more, and the vote itself stays.
    expect(member.completeWrite()).toEqual([]);
    expect(member.completeWrite()).toEqual([appended({ from: 1, to: 2, term: 5, index: 6 })]);
    expect(member.disk.hardState).toEqual({ currentTerm: 5, votedFor: 2 });
  });
});

describe('compaction', () => {
  const settled = () => {
    const member = new TestMember({ term: 1 });
    const entries = entriesOfTerms([1, 1, 1, 1, 1]);
    member.receive(appendEntries({ term: 1, prev: [0, 0], entries, leaderCommit: 4 }));
    return member;
  };

  test('reaches the disk with the next hand-out, and the log begins behind it', () => {
    const member = settled();
    member.raft.compact(at(3));
    expect(member.raft.hasReady()).toBe(true);
    expect(member.takeReady().persist).toMatchObject({ compactThrough: 3, entries: [], hardState: undefined });
    expect(member.raft.status()).toMatchObject({ firstIndex: 4, lastIndex: 5 });
    member.completeWrite();
    expect(member.disk.firstIndex()).toBe(4);
    expect(member.raft.hasReady()).toBe(false);
  });

  test('may be asked for twice, or when a snapshot has gone further', () => {
    const member = settled();
    member.raft.compact(at(3));
    member.settle();
    member.raft.compact(at(3));
    member.raft.compact(at(2));
    expect(member.raft.hasReady()).toBe(false);
    member.install(snapshot({ index: at(9), term: inTerm(6) }));
    member.settle();
    member.raft.compact(at(4));
    expect(member.raft.status().firstIndex).toBe(10);
  });

  test('of what is not applied, or of everything, is a mistake of the shell', () => {
    expect(() => settled().raft.compact(at(5))).toThrow('entry 5 is not applied');
    const member = settled();
    member.receive(heartbeat({ term: 1, leaderCommit: 5 }));
    expect(() => member.raft.compact(at(5))).toThrow("can't compact the log through 5");
  });

  test('leaves followers that hold enough alone', () => {
    const network = new Network();
    network.campaign(1);
    network.propose(1, 'a', 'b');
    network.pass(2);
    network.propose(1, 'c');
    network.compact(1);
    network.pass(2);
    network.compact(2);
    expect(network.snapshots).toEqual([]);
    for (const id of [1, 2, 3]) expect(network.appliedTexts(id)).toEqual(['a', 'b', 'c']);
    network.crash(1);
    network.pass(20);
    expect(network.leaders()).toEqual([2]);
    network.restart(1);
    network.pass(3);
    expect(network.appliedTexts(1)).toEqual(['a', 'b', 'c']);
  });

  /** Replica 2 has not answered for what filled its window, and all of that is compacted. */
  function leaderWithFullWindow(): TestMember {
    const leader = new TestMember({ limits: { inflightMessagesMax: 1 } });
    leader.becomeLeader();
    for (const from of [2, 3]) leader.receive(appended({ from, term: 1, index: 1 }));
    for (const index of [2, 3, 4]) {
      leader.raft.propose(EntryKind.command, new Uint8Array(1));
      leader.settle();
      leader.receive(appended({ from: 3, term: 1, index }));
    }
    leader.raft.compact(at(3));
    leader.tick();
    leader.settle();
    return leader;
  }

  test('under a window that waits for lost answers turns to a snapshot with the next heartbeat', () => {
    expect(leaderWithFullWindow().receive(heartbeatAnswered({ term: 1 })).snapshotsDue).toEqual([2]);
  });

  test('asks for no snapshot any more once its leader has stepped down', () => {
    const leader = leaderWithFullWindow();
    leader.raft.step(heartbeatAnswered({ term: 1 }));
    leader.raft.step(heartbeat({ from: 3, term: 3 }));
    expect(leader.settle().snapshotsDue).toEqual([]);
  });
});
