/**
 * Garbage on the ports of a working cluster: it is dropped and logged, no node dies, no leader changes, and whoever works
 * with the cluster meanwhile notices nothing.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import type { Hello, NodeId } from '../../src/replica/ports.ts';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';
import { encodeHello, helloBytes } from '../../src/transport/hello.ts';
import { FrameType, frameOverheadBytes, sealFrame } from '../../src/transport/wire.ts';
import { violations } from '../../src/chaos/versions.ts';
import { startLoad } from '../../src/chaos/load.ts';

const settings = {
  // A slow machine may hold an election of its own accord; here only garbage could cause one.
  raft: { electionTicksMin: 100, electionTicksMax: 200 },
  // So that connections on which too little comes end while the test looks.
  transport: { handshakeTimeoutMs: 500 },
  limits: { headersTimeoutMs: 500, connectionCheckIntervalMs: 100 },
};

test('garbage on peer and HTTP ports kills nobody, changes nothing and forces no election', async () => {
  const cluster = await startCluster({ settings });
  try {
    const [pids, leaders] = [cluster.nodes.map(({ pid }) => pid), await termsAndLeaders(cluster)];
    const load = await startLoad({
      cluster,
      writersPerPartition: 2,
      writesPerSecond: 100,
      readsPerSecond: 100,
      timeoutMs: 5000,
    });

    for (const node of cluster.nodes) {
      const peer = new URL(`tcp://${node.peer}`);
      const http = new URL(node.url);
      const refusal = await answerTo(peer, helloOfAnotherCluster(node));
      expect(refusal.toString()).toContain('belongs to cluster');
      await Promise.all(Object.values(peerGarbage).map((bytes) => answerTo(peer, bytes)));
      await Promise.all(Object.values(httpGarbage).map((bytes) => answerTo(http, bytes)));
      expect(node.stderr()).toContain('bad frame: connection closed');
      expect(node.stderr()).toContain('peer refused');
    }

    await load.stop();
    const history = await load.readBack();
    expect(violations(history)).toEqual([]);
    expect(load.unexpected).toEqual([]);
    expect(load.writes.filter(({ outcome }) => outcome !== 'acknowledged')).toEqual([]);
    expect(load.writes.length).toBeGreaterThan(20);
    expect(cluster.nodes.map(({ state }) => state)).toEqual(['running', 'running', 'running']);
    expect(cluster.nodes.map(({ pid }) => pid)).toEqual(pids);
    expect(await termsAndLeaders(cluster)).toEqual(leaders);
  } finally {
    await cluster.close();
  }
});

const kilobyte = 1024;

const peerGarbage = {
  random: randomBytes(64 * kilobyte),
  http: Buffer.from('GET / HTTP/1.1\r\nHost: flotilla\r\n\r\n'),
  nothing: Buffer.alloc(0),
  'half a header': Buffer.from([0, 0, 0]),
  'a length of 4 GiB': Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1]),
  'a length of nothing': Buffer.alloc(64),
  'a wrong checksum': Buffer.from([0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, FrameType.ping]),
  'Raft messages before a hello': frame(FrameType.raft, randomBytes(100)),
  'an unknown frame type': frame(99 as FrameType, Buffer.alloc(10)),
  'a hello of nonsense': frame(FrameType.hello, randomBytes(80)),
};

const httpGarbage = {
  random: randomBytes(64 * kilobyte),
  nothing: Buffer.alloc(0),
  'half a request': Buffer.from('PUT /v1/kv/half HTTP/1.1\r\nContent-'),
  'two lengths': Buffer.from('PUT /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
  'a negative length': Buffer.from('PUT /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'),
  'a bad chunk': Buffer.from('PUT /v1/kv/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'),
  'headers without end': Buffer.from(`GET / HTTP/1.1\r\nX: ${'x'.repeat(100 * kilobyte)}`),
};

/** All that comes back until the node closes the connection, as it must. */
function answerTo({ hostname, port }: URL, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    socket.on('data', (chunk) => chunks.push(chunk));
    // The node may hang up in the middle of it all.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(chunks)));
  });
}

function frame(type: FrameType, payload: Buffer): Buffer {
  const page = Buffer.concat([Buffer.alloc(frameOverheadBytes), payload]);
  sealFrame(page, { start: 0, end: page.length, type });
  return page;
}

function helloOfAnotherCluster({ nodeId }: TestNode): Buffer {
  const hello: Hello = {
    lane: 'main',
    clusterId: 'ab'.repeat(16),
    nodeId: 'stranger' as NodeId,
    to: nodeId as NodeId,
    incarnation: 1,
    nonce: '12'.repeat(16),
  };
  const payload = Buffer.alloc(helloBytes(hello));
  encodeHello(payload, 0, hello);
  return frame(FrameType.hello, payload);
}

async function termsAndLeaders(cluster: TestCluster): Promise<unknown> {
  const partitions = (await cluster.request('GET', '/v1/cluster/partitions')).json() as readonly {
    readonly id: number;
    readonly term: number;
    readonly leader: string | null;
  }[];
  return partitions.map(({ id, term, leader }) => ({ id, term, leader }));
}
