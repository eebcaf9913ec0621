/**
 * A node that can't reach a majority answers no read and promises no write; a leader that was away and comes back does not
 * serve what it still remembers.
 */
import { performance } from 'node:perf_hooks';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';
import type { Response } from '../../src/testing/http.ts';

const partitions = 3;
/** Above the longest election, below the patience of whoever runs tests. */
const changeMsMax = 10_000;
/** How much later than its deadline an answer may come: the sweep that looks at deadlines, and a busy machine. */
const lateMsMax = 1000;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ partitions });
});
afterEach(() => {
  for (const node of cluster.nodes) if (node.state === 'paused') node.resume();
  return cluster.waitReady();
});
afterAll(() => cluster.close());

test('with both followers stopped nothing is read, nothing is promised, and nothing is lost when they go on', async () => {
  const { leader, partition, key } = await someLeader();
  const followers = cluster.nodes.filter((node) => node !== leader);
  expect((await put(leader, key, 'before', 2000)).status).toBeLessThan(202);
  // Of partitions led elsewhere, too: the leader of those is out of reach.
  const keys = [key, ...(await Promise.all([1, 2, 3].map((id) => keyIn(id))))];

  for (const node of followers) node.pause();
  const inFlight = timed(put(leader, key, 'in flight', 1500));
  const reads: Promise<Timed>[] = [];
  await vi.waitFor(
    async () => {
      for (const each of keys)
        for (const route of ['redirect', 'forward']) reads.push(timed(get(leader, each, 500, route)));
      expect(await leaderSeenBy(leader, partition)).toBeUndefined();
    },
    { timeout: changeMsMax, interval: 100 },
  );
  // In flight when its leader lost the majority: nobody knows what becomes of it, and it says so in time.
  expect(await inFlight).toSatisfy(withinDeadline(1500, 504, 'outcome_unknown'));
  // The leader has stepped down: what comes now is certainly not applied.
  for (const timeoutMs of [300, 1000]) {
    const refused = { put: timed(put(leader, key, 'refused', timeoutMs)), get: timed(get(leader, key, timeoutMs)) };
    expect(await refused.put).toSatisfy(withinDeadline(timeoutMs, 503, 'no_leader'));
    expect(await refused.get).toSatisfy(withinDeadline(timeoutMs, 503, 'no_leader'));
  }
  for (const { response } of await Promise.all(reads)) expect([307, 503]).toContain(response.status);

  for (const node of followers) node.resume();
  await cluster.waitReady();
  const values = await Promise.all(cluster.nodes.map(async (node) => (await get(node, key, 5000)).text()));
  expect(new Set(values).size).toBe(1);
  expect(['before', 'in flight']).toContain(values[0]);
  expect((await put(leader, key, 'after', 5000)).status).toBe(200);
});

test('a leader that was paused while another took over serves no stale read when it goes on', async () => {
  const { leader, partition, key } = await someLeader();
  const others = cluster.nodes.filter((node) => node !== leader);
  const [survivor] = others;
  if (survivor === undefined) throw new Error('a cluster of three has others');
  expect((await put(leader, key, 'old', 2000)).status).toBeLessThan(202);

  leader.pause();
  await vi.waitFor(async () => expect(others).toContain(await leaderSeenBy(survivor, partition)), {
    timeout: changeMsMax,
    interval: 50,
  });
  expect((await put(survivor, key, 'new', 5000)).status).toBe(200);
  // They lie in its sockets when it wakes up, believing that it leads.
  const routes = ['redirect', 'forward', 'redirect', 'forward'];
  const reads = routes.map((route) => get(leader, key, 2000, route));
  leader.resume();
  reads.push(...routes.map((route) => get(leader, key, 2000, route)));
  for (const response of await Promise.all(reads)) {
    if (response.status === 200) expect(response.text()).toBe('new');
    else expect([307, 503]).toContain(response.status);
  }
  await cluster.waitReady();
  expect((await get(leader, key, 5000)).text()).toBe('new');
});

interface Timed {
  readonly response: Response;
  readonly tookMs: number;
}

async function timed(answer: Promise<Response>): Promise<Timed> {
  const startedAt = performance.now();
  const response = await answer;
  return { response, tookMs: performance.now() - startedAt };
}

function withinDeadline(deadlineMs: number, status: number, code: string): (timed: Timed) => boolean {
  return ({ response, tookMs }) => {
    expect({ status: response.status, code: (response.json() as { readonly code: unknown }).code }).toEqual({
      status,
      code,
    });
    return tookMs < deadlineMs + lateMsMax;
  };
}

function put(node: TestNode, key: string, body: string, timeoutMs: number): Promise<Response> {
  const headers = { 'Flotilla-Timeout-Ms': String(timeoutMs), 'Flotilla-Route': 'forward' };
  return cluster.request('PUT', `/v1/kv/${key}`, { node, body, headers });
}

function get(node: TestNode, key: string, timeoutMs: number, route = 'forward'): Promise<Response> {
  const headers = { 'Flotilla-Timeout-Ms': String(timeoutMs), 'Flotilla-Route': route };
  return cluster.request('GET', `/v1/kv/${key}`, { node, headers });
}

async function someLeader(): Promise<{ readonly leader: TestNode; readonly partition: number; readonly key: string }> {
  const partition = 1;
  const leader = await cluster.leaderOf(partition);
  if (leader === undefined) throw new Error('a cluster that is ready knows its leaders');
  return { leader, partition, key: await keyIn(partition) };
}

async function keyIn(partition: number): Promise<string> {
  for (let candidate = 0; ; candidate += 1) {
    const key = `key-${candidate}`;
    const located = (await cluster.request('GET', `/v1/locate/${key}`)).json() as { readonly partition: number };
    if (located.partition === partition) return key;
  }
}

/** By what the node's own replica knows, not by asking around. */
async function leaderSeenBy(node: TestNode, partition: number): Promise<TestNode | undefined> {
  const key = await keyIn(partition);
  const { leader } = (await cluster.request('GET', `/v1/locate/${key}`, { node })).json() as {
    readonly leader: string | null;
  };
  return cluster.nodes.find(({ nodeId }) => nodeId === leader);
}
