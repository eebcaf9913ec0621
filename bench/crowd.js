/**
 * What others notice of a thousand clients that send at a crawl and five thousand that only keep a connection.
 *
 *   npm run bench -- crowd [--senders 1000] [--open 5000] [--rate 600] [--seconds 20] [--turns 7] [--out FILE]
 *
 * All of the crowd is at one node. Puts and linearizable gets are sent at a fixed rate to each key's leader, that node's keys among them, without and with
 * the crowd in turns. Latency counts from when a request was to be sent. The figure is that of the node with the crowd.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Flood, getRequest, percentileMs, putRequest } from './lib/flood.js';
import { keysIn, partitionsWithLeaders } from './lib/partitions.js';
import { residentMemoryMiB, spawnTied, stolenSeconds } from './lib/processes.js';
import { Bars, median, parseFlags, randomText, sleep, Table, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

const bars = { times: 2, failed: 0 };
const keys = 1000;
const connections = 64;
const warmUp = { rate: 2000, seconds: 15 };
const crowdProgram = fileURLToPath(new URL('lib/crowd.js', import.meta.url));
/** Until those who left are gone, or those who came are settled. */
const settleMs = 5000;

export async function crowd(args) {
  const flags = parseFlags(args, { senders: 1000, open: 5000, rate: 600, seconds: 20, turns: 7, settings: '{}' });
  const { cluster, close } = await startFlotilla({ settings: JSON.parse(flags.settings) });
  const floods = [];
  try {
    const partitions = await partitionsWithLeaders(cluster);
    const [node] = cluster.nodes;
    const value = randomText(256);
    const led = partitions.filter(({ leader }) => leader === node.nodeId).map(({ id }) => id);
    const flood = async (requestOf) => {
      const requests = keysIn(partitions, led, { count: keys, prefix: 'crowd' }).map((key) => requestOf(node.url, key));
      const made = new Flood([{ url: node.url, requests }]);
      floods.push(made);
      await made.open(connections);
      return made;
    };
    const puts = await flood((url, key) => putRequest(url, key, value));
    const gets = await flood(getRequest);
    await Promise.all([puts.run(warmUp), gets.run(warmUp)]);
    const table = new Table([
      ['crowd', 6],
      ['put p50', 9],
      ['p99', 9],
      ['get p50', 9],
      ['p99', 9],
      ['failed'],
      ['late', 8],
      ['stolen', 7],
      ['memory', 8],
      ['there', 6],
      ['closed', 6],
    ]);
    const measure = async (present) => {
      const stolenBefore = stolenSeconds();
      const run = { rate: flags.rate / 2, seconds: flags.seconds };
      const [put, get] = await Promise.all([puts.run(run), gets.run(run)]);
      const [p, g] = [put.answers.get(200), get.answers.get(200)];
      const sent = 2 * Math.round(run.rate * run.seconds);
      const figures = {
        putMs: { p50: percentileMs(p, 50), p99: percentileMs(p, 99) },
        getMs: { p50: percentileMs(g, 50), p99: percentileMs(g, 99) },
        statuses: Object.fromEntries(
          [put, get].flatMap(({ answers }) => [...answers].map(([status, { totalCount }]) => [status, totalCount])),
        ),
        failed: sent - (p?.totalCount ?? 0) - (g?.totalCount ?? 0),
        lateMsMax: Math.max(put.lateMsMax, get.lateMsMax),
        stolenSeconds: stolenSeconds() - stolenBefore,
        memoryMiB: residentMemoryMiB(node.pid).own,
        ...present?.last,
      };
      const times = [figures.putMs.p50, figures.putMs.p99, figures.getMs.p50, figures.getMs.p99];
      if (figures.failed > 0) console.log(JSON.stringify(figures.statuses));
      table.row([
        present === undefined ? 'none' : 'there',
        ...times.map((ms) => `${ms.toFixed(2)} ms`),
        figures.failed,
        `${figures.lateMsMax.toFixed(0)} ms`,
        `${figures.stolenSeconds.toFixed(1)} s`,
        `${figures.memoryMiB.toFixed(0)} MiB`,
        figures.there ?? 0,
        figures.closed ?? 0,
      ]);
      return figures;
    };
    const [without, withCrowd] = [[], []];
    for (let turn = 0; turn < flags.turns; turn += 1) {
      await sleep(settleMs);
      without.push(await measure());
      const present = await Crowd.gather(node.url, flags);
      await sleep(settleMs);
      withCrowd.push(await measure(present));
      await present.leave();
    }
    const times = (of) => median(withCrowd.map(of)) / median(without.map(of));
    const summary = new Bars();
    summary.check(
      'p99 of puts, to that without the crowd',
      times(({ putMs }) => putMs.p99),
      bars.times,
    );
    summary.check(
      'p99 of gets, to that without the crowd',
      times(({ getMs }) => getMs.p99),
      bars.times,
    );
    const failed = [...without, ...withCrowd].reduce((sum, figures) => sum + figures.failed, 0);
    summary.check('not answered with 200', failed, bars.failed);
    writeReport(flags, { without, withCrowd, summary: summary.results });
    if (!summary.kept) process.exitCode = 1;
  } finally {
    for (const flood of floods) flood.close();
    await close();
  }
}

class Crowd {
  /** What it said last. */
  last = {};
  #child;

  static async gather(url, { senders, open }) {
    const crowd = new Crowd();
    crowd.#child = spawnTied(process.execPath, [crowdProgram, url, String(senders), String(open)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve, reject) => {
      crowd.#child.once('exit', () => reject(new Error('the crowd went away')));
      createInterface({ input: crowd.#child.stdout }).on('line', (line) => {
        if (line === 'there') resolve();
        else crowd.last = JSON.parse(line);
      });
    });
    return crowd;
  }

  async leave() {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
