/**
 * Disks fill up under real nodes, by a library that answers for them what `statfs` says and refuses what does not fit. Writes are refused
 * before anything fails, reads and deletes go on, and writes come back by themselves.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FaultyDisks } from '../../src/chaos/disk.ts';
import type { Problem } from '../../src/api/errors.ts';
import { startCluster, type ClusterOptions, type Response, type TestCluster } from '../../src/testing/cluster.ts';

const MiB = 1024 * 1024;
/** Below what a node keeps free, above what it needs to run at all. */
const lowBytes = 700 * MiB;
const withinMs = 20_000;
/** Of a whole story: others may need the machine as well. */
const timeout = 120_000;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-disk-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let disks: FaultyDisks;
beforeEach((context) => {
  const prepared = FaultyDisks.prepare(directory);
  if (typeof prepared === 'string') return context.skip(`${prepared}: full disks were NOT checked`);
  disks = prepared;
  return undefined;
});

async function withCluster(options: ClusterOptions, story: (cluster: TestCluster) => Promise<void>): Promise<void> {
  const cluster = await startCluster({ partitions: 4, ...options, environment: (nodeId) => disks.environment(nodeId) });
  try {
    await story(cluster);
  } finally {
    await cluster.close();
  }
}

const put = (cluster: TestCluster, key: string, body: string | Uint8Array = key): Promise<Response> =>
  cluster.request('PUT', `/v1/kv/${key}`, { body, redirectsMax: 2 });
const get = (cluster: TestCluster, key: string): Promise<Response> =>
  cluster.request('GET', `/v1/kv/${key}`, { redirectsMax: 2 });
const remove = (cluster: TestCluster, key: string): Promise<Response> =>
  cluster.request('DELETE', `/v1/kv/${key}`, { redirectsMax: 2 });

/** Asks again until the answer has this status. */
async function until(status: number, ask: () => Promise<Response>): Promise<Response> {
  for (const startedAt = performance.now(); ; await delay(50)) {
    const answer = await ask();
    if (answer.status === status) return answer;
    if (performance.now() - startedAt > withinMs) throw new Error(`still ${answer.status}: ${answer.text()}`);
  }
}

function expectRefused(answer: Response, who: string): void {
  expect(answer.status).toBe(507);
  expect(answer.headers['content-type']).toBe('application/problem+json');
  expect(answer.headers['retry-after']).toBe('1');
  const problem = answer.json() as Problem;
  expect(problem).toMatchObject({ code: 'disk_full', outcome: 'not_applied', retryable: true, status: 507 });
  expect(problem.detail).toMatch(new RegExp(`^${who} has \\d+ MiB left on its disk`));
}

function expectAllRun(cluster: TestCluster): void {
  expect(cluster.nodes.map(({ state }) => state)).toEqual(cluster.nodes.map(() => 'running'));
}

function lines(stderr: string, text: string): string[] {
  return stderr.split('\n').filter((line) => line.includes(text));
}

test(
  'one voter has little room left: writes are refused wherever it votes, reads and deletes go on, and all is well once it has room',
  { timeout },
  async () => {
    await withCluster({}, async (cluster) => {
      const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
      for (const key of keys) expect((await put(cluster, key)).status).toBe(201);
      const [n1, n2] = cluster.nodes;
      disks.set('n2', { freeBytes: lowBytes });
      // All leaders have heard of it.
      for (let attempt = 0; attempt < 20; attempt += 1) await until(507, () => put(cluster, `attempt-${attempt}`));

      // In every partition, whoever leads it and whichever node is asked.
      for (const node of cluster.nodes) {
        for (const key of keys) {
          const ask = { node, body: 'not to be written', headers: { 'Flotilla-Route': 'forward' } };
          expectRefused(await cluster.request('PUT', `/v1/kv/${key}`, ask), 'n2');
        }
      }
      const set = JSON.stringify({ key: 'key-1', value: 'not to be written' });
      const headers = { 'Content-Type': 'application/json', 'Flotilla-Route': 'forward' };
      expectRefused(await cluster.request('POST', '/set', { body: set, headers }), 'n2');
      const transaction = JSON.stringify({ compare: [], then: [{ op: 'put', key: 'key-1', value: 'no' }], else: [] });
      expectRefused(await cluster.request('POST', '/v1/txn', { body: transaction, headers }), 'n2');

      for (const key of keys) expect((await get(cluster, key)).text()).toBe(key);
      expect((await cluster.request('GET', '/v1/kv?limit=100')).status).toBe(200);
      expect((await remove(cluster, 'key-0')).status).toBe(200);
      const named = { headers: { 'Idempotency-Key': 'once' }, redirectsMax: 2 };
      expect((await cluster.request('DELETE', '/v1/kv/key-1', named)).status).toBe(200);
      const batch = {
        ops: [
          { op: 'put', key: 'key-2', value: 'not to be written' },
          { op: 'delete', key: 'key-2' },
          { op: 'get', key: 'key-3' },
          { op: 'delete', key: 'key-3' },
        ],
      };
      const mixed = await cluster.request('POST', '/v1/batch', { body: JSON.stringify(batch), headers });
      const { results } = mixed.json() as { readonly results: readonly { readonly status: number }[] };
      expect(results.map(({ status }) => status)).toEqual([507, 200, 200, 200]);
      expect((await cluster.request('DELETE', '/v1/kv?prefix=key-1&confirm=key-1')).json()).toEqual({ deleted: 10 });
      const ready = await cluster.request('GET', '/readyz', n1 === undefined ? {} : { node: n1 });
      expect([ready.status, (ready.json() as { readonly warnings: string[] }).warnings]).toEqual([
        200,
        [expect.stringMatching(/^n2 has \d+ MiB left on its disk/)],
      ]);

      disks.set('n2', {});
      await until(201, () => put(cluster, 'key-0', 'written'));
      for (const key of keys) expect((await until(200, () => put(cluster, key))).status).toBeLessThan(300);
      for (const key of keys) expect((await get(cluster, key)).text()).toBe(key);
      expectAllRun(cluster);
      for (const node of cluster.nodes) {
        expect(lines(node.stderr(), 'a disk has little room left'), node.nodeId).toHaveLength(1);
        expect(lines(node.stderr(), 'nothing is refused for that disk any more'), node.nodeId).toHaveLength(1);
      }
      expect(n2?.state).toBe('running');
    });
  },
);

test('what fills the disks stops before they are full, and deletes alone bring writes back', { timeout }, async () => {
  // The same with less of everything, so that little has to be written.
  const storage = {
    diskFreeBytesMin: 64 * MiB,
    diskFreeBytesMargin: 1 * MiB,
    diskFreeBytesStop: 16 * MiB,
    diskCheckMs: 100,
    diskToldMs: 1000,
    writeBufferBytes: 1 * MiB,
    tableBytesMax: MiB,
    batchBytesMax: 5 * MiB,
    pendingBytesMax: 8 * MiB,
    logDeletedBytesMax: 16 * MiB,
    logDeletedCheckMs: 500,
  };
  const raft = { logKeepBytes: MiB, logBytesMax: 4 * MiB };
  await withCluster({ partitions: 2, settings: { storage, raft } }, async (cluster) => {
    for (const { nodeId } of cluster.nodes) disks.set(nodeId, { freeBytes: 88 * MiB });
    const value = Buffer.alloc(256 * 1024, 'x');
    const written: string[] = [];
    const refused: Response[] = [];
    const fill = async (writer: number): Promise<void> => {
      for (let count = 0; refused.length < 20; count += 1) {
        const key = `fill/${writer}-${count}`;
        const answer = await put(cluster, key, value);
        if (answer.status === 201) written.push(key);
        else if (answer.status === 507) refused.push(answer);
        else expect(answer.status).toBe(429);
      }
    };
    await Promise.all([1, 2, 3, 4].map(fill));
    for (const answer of refused) expectRefused(answer, 'n[123]');
    // There was room for some of it, and nobody came near the end of the disk.
    expect(written.length).toBeGreaterThan(30);
    for (const { nodeId } of cluster.nodes) expect(disks.freeBytes(nodeId)).toBeGreaterThan(storage.diskFreeBytesStop);
    for (const key of written) expect((await get(cluster, key)).body.length).toBe(value.length);

    // What was only in the way is cleared first; what is left to do is the users'.
    const left = 60 * MiB;
    for (const startedAt = performance.now(); ;) {
      for (const { nodeId } of cluster.nodes) disks.set(nodeId, { freeBytes: left });
      await delay(2 * storage.logDeletedCheckMs);
      if (cluster.nodes.every(({ nodeId }) => (disks.freeBytes(nodeId) ?? Infinity) <= left)) break;
      if (performance.now() - startedAt > withinMs) throw new Error('the nodes go on giving back room by themselves');
    }
    expectRefused(await until(507, () => put(cluster, 'attempt')), 'n[123]');
    const kept = written.splice(0, 5);
    for (const key of written) expect((await remove(cluster, key)).status, key).toBe(200);
    await until(201, () => put(cluster, `again-${performance.now()}`));
    for (const key of kept) expect((await get(cluster, key)).body.equals(value)).toBe(true);
    for (const key of written) expect((await get(cluster, key)).status).toBe(404);
    expectAllRun(cluster);
  });
});

test(
  'with hardly any room a node stops in order, starts no more, and holds up nobody; with a little it serves again',
  { timeout },
  async () => {
    await withCluster({}, async (cluster) => {
      for (let index = 0; index < 20; index += 1) expect((await put(cluster, `key-${index}`)).status).toBe(201);
      const [, , n3] = cluster.nodes;
      if (n3 === undefined) throw new Error('there are three nodes');
      disks.set('n3', { freeBytes: 100 * MiB });
      expect(await n3.exited()).toEqual({ code: 74, signal: null });
      const why = 'the disk of data directory .* has 1?\\d\\d MiB left, and a node needs 256 MiB to run at all';
      expect(lines(n3.stderr(), 'the node stops: ')).toEqual([expect.stringMatching(new RegExp(why))]);
      for (let index = 0; index < 20; index += 1) await until(200, () => put(cluster, `key-${index}`, 'without n3'));

      const identity = (): Buffer => readFileSync(join(n3.dataDir, 'identity.json'));
      const before = identity();
      await expect(n3.restart()).rejects.toThrow(new RegExp(`code 1 before it was ready: flotilla: ${why}`));
      // Nothing was touched.
      expect(identity().equals(before)).toBe(true);
      disks.set('n3', { freeBytes: lowBytes });
      await n3.restart();
      await until(507, () => put(cluster, 'attempt'));
      const throughN3 = { node: n3, headers: { 'Flotilla-Route': 'forward' } };
      expect((await cluster.request('GET', '/v1/kv/key-1', throughN3)).text()).toBe('without n3');
      expect((await cluster.request('DELETE', '/v1/kv/key-1', throughN3)).status).toBe(200);
      // Whoever is killed can't take its word back: it is forgotten.
      await n3.kill();
      await until(201, () => put(cluster, 'key-1', 'without n3'));
      disks.set('n3', {});
      await n3.restart();
      for (let index = 0; index < 20; index += 1)
        expect((await get(cluster, `key-${index}`)).text()).toBe('without n3');
      expectAllRun(cluster);
    });
  },
);
