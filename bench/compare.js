/**
 * Puts and linearizable gets against a running three-node cluster, and the same against a three-node etcd, in turns
 * A B A B within one run.
 *
 *   npm run bench [-- --peer etcd|none] [--ways leader,forward,express] [--seconds 60] [--connections 64] [--turns 2]
 *                 [--keys 100000] [--value-bytes 256] [--operations put,get] [--partitions 12] [--settings JSON] [--out FILE]
 *
 * `--ways` are the ways to Flotilla that take turns, each with its own row: `leader`, load goes to each key's leader;
 * `forward`, to any node, which forwards it; `express`, to leaders of a second cluster whose fast way is off. etcd gets its
 * leader. Without `--peer` etcd is compared with if it is on the path.
 *
 * Latency comes from wrk's full histograms, processor time from /proc. A run in which a request failed or was redirected, or a
 * leadership moved, is void.
 */
import { cpuSeconds, peakMemoryMiB } from './lib/processes.js';
import { median, parseFlags, randomText, Table, writeReport } from './lib/report.js';
import { etcdAvailable, startEtcd, startFlotilla } from './lib/targets.js';
import { percentile, runWrk, wrkAvailable } from './lib/wrk.js';

const figures = ['perSecond', 'p50Ms', 'p99Ms', 'cpuMicrosPerOperation', 'peakMemoryMiB'];
const ways = ['leader', 'forward', 'express'];

export async function compare(args) {
  const flags = parseFlags(args, {
    peer: 'if there',
    ways: 'leader',
    seconds: 60,
    connections: '64',
    turns: 2,
    keys: 100_000,
    'value-bytes': 256,
    operations: 'put,get',
    partitions: 12,
    settings: '{}',
  });
  if (!wrkAvailable()) throw new Error('wrk is not on the path: install it (Debian: apt-get install wrk)');
  const { 'value-bytes': valueBytes, seconds } = flags;
  const keys = Array.from({ length: flags.keys }, (_, i) => `bench-${String(i).padStart(8, '0')}`);
  const started = [];
  try {
    const contenders = await startAll(flags, { keys, started });
    const runs = [];
    for (const operation of flags.operations.split(',')) {
      for (const connections of flags.connections.split(',').map(Number)) {
        for (let turn = 1; turn <= flags.turns; turn += 1) {
          for (const contender of contenders) {
            const run = await measure(contender, { operation, connections, seconds, valueBytes });
            runs.push({ ...run, turn });
            console.log(line(run));
          }
        }
      }
    }
    const report = { runs, ratios: ratios(runs) };
    printRatios(report.ratios);
    writeReport(flags, report);
  } finally {
    for (const target of started) await target.close();
  }
}

/** Starts and fills what is to be measured: returns { name, target, load, dialect }, one for each row of a turn. */
async function startAll(flags, { keys, started }) {
  const wanted = flags.ways.split(',');
  const strange = wanted.find((way) => !ways.includes(way));
  if (strange !== undefined) throw new Error(`--ways takes ${ways.join(', ')}, not "${strange}"`);
  const withEtcd = wantsEtcd(flags.peer);
  const begin = async (name, target) => {
    started.push(target);
    const startedAt = performance.now();
    const load = await target.servers(keys);
    await target.preload(load, () => randomText(flags['value-bytes']));
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(`${name}: ${keys.length} keys preloaded in ${seconds} s`);
    return { name, target, load, dialect: target.name };
  };
  const settings = JSON.parse(flags.settings);
  const { partitions } = flags;
  const contenders = [];
  if (wanted.some((way) => way !== 'express')) {
    const leader = await begin('flotilla', await startFlotilla({ partitions, settings }));
    if (wanted.includes('leader')) contenders.push(leader);
    if (wanted.includes('forward')) {
      const load = leader.target.anyServers(keys);
      contenders.push({ ...leader, name: 'forward', load, dialect: 'forward' });
    }
  }
  if (wanted.includes('express')) {
    const slow = { ...settings, limits: { ...settings.limits, fastPath: false } };
    contenders.push(await begin('express', await startFlotilla({ partitions, settings: slow })));
  }
  if (withEtcd) contenders.push(await begin('etcd', await startEtcd()));
  return contenders;
}

function wantsEtcd(peer) {
  if (peer === 'none') return false;
  if (peer !== 'etcd' && peer !== 'if there') throw new Error(`--peer takes etcd or none, not "${peer}"`);
  if (etcdAvailable()) return true;
  if (peer === 'etcd') throw new Error('etcd is not on the path: install it (Debian: apt-get install etcd-server)');
  console.log('etcd is not on the path (Debian: apt-get install etcd-server): no comparison\n');
  return false;
}

async function measure({ name, target, load: servers, dialect }, { operation, connections, seconds, valueBytes }) {
  const [leadership, redirects] = [await target.leadership(), await target.redirects()];
  const cpuBefore = cpuSeconds(target.pids());
  const load = { target: dialect, operation, servers, connections, seconds, valueBytes };
  const { requests, errors, histogram, ...result } = await runWrk(load);
  const cpu = cpuSeconds(target.pids()) - cpuBefore;
  const failures = Object.entries(errors).filter(([, count]) => count > 0);
  if (failures.length > 0) throw new Error(`void run of ${name}: ${JSON.stringify(Object.fromEntries(failures))}`);
  if ((await target.leadership()) !== leadership) throw new Error(`void run: a leadership of ${name} moved`);
  const redirected = (await target.redirects()) - redirects;
  if (redirected > 0) throw new Error(`void run of ${name}: ${redirected} requests were redirected`);
  const at = (share) => percentile(histogram, share) / 1000;
  return {
    target: name,
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

/** Per operation, connections and way: the figures' medians over the turns, and their ratios to etcd's. */
function ratios(runs) {
  const names = [...new Set(runs.map(({ target }) => target))].filter((name) => name !== 'etcd');
  const cases = [...new Set(runs.map(({ operation, connections }) => `${operation} ${connections}`))];
  return cases.flatMap((name) => {
    const ofCase = runs.filter(({ operation, connections }) => `${operation} ${connections}` === name);
    const { operation, connections } = ofCase[0];
    const medians = (target) => {
      const own = ofCase.filter((run) => run.target === target);
      if (own.length === 0) return undefined;
      return Object.fromEntries(figures.map((figure) => [figure, median(own.map((run) => run[figure]))]));
    };
    const etcd = medians('etcd');
    if (etcd === undefined) return [];
    return names.map((target) => {
      const ours = medians(target);
      const ratio = Object.fromEntries(figures.map((figure) => [figure, ours[figure] / etcd[figure]]));
      return { operation, connections, target, ours, etcd, ratio };
    });
  });
}

function printRatios(all) {
  if (all.length === 0) return;
  console.log("\nmedians over the turns, and how many times etcd's they are:");
  const table = new Table([
    ['case', 9],
    ['way', 8],
    ['/s', 16],
    ['p50 ms', 16],
    ['p99 ms', 16],
    ['cpu µs/op', 15],
    ['peak MiB', 14],
  ]);
  for (const { operation, connections, target, ours, ratio } of all) {
    const cell = (figure, digits) => `${ours[figure].toFixed(digits)} (${ratio[figure].toFixed(2)}x)`;
    const cells = [cell('perSecond', 0), cell('p50Ms', 2), cell('p99Ms', 2), cell('cpuMicrosPerOperation', 0)];
    table.row([`${operation} ${connections}`, target, ...cells, cell('peakMemoryMiB', 0)]);
  }
}
