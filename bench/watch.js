/**
 * Whether watchers hear of everything, once and in order, while leaders are killed; and what watchers cost that hear of nothing.
 *
 *   npm run bench -- watch [--rate 500] [--seconds 60] [--kill-every 2] [--watchers 6] [--idle-watchers 1000] [--settings JSON] [--out FILE]
 *
 * Writers put new keys at a fixed rate through the client library, one in ten with two seconds to live, and delete one in ten of what they
 * have put. The watchers watch through the client library as well, each beginning at another node, so that some hang on the node that is
 * killed. In the end each of them has to have been told of every acknowledged write exactly once, of each key in the order of its revisions, and of every
 * expiry. Then `--idle-watchers` watches are opened at one node, warmed up by writes, of which no key changes: what that adds to its own memory is
 * the figure.
 */
import http from 'node:http';
import { connect, FlotillaError } from '../dist/client/connect.js';
import { Killer } from './lib/killer.js';
import { keysIn, partitionsWithLeaders } from './lib/partitions.js';
import { residentMemoryMiB } from './lib/processes.js';
import { Bars, parseFlags, sleep, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

const bars = { wrong: 0, idleMiB: 50 };
const livesSeconds = 2;
const oneIn = 10;
const toldWithinMs = 60_000;
/** Until V8 has collected what opening them has left. */
const idleRestMs = 30_000;
/** The node may just have been killed: until it has worked for a while, V8 takes some 50 MiB with whatever comes first. */
const warmUp = { seconds: 30, writers: 16, keys: 1000 };

export async function watch(args) {
  const flags = parseFlags(args, {
    rate: 500,
    seconds: 60,
    'kill-every': 2,
    watchers: 6,
    'idle-watchers': 1000,
    settings: '{}',
  });
  const { cluster, close } = await startFlotilla({ settings: JSON.parse(flags.settings) });
  const urls = cluster.nodes.map(({ url }) => url);
  const store = connect(urls, { timeoutMs: 30_000 });
  const stores = Array.from({ length: flags.watchers }, (_, at) => connect(rotated(urls, at)));
  const summary = new Bars();
  try {
    const partitions = await partitionsWithLeaders(cluster);
    const watchers = stores.map((one) => new Watcher(one));
    for (const watcher of watchers) await watcher.begun;
    const killer = new Killer(
      cluster,
      partitions.map(({ id }) => keysIn(partitions, [id], { count: 1, prefix: 'killed' })[0]),
      flags['kill-every'] * 1000,
    );
    const writes = new Writes(store, flags);
    killer.start();
    await writes.run();
    await killer.stop();
    await untilTold(watchers, writes);
    const wrong = watchers.flatMap((watcher, at) => watcher.wrong(writes).map((what) => `watcher ${at}: ${what}`));
    console.log(
      `${writes.made.length} writes acknowledged in ${flags.seconds} s, ${writes.expiring.size} of them to expire, ${killer.kills} kills\n` +
        `each of ${watchers.length} watchers was told of ${watchers.map(({ told }) => told.length).join(', ')} changes`,
    );
    for (const what of wrong.slice(0, 20)) console.log(`  WRONG: ${what}`);
    summary.check('changes that are missing, doubled or out of order', wrong.length, bars.wrong);
    for (const watcher of watchers) await watcher.stop();
    if (flags['idle-watchers'] > 0) {
      await keepBusy(store);
      const mib = await idleMiB(cluster.nodes[0], flags['idle-watchers']);
      summary.check(`${flags['idle-watchers']} idle watchers cost their node`, mib, bars.idleMiB, ' MiB');
    }
    writeReport(flags, { summary: summary.results, kills: killer.kills, writes: writes.made.length });
    if (!summary.kept) process.exitCode = 1;
  } finally {
    for (const one of [store, ...stores]) await one.close();
    await close();
  }
}

function rotated(urls, by) {
  return urls.map((_, at) => urls[(at + by) % urls.length]);
}

/** New keys at a fixed rate; what was acknowledged, as `type key revision`. */
class Writes {
  made = [];
  expiring = new Set();
  #store;
  #flags;

  constructor(store, flags) {
    this.#store = store;
    this.#flags = flags;
  }

  async run() {
    const { rate, seconds } = this.#flags;
    const startedAt = performance.now();
    const underWay = new Set();
    for (let number = 0; number < rate * seconds; number += 1) {
      await sleep(Math.max(0, startedAt + (number * 1000) / rate - performance.now()));
      const write = this.#write(number).finally(() => underWay.delete(write));
      underWay.add(write);
    }
    await Promise.all(underWay);
  }

  async #write(number) {
    const key = `watched/${number}`;
    const lives = number % oneIn === 1;
    const put = await this.#known((again) =>
      this.#store.set(key, `value ${number}`, { ...(lives ? { ttl: `${livesSeconds}s` } : {}), ...again }),
    );
    this.made.push(`put ${key} ${put.revision}`);
    if (lives) this.expiring.add(key);
    if (number % oneIn !== 2) return;
    const removed = await this.#known((again) => this.#store.delete(key, again));
    this.made.push(`delete ${key} ${removed.revision}`);
  }

  /** Sent again under the same name until its outcome is known. */
  async #known(write) {
    let again = {};
    for (;;) {
      try {
        return await write(again);
      } catch (error) {
        if (!(error instanceof FlotillaError) || (!error.retryable && error.outcome !== 'unknown')) throw error;
        again = { idempotencyKey: error.idempotencyKey };
      }
    }
  }
}

class Watcher {
  /** `type key revision`, in the order in which they came. */
  told = [];
  begun;
  #stop = new globalThis.AbortController();
  #ended;

  constructor(store) {
    let begin;
    this.begun = new Promise((resolve) => (begin = resolve));
    this.#ended = this.#run(store, begin);
  }

  async #run(store, begin) {
    try {
      for await (const event of store.watch({ prefix: 'watched/', bookmarks: true, signal: this.#stop.signal })) {
        begin();
        if (event.type !== 'bookmark') this.told.push(`${event.type} ${event.key} ${event.revision}`);
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }

  stop() {
    this.#stop.abort();
    return this.#ended;
  }

  hasAll({ made, expiring }) {
    const told = new Set(this.told);
    const expired = this.told.filter((one) => one.startsWith('expire ')).length;
    return made.every((one) => told.has(one)) && expired >= expiring.size;
  }

  wrong({ made, expiring }) {
    const wrong = [];
    const times = new Map();
    const newest = new Map();
    for (const one of this.told) {
      times.set(one, (times.get(one) ?? 0) + 1);
      const [, key, revision] = one.split(' ');
      if ((newest.get(key) ?? 0) >= Number(revision)) wrong.push(`${one} comes after revision ${newest.get(key)}`);
      newest.set(key, Number(revision));
    }
    for (const [one, count] of times) if (count > 1) wrong.push(`${one} was told ${count} times`);
    for (const one of made) if (!times.has(one)) wrong.push(`${one} was not told`);
    const expired = this.told.filter((one) => one.startsWith('expire ')).map((one) => one.split(' ')[1]);
    for (const key of expiring) {
      const count = expired.filter((one) => one === key).length;
      if (count !== 1) wrong.push(`that ${key} expired was told ${count} times`);
    }
    return wrong;
  }
}

async function untilTold(watchers, writes) {
  const endsAt = performance.now() + toldWithinMs;
  while (!watchers.every((watcher) => watcher.hasAll(writes)) && performance.now() < endsAt) await sleep(500);
  // What comes twice may come late.
  await sleep(3000);
}

async function keepBusy(store) {
  const until = performance.now() + warmUp.seconds * 1000;
  const writer = async (number) => {
    for (let count = number; performance.now() < until; count += warmUp.writers) {
      await store.set(`busy/${count % warmUp.keys}`, 'x');
    }
  };
  await Promise.all(Array.from({ length: warmUp.writers }, (_, number) => writer(number)));
}

/** What so many watches, of which no key changes, add to a node's own memory. */
async function idleMiB(node, count) {
  const agent = new http.Agent({ keepAlive: false, maxSockets: Infinity });
  await sleep(idleRestMs);
  const before = residentMemoryMiB(node.pid).own;
  const open = () =>
    new Promise((resolve, reject) => {
      const request = http.get(`${node.url}/v1/watch?prefix=idle/`, { agent }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`a watch was answered ${response.statusCode}`));
        response.resume();
        resolve(response);
      });
      request.on('error', reject);
    });
  for (let opened = 0; opened < count; opened += 50)
    await Promise.all(Array.from({ length: Math.min(50, count - opened) }, open));
  await sleep(idleRestMs);
  const after = residentMemoryMiB(node.pid).own;
  agent.destroy();
  return after - before;
}
