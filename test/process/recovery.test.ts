/**
 * A majority is lost for good: the drill of the README, on real nodes. What a survivor holds is served again as a new incarnation, what the lost
 * ones alone had acknowledged is gone and can't be mistaken for anything that comes after, and who comes back after all does no harm.
 */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';
import { run, type Finished } from '../cli/program.ts';

const settings = { placement: { idleStepMs: 100, replaceDownAfterMs: 2000 } };
const patience = { timeout: 40_000, interval: 100 };

interface Partition {
  readonly id: number;
  readonly incarnation: number;
  readonly leader: string | null;
  readonly replicas: readonly { readonly nodeId: string; readonly lag: number; readonly state: string }[];
}

test(
  'one of three is left: all that it held is served again, and two fresh nodes make it whole',
  { timeout: 120_000 },
  async () => {
    const cluster = await startCluster({ partitions: 4, settings });
    try {
      const [left, ...lost] = cluster.nodes as [TestNode, TestNode, TestNode];
      const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`);
      const held = await putAll(cluster, keys, 'held');
      await vi.waitUntil(async () => lagOf(await partitions(cluster), left) === 0, patience);
      // What the others alone acknowledge from here on is what will be lost.
      await left.kill();
      const gone = await putAll(cluster, [...keys.slice(0, 10), 'late'], 'gone');
      const old = join(cluster.dataRoot, 'old');
      for (const node of lost) {
        await node.kill();
        cpSync(node.dataDir, join(old, node.nodeId), { recursive: true });
        rmSync(node.dataDir, { recursive: true });
      }

      // Alone it serves nothing, and the tool does not touch it while it runs.
      const starting = left.restart().catch(() => undefined);
      await vi.waitUntil(async () => (await statusOf(cluster, left, 'key-1')) === 503, patience);
      expect(await recover(left, ['--lost', 'n2,n3'])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('in use by another process: stop the node first') as unknown,
      });
      await left.kill();
      await starting;

      const shown = await recover(left, ['--lost', 'n2,n3']);
      expect(shown).toMatchObject({ code: 0, stderr: '' });
      expect(shown.stdout).toContain('5 of 5 partitions have lost their majority.');
      for (const [words, problem] of [
        [['--lost', 'n2', '--unsafe'], 'n3 is a member, and neither named as lost nor surveyed'],
        [['--lost', 'n2,n3', '--unsafe'], 'typed at a terminal'],
        [['--lost', 'n2,n3', '--unsafe', '--cluster-name-is', 'prod'], '"prod" is not the name of this cluster'],
      ] as const) {
        const refused = await recover(left, words);
        expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(problem) as unknown });
      }
      expect(existsSync(join(left.dataDir, 'recovery-audit.jsonl')), 'nothing was done').toBe(false);
      expect((await recover(left, ['--lost', 'n2,n3'])).stdout).toBe(shown.stdout);

      const done = await recover(left, ['--lost', 'n2,n3', '--unsafe', '--cluster-name-is', 'dev']);
      expect(done).toMatchObject({ code: 0, stderr: '' });
      expect(done.stdout).toContain('5 partitions have begun anew on n1');
      const audit = readFileSync(join(left.dataDir, 'recovery-audit.jsonl'), 'utf8').trim().split('\n');
      expect(audit.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(['begun', 'done']);

      await left.restart();
      expect(left.stderr()).toContain('partitions were begun anew here by hand');
      await readAll(cluster, held);
      expect(await statusOf(cluster, left, 'late')).toBe(404);
      // A version that was lost is none of any value, of a key that is there and of one that is made anew in its place.
      const [changed = '', kept = ''] = keys;
      expect(await put(cluster, changed, 'x', gone.get(changed)?.etag)).toBe(412);
      expect(await put(cluster, changed, 'x', held.get(changed)?.etag)).toBe(200);
      expect(await put(cluster, 'late', 'again')).toBe(201);
      expect(await put(cluster, 'late', 'x', gone.get('late')?.etag)).toBe(412);
      expect(held.get(kept)?.etag).toMatch(/^"1-/);
      const written = await putAll(cluster, keys, 'anew');
      for (const { etag } of written.values()) expect(etag).toMatch(/^"2-1759218604\d+"$/);

      await Promise.all([cluster.addNode(), cluster.addNode()]);
      await whole(cluster, ['n1', 'n4', 'n5']);
      expect((await partitions(cluster)).map(({ incarnation }) => incarnation)).toEqual([2, 2, 2, 2]);

      // Both lost ones come back, with all that they had, and would be a majority of what was.
      for (const node of lost) cpSync(join(old, node.nodeId), node.dataDir, { recursive: true });
      await Promise.all(lost.map((node) => node.restart()));
      for (const node of lost) {
        expect(node.stderr()).toContain('has given this node up for lost, and partitions were begun anew without it');
        expect(readdirSync(cluster.dataRoot).some((name) => name.startsWith(`${node.nodeId}.old-`))).toBe(true);
      }
      await whole(cluster, ['n1', 'n2', 'n3', 'n4', 'n5']);
      for (const node of cluster.nodes) await readAll(cluster, written, node);
    } finally {
      await cluster.close();
    }
  },
);

test(
  'two of five are left: each partition goes on from whichever holds more, by plans that both are given',
  { timeout: 120_000 },
  async () => {
    const cluster = await startCluster({ nodes: 5, replicationFactor: 5, partitions: 4, settings });
    try {
      const [behind, ahead, ...lost] = cluster.nodes as [TestNode, TestNode, ...TestNode[]];
      await putAll(cluster, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'], 'early');
      await behind.kill();
      const written = await putAll(cluster, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'], 'later');
      await vi.waitUntil(async () => lagOf(await partitions(cluster), ahead) === 0, patience);
      for (const node of [...lost, ahead]) await node.kill();

      const names = ['--lost', 'n3,n4,n5'];
      const plans = [behind, ahead].map(({ nodeId }) => join(cluster.dataRoot, `${nodeId}.plan`));
      for (const [i, node] of [behind, ahead].entries()) {
        expect(await recover(node, [...names, '--plan', plans[i] ?? ''])).toMatchObject({ code: 0, stderr: '' });
      }
      const did = ['--unsafe', '--cluster-name-is', 'dev', '--plans', ...plans];
      const results = [await recover(behind, [...names, ...did]), await recover(ahead, [...names, ...did])];
      expect(results.map(({ code, stderr }) => [code, stderr])).toEqual([
        [0, ''],
        [0, ''],
      ]);
      const decisions = results.map(({ stdout }) => /Decision (\w+),/.exec(stdout)?.[1]);
      expect(decisions[0]).toBe(decisions[1]);
      // A plan is of one moment.
      expect(await recover(ahead, [...names, ...did])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('n2 has changed since its plan was made') as unknown,
      });

      await Promise.all([behind.restart(), ahead.restart()]);
      await readAll(cluster, written);
      // What the one behind held of each has gone, and come again from the one that had more.
      await whole(cluster, ['n1', 'n2']);
      await readAll(cluster, written);
    } finally {
      await cluster.close();
    }
  },
);

test(
  'only some partitions have lost theirs: the others are not touched, and all are whole again',
  { timeout: 120_000 },
  async () => {
    const cluster = await startCluster({ nodes: 5, replicationFactor: 3, partitions: 8, settings });
    try {
      const keys = Array.from({ length: 60 }, (_, i) => `key-${i}`);
      const written = await putAll(cluster, keys, 'v');
      await vi.waitUntil(
        async () => (await partitions(cluster)).every(({ replicas }) => replicas.every(({ lag }) => lag === 0)),
        patience,
      );
      const before = await partitions(cluster);
      const directory = (await cluster.request('GET', '/v1/cluster/partitions/0')).json() as Partition;
      // Two whose loss leaves the metadata group a majority, and some partition none.
      const [one, other] = pairs(cluster.nodes).find((pair) => {
        return lostOf(directory, pair) < 2 && before.some((partition) => lostOf(partition, pair) === 2);
      }) as [TestNode, TestNode];
      const lost = [one.nodeId, other.nodeId];
      const survivors = cluster.nodes.filter(({ nodeId }) => !lost.includes(nodeId));
      for (const node of cluster.nodes) await node.kill();

      const plans = survivors.map(({ nodeId }) => join(cluster.dataRoot, `${nodeId}.plan`));
      const names = ['--lost', lost.join(',')];
      await Promise.all(survivors.map((node, i) => recover(node, [...names, '--plan', plans[i] ?? ''])));
      for (const node of survivors) {
        const did = await recover(node, [...names, '--unsafe', '--cluster-name-is', 'dev', '--plans', ...plans]);
        expect(did).toMatchObject({ code: 0, stderr: '' });
      }
      await Promise.all(survivors.map((node) => node.restart()));
      await readAll(cluster, written);
      await whole(
        cluster,
        survivors.map(({ nodeId }) => nodeId),
      );
      await readAll(cluster, written);
      for (const { id, incarnation } of await partitions(cluster)) {
        const had = before.find((partition) => partition.id === id) as Partition;
        expect([id, incarnation]).toEqual([id, lostOf(had, [one, other]) === 2 ? 2 : 1]);
      }
    } finally {
      await cluster.close();
    }
  },
);

function recover({ dataDir }: TestNode, words: readonly string[]): Promise<Finished> {
  return run(['recover', '--data', dataDir, ...words]);
}

function pairs(nodes: readonly TestNode[]): readonly (readonly [TestNode, TestNode])[] {
  return nodes.flatMap((one, i) => nodes.slice(i + 1).map((other) => [one, other] as const));
}

function lostOf({ replicas }: Partition, pair: readonly TestNode[]): number {
  return replicas.filter(({ nodeId }) => pair.some((node) => node.nodeId === nodeId)).length;
}

async function partitions(cluster: TestCluster): Promise<readonly Partition[]> {
  return (await cluster.request('GET', '/v1/cluster/partitions')).json() as readonly Partition[];
}

function lagOf(all: readonly Partition[], { nodeId }: TestNode): number {
  return Math.max(...all.map(({ replicas }) => replicas.find((one) => one.nodeId === nodeId)?.lag ?? 0));
}

/** Nothing moves any more, and each partition is held by as many of these as there are to be, all of them up to date. */
async function whole(cluster: TestCluster, nodeIds: readonly string[]): Promise<void> {
  await vi.waitUntil(async () => {
    const { operations } = (await cluster.request('GET', '/v1/cluster/operations')).json() as {
      operations?: unknown[];
    };
    const all = [
      ...(await partitions(cluster)),
      (await cluster.request('GET', '/v1/cluster/partitions/0')).json() as Partition,
    ];
    return (
      operations?.length === 0 &&
      all.every(({ leader, replicas }) => {
        const isHeld = replicas.length === Math.min(3, nodeIds.length);
        return (
          isHeld &&
          leader !== null &&
          replicas.every((one) => nodeIds.includes(one.nodeId) && one.state === 'ok' && one.lag === 0)
        );
      })
    );
  }, patience);
}

interface Written {
  readonly value: string;
  readonly etag: string;
}

async function putAll(cluster: TestCluster, keys: readonly string[], text: string): Promise<Map<string, Written>> {
  const written = new Map<string, Written>();
  await Promise.all(
    keys.map(async (key) => {
      const value = `${text} ${key}`;
      const etag = await vi.waitUntil(async () => {
        const answer = await cluster
          .request('PUT', `/v1/kv/${key}`, { body: value, redirectsMax: 3 })
          .catch(() => undefined);
        return answer?.status === 200 || answer?.status === 201 ? answer.headers.etag : undefined;
      }, patience);
      written.set(key, { value, etag });
    }),
  );
  return written;
}

async function put(cluster: TestCluster, key: string, body: string, etag?: string): Promise<number> {
  const headers = etag === undefined ? {} : { 'If-Match': etag };
  return (await cluster.request('PUT', `/v1/kv/${key}`, { body, headers, redirectsMax: 3 })).status;
}

async function statusOf(cluster: TestCluster, node: TestNode, key: string): Promise<number> {
  const options = { node, redirectsMax: 3, headers: { 'Flotilla-Timeout-Ms': '500' } };
  return (await cluster.request('GET', `/v1/kv/${key}`, options).catch(() => undefined))?.status ?? 0;
}

async function readAll(cluster: TestCluster, written: ReadonlyMap<string, Written>, node?: TestNode): Promise<void> {
  for (const [key, { value }] of written) {
    const text = await vi.waitUntil(async () => {
      const answer = await cluster
        .request('GET', `/v1/kv/${key}`, { redirectsMax: 3, ...(node && { node }) })
        .catch(() => undefined);
      return answer?.status === 200 ? answer.text() : undefined;
    }, patience);
    expect([key, text]).toEqual([key, value]);
  }
}
