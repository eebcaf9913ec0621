/**
 * Puts and linearizable gets against a running three-node cluster, and the same against a three-node etcd when it is on
 * the path, in turns A B A B within one run.
 *
 *   npm run bench [-- --seconds 60] [--connections 64] [--turns 2] [--keys 100000] [--value-bytes 256] [--operations put,get]
 *                 [--partitions 12] [--no-etcd] [--express] [--settings JSON] [--out FILE]
 *
 * Load goes to each key's leader. Latency comes from wrk's full histograms, processor time from /proc. A run in which
 * a request failed or a leadership moved is void.
 */
import { cpuSeconds, peakMemoryMiB } from './lib/processes.js';
import { median, parseFlags, randomText, writeReport } from './lib/report.js';
import { etcdAvailable, startEtcd, startFlotilla } from './lib/targets.js';
import { percentile, runWrk, wrkAvailable } from './lib/wrk.js';

export async function compare(args) {
  const flags = parseFlags(args, {
    seconds: 60,
    connections: '64',
    turns: 2,
    keys: 100_000,
    'value-bytes': 256,
    operations: 'put,get',
    partitions: 12,
    'no-etcd': false,
    express: false,
    settings: '{}',
  });
  if (!wrkAvailable()) throw new Error('wrk is not on the path: install it (Debian: apt-get install wrk)');
  const { 'value-bytes': valueBytes, seconds } = flags;
  const keys = Array.from({ length: flags.keys }, (_, i) => `bench-${String(i).padStart(8, '0')}`);
  const targets = [];
  try {
    const settings = { ...JSON.parse(flags.settings), ...(flags.express ? { limits: { fastPath: false } } : {}) };
    targets.push(await startFlotilla({ partitions: flags.partitions, settings }));
    if (!flags['no-etcd'] && etcdAvailable()) targets.push(await startEtcd());
    else console.log('etcd is not on the path (Debian: apt-get install etcd-server): no comparison\n');
    for (const target of targets) {
      const startedAt = performance.now();
      target.load = await target.servers(keys);
      await target.preload(target.load, () => randomText(valueBytes));
      console.log(
        `${target.name}: ${keys.length} keys preloaded in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
      );
    }
    const runs = [];
    for (const operation of flags.operations.split(',')) {
      for (const connections of flags.connections.split(',').map(Number)) {
        for (let turn = 1; turn <= flags.turns; turn += 1) {
          for (const target of targets) {
            const run = await measure(target, { operation, connections, seconds, valueBytes });
            runs.push({ ...run, turn });
            console.log(line(run));
          }
        }
      }
    }
    const report = { runs, ratios: ratios(runs) };
    for (const { operation, connections, ratio, flotilla, etcd } of report.ratios) {
      console.log(
        `\n${operation}, ${connections} connections: ${Math.round(flotilla)}/s against etcd's ${Math.round(etcd)}/s: ${ratio.toFixed(2)} times`,
      );
    }
    writeReport(flags, report);
  } finally {
    for (const target of targets) await target.close();
  }
}

async function measure(target, { operation, connections, seconds, valueBytes }) {
  const before = await target.leadership();
  const cpuBefore = cpuSeconds(target.pids());
  const load = { target: target.name, operation, servers: target.load, connections, seconds, valueBytes };
  const { requests, errors, histogram, ...result } = await runWrk(load);
  const cpu = cpuSeconds(target.pids()) - cpuBefore;
  const failures = Object.entries(errors).filter(([, count]) => count > 0);
  if (failures.length > 0)
    throw new Error(`void run of ${target.name}: ${JSON.stringify(Object.fromEntries(failures))}`);
  if ((await target.leadership()) !== before) throw new Error(`void run: a leadership of ${target.name} moved`);
  const at = (share) => percentile(histogram, share) / 1000;
  return {
    target: target.name,
    operation,
    connections,
    perSecond: requests / result.seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    p999Ms: at(0.999),
    cpuMicrosPerOperation: (cpu / requests) * 1e6,
    peakMemoryMiB: peakMemoryMiB(target.pids()),
  };
}

function line(run) {
  const columns = [
    run.target.padEnd(9),
    `${run.operation} ${run.connections}`.padEnd(9),
    `${Math.round(run.perSecond)}/s`.padStart(9),
    `p50 ${run.p50Ms.toFixed(2)} ms`.padStart(13),
    `p99 ${run.p99Ms.toFixed(2)} ms`.padStart(14),
    `p99.9 ${run.p999Ms.toFixed(2)} ms`.padStart(16),
    `${run.cpuMicrosPerOperation.toFixed(0)} µs cpu/op`.padStart(15),
    `${run.peakMemoryMiB.toFixed(0)} MiB peak`.padStart(13),
  ];
  return columns.join('  ');
}

/** Per operation and connections: the ratio of the medians over the turns. */
function ratios(runs) {
  const cases = [...new Set(runs.map((run) => `${run.operation} ${run.connections}`))];
  return cases.flatMap((name) => {
    const [operation, connections] = name.split(' ');
    const speeds = (target) =>
      runs
        .filter((run) => run.target === target && `${run.operation} ${run.connections}` === name)
        .map((run) => run.perSecond);
    if (speeds('etcd').length === 0) return [];
    const [flotilla, etcd] = [median(speeds('flotilla')), median(speeds('etcd'))];
    return [{ operation, connections: Number(connections), flotilla, etcd, ratio: flotilla / etcd }];
  });
}
