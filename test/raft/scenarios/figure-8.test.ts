/** Figure 8 of the paper: an entry on a majority that a later leader still replaces, and one that nobody can. */
import { expect, test } from 'vitest';
import { appendEntries, command, entriesOfTerms, limits, noop } from '../member.ts';
import { Network } from '../network.ts';

/** As in (c): S1 leads again in term 4 and has just brought its entry of term 2 to a majority, S5 has one of term 3. */
function asInC(): Network {
  const network = new Network({
    voters: [1, 2, 3, 4, 5],
    logs: {
      1: entriesOfTerms([1, 2]),
      2: entriesOfTerms([1, 2]),
      3: entriesOfTerms([1]),
      4: entriesOfTerms([1]),
      5: entriesOfTerms([1, 3]),
    },
    terms: { 1: 3, 2: 3, 3: 3, 4: 3, 5: 3 },
  });
  network.isolate(5);
  // S1's no-op of term 4 reaches nobody yet, only what lies before it.
  network.filter((message) => message.type !== 'AppendEntriesRequest' || !message.entries.some((e) => e.term === 4));
  network.campaign(1);
  expect(network.leaders()).toEqual([1]);
  const entries = [command({ index: 2, term: 2 })];
  for (const to of [2, 3]) network.deliver(appendEntries({ from: 1, to, term: 4, prev: [1, 1], entries }));
  network.run();
  for (const id of [1, 2, 3]) expect(network.member(id).log[1]).toEqual(command({ index: 2, term: 2 }));
  return network;
}

/** S5 slept through term 4: its first question is refused and teaches it the term, its second one counts. */
function campaignFromBehind(network: Network): void {
  network.campaign(5);
  expect(network.member(5).raft.status()).toMatchObject({ role: 'follower', term: 4 });
  network.campaign(5);
}

test('(d) the entry of term 2 sits on a majority, is not committed, and is replaced when its leader dies', () => {
  const network = asInC();
  expect(network.member(1).raft.status().commitIndex).toBe(0);

  network.crash(1);
  network.heal();
  network.pass(limits.electionTicksMin);
  campaignFromBehind(network);
  expect(network.leaders()).toEqual([5]);
  network.restart(1);
  network.pass(5);
  const { term } = network.member(5).raft.status();
  for (const id of [1, 2, 3, 4, 5]) {
    expect(network.member(id).log).toEqual([...entriesOfTerms([1, 3]), noop({ index: 3, term })]);
  }
});

test('(e) once an entry of its own term is on a majority, both are committed, and S5 can no longer win', () => {
  const network = asInC();
  network.heal();
  network.isolate(5);
  network.pass(2);
  expect(network.member(1).raft.status().commitIndex).toBe(3);

  network.crash(1);
  network.heal();
  network.pass(limits.electionTicksMin);
  campaignFromBehind(network);
  expect(network.leaders()).toEqual([]);
  network.pass(30);
  expect(network.leaders()).not.toContain(5);
  expect(network.leaders()).toHaveLength(1);
  for (const id of [2, 3, 4, 5]) {
    expect(network.member(id).log.slice(0, 3)).toEqual([...entriesOfTerms([1, 2]), noop({ index: 3, term: 4 })]);
  }
});
