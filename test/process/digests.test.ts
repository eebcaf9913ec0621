/**
 * Behind LevelDB's back a value vanishes from a follower's state, or an older one takes its place, record and tables whole. No start finds
 * that, nor any read: comparing the replicas does, and names that one and no other.
 */
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

const keys = Array.from({ length: 200 }, (_, index) => `key-${index}`);
const settings = { scrub: { everyMs: 500, retryMs: 100, askEveryMs: 50 } };
const foundWithinMs = 20_000;

type State = ClassicLevel<Buffer, Buffer>;

interface Note {
  readonly msg: string;
  readonly partition?: number;
  readonly reason?: string;
  readonly records?: number;
  readonly replicas?: number;
}

let cluster: TestCluster;
let victim: TestNode;

beforeEach(async () => {
  cluster = await startCluster({ partitions: 1, settings });
  await putAll('first');
  const leader = await cluster.leaderOf(1);
  victim = cluster.nodes.find((node) => node !== leader) as TestNode;
});
afterEach(() => cluster.close());

test('replicas that hold the same are compared, and what that came to is told', async () => {
  const told = await vi.waitUntil(
    () =>
      cluster.nodes
        .flatMap(notes)
        .find(({ msg, records }) => msg.startsWith('replicas were compared: all') && records === keys.length),
    { timeout: foundWithinMs, interval: 50 },
  );
  const whole: unknown = expect.any(Number);
  expect(told).toMatchObject({ partition: 1, index: whole, bytes: whole, ms: whole, replicas: 3 });
  expect(cluster.nodes.flatMap(accusations)).toEqual([]);
});

test('a follower of whose state a value vanished is named, and no other, and is filled again', async () => {
  await tamper((state, stored) => state.del(stored));
  expect(await accused()).toMatch(/stored are 199 keys of \d+ bytes, .*, and the machine state says 200 keys/);
  await vi.waitUntil(() => notes(victim).some(({ msg }) => msg.startsWith('the node is whole again')), {
    timeout: foundWithinMs,
    interval: 50,
  });
});

test('a follower to whose state an older value came back is named, and no other', async () => {
  const older: Buffer[] = [];
  await tamper(async (state, stored) => {
    older.push((await state.get(stored)) ?? Buffer.alloc(0));
  });
  await putAll('other');
  await tamper((state, stored) => state.put(stored, older[0] ?? Buffer.alloc(0)));
  // As many keys and bytes as are counted: nothing but the others shows it.
  expect(await accused()).toMatch(/is not that which replicas \d, \d hold, all the same$/);
});

async function putAll(value: string): Promise<void> {
  const puts = keys.map((key) => cluster.request('PUT', `/v1/kv/${key}`, { body: value, redirectsMax: 1 }));
  for (const { status } of await Promise.all(puts)) expect(status).toBeLessThan(300);
}

/** Changes one value while the victim is stopped: partition 1, area 0, values (src/storage/README.md). */
async function tamper(change: (state: State, stored: Buffer) => Promise<void>): Promise<void> {
  await victim.kill('SIGTERM');
  const options = { keyEncoding: 'buffer', valueEncoding: 'buffer', createIfMissing: false } as const;
  const state: State = new ClassicLevel(join(victim.dataDir, 'state'), options);
  await state.open();
  const stored = Buffer.concat([Buffer.from([0, 0, 0, 1, 5, 3]), Buffer.from('key-77')]);
  expect(await state.get(stored)).toBeDefined();
  await change(state, stored);
  await state.close();
  await victim.restart();
}

/** Why the victim is, once it is: and nobody else is at any time. */
async function accused(): Promise<string | undefined> {
  await vi.waitUntil(() => accusations(victim).length > 0, { timeout: foundWithinMs, interval: 50 });
  expect(cluster.nodes.filter((node) => node !== victim).flatMap(accusations)).toEqual([]);
  const [{ partition, reason } = {}] = accusations(victim);
  expect(partition).toBe(1);
  return reason;
}

function accusations(node: TestNode): Note[] {
  return notes(node).filter(({ msg }) => msg === 'the replica here differs from a majority of its group');
}

function notes(node: TestNode): Note[] {
  const lines = node.stderr().split('\n');
  return lines.filter((line) => line.startsWith('{') && line.endsWith('}')).map((line) => JSON.parse(line) as Note);
}
