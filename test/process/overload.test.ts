/**
 * More writes than slow disks take: those that would wait too long are refused and leave no trace, the others are answered, reads go on, and nobody
 * is taken for dead.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Problem } from '../../src/api/errors.ts';
import { FaultyDisks } from '../../src/chaos/disk.ts';
import { startCluster, type Response, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';
import { RawConnection } from '../http/http-client.ts';

/** About five hundred small writes a second: also less than what a busy machine sends. */
const slowDisk = { syncDelayMs: 20, syncMsPerKiB: 5 };
const value = 'x'.repeat(256);
const writers = 240;
const announcers = 8;
const floodMs = 2000;
/** A busy machine takes longer to refuse somebody: so long does it get at most. */
const floodMsMax = 15_000;
const pauseMs = 100;

let directory: string;
let cluster: TestCluster | undefined;
let disks: FaultyDisks;

beforeEach((context) => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-disk-'));
  const prepared = FaultyDisks.prepare(directory);
  if (typeof prepared === 'string') return context.skip(`${prepared}: overload was NOT checked`);
  disks = prepared;
  return undefined;
});
afterEach(async () => {
  await cluster?.close();
  rmSync(directory, { recursive: true, force: true });
});

test('writes that would wait too long for the disk are refused, and nothing else is', async () => {
  cluster = await startCluster({ partitions: 3, environment: (nodeId) => disks.environment(nodeId) });
  await put('read', value);
  const terms = await termsOf(cluster);
  for (const { nodeId } of cluster.nodes) disks.set(nodeId, slowDisk);
  const seen: Seen = { written: [], reads: [], bodiless: [] };
  const more = moreUntilSeen(seen);
  await Promise.all([flood(more, seen), read(more, seen), announce(more, seen)]);
  const { written, reads, bodiless } = seen;
  expect(new Set(written.map(({ answer }) => answer.status))).toEqual(new Set([201, 429]));
  const refused = written.filter(({ answer }) => answer.status === 429);
  for (const { answer } of refused) {
    const problem = answer.json() as Problem;
    expect(problem).toMatchObject({ code: 'overloaded', outcome: 'not_applied' });
    const told = /^(\d+) writes wait for the disk of this node, which takes ([\d.]+) ms for each$/.exec(problem.detail);
    const [, writes, ms] = told ?? [];
    expect(answer.headers['retry-after']).toBe(String(Math.ceil((Number(writes) * Number(ms)) / 1000)));
  }
  expect(new Set(reads)).toEqual(new Set([200]));
  // Either a body is asked for, or the write is refused without it.
  expect(bodiless).toContain(429);
  expect(bodiless.filter((status) => status !== 100 && status !== 429)).toEqual([]);
  // Nobody was held to be dead, and it is all over at once.
  expect(await termsOf(cluster)).toEqual(terms);
  expect((await put('after', value)).status).toBe(201);
  const looks = written.map(async ({ key, answer }) => {
    const { status } = await get(key);
    expect(status, `${key}, whose put was answered ${answer.status}`).toBe(answer.status === 201 ? 200 : 404);
  });
  await Promise.all(looks);
});

interface Written {
  readonly key: string;
  readonly answer: Response;
}

interface Seen {
  readonly written: Written[];
  readonly reads: number[];
  readonly bodiless: number[];
}

/** Whether the flood goes on: for its time, and until both kinds of refusals have been seen. */
function moreUntilSeen({ written, bodiless }: Seen): () => boolean {
  const start = performance.now();
  return () => {
    const ms = performance.now() - start;
    const refused = bodiless.includes(429) && written.some(({ answer }) => answer.status === 429);
    return ms < floodMs || (!refused && ms < floodMsMax);
  };
}

/** Each write has a key of its own. */
async function flood(more: () => boolean, { written }: Seen): Promise<void> {
  const writer = async (number: number): Promise<void> => {
    for (let count = 0; more(); count += 1) {
      const key = `flood-${number}-${count}`;
      const answer = await put(key, value);
      written.push({ key, answer });
      if (answer.status === 429) await delay(pauseMs);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, number) => writer(number)));
}

async function read(more: () => boolean, { reads }: Seen): Promise<void> {
  for (; more(); await delay(20)) reads.push((await get('read')).status);
}

/** They ask before they send a body, which then never comes. */
async function announce(more: () => boolean, { bodiless }: Seen): Promise<void> {
  const { url } = await leaderOf(cluster as TestCluster, 'announced');
  const announcer = async (): Promise<void> => {
    while (more()) {
      const connection = await RawConnection.open(url);
      connection.write(
        'PUT /v1/kv/announced HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 256\r\n\r\n',
      );
      bodiless.push((await connection.answer())?.status ?? 0);
      connection.destroy();
    }
  };
  await Promise.all(Array.from({ length: announcers }, announcer));
}

async function leaderOf(whose: TestCluster, key: string): Promise<TestNode> {
  const { leader } = (await whose.request('GET', `/v1/locate/${key}`)).json() as { readonly leader: string };
  return whose.nodes.find(({ nodeId }) => nodeId === leader) as TestNode;
}

function put(key: string, body: string): Promise<Response> {
  return (cluster as TestCluster).request('PUT', `/v1/kv/${key}`, { body, redirectsMax: 1 });
}

function get(key: string): Promise<Response> {
  return (cluster as TestCluster).request('GET', `/v1/kv/${key}`, { redirectsMax: 1 });
}

async function termsOf(whose: TestCluster): Promise<unknown> {
  const answer = await whose.request('GET', '/v1/cluster/partitions');
  return (answer.json() as { readonly id: number; readonly term: number }[]).map(({ id, term }) => [id, term]);
}
