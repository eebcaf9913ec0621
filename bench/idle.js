/**
 * What partitions cost that nobody uses.
 *
 *   npm run bench -- idle [--partitions 256] [--settle 10] [--seconds 30] [--turns 4] [--load-seconds 20] [--warm-up 10]
 *                         [--connections 64] [--keys 12000] [--value-bytes 256] [--settings JSON] [--out FILE]
 *
 * First the processor time of each of three nodes without load, as percent of one core, with `--partitions` and with one.
 * Then puts by wrk, in turns: to 12 partitions where there are no others, and to 12 of `--partitions`. Each turn has a
 * cluster of its own and the machine for itself, and is warmed up first; the busy partitions lie evenly on the nodes in
 * both. A turn in which a request failed or a leadership moved is void. `--turns 0` leaves the throughput out.
 */
import { keysIn, partitionsWithLeaders } from './lib/partitions.js';
import { cpuSeconds, residentMemoryMiB } from './lib/processes.js';
import { median, parseFlags, sleep, Table, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';
import { percentile, runWrk, wrkAvailable } from './lib/wrk.js';

const busyPartitions = 12;

export async function idle(args) {
  const flags = parseFlags(args, {
    partitions: 256,
    settle: 10,
    seconds: 30,
    turns: 4,
    'load-seconds': 20,
    'warm-up': 10,
    connections: 64,
    keys: 12_000,
    'value-bytes': 256,
    settings: '{}',
  });
  if (flags.turns > 0 && !wrkAvailable()) throw new Error('wrk is not on the path: install it, or say --turns 0');
  const idleRuns = [];
  const idleTable = new Table([['partitions'], ['node'], ['processor', 16], ['memory', 8]]);
  for (const partitions of [flags.partitions, 1]) {
    const run = await measureIdle(partitions, flags);
    idleRuns.push(run);
    for (const { node, percent, residentMiB } of run.nodes) {
      idleTable.row([partitions, node, `${percent.toFixed(2)} % of a core`, `${residentMiB.toFixed(0)} MiB`]);
    }
  }
  const turns = flags.turns > 0 ? await measureThroughput(flags) : [];
  writeReport(flags, { idle: idleRuns, turns, ratio: turns.length > 0 ? ratioOf(turns, flags) : undefined });
}

async function measureIdle(partitions, { settle, seconds, settings }) {
  const { cluster, close } = await startFlotilla({ partitions, settings: JSON.parse(settings) });
  try {
    await sleep(settle * 1000);
    const startedAt = performance.now();
    const before = cluster.nodes.map(({ pid }) => cpuSeconds([pid]));
    await sleep(seconds * 1000);
    const elapsed = (performance.now() - startedAt) / 1000;
    const nodes = cluster.nodes.map(({ nodeId, pid }, i) => {
      const { own, mapped } = residentMemoryMiB(pid);
      const percent = ((cpuSeconds([pid]) - before[i]) / elapsed) * 100;
      return { node: nodeId, percent, residentMiB: own + mapped };
    });
    return { partitions, nodes };
  } finally {
    await close();
  }
}

async function measureThroughput(flags) {
  console.log('');
  const table = new Table([['turn'], ['partitions'], ['busy'], ['puts', 9], ['p50', 9], ['p99', 9], ['processor', 13]]);
  const turns = [];
  for (let turn = 1; turn <= flags.turns; turn += 1) {
    // A B, B A: the machine's speed drifts.
    const order = [busyPartitions, flags.partitions];
    for (const partitions of turn % 2 === 1 ? order : order.toReversed()) {
      const result = await measureLoad(partitions, flags);
      turns.push({ turn, ...result });
      const { perSecond, p50Ms, p99Ms, cpuMicrosPerPut } = result;
      table.row([
        turn,
        partitions,
        busyPartitions,
        `${perSecond.toFixed(0)}/s`,
        ...[p50Ms, p99Ms].map((ms) => `${ms.toFixed(1)} ms`),
        `${cpuMicrosPerPut.toFixed(0)} µs/put`,
      ]);
    }
  }
  const ratio = ratioOf(turns, flags);
  console.log(
    `\n${busyPartitions} busy of ${flags.partitions} against ${busyPartitions} in all: ${ratio.toFixed(3)} times the throughput`,
  );
  return turns;
}

async function measureLoad(partitions, flags) {
  const target = await startFlotilla({ partitions, settings: JSON.parse(flags.settings) });
  try {
    const servers = await busyServers(target.cluster, flags.keys);
    const { connections, 'value-bytes': valueBytes } = flags;
    const load = { target: 'flotilla', operation: 'put', servers, connections, valueBytes };
    if (flags['warm-up'] > 0) await runWrk({ ...load, seconds: flags['warm-up'] });
    const leadership = await target.leadership();
    const before = cpuSeconds(target.pids());
    const result = await runWrk({ ...load, seconds: flags['load-seconds'] });
    const cpu = cpuSeconds(target.pids()) - before;
    const failures = Object.entries(result.errors).filter(([, count]) => count > 0);
    if (failures.length > 0) throw new Error(`void turn: ${JSON.stringify(Object.fromEntries(failures))}`);
    if ((await target.leadership()) !== leadership) throw new Error('void turn: a leadership moved');
    return {
      partitions,
      perSecond: result.requests / result.seconds,
      p50Ms: percentile(result.histogram, 0.5) / 1000,
      p99Ms: percentile(result.histogram, 0.99) / 1000,
      cpuMicrosPerPut: (cpu / result.requests) * 1e6,
    };
  } finally {
    await target.close();
  }
}

/** As many busy partitions of each node's as of any other's, and an equal share of the keys for each node. */
async function busyServers(cluster, keys) {
  const partitions = await partitionsWithLeaders(cluster);
  const share = busyPartitions / cluster.nodes.length;
  return cluster.nodes.map(({ nodeId, url }) => {
    const led = partitions.filter(({ leader }) => leader === nodeId).map(({ id }) => id);
    if (led.length < share)
      throw new Error(`${nodeId} leads ${led.length} partitions, not the ${share} that it is to be busy with`);
    const count = Math.ceil(keys / cluster.nodes.length);
    return { url, keys: keysIn(partitions, led.slice(0, share), { count, prefix: 'idle' }) };
  });
}

function ratioOf(turns, { partitions }) {
  const speeds = (count) => turns.filter((turn) => turn.partitions === count).map(({ perSecond }) => perSecond);
  return median(speeds(partitions)) / median(speeds(busyPartitions));
}
