/** Messages that are lost, repeated, late or in the wrong order: the log neither loses nor invents anything. */
import { describe, expect, test } from 'vitest';
import type { Message } from '../../../src/raft/types.ts';
import { EntryKind } from '../../../src/raft/types.ts';
import {
  appended,
  appendEntries,
  bytesOf,
  command,
  entriesOfTerms,
  heartbeat,
  heartbeatAnswered,
  refusedAppend,
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

function proposeAll(leader: TestMember, count: number): Message[] {
  const sent = [];
  for (let number = 1; number <= count; number++) {
    leader.raft.propose(EntryKind.command, bytesOf(`c${number}`));
    sent.push(...leader.settle().messages.filter((message) => message.to === 2));
  }
  return sent;
}

describe('at a follower', () => {
  test('a late AppendEntries that covers less than is held truncates nothing', () => {
    const follower = new TestMember({ term: 1 });
    const entries = entriesOfTerms([1, 1, 1]);
    follower.receive(appendEntries({ term: 1, prev: [0, 0], entries }));
    const late = follower.receive(appendEntries({ term: 1, prev: [0, 0], entries: entries.slice(0, 1) }));
    expect(late.messages).toEqual([appended({ from: 1, to: 2, term: 1, index: 1 })]);
    expect(follower.log).toEqual(entries);
    expect(follower.raft.status().lastIndex).toBe(3);
  });

  test('AppendEntries in the wrong order are refused, then accepted, and the log is the same', () => {
    const follower = new TestMember({ term: 1 });
    const entries = entriesOfTerms([1, 1]);
    const [first, second] = [
      appendEntries({ term: 1, prev: [0, 0], entries: entries.slice(0, 1) }),
      appendEntries({ term: 1, prev: [1, 1], entries: entries.slice(1) }),
    ];
    expect(follower.receive(second).messages).toEqual([
      refusedAppend({ from: 1, to: 2, term: 1, index: 1, hint: [0, 0] }),
    ]);
    expect(follower.receive(first).messages).toEqual([appended({ from: 1, to: 2, term: 1, index: 1 })]);
    expect(follower.receive(second).messages).toEqual([appended({ from: 1, to: 2, term: 1, index: 2 })]);
    expect(follower.receive(first).messages).toEqual([appended({ from: 1, to: 2, term: 1, index: 1 })]);
    expect(follower.log).toEqual(entries);
  });

  test('the commit index stops at the last entry that this very message verified', () => {
    // The last two are of a leader that died; the new one has committed others at their places.
    const follower = new TestMember({ entries: entriesOfTerms([1, 1, 1]) });
    const probe = appendEntries({ term: 2, prev: [1, 1], leaderCommit: 3 });
    expect(follower.receive(probe).committed).toEqual(entriesOfTerms([1]));
    const empty = appendEntries({ term: 2, prev: [0, 0], leaderCommit: 3 });
    expect(follower.receive(empty).committed).toEqual([]);
    const entries = entriesOfTerms([2, 2], 2);
    const { committed } = follower.receive(appendEntries({ term: 2, prev: [1, 1], entries, leaderCommit: 3 }));
    expect(committed).toEqual(entries);
  });

  test('what lies below the commit index is not compared, and counts as held', () => {
    const follower = new TestMember({ term: 1 });
    const entries = entriesOfTerms([1, 1, 1, 1]);
    follower.receive(appendEntries({ term: 1, prev: [0, 0], entries: entries.slice(0, 3), leaderCommit: 3 }));
    const below = follower.receive(appendEntries({ term: 1, prev: [0, 0], entries: entries.slice(0, 1) }));
    expect(below.messages).toEqual([appended({ from: 1, to: 2, term: 1, index: 3 })]);
    // One that reaches beyond brings its new part.
    const across = follower.receive(appendEntries({ term: 1, prev: [1, 1], entries: entries.slice(1) }));
    expect(across.messages).toEqual([appended({ from: 1, to: 2, term: 1, index: 4 })]);
    expect(follower.log).toEqual(entries);
  });

  test('a prevLogIndex that was compacted away is no conflict', () => {
    const entries = entriesOfTerms([1, 1, 1, 1]);
    const base = new TestMember({ entries });
    base.disk.compactTo(3);
    const follower = new TestMember({ disk: base.disk, appliedIndex: 3 });
    const { messages } = follower.receive(
      appendEntries({ term: 1, prev: [1, 1], entries: [...entries.slice(1), command({ index: 5, term: 1 })] }),
    );
    expect(messages).toEqual([appended({ from: 1, to: 2, term: 1, index: 5 })]);
    expect(follower.raft.status().lastIndex).toBe(5);
  });

  test('a leader that asks to replace a committed entry has broken a promise, and stops the member', () => {
    const follower = new TestMember({ entries: entriesOfTerms([1, 1]), appliedIndex: 1 });
    follower.receive(appendEntries({ term: 2, prev: [1, 1], entries: entriesOfTerms([2], 2), leaderCommit: 2 }));
    expect(() => follower.receive(heartbeat({ term: 2, leaderCommit: 9 }))).toThrow('commit index 9 beyond');
    const other = new TestMember({ entries: entriesOfTerms([1, 1]) });
    other.receive(appendEntries({ term: 2, prev: [2, 1] }));
    expect(() => other.receive(appendEntries({ term: 2, prev: [0, 0], entries: entriesOfTerms([2]) }))).toThrow(
      "entry 1 of this term's leader would be truncated",
    );
  });
});

describe('at a leader', () => {
  test('late and repeated answers take nothing back', () => {
    const leader = settledLeader();
    proposeAll(leader, 3);
    leader.receive(appended({ term: 1, index: 4 }));
    const before = leader.raft.status();
    leader.receive(appended({ term: 1, index: 2 }));
    leader.receive(appended({ term: 1, index: 4 }));
    leader.receive(refusedAppend({ term: 1, index: 1, hint: [0, 0] }));
    expect(leader.raft.status()).toEqual(before);
  });

  test('a lost AppendEntries is noticed by the refusal of the next, and all from there is sent again', () => {
    const leader = settledLeader();
    proposeAll(leader, 2);
    const { messages } = leader.receive(refusedAppend({ term: 1, index: 2, hint: [1, 1] }));
    const entries = [command({ index: 2, term: 1, body: 'c1' }), command({ index: 3, term: 1, body: 'c2' })];
    expect(messages).toEqual([appendEntries({ from: 1, to: 2, term: 1, prev: [1, 1], entries, leaderCommit: 1 })]);
  });

  test('when the last of them is lost, the answer to a heartbeat leads to a question, and its refusal to the repair', () => {
    const leader = settledLeader();
    proposeAll(leader, 2);
    leader.tick();
    leader.settle();
    const question = leader.receive(heartbeatAnswered({ term: 1 })).messages;
    expect(question).toEqual([appendEntries({ from: 1, to: 2, term: 1, prev: [3, 1], leaderCommit: 1 })]);
    // One question for each heartbeat, however many answers come.
    expect(leader.receive(heartbeatAnswered({ term: 1 })).messages).toEqual([]);
    const repair = leader.receive(refusedAppend({ term: 1, index: 3, hint: [1, 1] })).messages;
    expect(repair).toMatchObject([{ to: 2, prevLogIndex: 1, entries: [{ index: 2 }, { index: 3 }] }]);
  });

  test('a lost probe is repeated after a heartbeat, and not before', () => {
    const leader = new TestMember();
    leader.becomeLeader();
    leader.raft.propose(EntryKind.command, bytesOf('waits'));
    expect(leader.settle().messages).toEqual([]);
    leader.tick();
    leader.settle();
    const { messages } = leader.receive(heartbeatAnswered({ term: 1 }));
    expect(messages).toMatchObject([{ to: 2, prevLogIndex: 0, entries: [{ index: 1 }, { index: 2 }] }]);
  });

  test('a follower that does not answer gets a full window and no more; one answer lets the rest go', () => {
    const leader = settledLeader({ limits: { inflightMessagesMax: 3 } });
    expect(proposeAll(leader, 6).map((message) => 'prevLogIndex' in message && message.prevLogIndex)).toEqual([
      1, 2, 3,
    ]);
    // The rest travels together.
    expect(leader.receive(appended({ term: 1, index: 2 })).messages).toMatchObject([
      { to: 2, prevLogIndex: 4, entries: [{ index: 5 }, { index: 6 }, { index: 7 }] },
    ]);
  });

  test('a full window whose messages were all lost is repaired', () => {
    const network = new Network({ limits: { inflightMessagesMax: 3 } });
    network.campaign(1);
    network.filter((message) => message.to !== 3 || message.type !== 'AppendEntriesRequest');
    for (const text of ['a', 'b', 'c', 'd', 'e', 'f']) network.propose(1, text);
    network.pass(3);
    expect(network.member(3).log).toHaveLength(1);
    network.heal();
    network.pass(3);
    expect(network.appliedTexts(3)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  test('when only the answers were lost nothing is sent twice', () => {
    const network = new Network();
    network.campaign(1);
    network.filter((message) => message.from !== 3 || message.type !== 'AppendEntriesResponse');
    network.propose(1, 'a');
    network.run();
    network.heal();
    const resent: Message[] = [];
    network.filter((message) => {
      if (message.type === 'AppendEntriesRequest' && message.to === 3) resent.push(message);
      return true;
    });
    network.pass(2);
    expect(resent).toMatchObject([{ prevLogIndex: 2, entries: [] }]);
    expect(network.member(1).raft.status().progress).toMatchObject([{ matchIndex: 2 }, { matchIndex: 2 }]);
  });

  test('the commit index reaches followers by heartbeat when no more entries come', () => {
    const network = new Network();
    network.campaign(1);
    network.propose(1, 'a');
    network.run();
    expect(network.appliedTexts(2)).toEqual([]);
    network.pass(1);
    expect(network.appliedTexts(2)).toEqual(['a']);
  });
});

test('a follower far behind is brought up from the disk, in pieces, when memory no longer has what it needs', () => {
  const network = new Network({ limits: { logCacheBytesMax: 500, appendBytesMax: 10, inflightMessagesMax: 4 } });
  network.campaign(1);
  network.isolate(3);
  const texts = Array.from({ length: 60 }, (_, number) => `number ${number}`);
  for (const text of texts) {
    network.propose(1, text);
    network.run();
  }
  network.heal();
  network.pass(20);
  expect(network.appliedTexts(3)).toEqual(texts);
});

test('a follower that needs what was compacted away waits for a snapshot, and nothing is sent to it meanwhile', () => {
  const entries = entriesOfTerms([1, 1, 1, 1]);
  const network = new Network({ logs: { 1: entries, 2: entries } });
  network.disk(1).compactTo(3);
  network.restart(1, 3);
  network.snapshotsHeld = true;
  network.campaign(1);
  const toThird: Message[] = [];
  network.filter((message) => {
    if (message.to === 3) toThird.push(message);
    return true;
  });
  network.pass(3);
  expect(network.member(1).raft.status().progress).toMatchObject([
    { replicaId: 2, state: 'replicate', matchIndex: 5 },
    { replicaId: 3, state: 'snapshot', matchIndex: 0, recentlyActive: true },
  ]);
  expect(new Set(toThird.map((message) => message.type))).toEqual(new Set(['Heartbeat']));
});
