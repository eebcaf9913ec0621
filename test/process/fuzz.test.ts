/**
 * Requests of every kind at a healthy cluster of three, from one seed: sound, wrong and hostile ones, on keys from every corner. No
 * answer is a 5xx, HTML or outside its schema, and what is read is, byte for byte, what was written.
 *
 * `FUZZ_REQUESTS=20000` is the full run; `FUZZ_SEED` draws the same requests again.
 */
import { expect, test } from 'vitest';
import { startCluster } from '../../src/testing/cluster.ts';
import { fuzz } from './fuzz/run.ts';

const requestsInBrief = 1500;
const requests = Number(process.env['FUZZ_REQUESTS'] ?? requestsInBrief);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 1_000_000_000));
/** Slow machine, every request a write, and some to spare. */
const timeoutMs = 30_000 + requests * 20;

/** A busy machine may hold an election of its own accord; here it would be a 503 that is nobody's fault. */
const settings = { raft: { electionTicksMin: 100, electionTicksMax: 200 } };

test(
  `${requests} requests of all kinds come to answers of their own shape, and the data is byte-exact (seed ${seed})`,
  { timeout: timeoutMs },
  async () => {
    const cluster = await startCluster({ settings });
    try {
      const { statuses, redirects } = await fuzz({ nodes: cluster.nodes.map(({ url }) => url), requests, seed });
      const counts = [...statuses].toSorted(([one], [other]) => one - other);
      const total = counts.reduce((sum, [, count]) => sum + count, 0);
      const sound = counts.reduce((sum, [status, count]) => sum + (status < 300 ? count : 0), 0);
      const told = counts.map(([status, count]) => `${status}: ${count}`).join(', ');
      process.stdout.write(
        `fuzz, seed ${seed}: ${total} requests, ${sound} answered 2xx, ${redirects} redirects; ${told}\n`,
      );
      expect(total).toBeGreaterThanOrEqual(requests);
      expect(sound).toBeGreaterThanOrEqual(total / 2);
      expect(cluster.nodes.map(({ state }) => state)).toEqual(['running', 'running', 'running']);
    } finally {
      await cluster.close();
    }
  },
);
