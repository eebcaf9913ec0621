/** A node that is about to stop: who leads what it leads, and for how long it tries. */
import { expect, test } from 'vitest';
import { handOver, type LeadingReplica } from '../../src/node/hand-over.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';

const [n2, n3] = ['n2', 'n3'] as NodeId[] as [NodeId, NodeId];
const timeoutMs = 2000;
const attemptMs = 600;

/** A replica that leads until somebody takes it over, which takes 10 ms. */
class Led implements LeadingReplica {
  readonly partition: PartitionId;
  readonly asked: NodeId[] = [];
  leads = true;
  readonly #world: World;

  constructor(world: World, partition: number) {
    this.#world = world;
    this.partition = partition as PartitionId;
  }

  heir(but: ReadonlySet<NodeId>): ReturnType<LeadingReplica['heir']> {
    const others = this.#world.voters.filter((nodeId) => !but.has(nodeId));
    if (others.length === 0) return { type: 'nobody' };
    const nodeId = others.find((other) => !this.#world.silent.has(other));
    return nodeId === undefined ? { type: 'nobody_now' } : { type: 'heir', nodeId };
  }

  transferLeadership(to: NodeId): ReturnType<LeadingReplica['transferLeadership']> {
    this.asked.push(to);
    this.#world.clock.after(10, () => {
      if (!this.#world.unable.has(to)) this.leads = false;
    });
    return { type: 'started' };
  }
}

class World {
  readonly clock = new VirtualClock();
  readonly voters: NodeId[] = [n2, n3];
  readonly leaving = new Set<NodeId>();
  /** Not heard of lately. */
  readonly silent = new Set<NodeId>();
  /** They never take what they are given. */
  readonly unable = new Set<NodeId>();
  readonly told: (readonly [NodeId, unknown])[] = [];
  readonly replicas: Led[];
  /** What a peer answers to the word that we leave. */
  answerLeaving: (peer: NodeId) => Promise<unknown> = () => Promise.resolve(null);

  constructor(partitions: number) {
    this.replicas = Array.from({ length: partitions }, (_, index) => new Led(this, index + 1));
  }

  handOver(): Promise<void> {
    return handOver({
      clock: this.clock,
      transport: {
        request: (peer, kind, payload) => {
          if (kind === 'leaving') this.told.push([peer, payload]);
          return this.answerLeaving(peer);
        },
      },
      peers: [n2, n3],
      nonce: 'of this start',
      leading: () => this.replicas.filter(({ leads }) => leads),
      leaving: this.leaving,
      timeoutMs,
      attemptMs,
    });
  }

  /** How long it took. */
  async run(): Promise<number> {
    return (await this.clock.until(this.handOver(), 10_000)).tookMs;
  }

  asked(): (readonly NodeId[])[] {
    return this.replicas.map(({ asked }) => asked);
  }
}

test('all that is led here is handed over at once, each once, and the peers are told', async () => {
  const world = new World(3);
  expect(await world.run()).toBeLessThanOrEqual(15);
  expect(world.asked()).toEqual([[n2], [n2], [n2]]);
  expect(world.replicas.filter(({ leads }) => leads)).toEqual([]);
  expect(world.told).toEqual([n2, n3].map((peer) => [peer, { nonce: 'of this start' }]));
});

test('with nothing to hand over it only tells the peers', async () => {
  const world = new World(0);
  expect(await world.run()).toBe(0);
  expect(world.told).toEqual([n2, n3].map((peer) => [peer, { nonce: 'of this start' }]));
});

test('the only node of a cluster has nobody to hand over to', async () => {
  const world = new World(2);
  world.voters.length = 0;
  expect(await world.run()).toBe(0);
  expect(world.asked()).toEqual([[], []]);
});

test('when one does not take it in time, another is tried', async () => {
  const world = new World(2);
  world.unable.add(n2);
  expect(await world.run()).toBeLessThanOrEqual(attemptMs + 20);
  expect(world.asked()).toEqual([
    [n2, n3],
    [n2, n3],
  ]);
});

test('when nobody takes it, all are tried again, until the time is over', async () => {
  const world = new World(1);
  world.unable.add(n2).add(n3);
  const tookMs = await world.run();
  expect(tookMs).toBeGreaterThanOrEqual(timeoutMs);
  expect(tookMs).toBeLessThanOrEqual(timeoutMs + 5);
  expect(world.asked()[0]?.slice(0, 2)).toEqual([n2, n3]);
  expect(world.asked()[0]).toHaveLength(4);
});

test('a node that leaves as well is asked to lead nothing', async () => {
  const world = new World(1);
  world.leaving.add(n2);
  await world.run();
  expect(world.asked()).toEqual([[n3]]);
});

test('one that says while it is asked that it leaves as well is not waited for', async () => {
  const world = new World(1);
  world.unable.add(n2);
  const done = world.clock.until(world.handOver(), 10_000);
  world.leaving.add(n2);
  expect((await done).tookMs).toBeLessThanOrEqual(20);
  expect(world.asked()).toEqual([[n2, n3]]);
});

test('when all others leave as well it ends: nobody is left to lead', async () => {
  const world = new World(1);
  world.unable.add(n2).add(n3);
  const done = world.clock.until(world.handOver(), 10_000);
  world.leaving.add(n2).add(n3);
  expect((await done).tookMs).toBeLessThanOrEqual(5);
});

test('a leader that has just begun to listen anew waits until it hears of somebody', async () => {
  const world = new World(1);
  world.silent.add(n2).add(n3);
  world.clock.after(100, () => world.silent.delete(n3));
  const tookMs = await world.run();
  expect(tookMs).toBeGreaterThanOrEqual(110);
  expect(tookMs).toBeLessThanOrEqual(120);
  expect(world.asked()).toEqual([[n3]]);
});

test('a peer that does not answer, or can not be reached, holds nobody up for longer than an attempt', async () => {
  const world = new World(1);
  world.answerLeaving = (peer) =>
    peer === n3
      ? Promise.reject(new Error('not connected'))
      : new Promise((_, reject) => void world.clock.after(attemptMs, () => reject(new Error('no answer'))));
  expect(await world.run()).toBe(attemptMs);
  expect(world.asked()).toEqual([[n2]]);
});
