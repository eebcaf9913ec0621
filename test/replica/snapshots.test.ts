/** A follower that needs what the log no longer has gets a snapshot, and goes on as if it had never been away. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const tiny = { logKeepEntries: 10, compactEntriesMin: 3 };
/** So long that a leader gives up listening for a silent follower, and no longer keeps its log for it. */
const forgotten = 26;
const aWhile = 6;

async function putMany(world: World, name: string, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) world.put(name, `k${i}`, `v${i}`, 60_000);
  await world.settle();
}

/** n3 was cut off while n1 and n2 went so far on that their logs no longer reach back. */
async function worldWithLaggard(snapshots: Parameters<typeof World.start>[2] = {}): Promise<World> {
  const world = await World.start(undefined, tiny, snapshots);
  await world.elect('n1');
  await putMany(world, 'n1', 3);
  await world.ticks(aWhile);
  world.cut.add(n3);
  await putMany(world, 'n1', 50);
  await world.ticks(forgotten);
  expect(world.node('n1').status().firstIndex).toBeGreaterThan(world.node('n3').status().lastIndex + 1);
  return world;
}

function requestsOf(world: World): string[] {
  const kinds: string[] = [];
  world.onRequest = (kind) => void kinds.push(kind.slice('snapshot.'.length));
  return kinds;
}

describe('a follower that lacks compacted entries', () => {
  test('makes the leader ask for a snapshot, which brings it back: state, log, clock and what follows', async () => {
    const world = await worldWithLaggard();
    const kinds = requestsOf(world);
    const leader = world.node('n1');
    const follower = world.node('n3');
    const before = follower.machineState();
    world.cut.delete(n3);
    await world.ticks(aWhile);
    expect(world.snapshotsDue).toEqual([{ partition: 1, from: 1, to: { replicaId: 3, nodeId: n3 }, term: 1 }]);
    expect(kinds).toEqual(['begin', 'chunk', 'end']);
    expect(follower.machineState()).toEqual(leader.machineState());
    expect(follower.machineState().logTime).toBeGreaterThan(before.logTime);
    expect(follower.status()).toMatchObject({ firstIndex: 55, lastIndex: 54, commitIndex: 54, appliedIndex: 54 });
    expect(
      Buffer.from(
        world
          .storage('n3')
          .state(1 as never)
          .get(Buffer.from('k49'))?.value ?? [],
      ).toString(),
    ).toBe('v49');

    // It takes entries again, and its word counts for a majority.
    world.cut.add(n2);
    const put = world.put('n1', 'after', 'x');
    await world.settle();
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result' })]);
    await world.ticks(aWhile);
    expect(follower.machineState()).toEqual(leader.machineState());
  });

  test('can lead at once, and reads everything', async () => {
    const world = await worldWithLaggard();
    world.cut.delete(n3);
    await world.ticks(aWhile);
    world.node('n1').transferLeadership(n3);
    await world.elect('n3');
    const get = world.get('n3', 'k42');
    await world.settle();
    const [outcome] = get.outcomes;
    expect(outcome?.type === 'value' && Buffer.from(outcome.record?.value ?? []).toString()).toBe('v42');
  });

  test('goes on from the log time of the snapshot: its own stood still while it did not run', async () => {
    const world = await worldWithLaggard();
    await world.kill('n3');
    await world.ticks(200);
    await putMany(world, 'n1', 1);
    await world.ticks(aWhile);
    const { logTime } = world.node('n1').machineState();
    // Heartbeats carry log time as well, and tell nothing here.
    world.onSent = ({ message }) => {
      if (message.type === 'Heartbeat') Object.assign(message, { logTime: 0 });
    };
    world.host(n3);
    world.cut.delete(n3);
    await world.ticks(aWhile);
    expect(world.snapshotsDue).toHaveLength(1);
    expect(world.node('n1').transferLeadership(n3)).toEqual({ type: 'started' });
    await world.elect('n3');
    await putMany(world, 'n3', 1);
    expect(world.node('n3').machineState().logTime).toBeGreaterThan(logTime);
  });

  test('holds all of it after a crash that follows', async () => {
    const world = await worldWithLaggard();
    world.cut.delete(n3);
    await world.ticks(aWhile);
    await putMany(world, 'n1', 2);
    await world.ticks(aWhile);
    const before = world.node('n3').machineState();
    await world.kill('n3');
    world.host(n3);
    await world.ticks(aWhile);
    expect(world.node('n3').machineState()).toEqual(before);
    expect(world.node('n3').status().commitIndex).toBe(56);
    expect(world.snapshotsDue).toHaveLength(1);
  });

  test('comes back in many chunks while writes go on', async () => {
    const world = await worldWithLaggard({ chunkBytes: 200 });
    const kinds = requestsOf(world);
    world.cut.delete(n3);
    for (let round = 0; round < 10; round += 1) {
      await putMany(world, 'n1', 5);
      await world.ticks(1);
    }
    await world.ticks(aWhile);
    expect(kinds.filter((kind) => kind === 'chunk').length).toBeGreaterThan(5);
    expect(kinds.filter((kind) => kind === 'begin')).toHaveLength(1);
    expect(world.node('n3').machineState()).toEqual(world.node('n1').machineState());
  });

  test('is asked again when a transfer broke off, and goes on where it was', async () => {
    const whole = await worldWithLaggard({ chunkBytes: 200 });
    const wholeKinds = requestsOf(whole);
    whole.cut.delete(n3);
    await whole.ticks(20);

    const world = await worldWithLaggard({ chunkBytes: 200 });
    const kinds = requestsOf(world);
    const note = world.onRequest;
    world.onRequest = (kind) => {
      note(kind);
      if (kinds.filter((each) => each === 'chunk').length === 3) world.cut.add(n3);
    };
    world.cut.delete(n3);
    await world.ticks(3);
    expect(kinds).toEqual(['begin', 'chunk', 'chunk', 'chunk']);
    expect(world.node('n3').status().commitIndex).toBeLessThan(10);
    world.onRequest = note;
    world.cut.delete(n3);
    // The sender waits for `retryDelayMs` before it says that the transfer came to nothing.
    await world.ticks(20);
    expect(world.node('n3').machineState()).toEqual(world.node('n1').machineState());
    expect(world.snapshotsDue).toHaveLength(2);
    expect(kinds.filter((kind) => kind === 'begin')).toHaveLength(2);
    expect(kinds.filter((kind) => kind === 'chunk')).toEqual(wholeKinds.filter((kind) => kind === 'chunk'));
  });

  test('keeps the log of the leader from where its snapshot ends, however long the transfer takes', async () => {
    const world = await worldWithLaggard({ chunkBytes: 200, bytesPerSecondMax: 2000 });
    world.cut.delete(n3);
    await world.ticks(1);
    const { lastIndex } = world.node('n1').status();
    for (let round = 0; round < 10; round += 1) {
      await putMany(world, 'n1', 5);
      await world.ticks(1);
    }
    expect(world.node('n3').status().commitIndex).toBeLessThan(lastIndex);
    expect(world.node('n1').status().firstIndex).toBeLessThanOrEqual(lastIndex + 1);
    expect(world.node('n1').status().lastIndex).toBeGreaterThan(lastIndex + 40);
    await world.ticks(80);
    expect(world.node('n3').machineState()).toEqual(world.node('n1').machineState());
    // One was enough.
    expect(world.snapshotsDue).toHaveLength(1);
  });

  test('is left alone by the next leader’s predecessor: with the leadership its transfers end', async () => {
    const world = await worldWithLaggard({ chunkBytes: 200, bytesPerSecondMax: 2000 });
    world.cut.delete(n3);
    await world.ticks(2);
    expect(world.snapshots.get(n1)?.sender.status().transfers).toHaveLength(1);
    world.node('n1').transferLeadership(n2);
    await world.ticks(aWhile);
    expect(world.leaders.get(n1)?.nodeId).toBe(n2);
    expect(world.snapshots.get(n1)?.sender.status().transfers).toEqual([]);
    await world.ticks(100);
    expect(world.node('n3').machineState()).toEqual(world.node('n2').machineState());
  });
});

describe('whoever waits at a replica that takes over a snapshot', () => {
  /** n1 led, was cut off with a write that nobody got, and comes back to a log that n2 has compacted. */
  async function oldLeaderWithWrite(): Promise<{
    readonly world: World;
    readonly lost: { readonly outcomes: unknown[] };
  }> {
    const world = await World.start(undefined, tiny);
    await world.elect('n1');
    await putMany(world, 'n1', 3);
    world.cut.add(n1);
    const lost = world.put('n1', 'lost', 'x', 600_000);
    await world.settle();
    await world.elect('n2');
    await putMany(world, 'n2', 50);
    await world.ticks(forgotten);
    expect(lost.outcomes).toEqual([]);
    return { world, lost };
  }

  test('learns that the outcome of a write below it is unknown: here it can’t be told any more', async () => {
    const { world, lost } = await oldLeaderWithWrite();
    world.cut.clear();
    await world.ticks(aWhile);
    expect(world.node('n1').machineState()).toEqual(world.node('n2').machineState());
    expect(lost.outcomes).toEqual([expect.objectContaining({ type: 'unknown' })]);
  });

  test('reads and writes there afterwards, when it leads again', async () => {
    const { world } = await oldLeaderWithWrite();
    world.cut.clear();
    await world.ticks(aWhile);
    expect(world.node('n2').transferLeadership(n1)).toEqual({ type: 'started' });
    await world.elect('n1');
    const get = world.get('n1', 'k49');
    const put = world.put('n1', 'k49', 'new');
    await world.settle();
    expect(get.outcomes).toEqual([expect.objectContaining({ type: 'value' })]);
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result' })]);
  });
});

describe('a replica that is offered a snapshot', () => {
  test('wants it only if it is for itself, of no older term, and beyond what it has applied', async () => {
    const world = await worldWithLaggard();
    const follower = world.node('n3');
    const offer = { to: 3 as never, term: 1 as never, index: 40 as never };
    expect(follower.wantsSnapshot(offer)).toEqual({ type: 'yes' });
    expect(follower.wantsSnapshot({ ...offer, to: 2 as never })).toMatchObject({ type: 'refused' });
    expect(follower.wantsSnapshot({ ...offer, term: 0 as never })).toMatchObject({ type: 'refused' });
    const { appliedIndex } = follower.status();
    expect(follower.wantsSnapshot({ ...offer, index: appliedIndex })).toEqual({ type: 'not_needed' });
  });

  test('takes no installation that a stop came before or after, and lets nobody wait for it', async () => {
    const world = await worldWithLaggard();
    const machineState = world.node('n1').machineState();
    const staged = { partition: 1 as never, request: {} as never, machineState };
    const before = world.node('n3').install(staged);
    world.node('n3').stop();
    expect(await before).toBe('stopped');
    expect(await world.node('n3').install(staged)).toBe('stopped');
  });
});
