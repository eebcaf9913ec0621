/**
 * How long writes are interrupted when a leader dies.
 *
 *   npm run bench -- failover [--rounds 20] [--signal SIGKILL] [--pace-ms 10] [--partitions 12] [--out FILE]
 *
 * Every partition is written to all the time, through each node in turn, forwarded, by a writer of its own per node.
 * Each round kills the node that leads most partitions. The gap of a partition is the time from the kill to the first
 * 2xx for a write that was sent after the kill, through a survivor; a round's figure is the worst partition that the
 * victim led. Then the victim is restarted, and once every partition serves again the next round begins.
 */
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { parseArgs } from 'node:util';
import { send, startFlotilla } from './lib/targets.js';

export async function failover(args) {
  const { values: flags } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '20' },
      signal: { type: 'string', default: 'SIGKILL' },
      'pace-ms': { type: 'string', default: '10' },
      partitions: { type: 'string', default: '12' },
      out: { type: 'string' },
    },
  });
  const target = await startFlotilla({ partitions: Number(flags.partitions) });
  const load = new Load(target.cluster, Number(flags['pace-ms']));
  try {
    await load.start(await keyOfEachPartition(target.cluster, Number(flags.partitions)));
    const rounds = [];
    console.log('round  victim  led  gap: median  worst partition   writes  unknown');
    for (let round = 1; round <= Number(flags.rounds); round += 1) {
      const result = await runRound(target.cluster, load, flags.signal);
      rounds.push(result);
      const { victim, led, medianMs, worstMs, writes, unknown } = result;
      console.log(
        `${String(round).padStart(5)}  ${victim.padEnd(6)}  ${String(led).padStart(3)}  ` +
          `${medianMs.toFixed(0).padStart(8)} ms  ${worstMs.toFixed(0).padStart(12)} ms  ${String(writes).padStart(7)}  ${unknown}`,
      );
    }
    const worst = rounds.map((round) => round.worstMs).toSorted((a, b) => a - b);
    const summary = { median: middle(worst), min: worst[0], max: worst.at(-1) };
    console.log(
      `\nworst partition of the victim, from ${flags.signal} to the first 2xx: median ${summary.median.toFixed(0)} ms, ` +
        `${summary.min.toFixed(0)} to ${summary.max.toFixed(0)} ms over ${rounds.length} rounds`,
    );
    if (flags.out !== undefined)
      writeFileSync(flags.out, `${JSON.stringify({ flags, rounds, summary }, undefined, 1)}\n`);
  } finally {
    load.stop();
    await target.close();
  }
}

async function runRound(cluster, load, signal) {
  const victim = await cluster.mostLeading();
  const led = await partitionsLedBy(cluster, victim);
  load.avoid(victim);
  const before = load.counts();
  const gaps = load.watchGaps(led);
  const killedAt = performance.now();
  load.killed(killedAt);
  const ended = victim.kill(signal);
  const measured = await gaps;
  await ended;
  await victim.restart();
  await cluster.waitReady();
  load.avoid(undefined);
  const times = measured.toSorted((a, b) => a - b);
  const after = load.counts();
  return {
    victim: victim.nodeId,
    led: led.length,
    medianMs: middle(times),
    worstMs: times.at(-1),
    writes: after.done - before.done,
    unknown: after.unknown - before.unknown,
  };
}

async function partitionsLedBy(cluster, node) {
  const answer = await cluster.request('GET', '/v1/cluster/partitions');
  const partitions = JSON.parse(answer.body.toString());
  return partitions.filter(({ leader }) => leader === node.nodeId).map(({ id }) => id);
}

async function keyOfEachPartition(cluster, count) {
  const keys = new Map();
  for (let i = 0; keys.size < count; i += 1) {
    const answer = await cluster.request('GET', `/v1/locate/failover-${i}`);
    const { partition } = JSON.parse(answer.body.toString());
    if (!keys.has(partition)) keys.set(partition, `failover-${i}`);
  }
  return keys;
}

/** One closed-loop writer for each partition and node, with a pause after each answer. */
class Load {
  #cluster;
  #paceMs;
  #agent = new http.Agent({ keepAlive: true });
  #stopped = false;
  #avoided;
  #killedAt = Infinity;
  #waiting = new Map();
  #counts = { done: 0, unknown: 0 };

  constructor(cluster, paceMs) {
    this.#cluster = cluster;
    this.#paceMs = paceMs;
  }

  async start(keys) {
    for (const [partition, key] of keys) {
      for (const node of this.#cluster.nodes) void this.#write(node, partition, key);
    }
  }

  /** Nothing more is sent to this node. */
  avoid(node) {
    this.#avoided = node;
  }

  killed(at) {
    this.#killedAt = at;
  }

  /** Resolves to one gap for each of `partitions`, in ms, counted from `killed`. */
  watchGaps(partitions) {
    this.#killedAt = Infinity;
    return Promise.all(partitions.map((partition) => new Promise((resolve) => this.#waiting.set(partition, resolve))));
  }

  counts() {
    return { ...this.#counts };
  }

  stop() {
    this.#stopped = true;
    this.#agent.destroy();
  }

  async #write(node, partition, key) {
    while (!this.#stopped) {
      if (node !== this.#avoided) {
        const sentAt = performance.now();
        const url = `${node.url}/v1/kv/${key}?route=forward`;
        const status = await send(this.#agent, 'PUT', url, { body: 'x'.repeat(256) }).then(
          (answer) => answer.status,
          () => undefined,
        );
        if (status === undefined || status === 504) this.#counts.unknown += 1;
        if (status >= 200 && status < 300) this.#succeeded(node, partition, sentAt);
      }
      await new Promise((resolve) => setTimeout(resolve, this.#paceMs));
    }
  }

  #succeeded(node, partition, sentAt) {
    this.#counts.done += 1;
    if (sentAt < this.#killedAt || node === this.#avoided) return;
    const resolve = this.#waiting.get(partition);
    if (resolve === undefined) return;
    this.#waiting.delete(partition);
    resolve(performance.now() - this.#killedAt);
  }
}

function middle(sorted) {
  return sorted[sorted.length >> 1];
}
