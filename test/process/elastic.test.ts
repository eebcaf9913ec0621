/** A cluster of real processes that grows, shrinks and heals while it is written to: nothing that was acknowledged is lost. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

const settings = { placement: { replaceDownAfterMs: 2000, idleStepMs: 100 } };
const partitions = 6;

interface Member {
  readonly nodeId: string;
  readonly state: string;
  readonly replicas: number;
}

test(
  'nodes join and take their share, one is drained and one is lost for good: each write is there',
  { timeout: 90_000 },
  async () => {
    const cluster = await startCluster({ partitions, settings });
    try {
      const writer = new Writer(cluster);
      await writer.some();
      const joined = [await cluster.addNode(), await cluster.addNode()];
      const names = joined.map(({ nodeId }) => nodeId);
      const [founder, other] = cluster.nodes as [TestNode, TestNode];
      // 18 replicas of data and three of the metadata group on five nodes: four or five each.
      const haveTheirs = (members: readonly Member[]): boolean =>
        members.filter(({ nodeId, state, replicas }) => names.includes(nodeId) && state === 'up' && replicas >= 3)
          .length === names.length;
      await settled(cluster, founder, haveTheirs);
      await writer.some();

      expect((await cluster.request('DELETE', `/v1/cluster/nodes/${founder.nodeId}`, { node: other })).status).toBe(
        202,
      );
      await settled(cluster, other, (members) => isIn(members, founder.nodeId, 'removed'));
      expect(await member(cluster, founder.nodeId, other)).toMatchObject({ state: 'removed', replicas: 0 });
      await founder.kill('SIGTERM');
      await writer.some();

      await other.kill();
      const asked = joined[0] as TestNode;
      await vi.waitUntil(async () => (await member(cluster, other.nodeId, asked))?.replicas === 0, {
        timeout: 30_000,
        interval: 100,
      });
      await settled(cluster, asked);
      await writer.some();
      await writer.readAll();
    } finally {
      await cluster.close();
    }
  },
);

test(
  'a founder with an emptied directory comes in anew, under new replica ids, and is filled again',
  { timeout: 60_000 },
  async () => {
    const cluster = await startCluster({ partitions, settings: { placement: { idleStepMs: 100 } } });
    try {
      const writer = new Writer(cluster);
      await writer.some();
      const victim = await cluster.mostLeading();
      const asked = cluster.nodes.find((node) => node !== victim) as TestNode;
      await victim.kill();
      await writer.some();
      rmSync(victim.dataDir, { recursive: true });
      await victim.restart();
      await vi.waitUntil(async () => (await member(cluster, victim.nodeId, asked))?.replicas === partitions, {
        timeout: 30_000,
        interval: 100,
      });
      await settled(cluster, asked);
      expect(victim.stderr()).toContain('asks to be let in anew');
      const identity = JSON.parse(readFileSync(join(victim.dataDir, 'identity.json'), 'utf8')) as {
        content: { incarnation: number };
      };
      // Above all of its earlier stay, so that an old copy of its disk is told apart.
      expect(identity.content.incarnation).toBeGreaterThan(2 ** 20);
      // It counts in each majority now: the others alone are none without it.
      await (cluster.nodes.find((node) => node !== victim && node !== asked) as TestNode).kill();
      await writer.some();
      await writer.readAll();
      await victim.restart();
      await writer.readAll();
    } finally {
      await cluster.close();
    }
  },
);

test('who may not come in hears why', { timeout: 60_000 }, async () => {
  const cluster = await startCluster({ partitions: 2 });
  const stranger = await startCluster({ nodes: 1, partitions: 1 });
  try {
    const [taken] = cluster.nodes as [TestNode];
    const [foreign] = stranger.nodes as [TestNode];
    const add = async (node: object): Promise<unknown> => {
      const body = JSON.stringify(node);
      const answer = await cluster.request('POST', '/v1/cluster/nodes', {
        body,
        headers: { 'content-type': 'application/json' },
      });
      return [answer.status, (answer.json() as { detail: string }).detail];
    };
    const nowhere = { http: 'http://127.0.0.1:1', peer: '127.0.0.1:1' };
    expect(await add({ nodeId: 'n9', ...nowhere })).toEqual([
      409,
      expect.stringContaining('no node named n9 answers at 127.0.0.1:1'),
    ]);
    expect(await add({ nodeId: taken.nodeId, ...nowhere })).toEqual([
      409,
      expect.stringContaining(`the name ${taken.nodeId} is taken`),
    ]);
    const refusal = 'the address';
    expect(await add({ nodeId: 'n9', http: taken.url, peer: taken.peer })).toEqual([
      409,
      expect.stringContaining(refusal),
    ]);
    expect(await add({ nodeId: foreign.nodeId, http: foreign.url, peer: foreign.peer })).toEqual([
      409,
      expect.any(String),
    ]);
    const removal = await cluster.request('DELETE', '/v1/cluster/nodes/n2');
    expect([removal.status, removal.json()]).toEqual([
      409,
      expect.objectContaining({ code: 'change_refused', outcome: 'not_applied' }),
    ]);
    expect((await cluster.request('DELETE', '/v1/cluster/nodes/n99')).status).toBe(404);
  } finally {
    await Promise.all([cluster.close(), stranger.close()]);
  }
});

async function member(cluster: TestCluster, nodeId: string, node?: TestNode): Promise<Member | undefined> {
  const { nodes } = (await cluster.request('GET', '/v1/cluster', node && { node })).json() as {
    readonly nodes: readonly Member[];
  };
  return nodes.find((one) => one.nodeId === nodeId);
}

/**
 * Nothing moves any more, and nobody is on its way in or out, once `begun` holds: the node that is asked may not have heard yet of what was
 * decided elsewhere.
 */
async function settled(
  cluster: TestCluster,
  node: TestNode | undefined,
  begun: (members: readonly Member[]) => boolean = () => true,
): Promise<void> {
  const options = node && { node };
  let seen = 'nothing';
  const isSettled = vi.waitUntil(
    async () => {
      const { nodes } = (await cluster.request('GET', '/v1/cluster', options)).json() as { nodes: readonly Member[] };
      const answer = await cluster.request('GET', '/v1/cluster/operations', options);
      seen = `${JSON.stringify(nodes)} ${answer.text()}`;
      if (answer.status !== 200 || (answer.json() as { operations: unknown[] }).operations.length > 0) return false;
      const isOnItsWay = nodes.some(({ state }) => state === 'joining' || state === 'draining');
      return begun(nodes) && !isOnItsWay && isEven(nodes.filter(({ state }) => state === 'up'));
    },
    { timeout: 40_000, interval: 100 },
  );
  await isSettled.catch((error: unknown) => {
    throw new Error(`it does not come to rest: ${seen}`, { cause: error });
  });
}

function isIn(members: readonly Member[], nodeId: string, state: string): boolean {
  return members.some((member) => member.nodeId === nodeId && member.state === state);
}

/** Metadata's replicas are placed with the others and not counted here. */
function isEven(nodes: readonly Member[]): boolean {
  const counts = nodes.map(({ replicas }) => replicas);
  return Math.max(...counts) - Math.min(...counts) <= 2;
}

/** Puts through any node that runs, tried again until each is acknowledged. */
class Writer {
  readonly #cluster: TestCluster;
  readonly #written = new Map<string, string>();

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  async some(): Promise<void> {
    const round = this.#written.size;
    await Promise.all(Array.from({ length: 60 }, (_, i) => this.#put(`key-${round + i}`, `value-${round + i}`)));
  }

  async readAll(): Promise<void> {
    for (const [key, value] of this.#written) {
      const answer = await this.#cluster.request('GET', `/v1/kv/${key}`, { redirectsMax: 3 });
      expect([key, answer.status, answer.text()]).toEqual([key, 200, value]);
    }
  }

  async #put(key: string, value: string): Promise<void> {
    await vi.waitUntil(
      async () => {
        const answer = await this.#cluster
          .request('PUT', `/v1/kv/${key}`, { body: value, redirectsMax: 3 })
          .catch(() => undefined);
        return answer?.status === 200 || answer?.status === 201;
      },
      { timeout: 15_000, interval: 50 },
    );
    this.#written.set(key, value);
  }
}
