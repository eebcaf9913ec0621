/** A leader's process is killed: its peers notice that it is gone, and do not wait out an election timeout. */
import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { startCluster } from '../../src/testing/cluster.ts';

const partitions = 3;
/** Nobody is elected by the passing of time while this test runs: that would take half a minute at least. */
const settings = { raft: { tickMs: 50, electionTicksMin: 600, electionTicksMax: 1200 } };
/** What it takes on a quiet machine is a tenth of a second. */
const takeoverMsMax = 15_000;

test('another one leads long before an election timeout could have passed, and has all that was acknowledged', async () => {
  const cluster = await startCluster({ partitions, settings });
  try {
    const keys = Array.from({ length: 12 }, (_, n) => `key-${n}`);
    for (const key of keys) {
      const written = await cluster.request('PUT', `/v1/kv/${key}`, { body: `value of ${key}`, redirectsMax: 2 });
      expect(written.status).toBe(201);
    }
    const victim = await cluster.mostLeading();
    const killedAt = performance.now();
    await victim.kill('SIGKILL');
    // Reads through both survivors, of every partition.
    await cluster.waitReady(takeoverMsMax);
    expect(performance.now() - killedAt).toBeLessThan(takeoverMsMax);
    for (const node of cluster.nodes.filter((other) => other !== victim)) {
      const answers = keys.map((key) => cluster.request('GET', `/v1/kv/${key}`, { node, redirectsMax: 2 }));
      expect((await Promise.all(answers)).map((answer) => answer.text())).toEqual(keys.map((key) => `value of ${key}`));
    }
  } finally {
    await cluster.close();
  }
});
