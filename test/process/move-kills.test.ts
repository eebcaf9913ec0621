/**
 * Real processes are killed at five steps of moves, while the partitions are written to: each move comes to its end, the directory says what
 * the groups do, each acknowledged write is there, and nothing is left on the disk of the node that was drained. The simulator
 * does the same at every step (`test/node/move-kills.test.ts`).
 */
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { expect, test, vi } from 'vitest';
import { RecordKind } from '../../src/storage/keys.ts';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

const KiB = 1024;
/**
 * Three in four of these are on n2, which hosts nothing of the metadata group. More moves than there are kills: while a victim is started
 * again, and where this process stands still at the wrong moment, others go by.
 */
const partitions = 16;
const drained = 'n2';
const settings = {
  // The log does not reach back to the beginning: newcomers are sent the state, which takes a while.
  raft: { logKeepEntries: 5, logKeepBytes: 64 * KiB, compactEntriesMin: 5 },
  snapshots: { chunkBytes: 16 * KiB, retryDelayMs: 50 },
  // One move after the other, and so slow that each step is seen.
  placement: { movesMax: 1, stepMs: 250, moveBytesPerSecondMax: 128 * KiB },
};
/** Before anything moves, and while it does: all that is sent takes half a second, in each move. */
const largeBytes = 4 * KiB;
const smallBytes = 256;
const valuesBefore = 240;
const withinMs = 20_000;

interface Move {
  readonly partition: number;
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly step: string;
}

type Role = 'mover' | 'source' | 'target' | 'leader';

const kills: readonly (readonly [step: string, Role])[] = [
  ['learner', 'leader'],
  ['catch_up', 'target'],
  ['catch_up', 'mover'],
  ['voters', 'source'],
  ['voters', 'mover'],
];

test('processes are killed at five steps of moves, and each move comes to its end', { timeout: 120_000 }, async () => {
  const cluster = await startCluster({ nodes: 4, partitions, settings });
  try {
    const writes = new Writes(cluster);
    await writes.some(valuesBefore);
    const goingOn = writes.start();
    const source = nodeOf(cluster, drained);
    const other = nodeOf(cluster, 'n1');
    expect((await cluster.request('DELETE', `/v1/cluster/nodes/${drained}`, { node: other })).status).toBe(202);

    const met = new Set<number>();
    for (const [step, role] of kills) {
      // Where this process stood still before it killed, the move may have been over: then another one is waited for.
      for (let wasOver = true; wasOver;) {
        const move = await moveAt(cluster, step, met);
        const victim = await nodeIn(cluster, role, move);
        await victim.kill();
        wasOver = doneMoves(cluster).includes(move.partition);
        met.add(move.partition);
        await victim.restart();
      }
    }

    await comesToRest(cluster, other);
    await writes.stop();
    await goingOn;
    await writes.readAll(nodeOf(cluster, 'n3'));
    await Promise.all([source.kill('SIGTERM'), other.kill('SIGTERM')]);
    expect(await remainsOn(source)).toEqual([]);
    expect(await remainsOn(other)).not.toEqual([]);
  } finally {
    await cluster.close();
  }
});

/** One that is at this step, and was not met before. */
async function moveAt(cluster: TestCluster, step: string, met: ReadonlySet<number>): Promise<Move> {
  let found: Move | undefined;
  await vi.waitUntil(
    async () => {
      const moves = await movesOf(cluster);
      found = moves?.find((move) => move.step === step && !met.has(move.partition));
      return found !== undefined;
    },
    { timeout: withinMs, interval: 20 },
  );
  return found as Move;
}

/** Undefined while nobody leads the metadata group. */
async function movesOf(cluster: TestCluster, node?: TestNode): Promise<readonly Move[] | undefined> {
  const answer = await cluster.request('GET', '/v1/cluster/operations', node && { node }).catch(() => undefined);
  return answer?.status === 200 ? (answer.json() as { readonly operations: readonly Move[] }).operations : undefined;
}

async function nodeIn(cluster: TestCluster, role: Role, { partition, from, to }: Move): Promise<TestNode> {
  if (role === 'source') return nodeOf(cluster, drained);
  if (role === 'target') return nodeOf(cluster, to.find((nodeId) => !from.includes(nodeId)) ?? '');
  const leader = await cluster.leaderOf(role === 'mover' ? 0 : partition);
  if (leader === undefined) throw new Error(`there is no ${role}`);
  return leader;
}

function nodeOf(cluster: TestCluster, nodeId: string): TestNode {
  const node = cluster.nodes.find((one) => one.nodeId === nodeId);
  if (node === undefined) throw new Error(`there is no node ${nodeId}`);
  return node;
}

/** By what all nodes have logged until now. */
function doneMoves(cluster: TestCluster): readonly number[] {
  const lines = cluster.nodes.flatMap((node) => node.stderr().split('\n'));
  const done = lines.filter((line) => line.includes('"a move is done"'));
  return done.map((line) => (JSON.parse(line) as { readonly partition: number }).partition);
}

async function comesToRest(cluster: TestCluster, node: TestNode): Promise<void> {
  await vi.waitUntil(
    async () => {
      const { nodes } = (await cluster.request('GET', '/v1/cluster', { node })).json() as {
        readonly nodes: readonly { readonly nodeId: string; readonly state: string }[];
      };
      const isGone = nodes.some(({ nodeId, state }) => nodeId === drained && state === 'removed');
      return isGone && (await movesOf(cluster, node))?.length === 0 && (await disagreement(cluster, node)).length === 0;
    },
    { timeout: 2 * withinMs, interval: 100 },
  );
}

interface Replicas {
  readonly leader: string | null;
  readonly replicas: readonly { readonly nodeId: string; readonly role: string; readonly matchIndex: number }[];
}

/** Partitions whose directory names others than those that their leader has as members, all of them with a vote. */
async function disagreement(cluster: TestCluster, node: TestNode): Promise<readonly number[]> {
  const differing: number[] = [];
  for (let partition = 0; partition <= partitions; partition += 1) {
    const answer = await cluster.request('GET', `/v1/cluster/partitions/${partition}`, { node });
    const { leader, replicas } = answer.json() as Replicas;
    const names = replicas.map(({ nodeId }) => nodeId).toSorted();
    // What a leader knows of one that is no member is 0.
    const are = replicas.every(({ role, matchIndex }) => (role === 'leader' || role === 'follower') && matchIndex > 0);
    if (leader === null || !are || names.join() !== 'n1,n3,n4') differing.push(partition);
  }
  return differing;
}

/** Keys of what is stored of any partition, but for what stays of replicas that were destroyed. */
async function remainsOn(node: TestNode): Promise<readonly string[]> {
  const kept: readonly number[] = [RecordKind.dead, RecordKind.machineState];
  const found: string[] = [];
  for (const name of ['log', 'state']) {
    const level = new ClassicLevel<Buffer, Buffer>(join(node.dataDir, name), { keyEncoding: 'buffer' });
    for await (const key of level.keys()) {
      if (key.readUInt32BE(0) <= partitions && !kept.includes(key.readUInt8(4)))
        found.push(`${name} ${key.toString('hex')}`);
    }
    await level.close();
  }
  return found;
}

/** Puts of new keys through any node that runs, each tried again until it is acknowledged. */
class Writes {
  readonly #cluster: TestCluster;
  readonly #written = new Map<string, string>();
  #named = 0;
  #isOver = false;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  async some(count: number): Promise<void> {
    const until = this.#named + count;
    const writer = async (): Promise<void> => {
      while (this.#named < until) await this.#put(largeBytes);
    };
    await Promise.all(Array.from({ length: 8 }, writer));
  }

  async start(): Promise<void> {
    while (!this.#isOver) await this.#put(smallBytes);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    // Some of it while all that went on.
    expect(this.#written.size).toBeGreaterThan(valuesBefore);
    await this.some(1);
  }

  async readAll(node: TestNode): Promise<void> {
    for (const [key, value] of this.#written) {
      const answer = await this.#cluster.request('GET', `/v1/kv/${key}`, {
        node,
        headers: { 'Flotilla-Route': 'forward' },
      });
      expect(`${key} ${answer.status} ${answer.text() === value}`).toBe(`${key} 200 true`);
    }
  }

  async #put(bytes: number): Promise<void> {
    this.#named += 1;
    const key = `key-${this.#named}`;
    const body = `${key} `.padEnd(bytes, '.');
    await vi.waitUntil(
      async () => {
        const running = this.#cluster.nodes.filter(({ state }) => state === 'running');
        const node = running[this.#named % running.length];
        const headers = { 'Flotilla-Route': 'forward' };
        const answer = await this.#cluster
          .request('PUT', `/v1/kv/${key}`, { ...(node && { node }), body, headers })
          .catch(() => undefined);
        return answer?.status === 200 || answer?.status === 201;
      },
      { timeout: withinMs, interval: 20 },
    );
    this.#written.set(key, body);
  }
}
