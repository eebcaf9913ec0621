/**
 * Whether clients notice that every node is stopped and started again, one after the other, as for a new version.
 *
 *   npm run bench -- rolling [--rounds 1] [--rate 500] [--seconds 10] [--partitions 12] [--value-bytes 256]
 *                            [--settings JSON] [--data DIR] [--out FILE]
 *
 * Three nodes under a fixed rate of writes. Each in turn is sent SIGTERM, waited for, started again on its directory, and
 * waited for until it is ready and has caught up; `--seconds` before the first, and two after each. Clients send again by
 * themselves what was `not applied` or met nobody who listened. A gap is the longest time in which no write to a partition was acknowledged.
 */
import { partitionsWithLeaders, waitCaughtUp } from './lib/partitions.js';
import { Bars, parseFlags, sleep, Table, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';
import { checkVerdict, printSamples, WriteLoad } from './lib/write-load.js';

const bars = { gapMs: 300, failed: 0, unknown: 0 };
/** Under the load, until V8 has compiled what is measured. */
const warmUpMs = 5000;
const restMs = 2000;
/** Under load a replica that has caught up still lacks what is under way. */
const lagMax = 100;

export async function rolling(args) {
  const flags = parseFlags(args, {
    rounds: 1,
    rate: 500,
    seconds: 10,
    partitions: 12,
    'value-bytes': 256,
    settings: '{}',
    data: '',
  });
  const { cluster, close } = await startFlotilla({
    partitions: flags.partitions,
    settings: JSON.parse(flags.settings),
    dataRoot: flags.data === '' ? undefined : flags.data,
  });
  let load;
  try {
    // Also the one that is down at the moment: a client knows the addresses, not who listens.
    const urls = () => cluster.nodes.map(({ url }) => url);
    const partitions = await partitionsWithLeaders(cluster);
    load = new WriteLoad({ urls, partitions, rate: flags.rate, valueBytes: flags['value-bytes'] });
    await sleep(warmUpMs);
    const table = new Table([
      ['phase', 9],
      ['seconds'],
      ['stop', 7],
      ['start', 7],
      ['longest gap', 11],
      ['writes', 6],
      ['failed'],
      ['unknown'],
      ['again', 5],
      ['p99', 9],
      ['late', 6],
    ]);
    const phases = [];
    const run = async (name, work) => {
      load.begin();
      const times = await work();
      const phase = { name, ...times, ...(await load.end()) };
      phases.push(phase);
      const { counts, again, gapMs, p99Ms, lateMsMax } = phase;
      const took = [times?.stopMs, times?.startMs].map((ms) => (ms === undefined ? '-' : `${ms.toFixed(0)} ms`));
      table.row([
        ...[name, phase.seconds.toFixed(1), ...took, `${gapMs.toFixed(0)} ms`],
        ...[counts.done, counts.not_applied, counts.unknown, again],
        ...[`${p99Ms.toFixed(1)} ms`, `${lateMsMax.toFixed(0)} ms`],
      ]);
    };
    await run('before', () => sleep(flags.seconds * 1000));
    for (let round = 1; round <= flags.rounds; round += 1) {
      for (const node of cluster.nodes) await run(`${node.nodeId} again`, () => startAgain(cluster, node));
    }
    await load.stop();
    const verdict = await load.verify(urls);
    const summary = summarize(phases, verdict);
    writeReport(flags, { summary: summary.results, phases, verdict });
    if (!summary.kept) process.exitCode = 1;
  } finally {
    await load?.stop();
    await close();
  }
}

async function startAgain(cluster, node) {
  const signalledAt = performance.now();
  await node.kill('SIGTERM');
  const exitedAt = performance.now();
  await node.restart();
  await cluster.waitReady();
  await waitCaughtUp(cluster, node, { lagMax });
  const readyAt = performance.now();
  await sleep(restMs);
  return { stopMs: exitedAt - signalledAt, startMs: readyAt - exitedAt };
}

function summarize(phases, verdict) {
  const restarts = phases.slice(1);
  const sum = (outcome) => restarts.reduce((total, { counts }) => total + counts[outcome], 0);
  console.log(`\nrestarts, one node after the other:`);
  const summary = new Bars();
  summary.check('longest gap of a partition', Math.max(...restarts.map(({ gapMs }) => gapMs)), bars.gapMs, ' ms');
  summary.check('writes that failed', sum('not_applied'), bars.failed);
  summary.check('writes of unknown outcome', sum('unknown'), bars.unknown);
  checkVerdict(summary, verdict);
  printSamples(restarts);
  return summary;
}
