/** One member of one group, seen by those who ask it: who is answered, when, and with what. */
import { describe, expect, test } from 'vitest';
import type { ReplicaOutcome } from '../../src/replica/options.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];

function valueOf(outcome: ReplicaOutcome | undefined): string | undefined {
  if (outcome?.type !== 'value') throw new Error(`no value: ${JSON.stringify(outcome)}`);
  return outcome.record && Buffer.from(outcome.record.value).toString();
}

describe('a write', () => {
  test('is answered once it is committed, and read back by everyone who asks the leader', async () => {
    const world = await World.start();
    await world.elect('n1');
    const put = world.put('n1', 'a', 'one');
    await world.settle();
    expect(put.outcomes).toEqual([
      {
        type: 'result',
        term: 1,
        result: { type: 'put', revision: 2, incarnation: 1, created: true, expiresAt: 0 },
        replayed: false,
        logTime: expect.any(Number) as number,
      },
    ]);
    const get = world.get('n1', 'a');
    await world.settle();
    expect(get.outcomes.map(valueOf)).toEqual(['one']);
  });

  test('is not answered while only the leader holds it durably', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.stalled.add(n2).add(n3);
    const put = world.put('n1', 'a', 'one');
    await world.settle();
    expect(put.outcomes).toEqual([]);
    world.stalled.delete(n3);
    await world.settle();
    expect(put.outcomes).toHaveLength(1);
  });

  test('is answered when both followers hold it durably, though the leader does not yet', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.stalled.add(n1);
    const put = world.put('n1', 'a', 'one');
    await world.settle();
    expect(put.outcomes).toHaveLength(1);
  });

  test('on a follower is refused at once', async () => {
    const world = await World.start();
    await world.elect('n1');
    expect(world.put('n2', 'a', 'one').outcomes).toEqual([{ type: 'not_leader' }]);
    expect(world.get('n2', 'a').outcomes).toEqual([{ type: 'not_leader' }]);
  });

  test('that no majority confirmed by its deadline is unknown, and may be applied later', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.stalled.add(n2).add(n3);
    const put = world.put('n1', 'a', 'one', 200);
    await world.ticks(3);
    expect(put.outcomes).toEqual([]);
    await world.ticks(2);
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'unknown' })]);
    world.stalled.clear();
    await world.settle();
    const get = world.get('n1', 'a');
    await world.settle();
    expect(get.outcomes.map(valueOf)).toEqual(['one']);
    expect(put.outcomes).toHaveLength(1);
  });

  test("whose place another leader's entry took was certainly not applied", async () => {
    const world = await World.start();
    await world.elect('n1');
    world.cut.add(n1);
    const lost = world.put('n1', 'a', 'lost', 60_000);
    await world.settle();
    await world.elect('n2');
    const won = world.put('n2', 'a', 'won');
    await world.settle();
    expect(won.outcomes).toHaveLength(1);
    expect(lost.outcomes).toEqual([]);
    world.cut.clear();
    await world.ticks(6);
    expect(lost.outcomes).toEqual([{ type: 'not_leader' }]);
  });

  test('that was committed after its leader had lost the leadership is answered as done', async () => {
    const world = await World.start();
    await world.elect('n1');
    const put = world.put('n1', 'a', 'one', 60_000);
    // The followers get the entry; their answers get lost with the leader's connection.
    world.node('n1').drive();
    world.storage('n1').flush();
    world.mail.forEach(({ from, to, message }) => world.node(to).receive(from, message));
    world.mail = [];
    world.cut.add(n1);
    await world.settle();
    await world.elect('n2');
    expect(put.outcomes).toEqual([]);
    world.cut.clear();
    await world.ticks(6);
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result', term: 1 })]);
  });

  test('beyond the bound on waiting writes is refused as overload', async () => {
    const world = await World.start(undefined, { pendingRequestsMax: 2 });
    await world.elect('n1');
    world.stalled.add(n2).add(n3);
    world.put('n1', 'a', '1');
    await world.settle();
    world.put('n1', 'a', '2');
    expect(world.put('n1', 'a', '3').outcomes).toEqual([expect.objectContaining({ type: 'overloaded' })]);
  });

  test('is refused as overload while too much waits for the disk', async () => {
    const world = await World.start(undefined, { pendingBytesMax: 100 });
    await world.elect('n1');
    world.stalled.add(n1);
    world.put('n1', 'a', 'x'.repeat(200));
    world.node('n1').drive();
    expect(world.put('n1', 'a', '3').outcomes).toEqual([expect.objectContaining({ type: 'overloaded' })]);
  });
});

describe('a read', () => {
  test('waits for a quorum: with both followers silent it is never answered with a value', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.cut.add(n2).add(n3);
    const get = world.get('n1', 'a', 60_000);
    await world.settle();
    expect(get.outcomes).toEqual([]);
    await world.ticks(40);
    expect(get.outcomes).toEqual([{ type: 'not_leader' }]);
  });

  test('that meets its deadline is refused, not unknown', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.cut.add(n2).add(n3);
    const get = world.get('n1', 'a', 100);
    await world.ticks(3);
    expect(get.outcomes).toEqual([{ type: 'not_leader' }]);
  });

  test('reads of one turn share a round', async () => {
    const world = await World.start();
    await world.elect('n1');
    const gets = Array.from({ length: 10 }, (_, i) => world.get('n1', `k${i}`));
    world.node('n1').drive();
    const rounds = world.mail.filter(({ message }) => message.type === 'Heartbeat' && message.readRound > 0);
    expect(rounds).toHaveLength(2);
    await world.settle();
    expect(gets.every((get) => get.outcomes.length === 1)).toBe(true);
  });

  test('an old leader that was cut off serves nothing when it is back, whatever it remembers', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.put('n1', 'a', 'old');
    await world.settle();
    world.cut.add(n1);
    await world.elect('n2');
    world.put('n2', 'a', 'new');
    await world.settle();
    world.cut.clear();
    const stale = world.get('n1', 'a');
    await world.ticks(6);
    expect(stale.outcomes).toEqual([{ type: 'not_leader' }]);
  });
});

describe('the state', () => {
  test('survives a crash of everyone with exactly what was acknowledged', async () => {
    const world = await World.start();
    await world.elect('n1');
    const put = world.put('n1', 'a', 'one');
    await world.settle();
    expect(put.outcomes).toHaveLength(1);
    for (const { nodeId } of world.members) {
      world.storages.set(nodeId, await world.storage(nodeId).crash({ incarnation: 2 }));
      world.host(nodeId);
    }
    world.leaders.clear();
    await world.elect('n1');
    const get = world.get('n1', 'a');
    await world.settle();
    expect(get.outcomes.map(valueOf)).toEqual(['one']);
  });

  test('is the same on every replica', async () => {
    const world = await World.start();
    await world.elect('n1');
    for (let i = 0; i < 20; i += 1) world.put('n1', `k${i % 7}`, `v${i}`);
    await world.settle();
    await world.ticks(4);
    const states = world.members.map(({ nodeId }) => world.node(nodeId).machineState());
    expect(states[0]?.keys).toBe(7);
    expect(states[1]).toEqual(states[0]);
    expect(states[2]).toEqual(states[0]);
  });
});

test('a message that claims to be from a member on another node is dropped', async () => {
  const world = await World.start();
  await world.elect('n1');
  const term = world.node('n2').status().term;
  const heartbeat = { type: 'Heartbeat', from: 1, to: 2, term: term + 5, leaderCommit: 0, readRound: 0, logTime: 0 };
  world.node('n2').receive(n3, heartbeat as never);
  await world.settle();
  expect(world.node('n2').status().term).toBe(term);
});

test('when the node stops, a write under way is unknown and everything else was not begun', async () => {
  const world = await World.start();
  await world.elect('n1');
  world.stalled.add(n2).add(n3);
  const begun = world.put('n1', 'a', '1');
  await world.settle();
  const queued = world.put('n1', 'a', '2');
  const read = world.get('n1', 'a');
  world.node('n1').stop();
  expect(begun.outcomes).toEqual([expect.objectContaining({ type: 'unknown' })]);
  expect(queued.outcomes).toEqual([{ type: 'not_leader' }]);
  expect(read.outcomes).toEqual([{ type: 'not_leader' }]);
});

test('heartbeats carry log time, which a follower takes over', async () => {
  const world = await World.start();
  await world.elect('n1');
  await world.ticks(4);
  const put = world.put('n1', 'a', '1');
  world.node('n1').drive();
  const append = world.mail.find(({ message }) => message.type === 'AppendEntriesRequest')?.message;
  if (append?.type !== 'AppendEntriesRequest') throw new Error('no append');
  const logTime = Buffer.from(append.entries[0]?.body ?? []).readBigUInt64BE(4);
  expect(Number(logTime)).toBe(1_000_000 + world.now);
  await world.settle();
  expect(put.outcomes).toHaveLength(1);
});
