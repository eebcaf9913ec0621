/**
 * A node that is asked to stop while clients use all three: others lead what it led before it goes, every request is
 * answered with what became of it, and nothing is lost.
 */
import { performance } from 'node:perf_hooks';
import { expect, test, vi } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';
import { violations } from '../../src/chaos/versions.ts';
import { startLoad, type Load } from '../../src/chaos/load.ts';

const partitions = 6;
/**
 * In this time every connection that the load holds is used once more, and told to close. Closed idle, one could be picked
 * by a client that has not seen it yet, and no server can help that.
 */
const drainIdleMs = 2000;
const idleConnectionsMax = 8;
/** Before and after the stop. */
const writesMin = 150;
/** On a quiet machine it is `drainIdleMs`, as other connections are not used again. */
const stopMsMax = 10_000;

test('a node is stopped under load: no outcome is unknown, nothing is lost, others lead', async () => {
  const cluster = await startCluster({ partitions, settings: { logLevel: 'debug', limits: { drainIdleMs } } });
  try {
    const load = await startLoad({
      cluster,
      writersPerPartition: 3,
      writesPerSecond: 200,
      readsPerSecond: 100,
      timeoutMs: 10_000,
      idleConnectionsMax,
    });
    await acknowledged(load, writesMin);
    const victim = await cluster.mostLeading();
    const led = await ledBy(cluster, victim);
    expect(led.length).toBeGreaterThan(0);

    const askedAt = performance.now();
    await victim.kill('SIGTERM');
    const tookMs = performance.now() - askedAt;
    expect(await victim.exited()).toEqual({ code: 0, signal: null });
    expect(tookMs).toBeLessThan(stopMsMax);
    expect(handedOver(victim, led)).toEqual(led);

    await acknowledged(load, load.writes.length + writesMin);
    await load.stop();
    for (const partition of led) expect((await cluster.leaderOf(partition))?.nodeId).not.toBe(victim.nodeId);
    await victim.restart();
    const history = await load.readBack();
    expect(load.writes.filter(({ outcome }) => outcome === 'unknown')).toEqual([]);
    expect(load.unexpected).toEqual([]);
    expect(violations(history)).toEqual([]);
  } finally {
    await cluster.close();
  }
});

async function acknowledged(load: Load, count: number): Promise<void> {
  await vi.waitUntil(() => load.writes.filter(({ outcome }) => outcome === 'acknowledged').length >= count, {
    timeout: 15_000,
    interval: 10,
  });
}

async function ledBy(cluster: TestCluster, node: TestNode): Promise<number[]> {
  const all = (await cluster.request('GET', '/v1/cluster/partitions')).json() as readonly PartitionStatus[];
  return all.filter(({ leader }) => leader === node.nodeId).map(({ id }) => id);
}

interface PartitionStatus {
  readonly id: number;
  readonly leader: string | null;
}

/** Of `led` those partitions that the node saw another one lead between the order to stop and its end. */
function handedOver(node: TestNode, led: readonly number[]): number[] {
  const lines = node.stderr().trimEnd().split('\n');
  const notes = lines.map((line) => JSON.parse(line) as LogNote);
  const stopping = notes.findIndex(({ msg }) => msg === 'stopping');
  const moved = notes.slice(stopping).flatMap(({ msg, partition, leader }) => {
    const another = leader !== undefined && leader !== node.nodeId;
    return msg === 'leadership changed' && another ? [partition] : [];
  });
  return led.filter((partition) => stopping >= 0 && moved.includes(partition));
}

interface LogNote {
  readonly msg: string;
  readonly partition?: number;
  readonly leader?: string;
}
