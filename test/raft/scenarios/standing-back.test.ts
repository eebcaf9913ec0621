/** A member whose node is about to stop stands back: it helps to elect others, and is elected where nobody else can be. */
import { expect, test } from 'vitest';
import { heartbeat, limits, TestMember, timeoutNow } from '../member.ts';
import { Network, type NetworkOptions } from '../network.ts';

const { electionTicksMin, electionTicksMax } = limits;
const statusOf = (network: Network, id: number) => network.member(id).raft.status();

/** Three members, of which the first leads and all hold everything. */
function led(options: NetworkOptions = {}): Network {
  const network = new Network(options);
  network.campaign(1);
  network.pass(1);
  return network;
}

/** Who asks for votes from here on. */
function campaigners(network: Network): Set<number> {
  const asked = new Set<number>();
  network.filter(({ type, from }) => {
    if (type === 'PreVoteRequest' || type === 'VoteRequest') asked.add(from);
    return true;
  });
  return asked;
}

test('it lets the leader be lost, and votes for the one who notices after it', () => {
  const network = led();
  network.member(2).raft.standBack();
  const asked = campaigners(network);
  network.isolate(1);
  network.pass(2 * electionTicksMax);
  expect(network.leaders()).toContain(3);
  expect(asked).not.toContain(2);
});

test('nor does it campaign because the leader is known to be gone, or when it is told to take over', () => {
  const network = led();
  const { raft } = network.member(2);
  raft.standBack();
  raft.leaderGone(statusOf(network, 1).replicaId);
  network.campaign(2);
  expect(raft.status()).toMatchObject({ role: 'follower', term: 1 });
  const told = new TestMember();
  told.receive(heartbeat({ term: 1 }));
  told.raft.standBack();
  expect(told.receive(timeoutNow({ term: 1 })).messages).toEqual([]);
});

test('it leads on when it leads, as long as nobody takes over', () => {
  const network = led();
  network.member(1).raft.standBack();
  network.pass(5 * electionTicksMax);
  expect(network.leaders()).toEqual([1]);
});

test('alone in its group it is elected as ever', () => {
  const byItself = new Network({ voters: [1] });
  byItself.member(1).raft.standBack();
  byItself.campaign(1);
  expect(byItself.leaders()).toEqual([1]);
  const byTime = new Network({ voters: [1] });
  byTime.member(1).raft.standBack();
  byTime.pass(electionTicksMax);
  expect(byTime.leaders()).toEqual([1]);
});

test('when the only other one within reach lags, nobody else can win: it is elected, only later', () => {
  const network = led();
  network.isolate(3);
  network.propose(1, 'a');
  network.run();
  network.heal();
  network.isolate(1);
  network.member(2).raft.standBack();
  network.pass(electionTicksMin + electionTicksMax - 1);
  expect(network.leaders()).toEqual([]);
  network.pass(electionTicksMax);
  expect(network.leaders()).toContain(2);
  expect(network.appliedTexts(3)).toEqual(['a']);
});

test('when all are about to stop, one is elected all the same', () => {
  const network = led();
  for (const id of network.ids) network.member(id).raft.standBack();
  network.isolate(1);
  network.pass(3 * electionTicksMax);
  expect(network.leaders().filter((id) => id !== 1)).toHaveLength(1);
});

test('an election that it had begun before goes on', () => {
  const network = new Network();
  network.member(2).raft.campaign();
  network.member(2).raft.standBack();
  network.run();
  expect(network.leaders()).toEqual([2]);
});
