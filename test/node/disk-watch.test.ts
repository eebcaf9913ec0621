/** A node that looks at its disk, says when that has little room left, and hears it of others. */
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/logger.ts';
import { DiskWatch } from '../../src/node/disk-watch.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { DiskFullError } from '../../src/storage/disk-space.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';

const MiB = 1024 * 1024;
const limits = {
  diskFreeBytesMin: 100 * MiB,
  diskFreeBytesMargin: 20 * MiB,
  diskFreeBytesStop: 30 * MiB,
  diskCheckMs: 10,
  diskToldMs: 50,
};
const [n1, n2, n3, n4] = ['n1', 'n2', 'n3', 'n4'] as NodeId[] as [NodeId, NodeId, NodeId, NodeId];

/** n1, which is connected to n2 and n3, and not to n4. */
class World {
  readonly clock = new VirtualClock();
  /** MiB. */
  free: number | undefined = 500;
  readonly told: string[] = [];
  readonly changes: boolean[] = [];
  readonly failures: unknown[] = [];
  readonly logged: string[] = [];
  readonly watch = new DiskWatch({
    nodeId: n1,
    dataDir: '/data/n1',
    disk: { measure: (then) => then(this.free === undefined ? undefined : this.free * MiB) },
    limits,
    clock: this.clock,
    transport: {
      connected: (peer) => peer !== n4,
      request: (to, kind, payload) => {
        this.told.push(`${to} ${kind} ${JSON.stringify(payload)}`);
        return Promise.reject(new Error('lost'));
      },
    },
    members: () => [n1, n2, n3, n4],
    onChange: (isLow) => this.changes.push(isLow),
    onFull: (error) => this.failures.push(error),
    logger: Object.assign(Object.create(silentLogger) as typeof silentLogger, {
      warn: (_fields: object, line: string) => this.logged.push(line),
      info: (_fields: object, line: string) => this.logged.push(line),
    }),
  });

  static async start(free = 500): Promise<World> {
    const world = new World();
    world.free = free;
    await world.watch.start();
    return world;
  }

  /** What is left, and the next look at it. */
  async left(free: number | undefined): Promise<void> {
    this.free = free;
    this.told.length = 0;
    await this.clock.advance(limits.diskCheckMs);
  }

  low(): string[] {
    return [...this.watch.low.keys()];
  }
}

const says = (...free: (number | null)[]): string[] =>
  free.flatMap((one) => [n2, n3].map((to) => `${to} disk ${JSON.stringify({ freeBytes: one && one * MiB })}`));

describe('its own disk', () => {
  test('with room: nothing is said, and nothing refused', async () => {
    const world = await World.start();
    await world.left(100);
    expect(world.low()).toEqual([]);
    expect(world.told).toEqual([]);
    expect(world.changes).toEqual([]);
    expect(world.logged).toEqual([]);
  });

  test('is low from the first bound on, and well only some way above it; each turn is logged once', async () => {
    const world = await World.start();
    await world.left(99);
    expect(world.low()).toEqual([n1]);
    expect(world.watch.low.get(n1)).toMatch(/^n1 has 99 MiB left on its disk, so nothing is written/);
    await world.left(119);
    expect(world.low()).toEqual([n1]);
    expect(world.watch.low.get(n1)).toMatch(/^n1 has 119 MiB left/);
    await world.left(120);
    expect(world.low()).toEqual([]);
    await world.left(100);
    expect(world.low()).toEqual([]);
    expect(world.changes).toEqual([true, false]);
    expect(world.logged).toHaveLength(2);
  });

  test('is low from the start on, where a node starts so', async () => {
    const world = await World.start(99);
    expect(world.low()).toEqual([n1]);
    expect(world.changes).toEqual([true]);
  });

  test('all in reach are told at each look that it is low, and once that it is well', async () => {
    const world = await World.start();
    await world.left(90);
    expect(world.told).toEqual(says(90));
    await world.left(80);
    expect(world.told).toEqual(says(80));
    await world.left(200);
    expect(world.told).toEqual(says(null));
    await world.left(200);
    expect(world.told).toEqual([]);
  });

  test('from the last bound on the node must stop, and says so once; until it has, the others are told', async () => {
    const world = await World.start();
    await world.left(30);
    expect(world.failures).toEqual([]);
    await world.left(29);
    await world.left(28);
    expect(world.failures).toEqual([expect.any(DiskFullError)]);
    expect(String(world.failures[0])).toMatch('data directory /data/n1 has 29 MiB left, and a node needs 30 MiB');
    expect(world.told).toEqual(says(28));
  });

  test('when the system does not say, what was known holds, and it is logged once', async () => {
    const world = await World.start();
    await world.left(undefined);
    await world.left(undefined);
    expect([world.low(), world.logged.length]).toEqual([[], 1]);
    await world.left(90);
    await world.left(undefined);
    expect([world.low(), world.told]).toEqual([[n1], says(90)]);
  });

  test('once it is stopped it is looked at no more', async () => {
    const world = await World.start();
    world.watch.stop();
    await world.left(90);
    expect([world.low(), world.clock.pendingTimers()]).toEqual([[], 0]);
  });

  test('takes in a state only if it is not low behind it, and none while it is low', async () => {
    const world = await World.start(150);
    expect(world.watch.refusal(50 * MiB)).toBeUndefined();
    expect(world.watch.refusal(51 * MiB)).toMatch('n1 has 150 MiB left on its disk, too little to take in 51 MiB');
    await world.left(99);
    expect(world.watch.refusal(0)).toMatch(/^n1 has 99 MiB left/);
    await world.left(undefined);
    expect(world.watch.refusal(0)).toMatch(/^n1 has 99 MiB left/);
    const unknown = new World();
    unknown.free = undefined;
    await unknown.watch.start();
    expect(unknown.watch.refusal(Infinity)).toBeUndefined();
  });
});

describe("another node's disk", () => {
  test('is low by its word, and well by its word', async () => {
    const world = await World.start();
    expect(await world.watch.heard(n2, { freeBytes: 90 * MiB })).toBeNull();
    expect(world.watch.low.get(n2)).toMatch(/^n2 has 90 MiB left on its disk/);
    await world.watch.heard(n2, { freeBytes: null });
    expect(world.low()).toEqual([]);
    expect(world.logged).toHaveLength(2);
    expect([world.told, world.changes]).toEqual([[], []]);
  });

  test('is well again when nothing is heard of it any more: it may be dead', async () => {
    const world = await World.start();
    await world.watch.heard(n2, { freeBytes: 90 * MiB });
    await world.clock.advance(limits.diskToldMs - 1);
    await world.watch.heard(n3, { freeBytes: 90 * MiB });
    expect(world.low()).toEqual([n2, n3]);
    await world.clock.advance(limits.diskCheckMs);
    expect(world.low()).toEqual([n3]);
    await world.watch.heard(n3, { freeBytes: 80 * MiB });
    await world.clock.advance(limits.diskToldMs - 1);
    expect(world.low()).toEqual([n3]);
  });

  test('stays what it was by a word that makes no sense', async () => {
    const world = await World.start();
    await world.watch.heard(n2, { freeBytes: 90 * MiB });
    for (const word of [{ freeBytes: -1 }, { freeBytes: 'none' }, {}, null, 7]) await world.watch.heard(n2, word);
    for (const word of [{ freeBytes: -1 }, {}, null]) await world.watch.heard(n3, word);
    expect(world.low()).toEqual([n2]);
  });
});
