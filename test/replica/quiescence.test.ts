/** A group that nobody uses falls silent and costs nothing, and is there at once when somebody asks. */
import { expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];

async function silentWorld(): Promise<{ readonly world: World; readonly sent: unknown[] }> {
  const world = await World.start(undefined, { quiesceTicks: 5 });
  await world.elect('n1');
  world.put('n1', 'a', 'one');
  await world.ticks(20);
  expect(world.members.map(({ nodeId }) => world.node(nodeId).status().quiesced)).toEqual([true, true, true]);
  const sent: unknown[] = [];
  world.onSent = (each) => void sent.push(each);
  return { world, sent };
}

test('time passes without a message, an election, or a turn of the loop', async () => {
  const { world, sent } = await silentWorld();
  let turns = 0;
  for (const { nodeId } of world.members) {
    const replica = world.node(nodeId);
    const drive = replica.drive.bind(replica);
    replica.drive = () => {
      turns += 1;
      drive();
    };
  }
  await world.ticks(100);
  expect(sent).toEqual([]);
  expect(turns).toBe(0);
  expect(world.node('n1').status()).toMatchObject({ role: 'leader', term: 1, quiesced: true });
});

test('a read is answered at once, by a round that a quorum has answered', async () => {
  const { world, sent } = await silentWorld();
  await world.ticks(50);
  const get = world.get('n1', 'a');
  await world.settle();
  expect(get.outcomes).toEqual([expect.objectContaining({ type: 'value', term: 1 })]);
  expect(sent.length).toBeGreaterThanOrEqual(2);
});

test('a write is answered at once', async () => {
  const { world } = await silentWorld();
  await world.ticks(50);
  const put = world.put('n1', 'a', 'two');
  await world.settle();
  expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result', term: 1 })]);
});

test('a leader that was replaced while it was cut off and silent answers no read', async () => {
  const { world } = await silentWorld();
  world.cut.add(n1);
  for (const nodeId of [n2, n3]) world.node(nodeId).peerChanged(n1);
  await world.elect('n2');
  const get = world.get('n1', 'a', 300);
  await world.settle();
  expect(get.outcomes).toEqual([]);
  // Somebody waits here: time counts again.
  await world.ticks(7);
  expect(get.outcomes).toEqual([{ type: 'not_leader' }]);
});

test('a follower whose leader’s connection was lost counts again, and elects another', async () => {
  const { world } = await silentWorld();
  world.cut.add(n1);
  for (const nodeId of [n2, n3]) world.node(nodeId).peerChanged(n1);
  await world.ticks(30);
  expect(world.leaders.get(n2)?.nodeId).toBe(world.leaders.get(n3)?.nodeId);
  expect([n2, n3]).toContain(world.leaders.get(n2)?.nodeId);
});

test('the connection to a node without a member of the group wakes nobody', async () => {
  const { world, sent } = await silentWorld();
  for (const { nodeId } of world.members) world.node(nodeId).peerChanged('n9' as NodeId);
  await world.ticks(10);
  expect(sent).toEqual([]);
  world.node('n1').peerChanged(n2);
  await world.ticks(1);
  expect(sent.length).toBeGreaterThan(0);
});

test('a group that was woken for nothing falls silent again', async () => {
  const { world, sent } = await silentWorld();
  for (const { nodeId } of world.members) for (const peer of [n1, n2, n3]) world.node(nodeId).peerChanged(peer);
  await world.ticks(20);
  sent.length = 0;
  await world.ticks(50);
  expect(sent).toEqual([]);
});
