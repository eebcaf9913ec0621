/** A group is founded, elects a leader, and takes its first commands. */
import { expect, test } from 'vitest';
import { Network } from '../network.ts';

test('three members elect the one that campaigns, and apply what it proposes', () => {
  const network = new Network();
  network.campaign(1);
  expect(network.leaders()).toEqual([1]);

  network.propose(1, 'a', 'b');
  network.run();
  expect(network.appliedTexts(1)).toEqual(['a', 'b']);
  expect(network.appliedTexts(2)).toEqual([]);

  // Followers hear of the commit with the next heartbeat.
  network.pass(1);
  expect(network.appliedTexts(2)).toEqual(['a', 'b']);
  expect(network.appliedTexts(3)).toEqual(['a', 'b']);
});

test('without anybody asking, the first whose timeout passes campaigns and wins', () => {
  const network = new Network();
  network.pass(9);
  expect(network.leaders()).toEqual([]);
  network.pass(1);
  expect(network.leaders()).toEqual([1]);
  network.pass(100);
  expect(network.leaders()).toEqual([1]);
  expect(network.member(3).raft.status()).toMatchObject({ role: 'follower', term: 1, leader: 1, commitIndex: 1 });
});

test('a single voter elects itself and commits alone, each only after its own disk is done', () => {
  const network = new Network({ voters: [1] });
  const member = network.member(1);
  member.diskHeld = true;
  network.campaign(1);
  expect(member.raft.status()).toMatchObject({ role: 'candidate', term: 1, votedFor: 1 });

  expect(member.completeWrite()).toEqual([]);
  network.settle(1);
  expect(member.raft.status()).toMatchObject({ role: 'leader', lastIndex: 1, commitIndex: 0 });

  network.propose(1, 'alone');
  expect(member.raft.status()).toMatchObject({ lastIndex: 2, commitIndex: 0 });
  member.completeWrite();
  expect(member.raft.status()).toMatchObject({ commitIndex: 1 });
  member.completeWrite();
  network.settle(1);
  expect(member.raft.status()).toMatchObject({ commitIndex: 2, appliedIndex: 2 });
  expect(network.appliedTexts(1)).toEqual(['alone']);
  expect(network.mail).toEqual([]);
});
