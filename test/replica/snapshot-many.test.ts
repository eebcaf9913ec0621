/** Several snapshot transfers at once: their number, their rate, and two leaders who each send theirs. */
import { describe, expect, it } from 'vitest';
import type { ReplicaId } from '../../src/raft/types.ts';
import { ByteRate } from '../../src/replica/byte-rate.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';
import { stateOf } from './snapshot-fakes.ts';
import { limits, n2, n3, p1, target, World } from './snapshot-world.ts';

const installed = { type: 'installed', index: 100 };

describe('the rate of bytes', () => {
  it('counts what was read, not what was asked for, and lets nobody overtake', async () => {
    const clock = new VirtualClock();
    const rate = new ByteRate(clock, { bytesPerSecondMax: 1000, burstBytes: 100 });
    const granted: number[] = [];
    const take = (bytes: number) => rate.take(bytes).granted.then(() => granted.push(clock.monotonicMs() - 1000));
    void take(100);
    void take(100);
    rate.correct(300);
    void take(50);
    const cancelled = rate.take(100);
    cancelled.cancel();
    await cancelled.granted;
    void take(1);
    await clock.advance(1000);
    expect(granted).toEqual([0, 0, 400, 550]);
    expect(clock.pendingTimers()).toBe(0);
  });
});

describe('several transfers', () => {
  it('go on so many at a time, the others in the order they were asked for', async () => {
    const world = new World();
    const partitions = [1, 2, 3, 4] as PartitionId[];
    for (const partition of partitions) world.source(partition);
    const nodes = [n2, n3, n2, n3];
    partitions.forEach((partition, i) => world.send({ partition, nodeId: nodes[i]! }));
    expect(world.send({ partition: partitions[3]!, nodeId: n3 })).toBe(false);
    await world.clock.advance(5);
    expect(world.sender.status().transfers.map(({ phase }) => phase)).toEqual([
      'sending',
      'sending',
      'queued',
      'queued',
    ]);
    expect(world.openSnapshots()).toBe(2);
    await world.clock.advance(1000);
    expect(world.outcomes).toEqual([installed, installed, installed, installed]);
    expect(
      world.sent.filter(({ kind }) => kind === 'snapshot.begin').map(({ payload }) => payload['partition']),
    ).toEqual(partitions);
    expect(world.chunksUnderWayMax).toBe(2);
    expect(world.openSnapshots()).toBe(0);
  });

  it('keep together to the rate', async () => {
    const rate = 100_000;
    const world = new World({ bytesPerSecondMax: rate, chunkTimeoutMs: 5000 });
    for (const [partition, nodeId] of [
      [1, n2],
      [2, n3],
    ] as const) {
      world.source(partition as PartitionId, 400);
      world.send({ partition: partition as PartitionId, nodeId });
    }
    await world.clock.advance(5000);
    expect(world.outcomes).toEqual([installed, installed]);
    const chunks = world.sent.filter(({ kind }) => kind === 'snapshot.chunk');
    const sizes = chunks.map(({ payload }) => (payload['records'] as Uint8Array).length);
    for (let from = 0; from < chunks.length; from++) {
      let bytes = 0;
      for (let to = from; to < chunks.length; to++) {
        bytes += sizes[to]!;
        const seconds = (chunks[to]!.at - chunks[from]!.at) / 1000;
        expect(bytes).toBeLessThanOrEqual(rate * seconds + 4 * limits.chunkBytes);
      }
    }
    const total = sizes.reduce((a, b) => a + b, 0);
    const tookMs = chunks.at(-1)!.at - chunks[0]!.at;
    expect(tookMs).toBeLessThan((total / rate) * 1000 * 1.1);
    expect(tookMs).toBeGreaterThan((total / rate) * 1000 * 0.9);
    expect(world.sender.status().bytesSent).toBe(total);
  });

  it('are taken so many at a time by a receiver; one that broke off holds nobody up', async () => {
    const world = new World();
    const other = world.newSender(n3);
    const outcomes: unknown[] = [];
    for (const partition of [1, 2, 3] as PartitionId[]) world.source(partition);
    world.fate = ({ kind }) => (kind === 'snapshot.chunk' ? 'lost' : 'arrives');
    world.send({ partition: 1 as PartitionId });
    world.send({ partition: 2 as PartitionId });
    await world.clock.advance(10);
    const third = target({ partition: 3 as PartitionId });
    other.send(third, (outcome) => outcomes.push(outcome));
    await world.clock.advance(limits.retryDelayMs + 10);
    expect(outcomes).toEqual([{ type: 'busy' }]);
    world.fate = () => 'arrives';
    await world.clock.advance(limits.chunkTimeoutMs);
    other.send(third, (outcome) => outcomes.push(outcome));
    await world.clock.advance(500);
    expect(outcomes[1]).toEqual(installed);
  });

  it('of two leaders: the later term wins, the late chunk of the earlier one is refused', async () => {
    const world = new World();
    const later = world.newSender(n3);
    const outcomes: unknown[] = [];
    world.source(p1, 80);
    world.send();
    await world.clock.advance(20);
    world.source().index = 120;
    world.source().state = new Map([...stateOf(90)].slice(5));
    later.send({ ...target({ term: 6 }), from: 3 as ReplicaId }, (outcome) => outcomes.push(outcome));
    await world.clock.advance(1000);
    expect(world.outcomes).toMatchObject([{ type: 'refused' }]);
    expect(outcomes).toEqual([{ type: 'installed', index: 120 }]);
    expect(world.node().installed[0]?.state).toEqual(world.source().state);
    world.sender.cancelPartition(p1);
    await later.stop();
    expect(world.openSnapshots()).toBe(0);
  });
});
