/** Snapshot transfers that are cancelled, and ones that meet everything at once. Storage snapshots never leak. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PartitionId } from '../../src/replica/ports.ts';
import type { ReplicaId } from '../../src/raft/types.ts';
import { machineState, stateOf } from './snapshot-fakes.ts';
import { limits, p1, target, World, type Fate } from './snapshot-world.ts';

const installed = { type: 'installed', index: 100 };

describe('a transfer that is cancelled', () => {
  it.each([0, 3, 8, 15, 30])('closes its snapshot and tells once, after %i ms', async (ms) => {
    const world = new World();
    world.source().readMs = 5;
    world.send();
    await world.clock.advance(ms);
    world.sender.cancelPartition(p1);
    expect(world.outcomes).toEqual([{ type: 'cancelled' }]);
    expect(world.sender.status().transfers).toEqual([]);
    expect(world.sender.pinnedIndex(p1)).toBeUndefined();
    const reads = world.source().reads;
    await world.clock.advance(1000);
    expect(world.outcomes).toHaveLength(1);
    expect(world.openSnapshots()).toBe(0);
    expect(world.source().reads).toBe(reads);
    expect(world.node().installed).toEqual([]);
  });

  it('lets the next one begin', async () => {
    const world = new World({ transfersMax: 1 });
    const p2 = 2 as PartitionId;
    world.source(p2);
    world.source();
    world.send();
    world.send({ partition: p2 });
    await world.clock.advance(10);
    world.sender.cancel(p1, 2 as ReplicaId);
    await world.clock.advance(500);
    expect(world.outcomes).toEqual([{ type: 'cancelled' }, installed]);
  });

  it('gives way to one of a later term, whoever asks from within', async () => {
    const world = new World();
    world.source();
    const told: unknown[] = [];
    world.sender.send(target(), (outcome) => {
      told.push(outcome, world.send({ term: 6 }));
    });
    await world.clock.advance(10);
    expect(world.send({ term: 6 })).toBe(true);
    expect(told).toEqual([{ type: 'cancelled' }, false]);
    await world.clock.advance(500);
    expect(world.outcomes).toEqual([installed]);
    expect(world.openSnapshots()).toBe(0);
  });

  it('stop() resolves once a read that is under way has ended and every snapshot is closed', async () => {
    const world = new World();
    world.source().readMs = 50;
    world.send();
    await world.clock.advance(10);
    let stopped = false;
    const stopping = world.sender.stop().then(() => (stopped = true));
    await world.clock.advance(10);
    expect([stopped, world.openSnapshots()]).toEqual([false, 1]);
    await world.clock.advance(50);
    await stopping;
    expect([stopped, world.openSnapshots()]).toEqual([true, 0]);
    expect(world.send()).toBe(false);
    expect(world.outcomes).toEqual([{ type: 'cancelled' }]);
  });
});

const fates: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Fate>('arrives') },
  fc.constantFrom<Fate>('lost', 'answer_lost', 'twice', 'cut'),
  fc.integer({ min: 1, max: 400 }).map((lateMs): Fate => ({ lateMs })),
);
const moments = fc.array(
  fc.record({ at: fc.integer({ min: 1, max: 60 }), what: fc.constantFrom('restart', 'cancel', 'advance', 'term') }),
  { maxLength: 4 },
);

describe('whatever happens, in whatever order', () => {
  it('what is installed is the whole state of its index, nothing leaks, and it ends well once the network does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fates, { maxLength: 60 }), moments, async (script, events) => {
        const world = new World();
        world.source(p1, 50);
        const states = new Map([[100, stateOf(50)]]);
        const node = world.node();
        let term = 5;
        world.fate = () => {
          const number = world.sent.length;
          for (const { what } of events.filter(({ at }) => at === number)) {
            if (what === 'restart') node.restart();
            if (what === 'cancel') world.sender.cancelPartition(p1);
            if (what === 'term') term += 1;
            if (what === 'advance') {
              const source = world.source();
              source.index += 1;
              source.state = new Map([...source.state].slice(1)).set(`new-${source.index}`, 'x');
              states.set(source.index, source.state);
            }
          }
          return script[number - 1] ?? 'arrives';
        };
        for (let step = 0; step < 300 && node.installed.length === 0; step++) {
          world.send({ term });
          await world.clock.advance(40);
          expect(world.openSnapshots()).toBeLessThanOrEqual(1);
        }
        await world.sender.stop();
        await world.clock.advance(2 * limits.resumeMs);
        expect(node.installed.length).toBeGreaterThanOrEqual(1);
        for (const { request, state, machineState: state2 } of node.installed) {
          expect(state).toEqual(states.get(request.index));
          expect(state2).toEqual(machineState(request.index, state));
        }
        expect(node.staging.overlaps).toEqual([]);
        expect(world.openSnapshots()).toBe(0);
        expect(node.receiver.status()).toEqual([]);
        expect(world.chunksUnderWayMax).toBeLessThanOrEqual(1 + events.length);
      }),
      { numRuns: 200 },
    );
  });
});
