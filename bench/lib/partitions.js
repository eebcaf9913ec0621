/** What a running cluster says of its partitions, and where keys belong, without asking for each. */
import { keyHash } from '../../dist/cluster/hash.js';
import { sleep } from './report.js';

const requestTimeoutMs = 5000;
const pollMs = 50;

/**
 * `/v1/cluster/partitions`, from the first running node that knows every leader; from the one that knows most, if none does.
 * A node that has just been started knows little: it can be left out by `not`.
 */
export async function readPartitions(cluster, { not } = {}) {
  let best;
  let reason = 'no node runs';
  for (const node of cluster.nodes) {
    if (node.state !== 'running' || node === not) continue;
    try {
      const answer = await cluster.request('GET', '/v1/cluster/partitions', { node, timeoutMs: requestTimeoutMs });
      if (answer.status !== 200) throw new Error(`${node.nodeId} answered ${answer.status}: ${answer.text()}`);
      const partitions = answer.json().toSorted((a, b) => a.range[0] - b.range[0]);
      const led = partitions.filter(({ leader }) => leader !== null).length;
      if (led === partitions.length) return partitions;
      if (best === undefined || led > best.led) best = { led, partitions };
    } catch (error) {
      reason = error.message;
    }
  }
  if (best === undefined) throw new Error(`no node tells the state of its partitions: ${reason}`);
  return best.partitions;
}

/** As `readPartitions`, but waits until every partition has a leader. */
export async function partitionsWithLeaders(cluster, { timeoutMs = 30_000 } = {}) {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const partitions = await readPartitions(cluster);
    const without = partitions.filter(({ leader }) => leader === null).map(({ id }) => id);
    if (without.length === 0) return partitions;
    if (performance.now() > until) throw new Error(`no leader after ${timeoutMs} ms: partitions ${without.join(', ')}`);
    await sleep(pollMs);
  }
}

/** Id of the partition that `key` belongs to; `partitions` as they were read, in the order of their ranges. */
export function partitionOf(partitions, key) {
  const hash = keyHash(Buffer.from(key));
  let low = 0;
  for (let high = partitions.length - 1; low < high;) {
    const middle = (low + high + 1) >> 1;
    if (partitions[middle].range[0] <= hash) low = middle;
    else high = middle - 1;
  }
  return partitions[low].id;
}

/** `count` keys that begin with `prefix` and belong to the partitions with these ids. */
export function keysIn(partitions, ids, { count, prefix }) {
  const wanted = new Set(ids);
  const keys = [];
  for (let i = 0; keys.length < count; i += 1) {
    const key = `${prefix}-${i}`;
    if (wanted.has(partitionOf(partitions, key))) keys.push(key);
  }
  return keys;
}

/** Elections show in the terms: how many there were is the difference of two of these sums. */
export function sumOfTerms(partitions) {
  return partitions.reduce((sum, { term }) => sum + term, 0);
}

/**
 * Resolves once each partition's replica at `node` was seen serving and no more than `lagMax` entries behind its leader, to
 * the time when that was, by `performance.now()`. Under load an entry or two is always under way: a replica counts from
 * when it was first seen there.
 */
export async function waitCaughtUp(cluster, node, { lagMax = 0, timeoutMs = 120_000 } = {}) {
  const until = performance.now() + timeoutMs;
  const seen = new Set();
  for (;;) {
    const partitions = await readPartitions(cluster, { not: node });
    const behind = [];
    for (const { id, leader, replicas } of partitions) {
      const replica = replicas.find(({ nodeId }) => nodeId === node.nodeId);
      if (replica === undefined) continue;
      if (leader !== null && replica.state === 'ok' && replica.lag <= lagMax) seen.add(id);
      if (!seen.has(id)) behind.push(`${id} (${replica.state}, ${replica.lag} entries)`);
    }
    if (behind.length === 0) return performance.now();
    if (performance.now() > until) {
      throw new Error(`${node.nodeId} has not caught up after ${timeoutMs} ms: partitions ${behind.join(', ')}`);
    }
    await sleep(pollMs);
  }
}

/** Each partition's leader, as last heard. Whoever is told otherwise by a node calls `refresh`. */
export class LeaderMap {
  #cluster;
  #partitions;
  #leaders = new Map();
  #refreshing;

  static async read(cluster) {
    const map = new LeaderMap();
    map.#cluster = cluster;
    map.#take(await partitionsWithLeaders(cluster));
    return map;
  }

  urlOf(key) {
    const leader = this.#leaders.get(partitionOf(this.#partitions, key));
    return this.#cluster.nodes.find(({ nodeId }) => nodeId === leader).url;
  }

  /** Asks anew, once for all who wait; keeps what it knew where nobody is known to lead. Never rejects. */
  refresh() {
    this.#refreshing ??= (async () => {
      await sleep(pollMs); // For all who were refused at the same moment, and because a leader takes its time.
      try {
        this.#take(await readPartitions(this.#cluster));
      } catch {
        // Nobody answers at this moment: what was known may be right again, else there is a next time.
      }
      this.#refreshing = undefined;
    })();
    return this.#refreshing;
  }

  #take(partitions) {
    this.#partitions = partitions;
    for (const { id, leader } of partitions) if (leader !== null) this.#leaders.set(id, leader);
  }
}
