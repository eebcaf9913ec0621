/**
 * A scan of everything, page by page through one node: how long pages take, and what memory it takes that node.
 *
 *   npm run bench -- scan [--keys 1000000] [--value-bytes 100] [--page 1000] [--rate 500] [--seconds 20] [--first-pages 50]
 *                         [--cold-pages 30] [--stream] [--partitions 12] [--settings JSON] [--out FILE]
 *
 * Meanwhile other keys are put at a fixed rate to all partitions. `--seconds` of that alone come first: memory is compared with them.
 * Then `--first-pages` scans are begun one after the other, and ended behind their first page; before them `--cold-pages`, which are told
 * apart: the first that a process ever answers run code that was not compiled yet. Then one goes through all keys, which are
 * counted. `--stream` reads it as one answer of lines instead.
 */
import http from 'node:http';
import { loadKeys } from './lib/loader.js';
import { keysIn, LeaderMap, partitionsWithLeaders } from './lib/partitions.js';
import { PacedLoad } from './lib/paced.js';
import { MemoryWatch } from './lib/processes.js';
import { median, parseFlags, sleep, writeReport } from './lib/report.js';
import { send } from './lib/requests.js';
import { startFlotilla } from './lib/targets.js';

const bars = { grownMiB: 50, firstPageMs: 50 };
const warmUpMs = 10_000;
const prefix = 'scan-';

export async function scan(args) {
  const flags = parseFlags(args, {
    keys: 1_000_000,
    'value-bytes': 100,
    page: 1000,
    rate: 500,
    seconds: 20,
    'first-pages': 50,
    'cold-pages': 30,
    stream: false,
    partitions: 12,
    settings: '{}',
  });
  const { cluster, close } = await startFlotilla({
    partitions: flags.partitions,
    settings: JSON.parse(flags.settings),
  });
  const agent = new http.Agent({ keepAlive: true });
  let foreground;
  try {
    const leaders = await LeaderMap.read(cluster);
    const keyOf = (i) => `${prefix}${String(i).padStart(9, '0')}`;
    const loaded = await loadKeys({ leaders, count: flags.keys, valueBytes: flags['value-bytes'], keyOf });
    console.log(`${flags.keys} keys in ${loaded.seconds.toFixed(1)} s, ${Math.round(flags.keys / loaded.seconds)}/s`);
    const partitions = await partitionsWithLeaders(cluster);
    const ids = partitions.map(({ id }) => id);
    const keys = keysIn(partitions, ids, { count: 1000, prefix: 'other' });
    foreground = new PacedLoad({ leaders, keys, rate: flags.rate, valueBytes: flags['value-bytes'] });
    await sleep(warmUpMs);
    const [node] = cluster.nodes;
    const watched = async (work) => {
      const memory = new MemoryWatch([node]);
      foreground.begin();
      const startedAt = performance.now();
      let result;
      let own;
      try {
        result = await work();
      } finally {
        own = memory.stop().get(node.nodeId).own;
      }
      return { result, ownMiB: own, seconds: (performance.now() - startedAt) / 1000, puts: await foreground.end() };
    };
    const alone = await watched(() => sleep(flags.seconds * 1000));
    const cold = await watched(() => firstPages(agent, node, { ...flags, count: flags['cold-pages'], offset: 0.5 }));
    const firsts = await watched(() => firstPages(agent, node, { ...flags, count: flags['first-pages'], offset: 0 }));
    const read = flags.stream ? readLines : readPages;
    const whole = await watched(() => read(agent, node, flags));
    const found = whole.result.count;
    if (found !== flags.keys) throw new Error(`the scan gave ${found} keys of ${flags.keys}`);
    const summary = {
      coldPageMs: { median: median(cold.result), worst: Math.max(...cold.result) },
      firstPageMs: { median: median(firsts.result), worst: Math.max(...firsts.result) },
      wholeSeconds: whole.seconds,
      pageMs: whole.result.pagesMs && {
        median: median(whole.result.pagesMs),
        worst: Math.max(...whole.result.pagesMs),
      },
      grownMiB: Math.max(cold.ownMiB, firsts.ownMiB, whole.ownMiB) - alone.ownMiB,
      p99Ms: { alone: alone.puts.p99Ms, whole: whole.puts.p99Ms },
    };
    printSummary(summary, flags);
    writeReport(flags, { summary, bars });
  } finally {
    await foreground?.stop();
    agent.destroy();
    await close();
  }
}

/** Ms of each. Each begins elsewhere: the same page again would come out of the node's caches. */
async function firstPages(agent, node, { keys, page, count, offset }) {
  const times = [];
  for (let i = 0; i < count; i += 1) {
    const start = `${prefix}${String(Math.floor((keys / count) * (i + offset))).padStart(9, '0')}`;
    const startedAt = performance.now();
    await readPage(agent, node, `prefix=${prefix}&start=${start}&limit=${page}`);
    times.push(performance.now() - startedAt);
  }
  return times;
}

async function readPages(agent, node, { page }) {
  const pagesMs = [];
  let [count, cursor, last] = [0, undefined, ''];
  do {
    const startedAt = performance.now();
    const query = `prefix=${prefix}&limit=${page}${cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;
    const body = await readPage(agent, node, query);
    pagesMs.push(performance.now() - startedAt);
    for (const { key } of body.items) last = inOrder(last, key);
    count += body.items.length;
    cursor = body.cursor;
  } while (cursor !== undefined);
  return { count, pagesMs };
}

async function readPage(agent, { url }, query) {
  const answer = await send(agent, 'GET', `${url}/v1/kv?${query}`);
  if (answer.status !== 200) throw new Error(`the scan was answered ${answer.status}: ${answer.body}`);
  return JSON.parse(answer.body);
}

/** One answer, taken in as it comes. */
async function readLines(agent, { url }) {
  const response = await new Promise((resolve, reject) => {
    const headers = { accept: 'application/x-ndjson' };
    http.get(`${url}/v1/kv?prefix=${prefix}`, { agent, headers }, resolve).on('error', reject);
  });
  let [count, rest, last, ended] = [0, '', '', undefined];
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const item = JSON.parse(line);
      if (item.key === undefined) ended = item;
      else {
        last = inOrder(last, item.key);
        count += 1;
      }
    }
  }
  if (ended?.end !== true) throw new Error(`the answer ended with ${JSON.stringify(ended)}`);
  return { count };
}

function inOrder(last, key) {
  if (key <= last) throw new Error(`${key} came behind ${last}`);
  return key;
}

function printSummary({ coldPageMs, firstPageMs, wholeSeconds, pageMs, grownMiB, p99Ms }, flags) {
  const within = (value, bar) => `(${value < bar ? 'within' : 'BEYOND'} ${bar})`;
  const pages =
    pageMs === undefined
      ? ''
      : `, a page ${pageMs.median.toFixed(1)} ms in the median, worst ${pageMs.worst.toFixed(0)}`;
  console.log(
    `\nthe node's first ${flags['cold-pages']} pages of ${flags.page} ever: median ${coldPageMs.median.toFixed(1)} ms, worst ${coldPageMs.worst.toFixed(1)} ms\n` +
      `first page of ${flags.page}: median ${firstPageMs.median.toFixed(1)} ms ${within(firstPageMs.median, bars.firstPageMs)}, ` +
      `worst of ${flags['first-pages']} ${firstPageMs.worst.toFixed(1)} ms ${within(firstPageMs.worst, bars.firstPageMs)}\n` +
      `all ${flags.keys}: ${wholeSeconds.toFixed(1)} s, ${Math.round(flags.keys / wholeSeconds)} keys/s${pages}\n` +
      `  memory of the node asked  ${grownMiB.toFixed(0)} MiB more than under the puts alone ${within(grownMiB, bars.grownMiB)}\n` +
      `  p99 of the puts  ${p99Ms.alone.toFixed(1)} ms alone, ${p99Ms.whole.toFixed(1)} ms during the scan`,
  );
}
