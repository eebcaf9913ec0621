/** How old a replica's state is said to be: never younger than it is. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { put } from '../kv/partition.ts';
import { staleUnderUnknowingLeader } from './stories.ts';
import { World } from './world.ts';

const tickMs = 50;

async function ledByN1(limits: Parameters<typeof World.start>[1] = {}): Promise<World> {
  const world = await World.start(['n1', 'n2', 'n3'], limits);
  await world.elect('n1');
  return world;
}

function staleOf(world: World, name: string): { value: string | undefined; stalenessMs: number; estimated: boolean } {
  const found = world.node(name).staleRead(Buffer.from('a'));
  if (found === undefined) throw new Error(`${name} has nothing`);
  const { record, stalenessMs, estimated } = found;
  return { value: record && Buffer.from(record.value).toString(), stalenessMs, estimated };
}

describe('a stale read', () => {
  test('is young on leader and followers while they hear from each other', async () => {
    const world = await ledByN1();
    world.put('n1', 'a', 'one');
    await world.ticks(10);
    for (const name of ['n1', 'n2', 'n3']) {
      const { value, stalenessMs, estimated } = staleOf(world, name);
      expect([value, estimated]).toEqual(['one', false]);
      // Heartbeats leave every second tick; what one learns of a quorum, the next one carries.
      expect(stalenessMs).toBeLessThanOrEqual(4 * tickMs);
    }
  });

  test('grows old on a follower that is cut off, by as much as it misses', async () => {
    const world = await ledByN1({ quiesceTicks: 0 });
    world.put('n1', 'a', 'one');
    await world.ticks(10);
    world.cut.add('n3' as NodeId);
    await world.ticks(20);
    world.put('n1', 'a', 'two');
    await world.ticks(10);
    const old = staleOf(world, 'n3');
    expect(old.value).toBe('one');
    expect(old.stalenessMs).toBeGreaterThanOrEqual(10 * tickMs);
    expect(staleOf(world, 'n2')).toMatchObject({ value: 'two' });
    world.cut.clear();
    await world.ticks(40);
    expect(staleOf(world, 'n3').value).toBe('two');
    expect(staleOf(world, 'n3').stalenessMs).toBeLessThanOrEqual(4 * tickMs);
  });

  test('is not called young by a leader that nobody follows any more, nor by who still follows it', async () => {
    const world = await World.start(['n1', 'n2', 'n3', 'n4', 'n5']);
    await world.elect('n1');
    world.put('n1', 'a', 'one');
    await world.ticks(10);
    const before = staleOf(world, 'n1').stalenessMs;
    // n1 and n2 hear each other, and nobody else.
    world.isLost = ({ from, to }) => ['n1', 'n2'].includes(from) !== ['n1', 'n2'].includes(to);
    await world.ticks(10);
    expect(world.node('n1').status().role).toBe('leader');
    for (const name of ['n1', 'n2'])
      expect(staleOf(world, name).stalenessMs).toBeGreaterThanOrEqual(before + 9 * tickMs);
  });

  test('is older on a follower that hears from its leader and lacks what was committed', async () => {
    const world = await ledByN1();
    world.put('n1', 'a', 'one');
    await world.ticks(10);
    world.isLost = ({ to, message }) => to === 'n3' && message.type === 'AppendEntriesRequest';
    world.put('n1', 'a', 'two');
    await world.ticks(20);
    expect(staleOf(world, 'n3').value).toBe('one');
    expect(staleOf(world, 'n3').stalenessMs).toBeGreaterThanOrEqual(15 * tickMs);
    expect(staleOf(world, 'n2').value).toBe('two');
  });

  test('is not called young by a new leader that does not know yet what the one before has committed', async () => {
    const world = await ledByN1({ quiesceTicks: 0 });
    const { value, stalenessMs } = await staleUnderUnknowingLeader(world);
    expect(value).toBe('one');
    expect(stalenessMs).toBeGreaterThanOrEqual(15 * tickMs);
    // Once its no-op is committed, all is known.
    world.isLost = () => false;
    await world.ticks(10);
    expect(staleOf(world, 'n3').value).toBe('two');
    expect(staleOf(world, 'n3').stalenessMs).toBeLessThanOrEqual(4 * tickMs);
  });

  test('wakes a group that has fallen silent, so that the next reader knows more', async () => {
    const world = await ledByN1({ quiesceTicks: 5 });
    world.put('n1', 'a', 'one');
    await world.ticks(60);
    expect(world.node('n2').status().quiesced).toBe(true);
    expect(staleOf(world, 'n2').stalenessMs).toBeGreaterThan(20 * tickMs);
    let youngest = Infinity;
    for (let waited = 0; waited < 40; waited += 1) {
      await world.ticks(1);
      youngest = Math.min(youngest, staleOf(world, 'n2').stalenessMs);
    }
    expect(youngest).toBeLessThanOrEqual(4 * tickMs);
    expect(world.leaders.get('n2' as NodeId)?.nodeId).toBe('n1');
  });

  test('does not show what is due', async () => {
    const world = await ledByN1({ quiesceTicks: 0 });
    world.propose('n1', put('a', 'one', { ttlMs: 1000 }));
    await world.ticks(10);
    expect(staleOf(world, 'n2').value).toBe('one');
    world.cut.add('n2' as NodeId);
    await world.ticks(15);
    expect(staleOf(world, 'n2').value).toBeUndefined();
  });

  test('of one that has heard of nobody since it started is an estimate; one that never had anything gives none', async () => {
    const world = await ledByN1();
    world.put('n1', 'a', 'one');
    await world.ticks(5);
    await world.kill('n3');
    world.cut.add('n3' as NodeId);
    world.host('n3' as NodeId);
    expect(staleOf(world, 'n3')).toMatchObject({ value: 'one', estimated: true });
    const empty = await World.start();
    expect(empty.node('n1').staleRead(Buffer.from('a'))).toBeUndefined();
  });
});
