/** What leaves a node: frames, requests, their bytes, and the bounds of all of it. */
import type { Socket } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import { messageBytes } from '../../src/transport/messages.ts';
import type { TcpTransport } from '../../src/transport/tcp-transport.ts';
import { FrameType } from '../../src/transport/wire.ts';
import { failureOf } from './contract.ts';
import { RawPeer, welcomes } from './raw-peer.ts';
import { TestBed } from './test-bed.ts';
import { addressOf, append, group, heartbeat, helloFrom, nodeA, nodeB, quickConfig, until } from './world.ts';

const bed = TestBed.forEachTest();

describe('a peer that does not read', () => {
  const config = { ...quickConfig, silenceTimeoutMs: 60_000, peerQueueBytesMax: 1 << 20, controlReserveBytes: 2000 };
  const entries = append(1, [Buffer.alloc(100_000)]);
  let a: TcpTransport;
  let stuck: Socket;
  let peer: RawPeer;

  beforeEach(async () => {
    const listener = await bed.listen(welcomes(nodeB, nodeA));
    a = await bed.start(nodeA, { config });
    a.setPeers([addressOf(nodeB, listener)]);
    await until('up', () => a.connected(nodeB));
    peer = listener.peers[0] as RawPeer;
    stuck = peer.socket;
    stuck.pause();
    // What the kernel takes is not ours to bound: it is filled first.
    await until('the kernel takes no more', () => {
      a.send(nodeB, group, entries);
      a.flush();
      return dropped() > 0;
    });
  });

  it('has a bounded queue: entries are dropped and counted, and send returns at once', () => {
    const before = dropped();
    for (let i = 0; i < 1000; i++) a.send(nodeB, group, entries);
    a.flush();
    expect(dropped() - before).toBe(1000);
    expect(queued()).toBeLessThanOrEqual(config.peerQueueBytesMax);
    expect(queued()).toBeGreaterThan(config.peerQueueBytesMax - messageBytes(entries) - 10);
  });

  it('still gets votes and heartbeats, up to the reserve, behind what waits', async () => {
    // Small appends fill what the large ones left.
    const small = append(1, [Buffer.alloc(10)]);
    const before = dropped();
    while (dropped() === before) a.send(nodeB, group, small);
    const full = dropped();
    for (let round = 1; round <= 10; round++) a.send(nodeB, group, heartbeat(round));
    a.send(nodeB, group, append(1, []));
    expect(dropped()).toBe(full);
    for (let round = 11; round <= 1000; round++) a.send(nodeB, group, heartbeat(round));
    expect(dropped()).toBeGreaterThan(full);
    expect(queued()).toBeLessThanOrEqual(config.peerQueueBytesMax + config.controlReserveBytes);
    a.flush();
    stuck.resume();
    await until('the heartbeats come through', () => lastRounds().includes(10));
    expect(lastRounds().slice(0, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('gets no further requests: they fail as never sent', async () => {
    const failure = await failureOf(a.request(nodeB, 'x', Buffer.alloc(200_000), 1000));
    expect(failure).toEqual({ sent: false, reason: 'not sent to b: queue_full' });
  });

  function dropped(): number {
    return a.statistics()[0]?.droppedMessages ?? 0;
  }

  function queued(): number {
    return a.statistics()[0]?.queuedBytes ?? 0;
  }

  function lastRounds(): number[] {
    const messages = peer.frames.flatMap((frame) => (frame.type === 'raft' ? frame.envelopes : []));
    return messages.flatMap(({ message }) => (message.type === 'Heartbeat' ? [message.readRound] : []));
  }
});

describe('sending', () => {
  it('puts all messages of a loop turn into one frame', async () => {
    const [a, listener] = await bed.startTowards(welcomes(nodeB, nodeA));
    await until('up', () => a.connected(nodeB));
    for (let round = 1; round <= 500; round++) a.send(nodeB, group, heartbeat(round));
    a.flush();
    await until('arrival', () => listener.peers[0]?.frames.some((frame) => frame.type === 'raft') ?? false);
    const raft = listener.peers[0]?.frames.flatMap((frame) => (frame.type === 'raft' ? [frame.envelopes.length] : []));
    expect(raft).toEqual([500]);
  });

  it('drops and counts a message that no frame can hold; others go on', async () => {
    const config = { ...quickConfig, frameBytesMax: 1000 };
    const [a] = await bed.startPair({ config }, { config });
    a.send(nodeB, group, append(1, [Buffer.alloc(1000)]));
    for (let round = 1; round <= 100; round++) a.send(nodeB, group, heartbeat(round));
    a.flush();
    await until('delivery', () => bed.witnessB.messages.length === 100);
    expect(a.statistics()[0]?.droppedMessages).toBe(1);
    expect(await failureOf(a.request(nodeB, 'x', Buffer.alloc(1000), 1000))).toMatchObject({ sent: false });
    bed.witnessB.answer = () => Promise.resolve(Buffer.alloc(1000));
    expect((await failureOf(a.request(nodeB, 'x', 1, 1000))).reason).toBe('the answer exceeds frameBytesMax');
  });

  it('writes requests in their final bytes', async () => {
    const [a, listener] = await bed.startTowards(welcomes(nodeB, nodeA));
    await until('up', () => a.connected(nodeB));
    const waiting = failureOf(a.request(nodeB, 'get', { a: 1 }, 60_000));
    await until('arrival', () => frameTypes(listener.peers[0]).includes('request'));
    expect(listener.peers[0]?.received.toString('hex')).toContain('0600000001' + '03676574' + '81a16101');
    await a.close();
    expect(await waiting).toMatchObject({ sent: true });
  });

  it('writes answers and failures in their final bytes', async () => {
    const a = await bed.start(nodeA);
    const peer = await RawPeer.shakeHands(a.port, helloFrom(nodeB, nodeA));
    peer.send(FrameType.request, Buffer.from([0, 0, 1, 2, 1, 65, 0xc0]));
    await until('the answer', () => frameTypes(peer).includes('response'));
    expect(peer.received.subarray(-14).toString('hex')).toBe('0000000604575b1e0700000102c0');
    bed.witnessA.answer = () => Promise.reject(new Error('für'));
    peer.send(FrameType.request, Buffer.from([0, 0, 1, 2, 1, 65, 0xc0]));
    await until('the failure', () => frameTypes(peer).includes('failure'));
    expect(peer.received.subarray(-17).toString('hex')).toBe('0000000997924711080000010266c3bc72');
  });

  it('reports a request as never sent when the connection is lost before its bytes leave', async () => {
    const [a] = await bed.startTowards(welcomes(nodeB, nodeA));
    await until('up', () => a.connected(nodeB));
    const waiting = failureOf(a.request(nodeB, 'x', 1, 1000));
    a.setPeers([]);
    expect(await waiting).toEqual({ sent: false, reason: 'connection to b lost: no longer at this address' });
  });
});

describe('requests', () => {
  const config = { ...quickConfig, requestsMax: 3 };

  it('wait in bounded number: one more fails at once, as never sent', async () => {
    const [a] = await bed.startPair({ config }, {});
    bed.witnessB.answer = () => new Promise(() => undefined);
    const waiting = [1, 2, 3].map((n) => failureOf(a.request(nodeB, 'x', n, 50)));
    expect(await failureOf(a.request(nodeB, 'x', 4, 50))).toEqual({
      sent: false,
      reason: '3 requests to b wait already',
    });
    await Promise.all(waiting);
    bed.witnessB.answer = () => Promise.resolve('room again');
    expect(await a.request(nodeB, 'x', 5, 1000)).toBe('room again');
  });

  it('run in bounded number, too: whoever asked gave up, but their handlers have not ended', async () => {
    const [a] = await bed.startPair({}, { config });
    const ends: ((value: unknown) => void)[] = [];
    bed.witnessB.answer = () => new Promise((resolve) => ends.push(resolve));
    await Promise.all([1, 2, 3].map((n) => failureOf(a.request(nodeB, 'x', n, 30))));
    const refused = await failureOf(a.request(nodeB, 'x', 4, 1000));
    expect(refused).toEqual({ sent: true, reason: 'too many requests of this node are running' });
    ends[0]?.('done');
    bed.witnessB.answer = () => Promise.resolve('room again');
    expect(await a.request(nodeB, 'x', 5, 1000)).toBe('room again');
  });
});

function frameTypes(peer: RawPeer | undefined): string[] {
  return peer?.frames.map((frame) => frame.type) ?? [];
}
