/**
 * A follower was away for longer than the log reaches back: it comes back by a snapshot while writes go on, and holds
 * everything. The logs do not grow without bound.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const partitions = 2;
/** While it is away; small ones while it is brought back, so that the log reaches back to its snapshot. */
const largeBytes = 64 * KiB;
const smallBytes = 512;
const valuesWhileAway = 240;
const settings = {
  raft: { logKeepEntries: 20, logKeepBytes: 1 * MiB, logBytesMax: 2 * MiB, compactEntriesMin: 5 },
  snapshots: { retryDelayMs: 50 },
  storage: { writeBufferBytes: 1 * MiB, tableBytesMax: 1 * MiB },
};
/** Of 15 MiB and more that every log took: what is kept, and what LevelDB has not merged away yet. */
const logDirectoryBytesMax = 12 * MiB;

test(
  'a follower that was away for too long comes back by a snapshot while writes go on',
  { timeout: 60_000 },
  async () => {
    const cluster = await startCluster({ partitions, settings });
    try {
      const laggard = await oneWithoutLeadership(cluster);
      const others = cluster.nodes.filter((node) => node !== laggard);
      const written = new Map<string, string>();
      await putAll(cluster, written, ['before-1', 'before-2', 'before-3']);
      await laggard.kill();
      const keys = Array.from({ length: valuesWhileAway }, (_, n) => `away-${n % 100}-${n}`);
      await putAll(cluster, written, keys);

      const goingOn = new AbortController();
      const writes = writeUntil(cluster, written, goingOn.signal);
      await laggard.restart();
      await vi.waitUntil(() => installedPartitions(others, laggard).size === partitions, {
        timeout: 20_000,
        interval: 20,
      });
      goingOn.abort();
      expect(await writes).toBeGreaterThan(0);

      for (const node of others) expect(directoryBytes(join(node.dataDir, 'log'))).toBeLessThan(logDirectoryBytesMax);
      for (let partition = 1; partition <= partitions; partition += 1) await moveTo(cluster, partition, laggard);
      for (const [key, value] of written) {
        const read = await cluster.request('GET', `/v1/kv/${key}`, { node: laggard });
        expect(read.headers['flotilla-leader'] ?? laggard.nodeId).toBe(laggard.nodeId);
        expect(read.text() === value ? key : `${key}: ${read.status}`).toBe(key);
      }
    } finally {
      await cluster.close();
    }
  },
);

async function oneWithoutLeadership(cluster: TestCluster): Promise<TestNode> {
  const [first, second, third] = cluster.nodes;
  if (first === undefined || second === undefined || third === undefined) throw new Error('three nodes were asked for');
  for (let partition = 1; partition <= partitions; partition += 1) {
    if ((await cluster.leaderOf(partition)) === third) await moveTo(cluster, partition, first);
  }
  return third;
}

async function moveTo(cluster: TestCluster, partition: number, node: TestNode): Promise<void> {
  await vi.waitFor(
    async () => {
      const moved = await cluster.request('POST', `/v1/cluster/partitions/${partition}/leader`, {
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ nodeId: node.nodeId }),
      });
      expect(`${moved.status} ${moved.text()}`).toMatch(/^200 /);
    },
    { timeout: 10_000, interval: 50 },
  );
}

function valueOf(key: string): string {
  const bytes = key.startsWith('away') ? largeBytes : smallBytes;
  return `${key} `.repeat(Math.ceil(bytes / (key.length + 1)));
}

async function put(cluster: TestCluster, written: Map<string, string>, key: string): Promise<void> {
  const value = valueOf(key);
  const headers = { 'Flotilla-Route': 'forward', 'Flotilla-Timeout-Ms': '15000' };
  const answer = await cluster.request('PUT', `/v1/kv/${key}`, { body: value, headers, timeoutMs: 20_000 });
  expect(answer.status).toBe(201);
  written.set(key, value);
}

async function putAll(cluster: TestCluster, written: Map<string, string>, keys: readonly string[]): Promise<void> {
  const left = [...keys];
  const putNext = async (): Promise<void> => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) await put(cluster, written, key);
  };
  await Promise.all(Array.from({ length: 8 }, putNext));
}

/** One write after the other; how many there were. */
async function writeUntil(cluster: TestCluster, written: Map<string, string>, stop: AbortSignal): Promise<number> {
  let count = 0;
  for (; !stop.aborted; count += 1) await put(cluster, written, `during-${count}`);
  return count;
}

/** Partitions of which a leader says that `node` has installed a snapshot. */
function installedPartitions(leaders: readonly TestNode[], node: TestNode): Set<number> {
  const notes = leaders
    .flatMap((leader) => leader.stderr().trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as Note);
  const installed = notes.filter(
    ({ msg, to, outcome }) => msg === 'the snapshot has ended' && to === node.nodeId && outcome === 'installed',
  );
  return new Set(installed.map(({ partition }) => partition));
}

interface Note {
  readonly msg: string;
  readonly partition: number;
  readonly to?: string;
  readonly outcome?: string;
}

function directoryBytes(directory: string): number {
  const sizes = readdirSync(directory).map((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size);
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}
