/**
 * What it costs other writes when a great many keys are due at once.
 *
 *   npm run bench -- expiry [--keys 1000000] [--value-bytes 100] [--due-after 150] [--rate 500] [--seconds 20] [--partitions 1]
 *                           [--settings JSON] [--out FILE]
 *
 * Loads the keys with such times to live that all of them are due in the same second, `--due-after` seconds from now, all in one group
 * unless there are more `--partitions`. Other keys of the same groups are put at a fixed rate for `--seconds` before that second, from then on until
 * every due key is gone from its leader, and for `--seconds` after that; latency counts from when a put was to be sent.
 */
import http from 'node:http';
import { keysIn, LeaderMap, partitionsWithLeaders, readPartitions, sumOfTerms } from './lib/partitions.js';
import { PacedLoad } from './lib/paced.js';
import { parseFlags, randomText, sleep, Table, writeReport } from './lib/report.js';
import { inParallel, send } from './lib/requests.js';
import { startFlotilla } from './lib/targets.js';

const foregroundKeys = 1000;
const batchOperations = 1000;
const batchesAtOnce = 3;
const warmUpMs = 10_000;
const pollMs = 200;
const goneTimeoutMs = 600_000;

export async function expiry(args) {
  const flags = parseFlags(args, {
    keys: 1_000_000,
    'value-bytes': 100,
    'due-after': 150,
    rate: 500,
    seconds: 20,
    partitions: 1,
    settings: '{}',
  });
  const { cluster, close } = await startFlotilla({
    partitions: flags.partitions,
    settings: JSON.parse(flags.settings),
  });
  let foreground;
  try {
    const leaders = await LeaderMap.read(cluster);
    const dueAt = performance.now() + flags['due-after'] * 1000;
    const seconds = await loadDue(cluster, flags, dueAt);
    console.log(`${flags.keys} keys in ${seconds.toFixed(1)} s, ${Math.round(flags.keys / seconds)}/s\n`);
    const restMs = dueAt - performance.now() - warmUpMs - flags.seconds * 1000;
    if (restMs < 0)
      throw new Error(`loading took too long: --due-after ${Math.ceil(flags['due-after'] - restMs / 1000)}`);
    const partitions = await partitionsWithLeaders(cluster);
    const keys = keysIn(
      partitions,
      partitions.map(({ id }) => id),
      { count: foregroundKeys, prefix: 'other' },
    );
    await sleep(restMs);
    foreground = new PacedLoad({ leaders, keys, rate: flags.rate, valueBytes: flags['value-bytes'] });
    await sleep(warmUpMs);
    const table = new Table([
      ['phase', 7],
      ['seconds'],
      ['puts', 6],
      ['p50', 9],
      ['p99', 9],
      ['worst', 9],
      ['again', 5],
      ['failed'],
    ]);
    const phases = {};
    const run = async (name, work) => {
      const startedAt = performance.now();
      foreground.begin();
      await work();
      const phase = { seconds: (performance.now() - startedAt) / 1000, ...(await foreground.end()) };
      phases[name] = phase;
      const times = [phase.p50Ms, phase.p99Ms, phase.maxMs].map((ms) => `${ms.toFixed(1)} ms`);
      table.row([name, phase.seconds.toFixed(1), phase.puts, ...times, phase.again, phase.failed]);
    };
    const termsBefore = sumOfTerms(partitions);
    await run('before', () => sleep(dueAt - performance.now()));
    await run('due', () => waitGone(cluster, foregroundKeys));
    await run('after', () => sleep(flags.seconds * 1000));
    const elections = sumOfTerms(await partitionsWithLeaders(cluster)) - termsBefore;
    const p99Ratio = phases.due.p99Ms / phases.before.p99Ms;
    console.log(
      `\nall ${flags.keys} gone ${phases.due.seconds.toFixed(1)} s after they were due, ` +
        `${Math.round(flags.keys / phases.due.seconds)}/s\n` +
        `  p99 of other writes meanwhile  ${p99Ratio.toFixed(2)} times that before (${p99Ratio <= 2 ? 'within' : 'BEYOND'} 2)\n` +
        `  elections  ${elections}`,
    );
    writeReport(flags, { summary: { p99Ratio, goneSeconds: phases.due.seconds, elections }, phases });
  } finally {
    await foreground?.stop();
    await close();
  }
}

/** In batches, several side by side; every key is due at `dueAt` by this process's clock. Resolves to how many seconds it took. */
async function loadDue(cluster, flags, dueAt) {
  const agent = new http.Agent({ keepAlive: true });
  const [{ url }] = cluster.nodes;
  const startedAt = performance.now();
  const value = randomText(flags['value-bytes']);
  const firsts = Array.from({ length: Math.ceil(flags.keys / batchOperations) }, (_, batch) => batch * batchOperations);
  await inParallel(firsts, batchesAtOnce, async (first) => {
    const ttl = `${Math.max(1, Math.round(dueAt - performance.now()))}ms`;
    const keys = Array.from({ length: Math.min(batchOperations, flags.keys - first) }, (_, i) => `due-${first + i}`);
    const body = JSON.stringify({ ops: keys.map((key) => ({ op: 'put', key, value, ttl })) });
    const answer = await send(agent, 'POST', `${url}/v1/batch`, {
      body,
      headers: { 'content-type': 'application/json' },
    });
    const failed = answer.status === 200 ? JSON.parse(answer.body).results.find(({ error }) => error) : answer.body;
    if (failed !== undefined) throw new Error(`a batch was not stored: ${JSON.stringify(failed)}`);
  });
  agent.destroy();
  return (performance.now() - startedAt) / 1000;
}

/** Until all leaders together have no more than `count` keys. */
async function waitGone(cluster, count) {
  const until = performance.now() + goneTimeoutMs;
  for (;;) {
    await sleep(pollMs);
    const left = await keysOfLeaders(cluster);
    if (left <= count) return;
    if (performance.now() > until) throw new Error(`${left - count} due keys are there after ${goneTimeoutMs} ms`);
  }
}

/** Each node knows how many keys its own replicas have. */
async function keysOfLeaders(cluster) {
  const partitions = await readPartitions(cluster);
  let keys = 0;
  for (const node of cluster.nodes) {
    if (!partitions.some(({ leader }) => leader === node.nodeId)) continue;
    const own = (await cluster.request('GET', '/v1/cluster/partitions', { node })).json();
    for (const { leader, keys: count } of own) if (leader === node.nodeId) keys += count;
  }
  return keys;
}
