/** Writes that are late, overtaken or lost: nothing is said of what a crash could take back. */
import { describe, expect, test } from 'vitest';
import {
  appended,
  appendEntries,
  command,
  entriesOfTerms,
  heartbeat,
  heartbeatAnswered,
  limits,
  refusedAppend,
  TestMember,
  voted,
  voteRequest,
} from '../member.ts';
import { Network } from '../network.ts';

function slowMember(options: ConstructorParameters<typeof TestMember>[0] = {}): TestMember {
  const member = new TestMember(options);
  member.diskHeld = true;
  return member;
}

describe('a vote', () => {
  test('waits for the disk, given or refused, when it speaks of a new term', () => {
    const member = slowMember();
    expect(member.receive(voteRequest({ term: 3, last: [0, 0] })).messages).toEqual([]);
    expect(member.receive(voteRequest({ from: 3, term: 3, last: [0, 0] })).messages).toEqual([]);
    expect(member.completeWrite()).toEqual([voted({ from: 1, to: 2, term: 3, granted: true })]);
    expect(member.completeWrite()).toEqual([voted({ from: 1, to: 3, term: 3, granted: false })]);
    // Nothing new is said now, so nothing is waited for.
    expect(member.receive(voteRequest({ from: 3, term: 3, last: [0, 0] })).messages).toEqual([
      voted({ from: 1, to: 3, term: 3, granted: false }),
    ]);
  });

  test('that a crash took back was never heard of, and may go to another', () => {
    const network = new Network();
    const voter = network.member(2);
    voter.diskHeld = true;
    network.cut(1, 3);
    network.cut(3, 1);
    network.campaign(1);
    expect(voter.raft.status()).toMatchObject({ term: 1, votedFor: 1 });
    expect(network.leaders()).toEqual([]);

    network.crash(2);
    network.restart(2);
    expect(network.member(2).raft.status()).toMatchObject({ term: 0, votedFor: 0 });
    network.campaign(3);
    expect(network.leaders()).toEqual([3]);
    network.heal();
    network.pass(3);
    expect(network.leaders()).toEqual([3]);
  });

  test('overtaken by a higher term is not given any more', () => {
    const member = slowMember();
    member.receive(voteRequest({ term: 3, last: [0, 0] }));
    member.receive(voteRequest({ from: 3, term: 4, last: [0, 0] }));
    expect(member.completeWrite()).toEqual([]);
    expect(member.completeWrite()).toEqual([voted({ from: 1, to: 3, term: 4, granted: true })]);
  });

  test('does not become durable by an earlier write, which knew nothing of it', () => {
    const member = slowMember();
    member.receive(voteRequest({ term: 3, last: [0, 0] }));
    member.receive(voteRequest({ from: 3, term: 4, last: [0, 0] }));
    member.completeWrite();
    // Asked again between the two, it still waits.
    expect(member.receive(voteRequest({ from: 3, term: 4, last: [0, 0] })).messages).toEqual([]);
    const yes = voted({ from: 1, to: 3, term: 4, granted: true });
    expect([member.completeWrite(), member.completeWrite()]).toEqual([[yes], [yes]]);
  });

  test('of a candidate for itself counts only once it is durable', () => {
    const network = new Network({ voters: [1, 2] });
    network.member(1).diskHeld = true;
    network.campaign(1);
    expect(network.member(1).raft.status()).toMatchObject({ role: 'candidate', votedFor: 1 });
    // Even a yes that arrives before does not make it a leader.
    network.deliver(voted({ term: 1, granted: true }));
    expect(network.leaders()).toEqual([]);
    network.mail.push(...network.member(1).completeWrite());
    network.settle(1);
    expect(network.leaders()).toEqual([1]);
  });
});

describe('an answer', () => {
  test('of an old term that was still to be handed out is not given after the term moved on in the same turn', () => {
    const member = slowMember({ term: 1 });
    member.raft.step(appendEntries({ term: 1, prev: [0, 0], entries: entriesOfTerms([1]) }));
    member.raft.step(heartbeat({ from: 3, term: 2 }));
    expect(member.settle().messages).toEqual([]);
    expect(member.completeWrite()).toEqual([heartbeatAnswered({ from: 1, to: 3, term: 2 })]);
  });

  test.each([
    [
      'a refused AppendEntries',
      appendEntries({ term: 2, prev: [5, 1] }),
      refusedAppend({ from: 1, to: 2, term: 2, index: 5, hint: [0, 0] }),
    ],
    ['a heartbeat', heartbeat({ term: 2, readRound: 4 }), heartbeatAnswered({ from: 1, to: 2, term: 2, readRound: 4 })],
  ])('to %s of a new term waits until that term is durable', (_name, message, answer) => {
    const member = slowMember();
    expect(member.receive(message).messages).toEqual([]);
    expect(member.completeWrite()).toEqual([answer]);
    expect(member.receive(message).messages).toEqual([answer]);
  });

  test('to a repeated AppendEntries waits for the entries of the first, which are not durable yet', () => {
    const member = slowMember({ term: 1 });
    const message = appendEntries({ term: 1, prev: [0, 0], entries: entriesOfTerms([1, 1]) });
    member.receive(message);
    expect(member.receive(message).messages).toEqual([]);
    expect(member.writes).toMatchObject([{ sequence: 1 }, { sequence: 2, entries: [], hardState: undefined }]);
    const answer = appended({ from: 1, to: 2, term: 1, index: 2 });
    expect([member.completeWrite(), member.completeWrite()]).toEqual([[answer], [answer]]);
    expect(member.receive(message).messages).toEqual([answer]);
  });

  test('for entries that a later leader has replaced meanwhile is not given', () => {
    const member = slowMember({ term: 1 });
    member.receive(appendEntries({ term: 1, prev: [0, 0], entries: entriesOfTerms([1, 1]) }));
    member.receive(appendEntries({ from: 3, term: 2, prev: [1, 1], entries: entriesOfTerms([2], 2) }));
    expect(member.completeWrite()).toEqual([]);
    expect(member.completeWrite()).toEqual([appended({ from: 1, to: 3, term: 2, index: 2 })]);
  });
});

test('ABA: an entry is written, replaced and put back; only its second write counts, though index and term are the same', () => {
  const member = slowMember({ term: 1 });
  const x = command({ index: 1, term: 1, body: 'x' });
  const y = command({ index: 1, term: 2, body: 'y' });
  member.receive(appendEntries({ from: 2, term: 1, prev: [0, 0], entries: [x] }));
  member.receive(heartbeat({ from: 3, term: 2 }));
  member.receive(appendEntries({ from: 3, term: 2, prev: [0, 0], entries: [y] }));
  // The leader of term 3 has x and never heard of y.
  member.receive(heartbeat({ from: 2, term: 3 }));
  member.receive(appendEntries({ from: 2, term: 3, prev: [0, 0], entries: [x] }));
  expect(member.writes.map((write) => [write.hardState?.currentTerm, write.truncateFrom, ...write.entries])).toEqual([
    [undefined, undefined, x],
    [2, undefined],
    [undefined, 1, y],
    [3, undefined],
    [undefined, 1, x],
  ]);

  // After each completion the leader asks again. On disk is x, then y; a crash would leave one of these.
  const again = appendEntries({ from: 2, term: 3, prev: [1, 1] });
  for (let write = 1; write <= 3; write++) {
    expect(member.completeWrite()).toEqual([]);
    expect(member.receive(again).messages).toEqual([]);
  }
  expect(member.completeWrite()).toEqual([]); // Its reply rode with a write that a truncation has overtaken.
  expect(member.receive(again).messages).toEqual([]);
  expect(member.completeWrite()).toEqual([appended({ from: 1, to: 2, term: 3, index: 1 })]);
  expect(member.receive(again).messages).toEqual([appended({ from: 1, to: 2, term: 3, index: 1 })]);
});

test('what lies below a truncation goes on counting', () => {
  const member = slowMember({ term: 1 });
  member.receive(appendEntries({ from: 2, term: 1, prev: [0, 0], entries: entriesOfTerms([1, 1]) }));
  member.receive(appendEntries({ from: 3, term: 2, prev: [1, 1], entries: entriesOfTerms([2], 2) }));
  member.completeWrite();
  // The term is not durable yet, so this waits for the second write, but not for a third.
  member.completeWrite();
  expect(member.receive(appendEntries({ from: 3, term: 2, prev: [1, 1] })).messages).toEqual([
    appended({ from: 1, to: 3, term: 2, index: 1 }),
  ]);
});

test('completions out of order are a bug', () => {
  const member = slowMember({ term: 1 });
  member.receive(appendEntries({ term: 1, prev: [0, 0], entries: entriesOfTerms([1]) }));
  member.receive(appendEntries({ term: 1, prev: [1, 1], entries: entriesOfTerms([1], 2) }));
  expect(() => member.raft.persisted(member.writes[1]!)).toThrow('completion 2 out of order');
});

test('a leader with a slow disk is carried by its followers, and catches up', () => {
  const network = new Network();
  network.campaign(1);
  network.member(1).diskHeld = true;
  network.propose(1, 'a', 'b');
  network.pass(2);
  expect(network.appliedTexts(1)).toEqual(['a', 'b']);
  expect(network.disk(1).lastIndex()).toBe(1);
  network.member(1).diskHeld = false;
  network.pass(1);
  expect(network.disk(1).lastIndex()).toBe(3);
});

test('what only memory has is sent from memory, however small the memory for it', () => {
  const network = new Network({ voters: [1, 2, 3, 4, 5], limits: { logCacheBytesMax: 0 } });
  network.campaign(1);
  network.member(1).diskHeld = true;
  network.isolate(5);
  network.propose(1, 'a', 'b');
  network.run();
  expect(network.appliedTexts(1)).toEqual(['a', 'b']);
  network.heal();
  network.pass(3);
  expect(network.disk(1).lastIndex()).toBe(1);
  expect(network.appliedTexts(5)).toEqual(['a', 'b']);
});

test('a leader that crashes with unsynced entries finds them again at its followers', () => {
  const network = new Network();
  network.campaign(1);
  network.member(1).diskHeld = true;
  network.propose(1, 'kept by the others');
  network.run();
  network.crash(1);
  network.restart(1);
  expect(network.member(1).raft.status()).toMatchObject({ term: 1, lastIndex: 1 });
  network.pass(limits.electionTicksMax + 5);
  expect(network.leaders()).toHaveLength(1);
  for (const id of [1, 2, 3]) expect(network.appliedTexts(id)).toEqual(['kept by the others']);
});

test('when all crash before a majority was durable, nobody had heard of the write', () => {
  const network = new Network();
  network.campaign(1);
  network.pass(1);
  for (const id of [1, 2, 3]) network.member(id).diskHeld = true;
  network.propose(1, 'never acknowledged');
  network.run();
  expect(network.appliedTexts(1)).toEqual([]);
  for (const id of [1, 2, 3]) {
    network.crash(id);
    network.restart(id);
  }
  network.pass(30);
  network.propose(network.leaders()[0]!, 'next');
  network.pass(2);
  for (const id of [1, 2, 3]) expect(network.appliedTexts(id)).toEqual(['next']);
});
