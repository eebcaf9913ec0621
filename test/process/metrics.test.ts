/** `/metrics` of real nodes: what is counted below the front moves as well, and a node that has lost the others still tells. */
import { get } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';
import { parseExposition, valueOf, type Family } from '../metrics/exposition.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3, partitions: 4 });
});
afterAll(async () => {
  await cluster.close();
});

async function scrape(node: TestNode): Promise<ReadonlyMap<string, Family>> {
  const answer = await cluster.request('GET', '/metrics', { node });
  expect(answer.status).toBe(200);
  return parseExposition(answer.text());
}

/** Of a metric without labels, over these nodes. */
async function sum(nodes: readonly TestNode[], name: string): Promise<number> {
  const families = await Promise.all(nodes.map(scrape));
  return families.reduce((total, one) => total + (valueOf(one, name) ?? NaN), 0);
}

const batches = 'flotilla_storage_batch_duration_seconds_count';

describe('a cluster of three processes', () => {
  it('tells of every partition by one leader and two followers, and counts a put where it was asked for and on all disks', async () => {
    const before = await Promise.all(cluster.nodes.map(scrape));
    const roles = before.flatMap((one) => one.get('flotilla_partition_role')?.samples ?? []);
    for (const partition of ['0', '1', '2', '3', '4']) {
      const held = roles.filter((role) => role.labels['partition'] === partition && role.value === 1);
      expect(held.map((role) => role.labels['role']).toSorted()).toEqual(['follower', 'follower', 'leader']);
    }
    for (let n = 0; n < 10; n += 1) {
      await cluster.request('PUT', `/v1/kv/${n}?route=forward`, { node: cluster.nodes[0] as TestNode, body: 'x' });
    }
    const after = await Promise.all(cluster.nodes.map(scrape));
    const puts = after.map(
      (one) => valueOf(one, 'flotilla_http_request_duration_seconds_count', { operation: 'put', outcome: 'ok' }) ?? 0,
    );
    expect(puts).toEqual([10, 0, 0]);
    for (const [at, one] of after.entries()) {
      const was = valueOf(before[at] as ReadonlyMap<string, Family>, batches, { database: 'log' }) ?? NaN;
      expect(valueOf(one, batches, { database: 'log' })).toBeGreaterThan(was);
      expect(valueOf(one, 'flotilla_ready')).toBe(1);
      expect(one.get('flotilla_peer_connected')?.samples.map(({ value }) => value)).toEqual([1, 1]);
    }
    const committed = after.flatMap((one) => one.get('flotilla_partition_commit_index')?.samples ?? []);
    expect(Math.max(...committed.map(({ value }) => value))).toBeGreaterThan(1);
  });

  it('counts watchers up and down', async () => {
    const [node] = cluster.nodes as [TestNode];
    const request = get(`${node.url}/v1/watch`, (answer) => answer.resume());
    request.on('error', () => undefined);
    await expect.poll(() => sum([node], 'flotilla_watchers')).toBe(1);
    request.destroy();
    await expect.poll(() => sum([node], 'flotilla_watchers')).toBe(0);
  });

  it('counts the elections that a lost leader leads to, in a new term', async () => {
    const victim = await cluster.mostLeading();
    const left = cluster.nodes.filter((node) => node !== victim);
    const led = (await scrape(victim)).get('flotilla_partition_role')?.samples ?? [];
    const lost = led.find(({ labels, value }) => labels['role'] === 'leader' && value === 1);
    const partition = lost?.labels['partition'] ?? '';
    const [started, won] = [
      await sum(left, 'flotilla_elections_started_total'),
      await sum(left, 'flotilla_elections_won_total'),
    ];
    const term = valueOf(await scrape(left[0] as TestNode), 'flotilla_partition_term', { partition }) ?? NaN;
    await victim.kill();
    await cluster.waitReady();
    expect(await sum(left, 'flotilla_elections_started_total')).toBeGreaterThan(started);
    expect(await sum(left, 'flotilla_elections_won_total')).toBeGreaterThan(won);
    const families = await scrape(left[0] as TestNode);
    expect(valueOf(families, 'flotilla_partition_term', { partition })).toBeGreaterThan(term);
    expect(valueOf(families, 'flotilla_peer_connected', { peer: victim.nodeId })).toBe(0);
  });

  it('is told by a node that is left alone, and waits for no quorum', async () => {
    const [last, ...others] = cluster.nodes.filter((node) => node.state === 'running') as [TestNode, ...TestNode[]];
    for (const node of others) await node.kill();
    const startedAt = performance.now();
    const families = await scrape(last);
    expect(performance.now() - startedAt).toBeLessThan(1000);
    expect(valueOf(families, 'flotilla_partitions_hosted')).toBe(5);
    await expect.poll(() => sum([last], 'flotilla_ready')).toBe(0);
  });
});
