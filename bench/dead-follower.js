/**
 * What it costs writes that a follower is dead for some minutes, and then comes back.
 *
 *   npm run bench -- dead-follower [--minutes 5] [--value-bytes 256] [--rate 500] [--seconds 60] [--partitions 12]
 *                                  [--settings JSON] [--out FILE]
 *
 * Three nodes; one hands over all that it leads and is killed, so that no election is part of what is measured. Meanwhile, for `--seconds` before
 * and after its return, keys of all partitions are put at a fixed rate; latency counts from when a put was to be sent.
 */
import { keysIn, LeaderMap, partitionsWithLeaders } from './lib/partitions.js';
import { PacedLoad } from './lib/paced.js';
import { Phases } from './lib/phases.js';
import { Bars, parseFlags, sleep, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

const bars = { p99Ratio: 1.5, failed: 0 };
const warmUpMs = 10_000;

export async function deadFollower(args) {
  const flags = parseFlags(args, {
    minutes: 5,
    'value-bytes': 256,
    rate: 500,
    seconds: 60,
    partitions: 12,
    settings: '{}',
  });
  const { cluster, close } = await startFlotilla({
    partitions: flags.partitions,
    settings: JSON.parse(flags.settings),
  });
  let foreground;
  try {
    const partitions = await partitionsWithLeaders(cluster);
    const [victim, ...others] = cluster.nodes;
    await handOver(cluster, partitions, victim, others);
    const leaders = await LeaderMap.read(cluster);
    const ids = partitions.map(({ id }) => id);
    const keys = keysIn(partitions, ids, { count: 1000, prefix: 'foreground' });
    foreground = new PacedLoad({ leaders, keys, rate: flags.rate, valueBytes: flags['value-bytes'] });
    await sleep(warmUpMs);
    const phases = new Phases(cluster, foreground);
    await phases.run('three nodes', () => sleep(flags.seconds * 1000));
    await victim.kill();
    await phases.run('one dead', () => sleep(flags.minutes * 60_000));
    await phases.run('return', async () => {
      await victim.restart();
      await sleep(flags.seconds * 1000);
    });
    const { 'three nodes': before, 'one dead': during, return: after } = phases.results;
    console.log('');
    const summary = new Bars();
    summary.check('p99 while it is dead, by that before', during.p99Ms / before.p99Ms, bars.p99Ratio);
    summary.check('p99 from its return on, by that before', after.p99Ms / before.p99Ms, bars.p99Ratio);
    summary.check('puts that failed', during.failed + after.failed, bars.failed);
    writeReport(flags, { summary: summary.results, victim: victim.nodeId, phases: phases.results });
    if (!summary.kept) process.exitCode = 1;
  } finally {
    await foreground?.stop();
    await close();
  }
}

async function handOver(cluster, partitions, victim, others) {
  for (const [index, { id, leader }] of partitions.filter(({ leader }) => leader === victim.nodeId).entries()) {
    const { nodeId } = others[index % others.length];
    const path = `/v1/cluster/partitions/${id}/leader`;
    const answer = await cluster.request('POST', path, {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ nodeId }),
      redirectsMax: 2,
    });
    if (answer.status !== 200) throw new Error(`${leader} keeps partition ${id}: ${answer.status} ${answer.text()}`);
  }
}
