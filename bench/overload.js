/**
 * What becomes of a cluster whose disks take about a thousand writes a second when ten times as many come in.
 *
 *   npm run bench -- overload [--seconds 30] [--times 10] [--connections 256] [--sync-ms 20] [--sync-ms-per-kib 2.5] [--settings JSON] [--out FILE]
 *
 * Nodes run on disks of which each fdatasync takes `--sync-ms` longer, and longer by `--sync-ms-per-kib` for all that is to be synced: so what
 * they take in a second is bounded, however many writes share a sync. How much that is, is measured first, on a cluster that refuses nothing. Then an
 * open loop sends `--times` as much, to each key's leader, over `--connections` to each node; latency counts from when a put was to be sent.
 * Beside it, keys are read, linearizably.
 */
import { build } from 'hdr-histogram-js';
import { FaultyDisks } from '../dist/chaos/disk.js';
import { Flood, getRequest, percentileMs, putRequest } from './lib/flood.js';
import { keysIn, partitionsWithLeaders, sumOfTerms } from './lib/partitions.js';
import { makeDirectory, MemoryWatch, removeDirectory, stolenSeconds } from './lib/processes.js';
import { Bars, parseFlags, randomText, sleep, Table, writeReport } from './lib/report.js';
import { startCluster } from '../dist/testing/cluster.js';

const bars = { acceptedOfCap: 0.8, refusalP99Ms: 50, acceptedTimes: 5, elections: 0, memoryMiB: 128, afterTimes: 1.5 };
const keysPerNode = 2000;
const readsPerSecond = 50;
const readConnections = 8;
/** What V8 compiles, it compiles once: not part of what is measured. */
const warmUp = { rate: 5000, seconds: 10 };
const capLoop = { connections: 60, seconds: 10, fromMs: 2000 };
const normalAfterMs = 2000;

export async function overload(args) {
  const flags = parseFlags(args, {
    seconds: 30,
    times: 10,
    connections: 256,
    'sync-ms': 20,
    'sync-ms-per-kib': 2.5,
    'value-bytes': 256,
    settings: '{}',
  });
  const cap = await capOf(flags);
  console.log(`the disks take ${cap.toFixed(0)} puts a second`);
  const slow = await SlowCluster.start(flags, JSON.parse(flags.settings));
  const { cluster, writes, reads } = slow;
  try {
    const table = new Table([
      ['phase', 9],
      ['sent/s', 7],
      ['accepted/s'],
      ['p50', 9],
      ['p99', 9],
      ['refused/s'],
      ['p99', 9],
      ['neither'],
      ['read p99', 9],
      ['late', 8],
      ['stolen', 7],
    ]);
    const phase = async (name, run) => {
      const stolenBefore = stolenSeconds();
      const [made, read] = await Promise.all([writes.run(run), reads.run({ ...run, rate: readsPerSecond })]);
      const figures = { ...figuresOf(made, run), stolenSeconds: stolenSeconds() - stolenBefore };
      const { perSecond, p50Ms, p99Ms, refusedPerSecond, refusedP99Ms, others, lateMsMax } = figures;
      const readP99Ms = percentileMs(read.answers.get(200), 99);
      const times = (...all) => all.map((ms) => `${ms.toFixed(1)} ms`);
      const [rate, accepted, refused] = [run.rate, perSecond, refusedPerSecond].map((each) => each.toFixed(0));
      table.row([
        name,
        rate,
        accepted,
        ...times(p50Ms, p99Ms),
        refused,
        ...times(refusedP99Ms),
        others,
        ...times(readP99Ms, lateMsMax),
        `${figures.stolenSeconds.toFixed(1)} s`,
      ]);
      return { ...figures, readP99Ms };
    };
    await sleep(2000);
    const quiet = { rate: cap / 10, seconds: 15, fromMs: 2000 };
    const before = await phase('unloaded', quiet);
    const terms = sumOfTerms(await partitionsWithLeaders(cluster));
    const rest = new MemoryWatch(cluster.nodes).stop();
    const memory = new MemoryWatch(cluster.nodes);
    const during = await phase('flood', { rate: cap * flags.times, seconds: flags.seconds });
    const peaks = memory.stop();
    const after = await phase('after', { rate: cap / 10, seconds: 10 + normalAfterMs / 1000, fromMs: normalAfterMs });
    const elections = sumOfTerms(await partitionsWithLeaders(cluster)) - terms;
    const grown = cluster.nodes.map(({ nodeId }) => peaks.get(nodeId).own - rest.get(nodeId).own);
    console.log(`memory of the nodes grew by ${grown.map((mib) => mib.toFixed(0)).join(', ')} MiB`);
    const summary = new Bars();
    summary.least('accepted, of what the disks take', during.perSecond / cap, bars.acceptedOfCap);
    summary.check('p99 of refusals', during.refusedP99Ms, bars.refusalP99Ms, ' ms');
    summary.check('p99 of the accepted, to that of the unloaded', during.p99Ms / before.p99Ms, bars.acceptedTimes);
    summary.check('answered neither with 2xx nor with 429', during.others + after.others, 0);
    summary.check('elections', elections, bars.elections);
    summary.check('memory, the most that a node took more', Math.max(...grown), bars.memoryMiB, ' MiB');
    summary.check('refused from 2 s after the flood on', after.refused, 0);
    summary.check('p99 from 2 s after the flood on, to that before', after.p99Ms / before.p99Ms, bars.afterTimes);
    writeReport(flags, { cap, before, during, after, elections, grown, summary: summary.results });
    if (!summary.kept) process.exitCode = 1;
  } finally {
    await slow.close();
  }
}

/** What the disks take, as nothing is refused. */
async function capOf(flags) {
  const slow = await SlowCluster.start(flags, { limits: { writesUnderWayMin: capLoop.connections } });
  try {
    return await slow.writes.closedLoop(capLoop);
  } finally {
    await slow.close();
  }
}

/** Three nodes whose disks are slow, which they have met before, as they were warmed up. */
class SlowCluster {
  cluster;
  writes;
  reads;
  #directory = makeDirectory('flotilla-disks-');

  static async start(flags, settings) {
    const slow = new SlowCluster();
    const disks = FaultyDisks.prepare(slow.#directory);
    if (typeof disks === 'string') throw new Error(`the slow disk needs a C compiler: ${disks}`);
    const environment = (nodeId) => disks.environment(nodeId);
    slow.cluster = await startCluster({ timeoutMs: 60_000, settings, environment });
    try {
      const partitions = await partitionsWithLeaders(slow.cluster);
      const value = randomText(flags['value-bytes']);
      slow.writes = new Flood(targetsOf(slow.cluster, partitions, (url, key) => putRequest(url, key, value)));
      slow.reads = new Flood(targetsOf(slow.cluster, partitions, getRequest));
      await slow.writes.open(flags.connections);
      await slow.reads.open(readConnections);
      for (const { nodeId } of slow.cluster.nodes) {
        disks.set(nodeId, { syncDelayMs: flags['sync-ms'], syncMsPerKiB: flags['sync-ms-per-kib'] });
      }
      await slow.writes.run(warmUp);
      return slow;
    } catch (error) {
      await slow.close();
      throw error;
    }
  }

  async close() {
    this.writes?.close();
    this.reads?.close();
    await this.cluster.close();
    removeDirectory(this.#directory);
  }
}

/** Each node with requests for keys of which it leads the partition. */
function targetsOf(cluster, partitions, requestOf) {
  return cluster.nodes.map(({ nodeId, url }) => {
    const led = partitions.filter(({ leader }) => leader === nodeId).map(({ id }) => id);
    const keys = keysIn(partitions, led, { count: keysPerNode, prefix: 'flood' });
    return { url, requests: keys.map((key) => requestOf(url, key)) };
  });
}

/** What the writes of a phase came to. */
function figuresOf({ answers, lateMsMax }, { seconds, fromMs = 0 }) {
  const accepted = build();
  let others = 0;
  for (const [status, histogram] of answers) {
    if (status >= 200 && status < 300) accepted.add(histogram);
    else if (status !== 429) others += histogram.totalCount;
  }
  const refused = answers.get(429) ?? build();
  const measuredSeconds = seconds - fromMs / 1000;
  return {
    perSecond: accepted.totalCount / measuredSeconds,
    p50Ms: percentileMs(accepted, 50),
    p99Ms: percentileMs(accepted, 99),
    refused: refused.totalCount,
    refusedPerSecond: refused.totalCount / measuredSeconds,
    refusedP99Ms: percentileMs(refused, 99),
    others,
    lateMsMax,
  };
}
