/**
 * What it costs the others when a large partition moves to another node.
 *
 *   npm run bench -- move [--mib 1024] [--value-bytes 65536] [--rate 500] [--foreground-bytes 256] [--seconds 20]
 *                         [--partitions 12] [--settings JSON] [--out FILE]
 *
 * Three founders and one that joined. First some such values are put to few keys of all partitions, so that every node has
 * had them in its memory. One partition that the newcomer does not hold is filled with `--mib` of values; then a node that holds it
 * and does not lead it is drained, so that it moves, with what else is there. Meanwhile, and for `--seconds` before and after, keys of
 * all partitions are put at a fixed rate; latency counts from when a put was to be sent. Memory is a node's own, the
 * highest of a phase; beside it the pages of files that it has mapped, which the kernel may take back.
 */
import { loadKeys } from './lib/loader.js';
import { changeCluster, Moves } from './lib/membership.js';
import { PacedLoad } from './lib/paced.js';
import { keysIn, LeaderMap, partitionsWithLeaders } from './lib/partitions.js';
import { Phases } from './lib/phases.js';
import { MemoryWatch, waitAtRest } from './lib/processes.js';
import { Bars, parseFlags, sleep, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

const bars = { p99Ratio: 2, extraMiB: 64, failed: 0 };
/** Under the foreground's load, until V8 has compiled what is measured. */
const warmUpMs = 10_000;
/** Puts before anything is measured, and how many keys they go to: about what each of four nodes' young heaps can take. */
const [warmUpMiB, warmUpKeys] = [256, 64];

export async function move(args) {
  const flags = parseFlags(args, {
    mib: 1024,
    'value-bytes': 65_536,
    rate: 500,
    'foreground-bytes': 256,
    seconds: 20,
    partitions: 12,
    settings: '{}',
  });
  const { cluster, close, pids } = await startFlotilla({
    partitions: flags.partitions,
    settings: JSON.parse(flags.settings),
  });
  const moves = new Moves(cluster);
  let foreground;
  try {
    const newcomer = await cluster.addNode();
    await moves.settled(() => moves.nodeState(newcomer.nodeId) === 'up');
    const partitions = await partitionsWithLeaders(cluster);
    const { large, leaving } = choose(partitions, newcomer);
    const leaders = await LeaderMap.read(cluster);
    const memory = new MemoryWatch(cluster.nodes);
    const ids = partitions.map(({ id }) => id);
    await fill(leaders, keysIn(partitions, ids, { count: warmUpKeys, prefix: 'warm' }), warmUpMiB, flags);
    const largeKeys = keysIn(partitions, [large.id], { count: countOf(flags.mib, flags), prefix: 'large' });
    const { seconds } = await fill(leaders, largeKeys, flags.mib, flags);
    console.log(`partition ${large.id} holds ${flags.mib} MiB after ${seconds.toFixed(1)} s; ${leaving} leaves\n`);
    await waitAtRest(pids());
    const keys = keysIn(partitions, ids, { count: 1000, prefix: 'foreground' });
    foreground = new PacedLoad({ leaders, keys, rate: flags.rate, valueBytes: flags['foreground-bytes'] });
    await sleep(warmUpMs);
    const phases = new Phases(cluster, foreground);
    await phases.run('alone', () => sleep(flags.seconds * 1000));
    const peaksBefore = Object.fromEntries(memory.stop());
    let plan;
    await phases.run('moving', async () => {
      plan = await changeCluster(cluster, 'DELETE', `/v1/cluster/nodes/${leaving}`, { not: leaving });
      await moves.settled(() => [undefined, 'removed'].includes(moves.nodeState(leaving)));
    });
    const { replicas } = moves.seen.partitions.find(({ id }) => id === large.id);
    if (replicas.every(({ nodeId }) => nodeId !== newcomer.nodeId)) throw new Error('the large partition did not move');
    await phases.run('after', () => sleep(flags.seconds * 1000));
    const summary = summarize(phases.results, peaksBefore, flags.mib);
    writeReport(flags, {
      summary: summary.results,
      ...{ large: large.id, leaving, plan, peaksBefore },
      phases: phases.results,
    });
    if (!summary.kept) process.exitCode = 1;
  } finally {
    await foreground?.stop();
    await moves.stop();
    await close();
  }
}

/** Four nodes and three replicas of each: some partition has none at the newcomer, unless there are very few. */
function choose(partitions, newcomer) {
  const large = partitions.find(({ replicas }) => replicas.every(({ nodeId }) => nodeId !== newcomer.nodeId));
  if (large === undefined) throw new Error(`${newcomer.nodeId} holds every partition: take more --partitions`);
  return { large, leaving: large.replicas.find(({ nodeId }) => nodeId !== large.leader).nodeId };
}

function countOf(mib, flags) {
  return Math.ceil((mib * 2 ** 20) / flags['value-bytes']);
}

function fill(leaders, keys, mib, flags) {
  const keyOf = (i) => keys[i % keys.length];
  const options = { count: countOf(mib, flags), valueBytes: flags['value-bytes'], keyOf };
  // Few at a time: they may all go to one leader, which would refuse what is too much.
  return loadKeys({ leaders, ...options, connections: 4, depth: 8 });
}

function summarize({ alone, moving, after }, peaksBefore, mib) {
  const { seconds } = moving;
  console.log(`\nthe drain took ${seconds.toFixed(1)} s: ${(mib / seconds).toFixed(1)} MiB of the partition a second`);
  const summary = new Bars();
  summary.check('p99 while it moves, by that alone', moving.p99Ms / alone.p99Ms, bars.p99Ratio);
  for (const [nodeId, { own }] of Object.entries(moving.peaksMiB)) {
    const extra = Math.max(own, after.peaksMiB[nodeId].own) - peaksBefore[nodeId].own;
    summary.check(`memory of ${nodeId} above its peak before`, extra, bars.extraMiB, ' MiB');
  }
  summary.check('puts that failed', moving.failed, bars.failed);
  return summary;
}
