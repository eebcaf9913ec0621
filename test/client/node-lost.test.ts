/** A node is killed in the middle of a run of writes: each is applied once, and the callers hear nothing of it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, FlotillaError, type Store } from '../../src/client/connect.ts';
import { startCluster, type TestCluster } from '../../src/testing/cluster.ts';

let cluster: TestCluster;
let store: Store;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3, partitions: 6 });
});
afterAll(async () => {
  await store.close();
  await cluster.close();
});

const counters = Array.from({ length: 6 }, (_, n) => `counter/${n}`);

/** Reads, and writes one more if nobody else has since. Returns whether it did. */
async function increment(key: string): Promise<boolean> {
  const entry = await store.get(key);
  const next = String(Number(entry?.text() ?? '0') + 1);
  try {
    await store.set(key, next, entry === undefined ? { ifNoneMatch: '*' } : { ifMatch: entry.etag });
    return true;
  } catch (error) {
    // Another of us was first.
    if (error instanceof FlotillaError && error.code === 'precondition_failed') return false;
    throw error;
  }
}

describe('the node that leads most, killed under writes', () => {
  it('costs no write and doubles none', async () => {
    store = connect(cluster.nodes.map(({ url }) => url));
    const done = new Map(counters.map((key) => [key, 0]));
    const created = new Map<string, boolean>();
    let stopped = false;
    const counting = counters.flatMap((key) =>
      [1, 2].map(async () => {
        while (!stopped) if (await increment(key)) done.set(key, done.get(key)! + 1);
      }),
    );
    const creating = [1, 2, 3, 4].map(async (worker) => {
      for (let n = 0; !stopped; n += 1) {
        const key = `created/${worker}/${n}`;
        created.set(key, (await store.set(key, key)).created);
      }
    });
    const sum = (): number => [...done.values()].reduce((total, count) => total + count, 0);
    await expect.poll(sum, { timeout: 10_000 }).toBeGreaterThan(40);
    const victim = await cluster.mostLeading();
    await victim.kill();
    const before = sum();
    await expect.poll(sum, { timeout: 10_000 }).toBeGreaterThan(before + 40);
    stopped = true;
    await Promise.all([...counting, ...creating]);

    for (const key of counters) expect([key, (await store.get(key))?.text()]).toEqual([key, String(done.get(key))]);
    // Applied twice, the repeat would have found its own key.
    expect([...created].filter(([, was]) => !was)).toEqual([]);
    for (const key of created.keys()) expect((await store.get(key))?.text()).toBe(key);
  });

  it('leaves errors that say so when no majority is left', async () => {
    const [other] = cluster.nodes.filter(({ state }) => state === 'running');
    await other!.kill();
    const results = await Promise.all(
      counters.map((key) => store.set(key, 'x', { timeoutMs: 1500 }).catch((error: unknown) => error)),
    );
    for (const error of results) {
      expect(error).toBeInstanceOf(FlotillaError);
      const { code, outcome, retryable } = error as FlotillaError;
      expect(['no_leader', 'outcome_unknown', 'request_in_progress', 'deadline_exceeded', 'unreachable']).toContain(
        code,
      );
      expect(retryable).toBe(outcome === 'not_applied');
    }
  });
});
