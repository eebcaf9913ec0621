/**
 * Whether clients notice that the cluster grows, shrinks, and replaces a node that is gone.
 *
 *   npm run bench -- elastic [--rate 500] [--seconds 20] [--partitions 12] [--value-bytes 256]
 *                            [--replace-after-ms 3000] [--settings JSON] [--data DIR] [--out FILE]
 *
 * Under a fixed rate of writes, spread over all partitions: three founders; two nodes join; four more join; five are drained,
 * two founders among them, one after the other; one is killed for good and replaced by what remains. A phase lasts until
 * nothing moves any more. `moved` are replicas that came to a node, of all that there are, `ideal` is the least that would do:
 * of joins by arithmetic, of drains by the plan that the cluster answered with, of the kill what the node held. A gap is
 * the longest time in which no write to a partition was acknowledged. In the end all that was acknowledged is read, and the
 * history of the keys that were also read meanwhile must be linearizable.
 */
import { changeCluster, Moves } from './lib/membership.js';
import { partitionsWithLeaders } from './lib/partitions.js';
import { Bars, parseFlags, sleep, Table, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';
import { checkVerdict, printSamples, WriteLoad } from './lib/write-load.js';

const bars = { gapMs: 1000, gapOfKillMs: 3000 };
/** Under the load, until V8 has compiled what is measured. */
const warmUpMs = 5000;
const drained = ['n1', 'n2', 'n4', 'n6', 'n8'];

export async function elastic(args) {
  const flags = parseFlags(args, {
    rate: 500,
    seconds: 20,
    partitions: 12,
    'value-bytes': 256,
    'replace-after-ms': 3000,
    settings: '{}',
    data: '',
  });
  const settings = JSON.parse(flags.settings);
  settings.placement = { replaceDownAfterMs: flags['replace-after-ms'], ...settings.placement };
  const { cluster, close } = await startFlotilla({
    partitions: flags.partitions,
    settings,
    dataRoot: flags.data === '' ? undefined : flags.data,
  });
  const run = new Run(cluster, flags);
  try {
    await run.start();
    await run.phase('three nodes', () => sleep(flags.seconds * 1000));
    await run.phase('two join', () => run.join(2));
    await run.phase('four join', () => run.join(4));
    for (const nodeId of drained) await run.phase(`drain ${nodeId}`, () => run.drain(nodeId));
    await run.phase('kill', () => run.kill());
    await run.phase('after', () => sleep(flags.seconds * 1000));
    const verdict = await run.verify();
    const summary = summarize(run.phases, verdict);
    writeReport(flags, { summary: summary.results, phases: run.phases, verdict });
    if (!summary.kept) process.exitCode = 1;
  } finally {
    await run.stop();
    await close();
  }
}

class Run {
  phases = [];
  #cluster;
  #flags;
  #load;
  #moves;
  #table = new Table([
    ['phase', 11],
    ['seconds'],
    ['moved', 6],
    ['ideal', 6],
    ['longest gap', 11],
    ['writes', 6],
    ['failed'],
    ['unknown'],
    ['again', 5],
    ['p99', 9],
    ['late', 6],
  ]);

  constructor(cluster, flags) {
    this.#cluster = cluster;
    this.#flags = flags;
  }

  /** A client that knows the addresses of all members, and not at once who is down. */
  #urls = () => {
    const gone = new Set(this.#moves.seen.nodes.filter(({ state }) => state === 'removed').map(({ nodeId }) => nodeId));
    return this.#cluster.nodes.filter(({ nodeId }) => !gone.has(nodeId)).map(({ url }) => url);
  };

  async start() {
    this.#moves = new Moves(this.#cluster);
    await this.#moves.nextLook();
    const partitions = await partitionsWithLeaders(this.#cluster);
    const { rate, 'value-bytes': valueBytes } = this.#flags;
    this.#load = new WriteLoad({ urls: this.#urls, partitions, rate, valueBytes });
    await sleep(warmUpMs);
  }

  async stop() {
    await this.#load?.stop();
    await this.#moves?.stop();
  }

  async verify() {
    await this.#load.stop();
    return this.#load.verify(this.#urls);
  }

  /** `work` may resolve to { ideal, settledAt, ... }; seconds count to then. */
  async phase(name, work) {
    const startedAt = performance.now();
    const arrivedBefore = this.#moves.arrived;
    const replicas = this.#moves.replicas;
    this.#load.begin();
    const { ideal = 0, settledAt = performance.now(), ...told } = (await work()) ?? {};
    const seconds = (settledAt - startedAt) / 1000;
    const moved = (this.#moves.arrived - arrivedBefore) / replicas;
    const phase = { name, ...(await this.#load.end()), seconds, moved, ideal, ...told };
    this.phases.push(phase);
    const { gapMs, counts, again, p99Ms, lateMsMax } = phase;
    this.#table.row([
      ...[name, seconds.toFixed(1), ...[moved, ideal].map((share) => share.toFixed(3)), `${gapMs.toFixed(0)} ms`],
      ...[counts.done, counts.not_applied, counts.unknown, again],
      ...[`${p99Ms.toFixed(1)} ms`, `${lateMsMax.toFixed(0)} ms`],
    ]);
  }

  /** All are started at once. With even shares each newcomer has to be given at least the whole part of its share. */
  async join(count) {
    const { replicas } = this.#moves;
    const joined = await Promise.all(Array.from({ length: count }, () => this.#cluster.addNode()));
    const ids = joined.map(({ nodeId }) => nodeId);
    const settledAt = await this.#moves.settled(() => ids.every((id) => this.#moves.nodeState(id) === 'up'));
    const members = this.#moves.seen.nodes.filter(({ state }) => state === 'up').length;
    return { settledAt, ideal: (count * Math.floor(replicas / members)) / replicas };
  }

  async drain(nodeId) {
    const plan = await changeCluster(this.#cluster, 'DELETE', `/v1/cluster/nodes/${nodeId}`, { not: nodeId });
    const settledAt = await this.#moves.settled(() => [undefined, 'removed'].includes(this.#moves.nodeState(nodeId)));
    await this.#cluster.nodes.find((node) => node.nodeId === nodeId).kill('SIGTERM');
    return { settledAt, ideal: plan.ideal, plan };
  }

  /** The one that leads most. What it held is replaced when every partition has all its replicas again, elsewhere. */
  async kill() {
    const { nodes, partitions } = this.#moves.seen;
    const victimId = nodes.filter(({ state }) => state === 'up').toSorted((a, b) => b.leads - a.leads)[0].nodeId;
    const held = partitions.filter(({ replicas }) => replicas.some(({ nodeId }) => nodeId === victimId)).length;
    await this.#cluster.nodes.find(({ nodeId }) => nodeId === victimId).kill();
    const isReplaced = ({ replicas }) =>
      replicas.length === 3 && replicas.every(({ nodeId, state }) => nodeId !== victimId && state === 'ok');
    const settledAt = await this.#moves.settled(() => this.#moves.seen.partitions.every(isReplaced));
    return { settledAt, ideal: held / this.#moves.replicas, victim: victimId };
  }
}

function summarize(phases, verdict) {
  const worst = (chosen) => Math.max(...chosen.map(({ gapMs }) => gapMs));
  const [killed, others] = [phases.filter(({ name }) => name === 'kill'), phases.filter(({ name }) => name !== 'kill')];
  console.log('');
  const summary = new Bars();
  summary.check('longest gap of a partition, but for the kill', worst(others), bars.gapMs, ' ms');
  summary.check('longest gap of a partition with the kill', worst(killed), bars.gapOfKillMs, ' ms');
  checkVerdict(summary, verdict);
  printSamples(phases);
  return summary;
}
