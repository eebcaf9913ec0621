/** A leader whose own disk, or that of another voter, has little room left: what it takes, and what it refuses. */
import { expect, test } from 'vitest';
import type { ReplicaId } from '../../src/raft/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { named, put, del } from '../kv/partition.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const refused = [{ type: 'disk_full', detail: 'too little' }];

async function ledByN1(): Promise<World> {
  const world = await World.start(['n1', 'n2', 'n3']);
  await world.elect('n1');
  return world;
}

test.each([n1, n2, n3])('with little room on %s nothing that grows is begun; all else goes on', async (low) => {
  const world = await ledByN1();
  const before = world.put('n1', 'a', 'one');
  await world.settle();
  expect(before.outcomes).toMatchObject([{ type: 'result' }]);
  const { lastIndex } = world.node('n1').status();

  world.lowDisks.set(low, 'too little');
  expect(world.put('n1', 'a', 'two').outcomes).toEqual(refused);
  expect(world.propose('n1', put('b', 'x'), { dedup: named('once') }).outcomes).toEqual(refused);
  await world.settle();
  expect(world.node('n1').status().lastIndex).toBe(lastIndex);
  const read = world.get('n1', 'a');
  const deleted = world.propose('n1', del('a'));
  const repeatable = world.propose('n1', del('none'), { dedup: named('again') });
  await world.settle();
  expect(read.outcomes).toMatchObject([{ type: 'value', record: { value: Buffer.from('one') } }]);
  expect(deleted.outcomes).toMatchObject([{ type: 'result', result: { type: 'deleted' } }]);
  expect(repeatable.outcomes).toMatchObject([{ type: 'result', result: { type: 'not_found' } }]);

  world.lowDisks.clear();
  const after = world.put('n1', 'a', 'three');
  await world.settle();
  expect(after.outcomes).toMatchObject([{ type: 'result', result: { type: 'put', created: true } }]);
});

test('what was under way when the room became little comes to its end', async () => {
  const world = await ledByN1();
  world.stalled.add(n2).add(n3);
  const asked = world.put('n1', 'a', 'one');
  await world.settle();
  world.lowDisks.set(n2, 'too little');
  world.stalled.clear();
  await world.settle();
  expect(asked.outcomes).toMatchObject([{ type: 'result' }]);
});

test('who does not lead says so, whatever its disk', async () => {
  const world = await ledByN1();
  world.lowDisks.set(n2, 'too little');
  expect(world.put('n2', 'a', 'x').outcomes).toEqual([{ type: 'not_leader' }]);
});

test('a node that is no voter holds up nobody; one that is left out counts until that is committed', async () => {
  const world = await ledByN1();
  world.lowDisks.set('n4' as NodeId, 'too little');
  world.node('n1').changeConfiguration({ type: 'addLearner', host: 'n4' });
  await world.settle();
  const written = world.put('n1', 'a', 'x');
  await world.settle();
  expect(written.outcomes).toMatchObject([{ type: 'result' }]);

  world.lowDisks.clear();
  world.lowDisks.set(n3, 'too little');
  world.stalled.add(n2).add(n3);
  world.node('n1').changeConfiguration({ type: 'changeVoters', voters: [1, 2] as ReplicaId[] });
  await world.settle();
  expect(world.put('n1', 'a', 'y').outcomes).toEqual(refused);
  world.stalled.clear();
  await world.settle();
  const rid = world.put('n1', 'a', 'y');
  await world.settle();
  expect(rid.outcomes).toMatchObject([{ type: 'result' }]);
});
