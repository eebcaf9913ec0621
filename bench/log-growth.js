/**
 * Whether the log on disk stays bounded under writes that do not end.
 *
 *   npm run bench -- log-growth [--minutes 10] [--every 30] [--rate 1000] [--value-bytes 1024] [--keys 20000]
 *                               [--partitions 12] [--settings JSON] [--out FILE]
 *
 * One cluster is written to at a fixed rate over a bounded set of keys. Every `--every` seconds it shows the bytes of all
 * files in each node's `log/` and `state/`. LevelDB drops what was deleted only when it merges tables, so sizes go up and
 * down; what counts is the slope over the second half of the run (least squares over a look every second), beside the rate
 * at which values were written: a log that is never compacted grows at that rate or faster. Flat is less than a tenth of it.
 */
import { join } from 'node:path';
import { LeaderMap, keysIn, partitionsWithLeaders } from './lib/partitions.js';
import { PacedLoad } from './lib/paced.js';
import { directoryBytes } from './lib/processes.js';
import { parseFlags, sleep, Table, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

const MiB = 2 ** 20;
const lookMs = 1000;
/** Of the rate at which values are written. */
const flatShareMax = 0.1;

export async function logGrowth(args) {
  const flags = parseFlags(args, {
    minutes: 10,
    every: 30,
    rate: 1000,
    'value-bytes': 1024,
    keys: 20_000,
    partitions: 12,
    settings: '{}',
  });
  const { cluster, close } = await startFlotilla({
    partitions: flags.partitions,
    settings: JSON.parse(flags.settings),
  });
  let load;
  try {
    const partitions = await partitionsWithLeaders(cluster);
    const ids = partitions.map(({ id }) => id);
    load = new PacedLoad({
      leaders: await LeaderMap.read(cluster),
      keys: keysIn(partitions, ids, { count: flags.keys, prefix: 'growth' }),
      rate: flags.rate,
      valueBytes: flags['value-bytes'],
    });
    load.begin();
    const looks = await watchSizes(cluster, flags);
    const { puts, failed } = await load.end();
    const seconds = looks.at(-1).seconds;
    const writtenMiBPerMinute = ((puts * flags['value-bytes']) / MiB / seconds) * 60;
    const summary = summarize(cluster, looks, writtenMiBPerMinute);
    printSummary(summary, { puts, failed, writtenMiBPerMinute, wanted: flags.rate * seconds });
    writeReport(flags, { puts, failed, writtenMiBPerMinute, summary, looks });
  } finally {
    await load?.stop();
    await close();
  }
}

/** One look a second, [{ seconds, nodes: { n1: { log, state } } }] in bytes; a line for one in `every` seconds. */
async function watchSizes(cluster, { minutes, every }) {
  const names = cluster.nodes.map(({ nodeId }) => nodeId);
  const table = new Table([
    ['seconds'],
    ...names.map((name) => [`${name} log`, 10]),
    ...names.map((name) => [`${name} state`, 10]),
  ]);
  const startedAt = performance.now();
  const looks = [];
  for (let printAt = 0; ;) {
    const seconds = (performance.now() - startedAt) / 1000;
    const sizes = cluster.nodes.map(({ nodeId, dataDir }) => [
      nodeId,
      { log: directoryBytes(join(dataDir, 'log')), state: directoryBytes(join(dataDir, 'state')) },
    ]);
    looks.push({ seconds, nodes: Object.fromEntries(sizes) });
    if (seconds >= printAt) {
      const mib = (bytes) => `${(bytes / MiB).toFixed(1)} MiB`;
      table.row([
        seconds.toFixed(0),
        ...sizes.map(([, { log }]) => mib(log)),
        ...sizes.map(([, { state }]) => mib(state)),
      ]);
      printAt += every;
    }
    if (seconds >= minutes * 60) return looks;
    await sleep(lookMs);
  }
}

function summarize(cluster, looks, writtenMiBPerMinute) {
  const half = looks.filter(({ seconds }) => seconds >= looks.at(-1).seconds / 2);
  return cluster.nodes.flatMap(({ nodeId }) =>
    ['log', 'state'].map((directory) => {
      const points = half.map(({ seconds, nodes }) => [seconds / 60, nodes[nodeId][directory] / MiB]);
      const sizes = points.map(([, size]) => size);
      const slope = slopeOf(points);
      return {
        node: nodeId,
        directory,
        minMiB: Math.min(...sizes),
        maxMiB: Math.max(...sizes),
        slopeMiBPerMinute: slope,
        flat: Math.abs(slope) < flatShareMax * writtenMiBPerMinute,
      };
    }),
  );
}

/** Least squares: how much y grows for each 1 of x. */
function slopeOf(points) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))];
  const together = points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0);
  const spread = points.reduce((sum, [at]) => sum + (at - x) ** 2, 0);
  return spread === 0 ? 0 : together / spread;
}

function printSummary(summary, { puts, failed, writtenMiBPerMinute, wanted }) {
  console.log(
    `\n${puts} puts acknowledged of ${Math.round(wanted)} due, ${failed} failed: ` +
      `${writtenMiBPerMinute.toFixed(1)} MiB of values a minute. Second half of the run:\n`,
  );
  const table = new Table([['node'], ['directory'], ['least', 10], ['most', 10], ['slope', 14], ['', 8]]);
  for (const { node, directory, minMiB, maxMiB, slopeMiBPerMinute, flat } of summary) {
    table.row([
      node,
      directory,
      ...[minMiB, maxMiB].map((size) => `${size.toFixed(1)} MiB`),
      `${slopeMiBPerMinute.toFixed(1)} MiB/min`,
      flat ? 'flat' : 'not flat',
    ]);
  }
}
