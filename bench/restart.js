/**
 * How long a node that was killed takes to serve again, with much state and full logs.
 *
 *   npm run bench -- restart [--keys 1000000] [--value-bytes 256] [--rounds 9] [--partitions 12] [--settings JSON]
 *                            [--out FILE]
 *
 * Loads the keys, then writes on until each partition's log holds what is kept behind the applied index (`raft.logKeepEntries`
 * and `raft.logKeepBytes` both, in values that are as large as an entry may be on average). Then each round kills one node
 * by SIGKILL, in turn, and starts it again. From the start of the process it measures the time to the `ready` line, to the first
 * 200 for a linearizable read through that node, and until it has answered one for a key of every partition. Each round
 * begins with all nodes at rest: what LevelDB still merges of the load, or of the round before, would be merged on the
 * cores that the victim starts on, as no node has cores of its own here.
 */
import http from 'node:http';
import { join } from 'node:path';
import { defaults } from '../dist/config.js';
import { LeaderMap, keysIn, partitionsWithLeaders, waitCaughtUp } from './lib/partitions.js';
import { loadKeys } from './lib/loader.js';
import { directoryBytes, waitAtRest } from './lib/processes.js';
import { median, parseFlags, sleep, Table, writeReport } from './lib/report.js';
import { attempt } from './lib/requests.js';
import { startFlotilla } from './lib/targets.js';

const MiB = 2 ** 20;
/** Each look takes processor time from what is looked at. */
const pollMs = 20;
const readTimeoutMs = 60_000;
/** More than the bound, as keys do not fall evenly on the partitions. */
const fillSurplus = 1.2;

export async function restart(args) {
  const flags = parseFlags(args, {
    keys: 1_000_000,
    'value-bytes': 256,
    rounds: 9,
    partitions: 12,
    settings: '{}',
  });
  const settings = JSON.parse(flags.settings);
  const { cluster, close } = await startFlotilla({ partitions: flags.partitions, settings });
  const agent = new http.Agent({ keepAlive: true });
  try {
    const leaders = await LeaderMap.read(cluster);
    await load('keys', { leaders, count: flags.keys, valueBytes: flags['value-bytes'], keyOf: (i) => `restart-${i}` });
    const kept = { ...defaults.raft, ...settings.raft };
    await load('log entries', {
      leaders,
      count: Math.ceil(kept.logKeepEntries * flags.partitions * fillSurplus),
      valueBytes: Math.ceil(kept.logKeepBytes / kept.logKeepEntries),
      keyOf: (i) => `fill-${i % 10_000}`,
    });
    const sizes = Object.fromEntries(
      ['log', 'state'].map((name) => [name, directoryBytes(join(cluster.nodes[0].dataDir, name)) / MiB]),
    );
    console.log(`log ${sizes.log.toFixed(0)} MiB, state ${sizes.state.toFixed(0)} MiB on disk\n`);
    const partitions = await partitionsWithLeaders(cluster);
    const keys = partitions.map(({ id }) => keysIn(partitions, [id], { count: 1, prefix: 'restart' })[0]);
    const rounds = await runRounds({ cluster, agent, keys, count: flags.rounds });
    const summary = summarize(rounds);
    writeReport(flags, { sizesMiB: sizes, summary, rounds });
  } finally {
    agent.destroy();
    await close();
  }
}

async function load(what, options) {
  const { seconds } = await loadKeys(options);
  const rate = Math.round(options.count / seconds);
  console.log(`${options.count} ${what} of ${options.valueBytes} bytes in ${seconds.toFixed(1)} s, ${rate}/s`);
}

async function runRounds({ cluster, agent, keys, count }) {
  const table = new Table([
    ['round'],
    ['node'],
    ['ready', 9],
    ['first read', 10],
    ['every partition', 15],
    ['caught up', 10],
  ]);
  const rounds = [];
  for (let round = 1; round <= count; round += 1) {
    const victim = cluster.nodes[(round - 1) % cluster.nodes.length];
    for (const node of cluster.nodes) await waitCaughtUp(cluster, node);
    await waitAtRest(cluster.nodes.map(({ pid }) => pid));
    await victim.kill();
    await partitionsWithLeaders(cluster);
    const startedAt = performance.now();
    const reads = readEach(agent, victim.url, keys);
    reads.catch(() => undefined); // Heard below; the start of the node may fail first.
    await victim.restart();
    const readyMs = performance.now() - startedAt;
    const answeredAt = await reads;
    const caughtUpMs = (await waitCaughtUp(cluster, victim)) - startedAt;
    const result = {
      node: victim.nodeId,
      readyMs,
      firstReadMs: Math.min(...answeredAt) - startedAt,
      everyPartitionMs: Math.max(...answeredAt) - startedAt,
      caughtUpMs,
    };
    rounds.push(result);
    table.row([round, victim.nodeId, ...times(result)]);
  }
  const summary = summarize(rounds);
  console.log('');
  const totals = new Table([
    ['', 6],
    ['ready', 9],
    ['first read', 10],
    ['every partition', 15],
    ['caught up', 10],
  ]);
  for (const name of ['median', 'worst']) totals.row([name, ...times(summary[name])]);
  return rounds;
}

/** Resolves to when each key was first read. Until somebody listens one of them is asked for, as refusals cost time, too. */
async function readEach(agent, url, keys) {
  const urls = keys.map((key) => `${url}/v1/kv/${key}?route=forward`);
  const until = performance.now() + readTimeoutMs;
  while (performance.now() < until && (await attempt(agent, 'GET', urls[0])).type === 'refused') await sleep(pollMs);
  return Promise.all(urls.map((target) => firstRead(agent, target)));
}

/** Resolves to when a read of `url` was first answered with 200. */
async function firstRead(agent, url) {
  const until = performance.now() + readTimeoutMs;
  let last = 'no answer';
  while (performance.now() < until) {
    const result = await attempt(agent, 'GET', url);
    if (result.type === 'answered' && result.status === 200) return performance.now();
    last = result.type === 'answered' ? `${result.status} ${result.body}` : result.error.message;
    await sleep(pollMs);
  }
  throw new Error(`${url} was not read within ${readTimeoutMs} ms; last: ${last}`);
}

const measured = ['readyMs', 'firstReadMs', 'everyPartitionMs', 'caughtUpMs'];

function times(result) {
  return measured.map((name) => `${result[name].toFixed(0)} ms`);
}

function summarize(rounds) {
  const of = (choose) => Object.fromEntries(measured.map((name) => [name, choose(rounds.map((round) => round[name]))]));
  return { median: of(median), worst: of((values) => Math.max(...values)) };
}
