/** The systems under load: a three-node Flotilla cluster, and a three-node etcd. Both fresh, in a temporary directory. */
import { spawnSync } from 'node:child_process';
import http from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { startCluster } from '../../dist/testing/cluster.js';
import { makeDirectory, removeDirectory, spawnTied } from './processes.js';
import { sleep } from './report.js';
import { inParallel, send } from './requests.js';

async function expectSuccess(answer, what) {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw new Error(`${what}: ${answer.status} ${answer.body}`);
}

/** With `dataRoot`, data and logs are left there. */
export async function startFlotilla({ partitions = 12, settings = {}, dataRoot } = {}) {
  const where = dataRoot === undefined ? {} : { dataRoot };
  const cluster = await startCluster({ nodes: 3, partitions, settings, timeoutMs: 60_000, ...where });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
  const urls = cluster.nodes.map((node) => node.url);
  const leaders = async () => {
    const answer = await send(agent, 'GET', `${urls[0]}/v1/cluster/partitions`);
    return JSON.parse(answer.body).map(({ id, leader, term }) => ({ id, leader, term }));
  };
  return {
    name: 'flotilla',
    pids: () => cluster.nodes.map((node) => node.pid),
    /** Each key goes to its partition's leader. */
    async servers(keys) {
      const byPartition = new Map((await leaders()).map(({ id, leader }) => [id, leader]));
      const groups = new Map(cluster.nodes.map((node) => [node.nodeId, { url: node.url, keys: [] }]));
      await inParallel(keys, 64, async (key) => {
        const { partition } = JSON.parse((await send(agent, 'GET', `${urls[0]}/v1/locate/${key}`)).body);
        groups.get(byPartition.get(partition)).keys.push(key);
      });
      return [...groups.values()];
    },
    /** Each key goes to any node. */
    anyServers: (keys) => urls.map((url) => ({ url, keys })),
    /** How many requests were sent elsewhere since the nodes started. wrk takes a redirect for a success. */
    async redirects() {
      const pages = await Promise.all(urls.map((url) => send(agent, 'GET', `${url}/metrics`)));
      const counted = /^flotilla_http_request_duration_seconds_count\{[^}]*outcome="redirected"[^}]*\} (\d+)$/gm;
      return pages
        .flatMap(({ body }) => [...body.matchAll(counted)])
        .reduce((sum, [, count]) => sum + Number(count), 0);
    },
    async preload(servers, value) {
      await Promise.all(
        servers.map(({ url, keys }) =>
          inParallel(keys, 40, async (key) =>
            expectSuccess(await send(agent, 'PUT', `${url}/v1/kv/${key}`, { body: value() }), 'preload'),
          ),
        ),
      );
    },
    /** Compared before and after a run: a change of leaders voids it, because redirects would have been counted. */
    leadership: async () => JSON.stringify(await leaders()),
    async close() {
      agent.destroy();
      await cluster.close();
    },
    cluster,
  };
}

export function etcdAvailable() {
  return spawnSync('etcd', ['--version']).error === undefined;
}

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function startEtcd() {
  const directory = makeDirectory('flotilla-etcd-');
  const ports = await freePorts(6);
  const members = [0, 1, 2].map((i) => ({
    name: `e${i + 1}`,
    client: `http://127.0.0.1:${ports[2 * i]}`,
    peer: `http://127.0.0.1:${ports[2 * i + 1]}`,
  }));
  const initial = members.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const children = members.map(({ name, client, peer }) =>
    spawnTied(
      'etcd',
      [
        ...['--name', name, '--data-dir', join(directory, name), '--log-level', 'error', '--logger', 'zap'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...[
          '--initial-cluster',
          initial,
          '--initial-cluster-state',
          'new',
          '--quota-backend-bytes',
          String(8 * 2 ** 30),
        ],
      ],
      { stdio: 'ignore' },
    ),
  );
  const agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
  const close = async () => {
    agent.destroy();
    const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(ended);
    removeDirectory(directory);
  };
  const status = async ({ client }) =>
    JSON.parse((await send(agent, 'POST', `${client}/v3/maintenance/status`, { body: '{}' })).body);
  const findLeader = async () => {
    for (const member of members) {
      const { header, leader, raftTerm } = await status(member);
      if (leader !== undefined && leader === header.member_id) return { url: member.client, leader, raftTerm };
    }
    return undefined;
  };
  try {
    const leader = await poll(findLeader, 15_000, 'etcd has no leader');
    return {
      name: 'etcd',
      pids: () => children.map((child) => child.pid),
      servers: async (keys) => [{ url: leader.url, keys }],
      redirects: async () => 0,
      async preload(servers, value) {
        const base64 = (text) => Buffer.from(text).toString('base64');
        await inParallel(servers[0].keys, 100, async (key) => {
          const body = JSON.stringify({ key: base64(key), value: base64(value()) });
          await expectSuccess(await send(agent, 'POST', `${leader.url}/v3/kv/put`, { body }), 'preload');
        });
      },
      leadership: async () => JSON.stringify(await findLeader()),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function poll(attempt, timeoutMs, failure) {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const result = await attempt().catch(() => undefined);
    if (result !== undefined) return result;
    if (Date.now() > until) throw new Error(failure);
    await sleep(100);
  }
}
