/**
 * What nodes say to each other when nobody uses the cluster, with few partitions and with many.
 *
 *   npm run bench -- idle-nodes [--nodes 100] [--few 16] [--many 4096] [--seconds 60] [--out FILE]
 *
 * Whole nodes on the simulator's virtual time, all in this process, without HTTP and disks; each partition has a record in the
 * metadata group, as if it had moved once. Once nothing of Raft's is said any more, messages and bytes are counted for `--seconds` of
 * simulated time, for each node on average and for the one that sends most. Not counted are the transport's pings, one and its answer for
 * each pair of nodes, direction and `transport.pingIntervalMs`, whatever the number of partitions.
 */
import { measureIdle } from '../dist/sim/idle-world.js';
import { parseFlags, Table, writeReport } from './lib/report.js';

export async function idleNodes(args) {
  const flags = parseFlags(args, { nodes: 100, few: 16, many: 4096, seconds: 60 });
  const { nodes, seconds } = flags;
  const table = new Table([
    ['nodes'],
    ['partitions'],
    ['silent after', 12],
    ['per node', 24],
    ['at most', 24],
    ['took'],
  ]);
  const runs = [];
  for (const partitions of [flags.few, flags.many]) {
    const startedAt = performance.now();
    const figures = await measureIdle({ nodes, partitions, seconds });
    const tookS = (performance.now() - startedAt) / 1000;
    runs.push({ nodes, partitions, ...figures, tookS });
    const silent = `${(figures.silentAfterMs / 1000).toFixed(1)} s`;
    table.row([nodes, partitions, silent, rate(figures.mean), rate(figures.most), `${tookS.toFixed(0)} s`]);
  }
  for (const { partitions, kinds } of runs) console.log(`with ${partitions} partitions: ${kindsOf(kinds)}`);
  writeReport(flags, { runs });
}

function rate({ messages, bytes }) {
  return `${messages.toFixed(2)} msg/s, ${bytes.toFixed(1)} B/s`;
}

function kindsOf(kinds) {
  const each = Object.entries(kinds).map(([kind, messages]) => `${kind} ${messages.toFixed(2)}/s`);
  return each.length === 0 ? 'nothing is said' : each.join(', ');
}
