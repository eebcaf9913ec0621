/** A leader sends its state to a replica that lacks too much of the log, over a network that does what networks do. */
import { describe, expect, it } from 'vitest';
import { decodeConfiguration } from '../../src/raft/configuration.ts';
import { machineState, stateOf } from './snapshot-fakes.ts';
import { founding, limits, p1, World, type Fate } from './snapshot-world.ts';

const installed = { type: 'installed', index: 100 };

describe('a snapshot transfer', () => {
  it('carries the whole state, its machine state and its configuration, in chunks one after the other', async () => {
    const world = new World();
    world.source();
    expect(world.send()).toBe(true);
    await world.clock.advance(500);
    expect(world.outcomes).toEqual([installed]);
    const [received] = world.node().installed;
    expect(received).toEqual({
      partition: p1,
      state: stateOf(40),
      machineState: machineState(100, stateOf(40)),
      request: {
        type: 'InstallSnapshot',
        from: 1,
        to: 2,
        term: 5,
        index: 100,
        snapshotTerm: 2,
        configuration: { index: 0, configuration: decodeConfiguration(founding) },
      },
    });
    expect(world.kinds()).toEqual(['begin', ...Array<string>(5).fill('chunk'), 'end']);
    expect(world.chunksUnderWayMax).toBe(1);
    expect(world.openSnapshots()).toBe(0);
    expect(world.sender.status().transfers).toEqual([]);
    expect(world.node().receiver.status()).toEqual([]);
    expect(world.clock.pendingTimers()).toBeLessThanOrEqual(world.sent.length); // of the requests alone
  });

  it('leaves both ends to others between two chunks, the longer the longer a chunk took', async () => {
    const pausesAt = async (messageMs: number): Promise<number[]> => {
      const world = new World({ pauseFactor: 2, bytesPerSecondMax: 1e9 });
      world.source();
      world.fate = () => ({ lateMs: messageMs });
      world.send();
      await world.clock.advance(2000);
      expect(world.outcomes).toEqual([installed]);
      const chunks = world.sent.filter(({ kind }) => kind === 'snapshot.chunk').map(({ at }) => at);
      return chunks.slice(1).map((at, before) => at - (chunks[before] ?? 0));
    };
    const [quick, slow] = [await pausesAt(1), await pausesAt(41)];
    // Each takes three times what it takes alone; of that, forty milliseconds more are on their way.
    for (const [chunk, ms] of slow.entries()) expect(ms - (quick[chunk] ?? 0)).toBe(3 * 40);
  });

  it('carries an empty state', async () => {
    const world = new World();
    world.source(p1, 0);
    world.send();
    await world.clock.advance(100);
    expect(world.outcomes).toEqual([installed]);
    expect(world.node().installed[0]?.state.size).toBe(0);
    expect(world.kinds()).toEqual(['begin', 'end']);
  });

  it('brings the configuration in force at the snapshot', async () => {
    const world = new World();
    world.source().configuration = { index: 60 as never, body: founding };
    world.send();
    await world.clock.advance(500);
    expect(world.node().installed[0]?.request.configuration.index).toBe(60);
    expect(world.node().staging.completed.get(p1)?.configuration).toEqual({
      index: 60,
      body: new Uint8Array(founding),
    });
  });

  it('is not needed when the replica has applied as much', async () => {
    const world = new World();
    world.source();
    world.node().appliedIndex.set(p1, 100);
    world.send();
    await world.clock.advance(10);
    expect(world.outcomes).toEqual([{ type: 'not_needed' }]);
    expect(world.kinds()).toEqual(['begin']);
    expect(world.openSnapshots()).toBe(0);
  });

  it('ends without an install when the replica says so at the end, and drops what was staged', async () => {
    const world = new World();
    world.source();
    world.node().installs = 'not_needed';
    world.send();
    await world.clock.advance(500);
    expect(world.outcomes).toEqual([{ type: 'not_needed' }]);
    expect(world.node().staging.staged.get(p1)?.size).toBe(0);
  });

  it('tells of a failure only after a while, and ignores whoever asks again before', async () => {
    const world = new World();
    world.source();
    world.node().wanted = { type: 'refused', reason: 'no such replica' };
    world.send();
    await world.clock.advance(limits.retryDelayMs);
    expect(world.send()).toBe(false);
    expect(world.outcomes).toEqual([]);
    await world.clock.advance(10);
    expect(world.outcomes).toEqual([{ type: 'refused', reason: 'no such replica' }]);
    expect(world.openSnapshots()).toBe(0);
    expect(world.send()).toBe(true);
  });
});

describe('a transfer that breaks off', () => {
  /** The connection is lost at the third chunk, once. */
  async function broken(fate: Fate = 'cut'): Promise<World> {
    const world = new World();
    world.source();
    let chunks = 0;
    world.fate = ({ kind }) => (kind === 'snapshot.chunk' && ++chunks === 3 ? fate : 'arrives');
    world.send();
    await world.clock.advance(limits.chunkTimeoutMs + limits.retryDelayMs + 20);
    expect(world.outcomes).toMatchObject([{ type: 'failed' }]);
    return world;
  }

  it.each<Fate>(['cut', 'lost', 'answer_lost'])('goes on where it was: %s', async (fate) => {
    const world = await broken(fate);
    expect(world.openSnapshots()).toBe(1);
    expect(world.sender.pinnedIndex(p1)).toBe(100);
    world.source().index = 105; // a new snapshot would show it
    world.send();
    await world.clock.advance(500);
    expect(world.outcomes[1]).toEqual(installed);
    expect(world.node().installed[0]?.state).toEqual(stateOf(40));
    expect(world.node().staging.chunks).toBe(5);
    expect(world.kinds().filter((kind) => kind === 'chunk')).toHaveLength(fate === 'answer_lost' ? 5 : 6);
    expect(world.node().staging.begun).toBe(1);
    expect(world.openSnapshots()).toBe(0);
    expect(world.sender.pinnedIndex(p1)).toBeUndefined();
  });

  it('leaves the chunk that was not answered alone: it may still be being sent', async () => {
    const world = await broken('lost');
    const records = () => world.sent.flatMap(({ payload }) => (payload['records'] as Uint8Array | undefined) ?? []);
    const unanswered = records()[2] as Uint8Array;
    const before = Buffer.from(unanswered);
    world.send();
    await world.clock.advance(500);
    expect(world.outcomes[1]).toEqual(installed);
    expect(before.equals(unanswered)).toBe(true);
    const memory = records().map(({ buffer }) => buffer);
    expect(memory.map((buffer) => memory.indexOf(buffer))).toEqual([0, 0, 0, 3, 3, 3]);
  });

  it('starts over, from a new snapshot, when nobody asks again in time', async () => {
    const world = await broken();
    await world.clock.advance(limits.resumeMs);
    expect(world.openSnapshots()).toBe(0);
    expect(world.node().receiver.status()).toEqual([]);
    expect(world.node().staging.staged.get(p1)?.size).toBe(0);
    world.source().index = 105;
    world.send();
    await world.clock.advance(500);
    expect(world.outcomes[1]).toEqual({ type: 'installed', index: 105 });
  });

  it('starts over when the term is another: the leader has changed', async () => {
    const world = await broken();
    world.source().index = 105;
    world.send({ term: 6 });
    await world.clock.advance(500);
    expect(world.outcomes[1]).toEqual({ type: 'installed', index: 105 });
    expect(world.node().staging.begun).toBe(2);
    expect(world.openSnapshots()).toBe(0);
  });

  it('starts over, from the same snapshot, when the receiver was started anew', async () => {
    const world = await broken();
    world.node().restart();
    world.send();
    await world.clock.advance(500);
    expect(world.outcomes[1]).toEqual(installed);
    expect(world.node().staging.chunks).toBe(2 + 5);
    expect(world.source().opened).toBe(1);
    expect(world.node().installed[0]?.state).toEqual(stateOf(40));
  });

  it('does not go on in a receiver that was started anew in the middle', async () => {
    const world = new World();
    world.source();
    let chunks = 0;
    world.fate = ({ kind }) => {
      if (kind === 'snapshot.chunk' && ++chunks === 3) world.node().restart();
      return 'arrives';
    };
    world.send();
    await world.clock.advance(500);
    expect(world.outcomes).toMatchObject([{ type: 'refused' }]);
    expect(world.node().installed).toEqual([]);
  });

  it('learns at once that it is not needed when only the answer to the end was lost', async () => {
    const world = new World();
    world.source();
    world.fate = ({ kind }) => (kind === 'snapshot.end' ? 'answer_lost' : 'arrives');
    world.send();
    await world.clock.advance(500);
    world.send();
    await world.clock.advance(100);
    expect(world.outcomes).toMatchObject([{ type: 'failed' }, { type: 'not_needed' }]);
    expect(world.node().installed).toHaveLength(1);
    expect(world.openSnapshots()).toBe(0);
  });

  it('starts over when staging has failed', async () => {
    const world = new World();
    world.source();
    world.node().staging.failsAtChunk = 3;
    world.send();
    await world.clock.advance(200);
    expect(world.outcomes).toMatchObject([{ type: 'refused', reason: 'not staged: a record does not verify' }]);
    world.send();
    await world.clock.advance(500);
    expect(world.outcomes[1]).toEqual(installed);
    expect(world.node().staging.begun).toBe(2);
    expect(world.node().installed[0]?.state).toEqual(stateOf(40));
  });

  it('says so when this node can not read its own storage', async () => {
    const world = new World();
    world.source().fails = true;
    world.send();
    expect(world.outcomes).toEqual([]);
    await world.clock.advance(limits.retryDelayMs);
    expect(world.outcomes).toMatchObject([{ type: 'unreadable', error: new Error('the disk is gone') }]);
  });
});
