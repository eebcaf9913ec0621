/** What comes to the peer port from strangers, old copies and broken nodes: it is closed and logged, and goes no further. */
import { crc32 } from 'node:zlib';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Hello, NodeId } from '../../src/replica/ports.ts';
import { encodePayload } from '../../src/transport/payloads.ts';
import type { TcpTransport, TransportOptions } from '../../src/transport/tcp-transport.ts';
import { FrameType } from '../../src/transport/wire.ts';
import { frameOf, heartbeatFrame, RawPeer, rawListener, welcomes } from './raw-peer.ts';
import {
  addressOf,
  heartbeat,
  helloFrom,
  group,
  nodeA,
  nodeB,
  nodeC,
  otherClusterId,
  quickConfig,
  startNode,
  until,
  Witness,
} from './world.ts';

/** A connection that ends does so for another reason. */
const neverSilent = { config: { ...quickConfig, silenceTimeoutMs: 60_000 } };

let witness: Witness;
let node: TcpTransport;
let warnings: Record<string, unknown>[];
let cleanUps: (() => Promise<void>)[];

beforeEach(() => {
  witness = new Witness();
  warnings = [];
  cleanUps = [];
});

afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
});

describe('a listener that a stranger talks to', () => {
  const garbage: readonly (readonly [string, Buffer])[] = [
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['a TLS hello', Buffer.from('16030100c8010000c40303', 'hex')],
    ['zeros', Buffer.alloc(64)],
    ['a header that announces 4 GiB', Buffer.alloc(8, 0xff)],
    ['a hello larger than helloBytesMax', frameOf(FrameType.hello, Buffer.alloc(quickConfig.helloBytesMax))],
    ['a hello with a wrong checksum', corrupted(frameOf(FrameType.hello, Buffer.from('FLOT')))],
    ['a request before the hello', frameOf(FrameType.request, Buffer.from([0, 0, 0, 1, 1, 65, 0xc0]))],
    ['Raft before the hello', frameOf(FrameType.raft)],
    ['a refusal', frameOf(FrameType.refusal, Buffer.from('no'))],
  ];

  it.each(garbage)('closes the connection on %s and says so in the log', async (_, bytes) => {
    await startA();
    const stranger = await RawPeer.dial(node.port);
    stranger.socket.write(bytes);
    await until('it is closed', () => stranger.closed);
    expect(warnings).toHaveLength(1);
    expect(witness.messages).toEqual([]);
    await expectStillServing();
  });

  it('closes a connection on which no hello comes in time, even one that sends a byte now and then', async () => {
    await startA({ config: { ...quickConfig, handshakeTimeoutMs: 100 } });
    const silent = await RawPeer.dial(node.port);
    const slow = await RawPeer.dial(node.port);
    const hello = frameOf(FrameType.hello, Buffer.alloc(1000));
    let sent = 0;
    const drip = setInterval(() => slow.socket.write(hello.subarray(sent, ++sent)), 10);
    await until('both are closed', () => silent.closed && slow.closed);
    clearInterval(drip);
    await expectStillServing();
  });

  it('keeps only so many connections that have not shaken hands', async () => {
    await startA({ config: { ...quickConfig, pendingConnectionsMax: 2, handshakeTimeoutMs: 60_000 } });
    const first = await RawPeer.dial(node.port);
    const second = await RawPeer.dial(node.port);
    const third = await RawPeer.dial(node.port);
    await until('the third is closed', () => third.closed);
    expect([first.closed, second.closed]).toEqual([false, false]);
    expect(warnings).toMatchObject([{ kind: 'connection_refused' }]);
    first.socket.destroy();
    await expectStillServing();
  });

  it('logs one line a second of each kind, however much comes, and counts the others', async () => {
    let now = 0;
    await startA({ clock: stoppedClock(() => now) });
    await sendGarbage(20);
    expect(warnings).toHaveLength(1);
    now += 1000;
    await sendGarbage(1);
    expect(warnings[1]).toMatchObject({ kind: 'bad_frame', suppressed: 19 });
  });

  async function sendGarbage(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const stranger = await RawPeer.dial(node.port);
      stranger.socket.write(Buffer.alloc(64));
      await until('it is closed', () => stranger.closed);
    }
  }
});

describe('a handshake is refused, with the reason to the peer and to the log,', () => {
  const cases: readonly (readonly [string, Hello, string])[] = [
    ['from another cluster', helloFrom(nodeB, nodeA, { clusterId: otherClusterId }), otherClusterId],
    ['meant for another node', helloFrom(nodeB, nodeC), 'this is node a, not c'],
    ["under the node's own name", helloFrom(nodeA, nodeA), 'two nodes have that name'],
    ['of an old incarnation', helloFrom(nodeB, nodeA, { incarnation: 4 }), 'incarnation 4 is an old copy'],
  ];

  it.each(cases)('%s', async (_, hello, reason) => {
    await startA({ verifyHello });
    const peer = await RawPeer.shakeHands(node.port, hello);
    expect(peer.frames).toMatchObject([{ type: 'refusal', reason: expect.stringContaining(reason) as string }]);
    await until('it is closed', () => peer.closed);
    expect(warnings).toMatchObject([{ kind: 'handshake_failed', reason: expect.stringContaining(reason) as string }]);
  });

  it.each(cases.slice(0, 3))('by the node that dialed, when the answer comes %s', async (_, hello) => {
    await startA({ verifyHello });
    const listener = await rawListener(welcomes(hello.nodeId, hello.to, hello));
    cleanUps.push(() => listener.close());
    node.setPeers([addressOf(nodeB, listener)]);
    await until('it is dialed again', () => listener.peers.length > 1);
    expect(witness.peerEvents).toEqual([]);
    expect(node.connected(nodeB)).toBe(false);
    expect(warnings).toMatchObject([{ kind: 'handshake_failed', peer: nodeB }]);
  });

  it('and Raft that was sent along with the hello goes nowhere', async () => {
    await startA({ verifyHello });
    const peer = await RawPeer.dial(node.port);
    peer.sendHello(helloFrom(nodeB, nodeA, { incarnation: 4 }));
    peer.sendHeartbeat(1);
    await until('it is closed', () => peer.closed);
    expect(witness.messages).toEqual([]);
  });

  it('by a node that tells who answers at the address of another', async () => {
    await startA();
    const listener = await rawListener(welcomes(nodeC, nodeA));
    cleanUps.push(() => listener.close());
    node.setPeers([addressOf(nodeB, listener)]);
    await until('a warning', () => warnings.length > 0);
    expect(warnings).toMatchObject([{ reason: 'c answers at the address of b' }]);
  });

  function verifyHello(hello: Hello): string | undefined {
    return hello.incarnation < 5 ? `incarnation ${hello.incarnation} is an old copy` : undefined;
  }
});

describe('a peer that has shaken hands and then goes wrong', () => {
  const wrong: readonly (readonly [string, Buffer])[] = [
    ['a wrong checksum', corrupted(frameOf(FrameType.ping))],
    ['a frame above frameBytesMax', frameHeader(quickConfig.frameBytesMax + 2)],
    ['a message cut short', frameOf(FrameType.raft, Buffer.from([7, 0, 0]))],
    ['a message that does not exist', frameOf(FrameType.raft, Buffer.alloc(60, 0x33))],
    ['msgpack that is none', frameOf(FrameType.request, Buffer.from([0, 0, 0, 1, 1, 65, 0xc1]))],
    ['an array of four billion', frameOf(FrameType.request, Buffer.from('000000010141ddffffffff', 'hex'))],
    ['a second hello', frameOf(FrameType.hello, Buffer.from('FLOT'))],
    ['an answer to nothing on the wrong connection', frameOf(FrameType.response, Buffer.from([0, 0, 0, 1, 0xc0]))],
  ];

  it.each(wrong)('is disconnected: %s', async (_, bytes) => {
    await startA();
    const peer = await RawPeer.shakeHands(node.port, helloFrom(nodeB, nodeA));
    peer.sendHeartbeat(1);
    peer.socket.write(bytes);
    peer.sendHeartbeat(2);
    await until('it is closed', () => peer.closed);
    expect(witness.rounds()).toEqual([1]);
    expect(warnings).toMatchObject([{ kind: 'bad_frame', peer: nodeB }]);
    await expectStillServing();
  });

  it('on our own connection to it is redialed', async () => {
    await startA();
    const listener = await rawListener(welcomes(nodeB, nodeA));
    cleanUps.push(() => listener.close());
    node.setPeers([addressOf(nodeB, listener)]);
    await until('up', () => node.connected(nodeB));
    listener.peers[0]?.sendHeartbeat(1);
    await until('up again', () => listener.peers.length === 2 && node.connected(nodeB));
    expect(witness.messages).toEqual([]);
    expect(witness.peerEvents).toEqual(['b up', 'b down', 'b up']);
  });
});

describe('on the bulk lane', () => {
  const largeRequest = Buffer.concat([Buffer.from([0, 0, 0, 1, 1, 65]), encodePayload(Buffer.alloc(1 << 20, 7))]);
  const bulkHello = helloFrom(nodeB, nodeA, { lane: 'bulk' });
  const wrong: readonly (readonly [string, Buffer])[] = [
    ['Raft', heartbeatFrame(1)],
    ['a frame above frameBytesMax', frameHeader(quickConfig.frameBytesMax + 2)],
    ['a large frame with a wrong checksum', corrupted(frameOf(FrameType.request, largeRequest))],
    ['msgpack that is none', frameOf(FrameType.request, Buffer.from([0, 0, 0, 1, 1, 65, 0xc1]))],
    ['an answer to nothing', frameOf(FrameType.response, Buffer.from([0, 0, 0, 1, 0xc0]))],
  ];

  it.each(wrong)('a peer is disconnected for %s, and its main connection is not', async (_, bytes) => {
    await startA();
    const main = await RawPeer.shakeHands(node.port, helloFrom(nodeB, nodeA));
    const bulk = await RawPeer.shakeHands(node.port, bulkHello);
    bulk.socket.write(bytes);
    await until('it is closed', () => bulk.closed);
    expect(warnings).toMatchObject([{ kind: 'bad_frame', peer: nodeB }]);
    expect(witness.messages).toEqual([]);
    expect(witness.requests).toEqual([]);
    main.sendHeartbeat(2);
    await until('delivery', () => witness.messages.length === 1);
    expect(witness.rounds()).toEqual([2]);
    expect(main.closed).toBe(false);
  });

  it('the newest connection replaces the older one of that lane, and of no other', async () => {
    await startA(neverSilent);
    const main = await RawPeer.shakeHands(node.port, helloFrom(nodeB, nodeA));
    const older = await RawPeer.shakeHands(node.port, bulkHello);
    const newer = await RawPeer.shakeHands(node.port, bulkHello);
    await until('the older is closed', () => older.closed);
    const newerMain = await RawPeer.shakeHands(node.port, helloFrom(nodeB, nodeA));
    await until('the older main connection is closed', () => main.closed);
    newer.send(FrameType.request, Buffer.from([0, 0, 0, 1, 1, 65, 0xc0]));
    await until('an answer', () => newer.frames.some((frame) => frame.type === 'response'));
    expect([newer.closed, newerMain.closed]).toEqual([false, false]);
  });

  it('a connection of an earlier start ends when the peer shows up anew, on whatever lane', async () => {
    await startA(neverSilent);
    const bulk = await RawPeer.shakeHands(node.port, bulkHello);
    await RawPeer.shakeHands(node.port, helloFrom(nodeB, nodeA, { incarnation: 2 }));
    await until('the bulk connection is closed', () => bulk.closed);
  });

  it('a peer outside the formed cluster is refused', async () => {
    await startA();
    const peer = await RawPeer.shakeHands(node.port, { ...bulkHello, clusterId: undefined });
    expect(peer.frames).toMatchObject([
      { type: 'refusal', reason: 'the bulk lane is for nodes of one formed cluster' },
    ]);
    await until('it is closed', () => peer.closed);
  });
});

it('the newest connection of a peer replaces its older one', async () => {
  await startA(neverSilent);
  const older = await RawPeer.shakeHands(node.port, helloFrom(nodeB, nodeA));
  const newer = await RawPeer.shakeHands(node.port, helloFrom(nodeB, nodeA, { incarnation: 2 }));
  await until('the older is closed', () => older.closed);
  newer.sendHeartbeat(7);
  await until('delivery', () => witness.messages.length === 1);
  expect(newer.closed).toBe(false);
});

it('messages are sent only once both ends have shaken hands', async () => {
  await startA();
  const listener = await rawListener();
  cleanUps.push(() => listener.close());
  node.setPeers([addressOf(nodeB, listener)]);
  await until('our hello is there', () => listener.peers[0]?.frames.length === 1);
  node.send(nodeB, group, heartbeat(1));
  node.flush();
  listener.peers[0]?.sendHello(helloFrom(nodeB, nodeA));
  await until('up', () => node.connected(nodeB));
  node.send(nodeB, group, heartbeat(2));
  node.flush();
  await until('a Raft frame', () => listener.peers[0]?.frames.some((frame) => frame.type === 'raft') ?? false);
  const raft = listener.peers[0]?.frames.filter((frame) => frame.type === 'raft');
  expect(raft).toEqual([{ type: 'raft', envelopes: [{ partition: group, message: heartbeat(2) }] }]);
});

async function startA(changes: Partial<Omit<TransportOptions, 'self'>> = {}): Promise<void> {
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push(JSON.parse(line) as never) });
  node = await startNode(nodeA, witness, { logger, ...changes });
  cleanUps.push(() => node.close());
}

async function expectStillServing(): Promise<void> {
  const before = witness.messages.length;
  const peer = await RawPeer.shakeHands(node.port, helloFrom('healthy' as NodeId, nodeA));
  peer.sendHeartbeat(99);
  await until('delivery', () => witness.messages.length === before + 1);
}

function stoppedClock(monotonicMs: () => number): TransportOptions['clock'] {
  return { monotonicMs, wallMs: () => 0, after: () => () => undefined };
}

function corrupted(frame: Buffer): Buffer {
  frame[4] = (frame[4] as number) ^ 1;
  return frame;
}

function frameHeader(length: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(length);
  header.writeUInt32BE(crc32(''), 4);
  return header;
}
