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

test('a follower of whose state a value vanished is named, and no other, and is replaced', async () => {
  await tamper((state, stored) => state.del(stored));
  const { pid } = victim;
  expect(await accused()).toMatch(/stored are 199 keys of \d+ bytes, .*, and the machine state says 200 keys/);
  await isReplaced(victim);
  expect(victim.pid).toBe(pid);
});

test('two nodes of three, each alone in another partition: both are replaced, and each partition has a majority all the while', async () => {
  await cluster.close();
  cluster = await startCluster({ partitions: 2, settings });
  await putAll('first');
  const [one, other] = cluster.nodes as [TestNode, TestNode, TestNode];
  await Promise.all(cluster.nodes.map((node) => node.kill('SIGTERM')));
  await tamperStopped(one, 1, (state, stored) => state.del(stored));
  await tamperStopped(other, 2, (state, stored) => state.del(stored));
  await Promise.all(cluster.nodes.map((node) => node.restart()));
  await Promise.all([isReplaced(one), isReplaced(other)]);
  await putAll('later');
  expect(accusations(one).map(({ partition }) => partition)).toEqual([1]);
  expect(accusations(other).map(({ partition }) => partition)).toEqual([2]);
});

test('a follower to whose state an older value came back is named, and no other', async () => {
  const older: Buffer[] = [];
  await tamper(async (state, stored) => {
    older.push((await state.get(stored)) ?? Buffer.alloc(0));
  });
  await putAll('other');
  await has('other');
  await tamper(async (state, stored) => {
    expect(await state.get(stored)).not.toEqual(older[0]);
    await state.put(stored, older[0] ?? Buffer.alloc(0));
  });
  // As many keys and bytes as are counted: nothing but the others shows it.
  expect(await accused()).toMatch(/is not that which replicas \d, \d hold, all the same$/);
});

/** So many at a time that a node takes them all on, however long one flush of its disk may take. */
async function putAll(value: string): Promise<void> {
  const putsAtOnce = 100;
  for (let from = 0; from < keys.length; from += putsAtOnce) {
    const some = keys.slice(from, from + putsAtOnce);
    const puts = some.map((key) => cluster.request('PUT', `/v1/kv/${key}`, { body: value, redirectsMax: 1 }));
    for (const answer of await Promise.all(puts)) expect(answer.status, answer.text()).toBeLessThan(300);
  }
}

/** The victim, too: it is no older value that takes the place of the same one. */
async function has(value: string): Promise<void> {
  const stale = keys.map((key) => `/v1/kv/${key}?consistency=stale`);
  await vi.waitUntil(
    async () => {
      const answers = await Promise.all(stale.map((path) => cluster.request('GET', path, { node: victim })));
      return answers.every(({ body }) => body.toString() === value);
    },
    { timeout: foundWithinMs, interval: 50 },
  );
}

/** The same process goes on, with a whole replica in the place of the one in doubt. */
async function isReplaced(node: TestNode): Promise<void> {
  await vi.waitUntil(() => notes(node).some(({ msg }) => msg === 'the partition has all its replicas again'), {
    timeout: foundWithinMs,
    interval: 50,
  });
  await vi.waitUntil(async () => (await cluster.request('GET', '/readyz', { node })).status === 200);
}

/** Changes one value while the victim is stopped. */
async function tamper(change: (state: State, stored: Buffer) => Promise<void>): Promise<void> {
  await victim.kill('SIGTERM');
  await tamperStopped(victim, 1, change);
  await victim.restart();
}

/** One of the values in area 0 of the partition (src/storage/README.md). */
async function tamperStopped(
  node: TestNode,
  partition: number,
  change: (state: State, stored: Buffer) => Promise<void>,
): Promise<void> {
  const options = { keyEncoding: 'buffer', valueEncoding: 'buffer', createIfMissing: false } as const;
  const state: State = new ClassicLevel(join(node.dataDir, 'state'), options);
  await state.open();
  const space = Buffer.from([0, 0, 0, partition, 5, 3]);
  const [stored] = await state.keys({ gte: Buffer.concat([space, Buffer.from('key-')]), limit: 1 }).all();
  expect(stored?.subarray(0, space.length)).toEqual(space);
  await change(state, stored ?? space);
  await state.close();
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
