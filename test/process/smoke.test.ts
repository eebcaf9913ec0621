/** Three real processes: written through one node, read through the others, and nothing lost when a leader is killed. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3, partitions: 6 });
});
afterAll(async () => {
  await cluster.close();
});

const keys = Array.from({ length: 30 }, (_, n) => `smoke/${n}`);

async function readAll(node: TestNode): Promise<string[]> {
  const answers = keys.map((key) => cluster.request('GET', `/v1/kv/${key}`, { node, redirectsMax: 1 }));
  return (await Promise.all(answers)).map((answer) => `${answer.status} ${answer.text()}`);
}

describe('a cluster of three processes', () => {
  const expected = keys.map((key) => `200 value of ${key}`);

  it('takes writes at any node and answers reads at every one', async () => {
    for (const [index, key] of keys.entries()) {
      const node = cluster.nodes[index % 3];
      if (node === undefined) throw new Error('three nodes were asked for');
      const written = await cluster.request('PUT', `/v1/kv/${key}`, { node, body: `value of ${key}`, redirectsMax: 1 });
      expect(written.status).toBe(201);
    }
    for (const node of cluster.nodes) expect(await readAll(node)).toEqual(expected);
  });

  it('keeps serving, with every value, when the node that leads most is killed, and takes it back', async () => {
    const victim = await cluster.mostLeading();
    await victim.kill();
    expect(victim.state).toBe('exited');
    await cluster.waitReady();
    for (const node of cluster.nodes.filter((other) => other !== victim)) expect(await readAll(node)).toEqual(expected);
    for (let partition = 1; partition <= 6; partition += 1) {
      expect((await cluster.leaderOf(partition))?.nodeId).not.toBe(victim.nodeId);
    }
    const lastPid = victim.pid;
    await victim.restart();
    expect(victim.pid).not.toBe(lastPid);
    await cluster.waitReady();
    expect(await readAll(victim)).toEqual(expected);
  });

  it('answers no read while both others are frozen, and does again afterwards', async () => {
    const [one, ...others] = cluster.nodes;
    if (one === undefined) throw new Error('three nodes were asked for');
    for (const node of others) node.pause();
    const refused = await cluster.request('GET', '/v1/kv/smoke/0', {
      node: one,
      headers: { 'flotilla-timeout-ms': '500', 'flotilla-route': 'forward' },
    });
    expect(refused.status).toBe(503);
    for (const node of others) node.resume();
    await cluster.waitReady();
    expect(await readAll(one)).toEqual(expected);
  });
});

it('a cluster that is closed leaves no process and no file', async () => {
  const brief = await startCluster({ nodes: 1, partitions: 1 });
  const pids = brief.nodes.map((node) => node.pid);
  brief.nodes[0]?.pause(); // Even a frozen one.
  await brief.close();
  for (const pid of pids) expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH');
  expect(existsSync(brief.dataRoot)).toBe(false);
});

it('a cluster that cannot start says why, and leaves nothing behind', async () => {
  await expect(startCluster({ nodes: 1, settings: { raft: { tickMs: -1 } } })).rejects.toThrow('raft.tickMs (file');
});
