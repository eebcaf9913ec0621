/** The front of a replica's log goes once it is not needed any more, and never before its state is durable. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
/** Ten entries are kept, and old ones go three at a time. */
const tiny = { logKeepEntries: 10, compactEntriesMin: 3 };

async function putMany(world: World, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) world.put('n1', `k${i}`, `v${i}`);
  await world.settle();
}

/** More than `stateFlushDelayMs`, so that what is applied is durable, and a heartbeat, so that followers know of it. */
const aWhile = 6;

describe('a log', () => {
  test('keeps its newest entries, on every member', async () => {
    const world = await World.start(undefined, tiny);
    await world.elect('n1');
    await putMany(world, 50);
    await world.ticks(aWhile);
    for (const { nodeId } of world.members) {
      const { firstIndex, lastIndex } = world.node(nodeId).status();
      expect(lastIndex).toBe(51);
      expect(firstIndex).toBe(42);
      expect(
        world
          .storage(nodeId)
          .log(1 as never)
          .term(41 as never),
      ).toBeDefined();
      expect(() =>
        world
          .storage(nodeId)
          .log(1 as never)
          .entries(41 as never, 51 as never, 1e6),
      ).toThrow();
    }
  });

  test('keeps what is applied in memory alone: a crash would lose it', async () => {
    const world = await World.start(undefined, tiny);
    await world.elect('n1');
    await putMany(world, 20);
    await world.ticks(aWhile);
    const durable = world.storage('n2').durableAppliedIndex(1 as never);
    world.stateStalled.add(n2);
    await putMany(world, 30);
    await world.ticks(aWhile);
    expect(world.node('n2').status().appliedIndex).toBe(51);
    expect(world.node('n2').status().firstIndex).toBeLessThanOrEqual(durable + 1);
    expect(world.node('n1').status().firstIndex).toBe(42);
    await world.kill('n2');
    world.stateStalled.clear();
    world.host(n2);
    await world.ticks(aWhile);
    expect(world.node('n2').machineState()).toEqual(world.node('n1').machineState());
    expect(world.snapshotsDue).toEqual([]);
  });

  test('goes in steps, not entry by entry: each is a write', async () => {
    const world = await World.start(undefined, tiny);
    await world.elect('n1');
    await putMany(world, 11);
    await world.ticks(aWhile);
    expect(world.node('n1').status()).toMatchObject({ firstIndex: 1, lastIndex: 12 });
    await putMany(world, 1);
    await world.ticks(aWhile);
    expect(world.node('n1').status()).toMatchObject({ firstIndex: 4, lastIndex: 13 });
  });

  test('is kept for a follower that answers and lags, up to a bound; then it is sent a snapshot', async () => {
    const world = await World.start(undefined, { ...tiny, logKeepBytes: 1000, logBytesMax: 4000 });
    await world.elect('n1');
    world.isLost = ({ to, message }) => to === n3 && message.type === 'AppendEntriesRequest';
    await putMany(world, 20);
    await world.ticks(aWhile);
    expect(world.node('n1').status()).toMatchObject({ firstIndex: 1, lastIndex: 21 });
    expect(world.node('n2').status().firstIndex).toBeGreaterThanOrEqual(12);
    expect(world.snapshotsDue).toEqual([]);
    await putMany(world, 100);
    // Over more than one span of listening: each begins with nobody heard of.
    for (let tick = 0; tick < 26; tick += 1) {
      await world.ticks(1);
      expect(world.node('n1').status().firstIndex).toBeLessThan(80);
    }
    expect(world.node('n1').status().firstIndex).toBeGreaterThan(40);
    world.isLost = () => false;
    await world.ticks(aWhile);
    expect(world.snapshotsDue).toEqual([{ partition: 1, from: 1, to: { replicaId: 3, nodeId: n3 }, term: 1 }]);
    expect(world.node('n3').status().commitIndex).toBe(121);
    // Nobody lacks anything any more.
    expect(world.node('n1').status().firstIndex).toBeGreaterThanOrEqual(111);
  });

  test('is not kept for a follower that is silent', async () => {
    const world = await World.start(undefined, tiny);
    await world.elect('n1');
    world.cut.add(n3);
    await putMany(world, 50);
    // An election timeout, after which the leader notices, and the next one.
    await world.ticks(26);
    expect(world.node('n1').status()).toMatchObject({ role: 'leader', firstIndex: 42 });
  });

  test('that was compacted is found again by a new start', async () => {
    const world = await World.start(undefined, tiny);
    await world.elect('n1');
    await putMany(world, 50);
    await world.ticks(aWhile);
    const before = world.members.map(({ nodeId }) => world.node(nodeId).machineState());
    for (const nodeId of [n1, n2, n3]) await world.kill(nodeId);
    for (const nodeId of [n1, n2, n3]) world.host(nodeId);
    expect(world.node('n1').status()).toMatchObject({ firstIndex: 42, lastIndex: 51 });
    await world.elect('n1');
    expect(world.node('n1').machineState().keys).toBe(before[0]?.keys);
    const get = world.get('n1', 'k7');
    await world.settle();
    expect(get.outcomes).toEqual([expect.objectContaining({ type: 'value' })]);
  });
});
