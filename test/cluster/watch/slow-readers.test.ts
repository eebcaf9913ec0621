/** Watchers that read slowly, or come back from far behind: what they may cost, and that they are neither forgotten nor cut off for it. */
import { expect, test } from 'vitest';
import { defaults } from '../../../src/config.ts';
import type { ChangeSource, Polled, PollOptions } from '../../../src/cluster/watch/change-source.ts';
import type { WatchPosition } from '../../../src/cluster/watch/cursor.ts';
import { WatchHub, type WatchOutcome } from '../../../src/cluster/watch/hub.ts';
import type { WatchSink } from '../../../src/cluster/watch/watcher.ts';
import type { PartitionMap } from '../../../src/cluster/partition-map.ts';
import type { ChangePoint } from '../../../src/replica/change-log.ts';
import type { NodeId, PartitionId } from '../../../src/replica/ports.ts';
import type { Term } from '../../../src/raft/types.ts';
import { settle, VirtualClock } from '../virtual-clock.ts';

const incarnation = 1;
const pageBytes = 64 * 1024;
const limits = { ...defaults.watch, bufferBytesMax: 4 * pageBytes };

/** Every partition has `head` entries, each with one change of a page's size. */
class World {
  readonly clock = new VirtualClock();
  readonly told: string[] = [];
  readonly asked: PollOptions[] = [];
  readonly partitions: readonly PartitionId[];
  readonly hub: WatchHub;
  head = 10;
  /** Of the replica here, which is asked unless it is distrusted. */
  localHead: number | undefined;
  /** Told and not taken by the one who watches. */
  queued = 0;
  mostQueued = 0;
  /** Without waiting for something to happen. */
  mostAsked = 0;
  #asking = 0;
  #drained: (() => void)[] = [];

  constructor(partitions: number) {
    this.partitions = Array.from({ length: partitions }, (_, at) => (at + 1) as PartitionId);
    const map = { partitions: this.partitions.map((id) => ({ id })) } as unknown as PartitionMap;
    const source = { poll: this.#poll.bind(this) } as unknown as ChangeSource;
    this.hub = new WatchHub({
      map,
      source,
      clock: this.clock,
      limits,
      cluster: () => 7,
      point: (partition) => {
        const origin = { partition, term: 1 as Term, nodeId: 'n1' as NodeId };
        return Promise.resolve({ type: 'point', origin, point: { incarnation, index: this.head } });
      },
    });
  }

  watch(from: WatchPosition | undefined): Promise<WatchOutcome> {
    const cursor = from && { cluster: 7, positions: new Map(this.partitions.map((id) => [id, from])) };
    const deadlineAt = this.clock.monotonicMs() + 5000;
    const target = { type: 'prefix', bytes: Buffer.alloc(0) } as const;
    return this.hub.watch({ target, from: cursor, deadlineAt, begin: () => this.#sink() });
  }

  take(): void {
    this.queued = 0;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  #sink(): WatchSink {
    return {
      event: ({ revision, key }, partition) => {
        this.told.push(`${partition}@${revision}`);
        this.queued += key.length;
        this.mostQueued = Math.max(this.mostQueued, this.queued);
      },
      bookmark: () => this.told.push('bookmark'),
      end: ({ type }) => this.told.push(type),
      queuedBytes: () => this.queued,
      drained: () => (this.queued === 0 ? Promise.resolve() : new Promise((resolve) => this.#drained.push(resolve))),
    };
  }

  async #poll(_partition: PartitionId, after: ChangePoint, options: PollOptions): Promise<Polled> {
    this.asked.push(options);
    if (options.waitMs === 0) this.#asking += 1;
    this.mostAsked = Math.max(this.mostAsked, this.#asking);
    await settle();
    if (options.waitMs === 0) this.#asking -= 1;
    const head = options.distrustLocal ? this.head : (this.localHead ?? this.head);
    const index = after.index + 1;
    if (index > head) {
      if (options.waitMs > 0) await new Promise<void>((resolve) => void this.clock.after(options.waitMs, resolve));
      return { type: 'changes', entries: [], through: after };
    }
    const change = { type: 'delete', key: Buffer.alloc(pageBytes), revision: index, incarnation } as const;
    return { type: 'changes', entries: [{ index, changes: [change] }], through: { incarnation, index } };
  }
}

const at = (index: number, done = 0): WatchPosition => ({ incarnation, index, done });

test('one that comes back is not sent a page of every partition at once, and hears everything in the end', async () => {
  const world = new World(40);
  // The others are further on, so that it goes through the log by itself.
  await world.watch(undefined);
  world.told.length = 0;
  expect((await world.watch(at(8))).type).toBe('watching');
  await world.clock.advance(50);
  for (let at = 0; at < 100; at += 1) {
    world.take();
    await world.clock.advance(limits.retryMs);
  }
  expect(world.mostQueued).toBeLessThanOrEqual(limits.bufferBytesMax + pageBytes);
  const events = world.told.filter((what) => what.includes('@')).toSorted();
  expect(events).toEqual(world.partitions.flatMap((id) => [`${id}@10`, `${id}@9`]).toSorted());
});

test('one whose reader is slow is not told that nobody could be asked', async () => {
  const world = new World(1);
  await world.watch(undefined);
  world.told.length = 0;
  await world.watch(at(0));
  await world.clock.advance(4 * limits.contactMs);
  expect(world.queued).toBeGreaterThan(0);
  expect(world.told).not.toContain('no_contact');
  for (let at = 0; at < 30; at += 1) {
    world.take();
    await world.clock.advance(1000);
  }
  expect(world.told).not.toContain('no_contact');
  expect(world.told.filter((what) => what.includes('@'))).toHaveLength(10);
  world.hub.stop();
});

test('one that is behind asks others where the replica here is further behind', async () => {
  const world = new World(1);
  await world.watch(undefined);
  world.told.length = 0;
  world.localHead = 5;
  await world.watch(at(7));
  for (let at = 0; at < 10; at += 1) {
    world.take();
    await world.clock.advance(limits.retryMs);
  }
  expect(world.told.filter((what) => what.includes('@'))).toEqual(['1@8', '1@9', '1@10']);
});

test('whether a cursor is too old is asked of all partitions at once: each may take a while', async () => {
  const world = new World(40);
  await world.watch(at(8));
  expect(world.mostAsked).toBe(40);
});

test('a cursor within an entry that is not there is ahead, and would leave out what comes', async () => {
  const world = new World(1);
  expect((await world.watch(at(10, 1))).type).toBe('bad_cursor');
  expect((await world.watch(at(11))).type).toBe('bad_cursor');
  expect((await world.watch(at(9, 1))).type).toBe('watching');
  expect((await world.watch(at(10))).type).toBe('watching');
});
