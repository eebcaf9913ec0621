/** A copy of a node's data directory, taken at an earlier stop, is put back: found, set aside, and the node comes in anew and whole. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

const partitions = 6;

interface Member {
  readonly nodeId: string;
  readonly state: string;
  readonly replicas: number;
}

test('an old copy is neither served nor lost, and every acknowledged write is there', { timeout: 60_000 }, async () => {
  const cluster = await startCluster({ partitions, settings: { placement: { idleStepMs: 100 } } });
  try {
    const written = new Map<string, string>();
    await writeSome(cluster, written);
    const victim = await cluster.mostLeading();
    const [asked, other] = cluster.nodes.filter((node) => node !== victim) as [TestNode, TestNode];
    const copy = join(cluster.dataRoot, 'copy');
    await victim.kill('SIGTERM');
    cpSync(victim.dataDir, copy, { recursive: true });
    await victim.restart();
    // What it acknowledges from here on, together with one of the others alone, the copy does not hold.
    await other.kill();
    await writeSome(cluster, written);
    await victim.kill();
    await other.restart().catch(() => undefined);

    rmSync(victim.dataDir, { recursive: true });
    cpSync(copy, victim.dataDir, { recursive: true });
    await victim.restart();
    expect(victim.stderr()).toContain('the data directory is an old copy and was set aside');
    await vi.waitUntil(async () => isWhole(await membersBy(cluster, asked), victim), {
      timeout: 30_000,
      interval: 100,
    });

    const kept = readdirSync(cluster.dataRoot).filter((name) => name.startsWith(`${basename(victim.dataDir)}.old-`));
    expect(kept).toHaveLength(1);
    const aside = join(cluster.dataRoot, kept[0] ?? '');
    expect(victim.stderr()).toContain(aside);
    expect(existsSync(join(aside, 'log', 'CURRENT'))).toBe(true);
    expect(incarnationIn(aside)).toBeLessThan(2 ** 20);
    expect(incarnationIn(victim.dataDir)).toBeGreaterThan(2 ** 20);

    // It counts in each majority again: with one of the others, it has all there is.
    await asked.kill();
    await readAll(cluster, written);
    await writeSome(cluster, written);
    await readAll(cluster, written);
  } finally {
    await cluster.close();
  }
});

function incarnationIn(directory: string): number {
  const text = readFileSync(join(directory, 'identity.json'), 'utf8');
  return (JSON.parse(text) as { readonly content: { readonly incarnation: number } }).content.incarnation;
}

async function membersBy(cluster: TestCluster, node: TestNode): Promise<readonly Member[]> {
  const { nodes } = (await cluster.request('GET', '/v1/cluster', { node })).json() as { nodes: readonly Member[] };
  const { operations } = (await cluster.request('GET', '/v1/cluster/operations', { node })).json() as {
    operations?: readonly unknown[];
  };
  return operations?.length === 0 ? nodes : [];
}

function isWhole(members: readonly Member[], { nodeId }: TestNode): boolean {
  return members.some((one) => one.nodeId === nodeId && one.state === 'up' && one.replicas === partitions);
}

async function writeSome(cluster: TestCluster, written: Map<string, string>): Promise<void> {
  const round = written.size;
  await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const [key, body] = [`key-${round + i}`, `value-${round + i}`];
      await vi.waitUntil(
        async () => {
          const put = cluster.request('PUT', `/v1/kv/${key}`, { body, redirectsMax: 3 });
          const status = await put.then((answer) => answer.status).catch(() => 0);
          return status === 200 || status === 201;
        },
        { timeout: 15_000, interval: 50 },
      );
      written.set(key, body);
    }),
  );
}

async function readAll(cluster: TestCluster, written: ReadonlyMap<string, string>): Promise<void> {
  for (const [key, value] of written) {
    const text = await vi.waitUntil(
      async () => {
        const answer = await cluster.request('GET', `/v1/kv/${key}`, { redirectsMax: 3 }).catch(() => undefined);
        return answer?.status === 200 ? answer.text() : undefined;
      },
      { timeout: 15_000, interval: 50 },
    );
    expect([key, text]).toEqual([key, value]);
  }
}
