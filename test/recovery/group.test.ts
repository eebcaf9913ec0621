/** What a group is that has begun anew from one of its three replicas: its log and state, under a new id, in which none of the old ones counts. */
import { expect, test } from 'vitest';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import { EntryKind, type LogIndex, type ReplicaId, type Term } from '../../src/raft/types.ts';
import type { ReplicaOutcome } from '../../src/replica/options.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { openMemoryStorage } from '../../src/storage/memory-storage.ts';
import { World } from '../replica/world.ts';
import { members } from './surveys.ts';

const partition = 1 as PartitionId;
const [n1, n2] = ['n1', 'n2'] as [NodeId, NodeId];

function valueOf(outcome: ReplicaOutcome | undefined): string | undefined {
  if (outcome?.type !== 'value') throw new Error(`no value: ${JSON.stringify(outcome)}`);
  return outcome.record && Buffer.from(outcome.record.value).toString();
}

/** n1 led, and has an entry that nobody else has; then only its disk is left, and begins anew as replica 50. */
async function begunAnew(): Promise<World> {
  const world = await World.start();
  await world.elect('n1');
  world.put('n1', 'a', 'acknowledged');
  await world.settle();
  world.cut.add(n1);
  world.put('n1', 'b', 'only here');
  await world.settle();
  for (const name of ['n1', 'n2', 'n3']) await world.kill(name);
  world.mail = [];
  world.cut.clear();
  const storage = world.storage('n1');
  const last = storage.log(partition).lastIndex();
  const configuration = encodeConfiguration(members({ voters: { 50: 'n1' }, incarnation: 2 }));
  const entry = { index: (last + 1) as LogIndex, term: 90 as Term, kind: EntryKind.configuration, body: configuration };
  const done = storage.reincarnate([
    {
      partition,
      replicaId: 50 as ReplicaId,
      hardState: { currentTerm: 90 as Term, votedFor: 50 as ReplicaId },
      entries: [entry],
      configuration,
    },
  ]);
  await storage.completeBatch('log');
  await done;
  world.storages.set(n1, await storage.crash({ incarnation: 9 }));
  world.host(n1, {}, 50);
  return world;
}

test('it leads by its own vote, has all that its log held, and writes under versions that were never given', async () => {
  const world = await begunAnew();
  const leader = await world.elect('n1');
  expect(leader.status()).toMatchObject({ role: 'leader', term: 91, replicaId: 50 });
  const gets = [world.get('n1', 'a'), world.get('n1', 'b')];
  const put = world.put('n1', 'c', 'new');
  await world.settle();
  expect(gets.map(({ outcomes }) => valueOf(outcomes[0]))).toEqual(['acknowledged', 'only here']);
  // The no-op, two writes, the configuration, another no-op.
  const result = { type: 'put', revision: 2 ** 44 + 6, incarnation: 2, created: true, expiresAt: 0 };
  expect(put.outcomes).toMatchObject([{ type: 'result', result }]);
});

test('an old member that asks for votes is told that it was left out, and counts for nothing', async () => {
  const world = await begunAnew();
  await world.elect('n1');
  world.host(n2);
  const old = world.node('n2');
  // Its configuration knows three, and the one on n1 by an id that is dead: what it sends goes to 50, as if it had been led astray.
  world.node('n1').receive(n2, {
    type: 'VoteRequest',
    from: 2 as ReplicaId,
    to: 50 as ReplicaId,
    term: 500 as Term,
    lastLogIndex: 99 as LogIndex,
    lastLogTerm: 499 as Term,
    transfer: true,
  });
  await world.settle();
  expect(old.removed).toBe(true);
  expect(world.node('n1').status()).toMatchObject({ role: 'leader', term: 91 });
});

test('it grows again by newcomers, and whichever of them leads goes on with the incarnation', async () => {
  const world = await begunAnew();
  const leader = await world.elect('n1');
  await world.settle();
  expect(leader.changeConfiguration({ type: 'addLearner', host: 'n2' })).toMatchObject({ type: 'appended' });
  world.storages.set(
    n2,
    await openMemoryStorage({ automatic: false, after: (delayMs, run) => world.clock.after(delayMs, run) }),
  );
  world.storage('n2').foundGroup(partition, 51 as ReplicaId);
  world.host(n2, {}, 51);
  await world.ticks(4);
  expect(leader.changeConfiguration({ type: 'changeVoters', voters: [50, 51] as ReplicaId[] })).toMatchObject({
    type: 'appended',
  });
  await world.settle();
  const { configuration } = leader.configuration();
  expect([configuration.voters, configuration.replicaIdMax, configuration.incarnation]).toEqual([[50, 51], 51, 2]);

  expect(leader.transferLeadership(n2)).toMatchObject({ type: 'started' });
  await world.elect('n2');
  const get = world.get('n2', 'a');
  const put = world.put('n2', 'c', 'new');
  await world.settle();
  expect(get.outcomes.map(valueOf)).toEqual(['acknowledged']);
  expect(put.outcomes).toMatchObject([{ type: 'result', result: { type: 'put', incarnation: 2 } }]);
});
