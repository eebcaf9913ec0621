/** Keys with a time to live, and results kept for repeats: gone when due, by the log clock, whoever leads; never earlier, never shown later. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { del, named, put } from '../kv/partition.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const tickMs = 50;

async function ledByN1(limits: Parameters<typeof World.start>[1] = {}): Promise<World> {
  const world = await World.start(['n1', 'n2', 'n3'], limits);
  await world.elect('n1');
  return world;
}

/** What a linearizable read by `leader` comes to. */
async function valueOf(world: World, leader: string, key: string): Promise<string | undefined> {
  const { outcomes } = world.get(leader, key);
  await world.settle();
  const [outcome] = outcomes;
  if (outcome?.type !== 'value') throw new Error(`no value: ${JSON.stringify(outcomes)}`);
  return outcome.record && Buffer.from(outcome.record.value).toString();
}

function keysOn(world: World, name: string): { keys: number; expiring: number } {
  const { keys, expiring } = world.node(name).machineState();
  return { keys, expiring };
}

async function otherLeader(world: World): Promise<NodeId> {
  world.cut.add(n1);
  await world.ticks(60);
  const leader = world.leaders.get(n2)?.nodeId;
  expect([n2, n3]).toContain(leader);
  return leader as NodeId;
}

describe('a key that is due', () => {
  test('is there until then, and gone on all members soon after', async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one', { ttlMs: 1000 }));
    world.put('n1', 'b', 'two');
    await world.ticks(19);
    expect(await valueOf(world, 'n1', 'a')).toBe('one');
    await world.ticks(5);
    for (const name of [n1, n2, n3]) expect(keysOn(world, name)).toEqual({ keys: 1, expiring: 0 });
    expect(await valueOf(world, 'n1', 'a')).toBeUndefined();
    expect(await valueOf(world, 'n1', 'b')).toBe('two');
  });

  test('that took the place of another one while a read waited for that is taken out as well before the read says that it is gone', async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one', { ttlMs: 100 }));
    await world.settle();
    for (const name of [n1, n2, n3]) world.stalled.add(name);
    await world.advance(50);
    world.propose('n1', put('a', 'two', { ttlMs: 150 }));
    await world.settle();
    await world.advance(60);
    // What it sees is the first one, which is due; in the log the second one comes before that is taken out.
    const { outcomes } = world.get('n1', 'a');
    await world.settle();
    expect(outcomes).toEqual([]);
    await world.advance(200);
    world.stalled.clear();
    await world.settle();
    expect(outcomes).toMatchObject([{ type: 'value', record: undefined }]);
    // No leader whose clock is behind can show it again.
    expect(keysOn(world, 'n1')).toEqual({ keys: 0, expiring: 0 });
  });

  test('is not read as present once its time has come, although nobody has taken it out', async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one', { ttlMs: 1000 }));
    await world.settle();
    await world.advance(1000);
    expect(keysOn(world, 'n1')).toEqual({ keys: 1, expiring: 1 });
    expect(await valueOf(world, 'n1', 'a')).toBeUndefined();
    // It was taken out for that: no leader whose clock is behind can show it again.
    expect(keysOn(world, 'n1').keys).toBe(0);
    await world.ticks(3);
    for (const name of [n2, n3]) expect(keysOn(world, name).keys).toBe(0);
  });

  test('stays as long as it was told to under the next leader, and no longer', async () => {
    const world = await ledByN1();
    world.propose('n1', put('soon', 'one', { ttlMs: 1000 }));
    world.propose('n1', put('late', 'two', { ttlMs: 60_000 }));
    await world.settle();
    const before = world.now;
    const leader = await otherLeader(world);
    expect(world.now - before).toBeGreaterThan(1000);
    expect(await valueOf(world, leader, 'soon')).toBeUndefined();
    expect(await valueOf(world, leader, 'late')).toBe('two');
    await world.ticks((60_000 - (world.now - before)) / tickMs - 20);
    expect(await valueOf(world, leader, 'late')).toBe('two');
    await world.ticks(60);
    expect(await valueOf(world, leader, 'late')).toBeUndefined();
  });

  test('lives on when it is put anew before it was taken out, though that was on its way', async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one', { ttlMs: 1000 }));
    await world.settle();
    world.stalled.add(n1).add(n2).add(n3);
    await world.advance(1000);
    // The renewal is in the log before what the sweeper proposes, and after what it found.
    world.propose('n1', put('a', 'renewed', { ttlMs: 10_000 }), { timeoutMs: 5000 });
    await world.ticks(3);
    world.stalled.clear();
    await world.ticks(10);
    expect(await valueOf(world, 'n1', 'a')).toBe('renewed');
  });

  test('is there for good after a put without a time, and gone at once after a delete', async () => {
    const world = await ledByN1();
    for (const key of ['a', 'b']) world.propose('n1', put(key, 'one', { ttlMs: 1000 }));
    await world.settle();
    world.put('n1', 'a', 'plain');
    world.propose('n1', del('b'));
    await world.settle();
    expect(keysOn(world, 'n1')).toEqual({ keys: 1, expiring: 0 });
    await world.ticks(60);
    expect(await valueOf(world, 'n1', 'a')).toBe('plain');
  });
});

test('many keys that are due at once go some at a time, and writes find their place between', async () => {
  const world = await ledByN1({ sweepItemsUnhurried: 10 });
  for (let key = 0; key < 95; key += 1) world.propose('n1', put(`key ${key}`, 'v', { ttlMs: 500 }));
  await world.settle();
  await world.ticks(9);
  const left: number[] = [];
  for (let round = 0; round < 14; round += 1) {
    const write = world.put('n1', 'other', String(round));
    await world.ticks(1);
    expect(write.outcomes).toMatchObject([{ type: 'result' }]);
    left.push(keysOn(world, 'n1').expiring);
  }
  expect(left.at(-1)).toBe(0);
  const steps = left.map((now, round) => (left[round - 1] ?? 95) - now);
  expect(Math.max(...steps)).toBeLessThanOrEqual(10);
});

test('an entry that took long is followed by a rest; what is due for very long does not wait for it', async () => {
  const world = await ledByN1({ sweepItemsUnhurried: 10, sweepItemsMax: 20, sweepPercent: 10, sweepLateMs: 4000 });
  for (let key = 0; key < 95; key += 1) world.propose('n1', put(`key ${key}`, 'v', { ttlMs: 500 }));
  await world.settle();
  await world.ticks(9);
  const left = (): number => keysOn(world, 'n1').expiring;
  world.stalled.add(n2).add(n3);
  await world.ticks(4);
  expect(left()).toBe(95);
  world.stalled.clear();
  await world.ticks(1);
  expect(left()).toBe(85);
  // It took four ticks: a rest of nine times as long.
  await world.ticks(30);
  expect(left()).toBe(85);
  await world.ticks(8);
  expect(left()).toBeLessThan(85);
  world.stalled.add(n2).add(n3);
  await world.ticks(4000 / tickMs);
  world.stalled.clear();
  await world.ticks(1);
  expect(left()).toBeGreaterThan(40);
  await world.ticks(3);
  expect(left()).toBe(0);
});

test('a group without anything due stays silent', async () => {
  const world = await ledByN1({ quiesceTicks: 4 });
  world.propose('n1', put('a', 'one', { ttlMs: 60_000 }), { dedup: named('first') });
  await world.ticks(40);
  expect(world.node('n1').status().quiesced).toBe(true);
  let sent = 0;
  world.onSent = () => void (sent += 1);
  await world.ticks(400);
  expect(sent).toBe(0);
  // And wakes by itself when the time has come.
  await world.ticks(900);
  expect(keysOn(world, 'n2')).toEqual({ keys: 0, expiring: 0 });
});
