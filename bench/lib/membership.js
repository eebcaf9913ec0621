/** Who is in a running cluster, what moves, and when it has come to rest. */
import { sleep } from './report.js';

const requestTimeoutMs = 5000;
const pollMs = 100;
/** Rest that lasts so long is rest: between two moves there is a moment without any. */
const restMs = 1000;

/** One answer to a GET, from the first running node that has one. Throws when none has. */
export async function readCluster(cluster, path) {
  let reason = 'no node runs';
  for (const node of cluster.nodes.filter(({ state }) => state === 'running')) {
    try {
      const answer = await cluster.request('GET', path, { node, timeoutMs: requestTimeoutMs });
      if (answer.status === 200) return answer.json();
      reason = `${node.nodeId} answered ${answer.status}: ${answer.text()}`;
    } catch (error) {
      reason = `${node.nodeId}: ${error.message}`;
    }
  }
  throw new Error(`GET ${path}: ${reason}`);
}

/** Asks for a change through any running node but `not`, again while it is refused for now. Resolves to its plan. */
export async function changeCluster(cluster, method, path, { not, timeoutMs = 30_000 } = {}) {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const node = cluster.nodes.find((candidate) => candidate.state === 'running' && candidate.nodeId !== not);
    const answer = await cluster.request(method, path, { node, timeoutMs: requestTimeoutMs });
    if (answer.status === 200 || answer.status === 202) return answer.json().plan;
    if (answer.status < 500 || performance.now() > until) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text()}`);
    }
    await sleep(pollMs);
  }
}

/**
 * Looks at the cluster all the time and counts replicas that came to a node, those too that leave it again. A replica counts
 * from when the partition's map names it.
 */
export class Moves {
  arrived = 0;
  /** Of the last look: { nodes, operations, partitions }. */
  seen;
  #cluster;
  #known = new Map();
  #stopped = false;
  #looks;
  #waiting = [];

  constructor(cluster) {
    this.#cluster = cluster;
    this.#looks = this.#look();
  }

  get replicas() {
    return this.seen.partitions.reduce((sum, { replicas }) => sum + replicas.length, 0);
  }

  nodeState(nodeId) {
    return this.seen.nodes.find((node) => node.nodeId === nodeId)?.state;
  }

  async stop() {
    this.#stopped = true;
    await this.#looks;
  }

  /** Resolves after a look that began later than this call. */
  async nextLook() {
    for (let looks = 0; looks < 2; looks += 1) await new Promise((resolve) => this.#waiting.push(resolve));
  }

  /**
   * Resolves once nothing moves, nobody joins or drains and `also()` holds, to when that began; rejects after `timeoutMs`, with
   * what was seen last.
   */
  async settled(also = () => true, { timeoutMs = 300_000 } = {}) {
    const until = performance.now() + timeoutMs;
    let since;
    for (;;) {
      await this.nextLook();
      const now = performance.now();
      const { nodes, operations, partitions } = this.seen;
      const changing = nodes.filter(({ state }) => state === 'joining' || state === 'draining');
      const rests = operations.length === 0 && changing.length === 0 && also();
      since = rests ? (since ?? now) : undefined;
      if (since !== undefined && now - since >= restMs) return since;
      if (now > until) {
        const members = nodes.map(({ nodeId, state, replicas }) => `${nodeId} ${state}, ${replicas} replicas`);
        const bad = partitions.filter(({ replicas }) => replicas.some(({ state }) => state !== 'ok'));
        throw new Error(
          `not at rest after ${timeoutMs} ms: ${members.join('; ')}; operations ${JSON.stringify(operations)}; ` +
            `partitions ${JSON.stringify(bad)}`,
        );
      }
    }
  }

  async #look() {
    while (!this.#stopped) {
      // Plans count the metadata group too, partition 0, which is not among the others.
      const paths = ['', '/operations', '/partitions', '/partitions/0'].map((path) => `/v1/cluster${path}`);
      // Undefined: no leader at this moment, or a node that stops. The next look will tell.
      const all = await Promise.all(paths.map((path) => readCluster(this.#cluster, path))).catch(() => undefined);
      if (all !== undefined) {
        const [{ nodes }, { operations }, ordinary, metadata] = all;
        const partitions = [metadata, ...ordinary];
        this.seen = { nodes, operations, partitions };
        this.#count(partitions);
        for (const resolve of this.#waiting.splice(0)) resolve();
      }
      await sleep(pollMs);
    }
  }

  #count(partitions) {
    for (const { id, epoch, replicas } of partitions) {
      const before = this.#known.get(id);
      // A node that has not heard yet of the last change must not make a replica come twice.
      if (before !== undefined && epoch < before.epoch) continue;
      const holders = new Set(replicas.map(({ nodeId }) => nodeId));
      if (before !== undefined) this.arrived += [...holders].filter((nodeId) => !before.holders.has(nodeId)).length;
      this.#known.set(id, { epoch, holders });
    }
  }
}
