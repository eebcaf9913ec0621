/**
 * Whether retries under idempotency keys lose or double anything while leaders are killed.
 *
 *   npm run bench -- increments [--increments 5000] [--seconds 60] [--kill-every 2] [--counters 6] [--workers 12]
 *                               [--timeout-ms 30000] [--settings JSON] [--out FILE]
 *
 * Workers count counters up through the client library: read, then compare-and-set to one more, until together they have done
 * `--increments` of them, spread over `--seconds`. What ends without a known outcome is sent again under the same idempotency key until it is known.
 * Every `--kill-every` seconds the node that leads most of the counters' partitions is killed by SIGKILL, and started again at once. In the end each counter
 * has to be exactly what its workers were told. The last lines say how many writes came to their end by a repeat.
 */
import { connect, FlotillaError } from '../dist/client/connect.js';
import { Killer } from './lib/killer.js';
import { keysIn, partitionsWithLeaders } from './lib/partitions.js';
import { parseFlags, sleep, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

export async function increments(args) {
  const flags = parseFlags(args, {
    increments: 5000,
    seconds: 60,
    'kill-every': 2,
    counters: 6,
    workers: 12,
    'timeout-ms': 30_000,
    settings: '{}',
  });
  const { cluster, close } = await startFlotilla({ partitions: flags.counters, settings: JSON.parse(flags.settings) });
  const store = connect(
    cluster.nodes.map(({ url }) => url),
    { timeoutMs: flags['timeout-ms'] },
  );
  try {
    const partitions = await partitionsWithLeaders(cluster);
    const keys = partitions.map(({ id }) => keysIn(partitions, [id], { count: 1, prefix: 'counter' })[0]);
    const run = new Run(store, keys, flags);
    const killer = new Killer(cluster, keys, flags['kill-every'] * 1000);
    killer.start();
    await run.done();
    await killer.stop();
    const told = [...run.told.values()].reduce((sum, count) => sum + count, 0);
    const wrong = [];
    for (const key of keys) {
      const found = Number((await store.get(key))?.text() ?? 0);
      if (found !== run.told.get(key)) wrong.push(`${key} is ${found}, and ${run.told.get(key)} were told`);
    }
    const summary = { told, wrong, kills: killer.kills, seconds: run.seconds, ...run.counts };
    console.log(
      `${told} increments in ${run.seconds.toFixed(1)} s, ${killer.kills} kills\n` +
        `  the longest took ${run.counts.longestMs.toFixed(0)} ms; ${run.counts.conflicts} found that another was first\n` +
        `  sent again by us after an unknown outcome: ${run.counts.unknown} times; more often by the client itself\n` +
        `  ${wrong.length === 0 ? 'none lost, none doubled' : `WRONG: ${wrong.join('; ')}`}`,
    );
    writeReport(flags, { summary });
    if (wrong.length > 0) process.exitCode = 1;
  } finally {
    await store.close();
    await close();
  }
}

class Run {
  told = new Map();
  seconds = 0;
  counts = { conflicts: 0, unknown: 0, longestMs: 0 };
  #store;
  #keys;
  #flags;
  #begun = 0;

  constructor(store, keys, flags) {
    this.#store = store;
    this.#keys = keys;
    this.#flags = flags;
    for (const key of keys) this.told.set(key, 0);
  }

  async done() {
    const startedAt = performance.now();
    const worker = async (number) => {
      while (this.#begun < this.#flags.increments) {
        const dueAt = startedAt + (this.#begun / this.#flags.increments) * this.#flags.seconds * 1000;
        const key = this.#keys[(this.#begun + number) % this.#keys.length];
        this.#begun += 1;
        await sleep(dueAt - performance.now());
        const begunAt = performance.now();
        while (!(await this.#increment(key)));
        this.counts.longestMs = Math.max(this.counts.longestMs, performance.now() - begunAt);
        this.told.set(key, this.told.get(key) + 1);
      }
    };
    await Promise.all(Array.from({ length: this.#flags.workers }, (_, number) => worker(number)));
    this.seconds = (performance.now() - startedAt) / 1000;
  }

  /** False when another was first. */
  async #increment(key) {
    const entry = await this.#read(key);
    const value = String(Number(entry?.text() ?? 0) + 1);
    const condition = entry === undefined ? { ifNoneMatch: '*' } : { ifMatch: entry.etag };
    let again = {};
    for (;;) {
      try {
        await this.#store.set(key, value, { ...condition, ...again });
        return true;
      } catch (error) {
        if (!(error instanceof FlotillaError)) throw error;
        if (error.code === 'precondition_failed') {
          this.counts.conflicts += 1;
          return false;
        }
        if (!error.retryable && error.outcome !== 'unknown') throw error;
        this.counts.unknown += error.outcome === 'unknown' ? 1 : 0;
        again = { idempotencyKey: error.idempotencyKey };
      }
    }
  }

  async #read(key) {
    for (;;) {
      try {
        return await this.#store.get(key);
      } catch (error) {
        if (!(error instanceof FlotillaError) || !error.retryable) throw error;
      }
    }
  }
}
