/**
 * What it costs the others when a node comes back that needs snapshots.
 *
 *   npm run bench -- snapshot [--gib 1] [--value-bytes 4096] [--state-mib 64] [--rate 500] [--seconds 20]
 *                             [--partitions 12] [--settings JSON] [--out FILE]
 *
 * Three nodes that hold `--state-mib` of keys; the one that leads least is killed. Then `--gib` of values are written over the
 * same keys, so the state stays bounded and the log goes far beyond what is kept. The node is started again. Meanwhile, and for `--seconds`
 * before the kill, before the start, and after the node has caught up, other keys are put at a fixed rate; latency counts
 * from when a put was to be sent. Memory is the highest of a phase: a node's own, and beside it the pages of files that it
 * has mapped, which the kernel may take back.
 */
import {
  LeaderMap,
  keysIn,
  partitionsWithLeaders,
  readPartitions,
  sumOfTerms,
  waitCaughtUp,
} from './lib/partitions.js';
import { loadKeys } from './lib/loader.js';
import { PacedLoad } from './lib/paced.js';
import { Phases } from './lib/phases.js';
import { parseFlags, sleep, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

const MiB = 2 ** 20;
/** Under the foreground's load, until the nodes rest from what was written before. */
const warmUpMs = 10_000;
/** After a kill or a flood: elections, compactions and the collector come to rest. */
const settleMs = 5000;
const catchUpTimeoutMs = 600_000;

export async function snapshot(args) {
  const flags = parseFlags(args, {
    gib: 1,
    'value-bytes': 4096,
    'state-mib': 64,
    rate: 500,
    seconds: 20,
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
    const leaders = await LeaderMap.read(cluster);
    const ids = partitions.map(({ id }) => id);
    const keys = keysIn(partitions, ids, { count: 1000, prefix: 'foreground' });
    await writeFlood(leaders, { ...flags, gib: flags['state-mib'] / 1024 });
    foreground = new PacedLoad({ leaders, keys, rate: flags.rate, valueBytes: flags['value-bytes'] });
    await sleep(warmUpMs);
    const phases = new Phases(cluster, foreground);
    await phases.run('three nodes', () => sleep(flags.seconds * 1000));
    const victim = leastLeading(cluster, await partitionsWithLeaders(cluster));
    await victim.kill();
    const flood = await writeFlood(leaders, flags);
    console.log(
      `${victim.nodeId} is down; ${flood.puts} puts of ${flags['value-bytes']} bytes in ${flood.seconds.toFixed(1)} s\n`,
    );
    await sleep(settleMs);
    await phases.run('two nodes', () => sleep(flags.seconds * 1000));
    const termsBefore = sumOfTerms(await readPartitions(cluster, { not: victim }));
    const startedAt = performance.now();
    let caughtUpMs;
    await phases.run('return', async () => {
      await victim.restart();
      caughtUpMs = (await waitCaughtUp(cluster, victim, { timeoutMs: catchUpTimeoutMs })) - startedAt;
    });
    await phases.run('after', () => sleep(flags.seconds * 1000));
    const elections = sumOfTerms(await partitionsWithLeaders(cluster)) - termsBefore;
    const summary = { victim: victim.nodeId, caughtUpMs, elections, ...compared(cluster, phases.results, victim) };
    printSummary(summary);
    writeReport(flags, { summary, flood, phases: phases.results });
  } finally {
    await foreground?.stop();
    await close();
  }
}

/** The node that was away has no memory right before: it is compared with itself before the kill. */
function compared(cluster, results, victim) {
  const { 'three nodes': before, 'two nodes': down, return: during, after } = results;
  const extra = (kind) =>
    Object.fromEntries(
      cluster.nodes.map(({ nodeId }) => {
        const usual = nodeId === victim.nodeId ? before.peaksMiB[nodeId] : down.peaksMiB[nodeId];
        return [nodeId, Math.max(during.peaksMiB[nodeId][kind], after.peaksMiB[nodeId][kind]) - usual[kind]];
      }),
    );
  return {
    p99Ratio: during.p99Ms / before.p99Ms,
    p99RatioToTwoNodes: during.p99Ms / down.p99Ms,
    p99RatioAfter: after.p99Ms / before.p99Ms,
    extraMiB: extra('own'),
    extraMappedMiB: extra('mapped'),
  };
}

function leastLeading(cluster, partitions) {
  const leads = ({ nodeId }) => partitions.filter(({ leader }) => leader === nodeId).length;
  return cluster.nodes.toSorted((a, b) => leads(a) - leads(b))[0];
}

async function writeFlood(leaders, flags) {
  const valueBytes = flags['value-bytes'];
  const count = Math.ceil((flags.gib * 1024 * MiB) / valueBytes);
  const keys = Math.max(1, Math.floor((flags['state-mib'] * MiB) / valueBytes));
  const result = await loadKeys({ leaders, count, valueBytes, keyOf: (i) => `flood-${i % keys}` });
  return { puts: count, keys, ...result };
}

function printSummary(summary) {
  const { victim, caughtUpMs, elections, p99Ratio, p99RatioToTwoNodes, p99RatioAfter } = summary;
  const perNode = (extra) => Object.entries(extra).map(([nodeId, mib]) => `${nodeId} ${mib.toFixed(0)} MiB`);
  console.log(
    `\n${victim} had caught up ${(caughtUpMs / 1000).toFixed(1)} s after its start\n` +
      `  p99 during it  ${p99Ratio.toFixed(2)} times that of three nodes, ` +
      `${p99RatioToTwoNodes.toFixed(2)} times that of two; after it ${p99RatioAfter.toFixed(2)} times\n` +
      `  extra memory   ${perNode(summary.extraMiB).join(', ')}; mapped files ${perNode(summary.extraMappedMiB).join(', ')}\n` +
      `  elections      ${elections}`,
  );
}
