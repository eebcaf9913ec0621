/** The life of connections over TCP: formed and unformed, stuck, silent, lost, overfull. Hostile peers: hostile.test.ts. */
import { describe, expect, it } from 'vitest';
import { ListenError } from '../../src/transport/listener.ts';
import { FrameType } from '../../src/transport/wire.ts';
import { failureOf } from './contract.ts';
import { RawPeer, welcomes } from './raw-peer.ts';
import { TestBed } from './test-bed.ts';
import type { Witness } from './world.ts';
import {
  clusterId,
  group,
  heartbeat,
  helloFrom,
  nodeA,
  nodeB,
  quickConfig,
  startNode,
  until,
  type NodeChanges,
} from './world.ts';

const bed = TestBed.forEachTest();

describe('listening', () => {
  it('on a port in use fails with a code, and names listener and port', async () => {
    const a = await bed.start(nodeA);
    const second = startNode(nodeB, bed.witnessB, { listen: { host: '127.0.0.1', port: a.port } });
    const error: unknown = await second.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ListenError);
    expect(error).toMatchObject({ code: 'port_in_use', listener: 'peer', port: a.port });
    expect((error as Error).message).toBe(`peer listener: can't listen on 127.0.0.1:${a.port}: the port is in use`);
  });

  it('on an address that is not of this machine fails with another', async () => {
    const error: unknown = await startNode(nodeA, bed.witnessA, { listen: { host: '192.0.2.1', port: 0 } }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: 'ListenError', code: 'listen_failed' });
  });
});

describe('forming', () => {
  const unformed: NodeChanges = { self: { clusterId: undefined } };

  it('nodes without a cluster id carry requests, and no Raft in either direction', async () => {
    const [a, b] = await bed.startPair(unformed, unformed);
    expect(await a.request(nodeB, 'echo', 'hello', 1000)).toBe('hello');
    a.send(nodeB, group, heartbeat(1));
    a.flush();
    expect(await a.request(nodeB, 'echo', 'after', 1000)).toBe('after');
    expect(bed.witnessB.messages).toEqual([]);
    expect(a.statistics()).toMatchObject([{ nodeId: nodeB, connected: true, droppedMessages: 1 }]);
    expect(b.connected(nodeA)).toBe(true);
  });

  it('Raft that comes on a connection without a cluster id is dropped by the receiver too', async () => {
    const b = await bed.start(nodeB);
    const raw = await RawPeer.shakeHands(b.port, helloFrom(nodeA, nodeB, { clusterId: undefined }));
    raw.sendHeartbeat(1);
    raw.send(FrameType.request, Buffer.from([0, 0, 0, 1, 1, 65, 0xc0]));
    await until('the request behind it is answered', () => raw.frames.some((frame) => frame.type === 'response'));
    expect(bed.witnessB.messages).toEqual([]);
  });

  it('once formed, all connections are made anew, and these carry Raft', async () => {
    const [a, b] = await bed.startPair(unformed, unformed);
    a.setClusterId(clusterId);
    await until('a is back', () => a.connected(nodeB) && b.connected(nodeA));
    a.send(nodeB, group, heartbeat(1));
    a.flush();
    expect(await a.request(nodeB, 'echo', 1, 1000)).toBe(1);
    expect(bed.witnessB.messages).toEqual([]);
    b.setClusterId(clusterId);
    await until('they have met again', () => downs(bed.witnessA) === 2 && downs(bed.witnessB) === 2);
    await until('both are up', () => a.connected(nodeB) && b.connected(nodeA));
    a.send(nodeB, group, heartbeat(2));
    b.send(nodeA, group, heartbeat(3));
    a.flush();
    b.flush();
    await until('delivery', () => bed.witnessB.messages.length === 1 && bed.witnessA.messages.length === 1);
    expect([bed.witnessB.rounds(), bed.witnessA.rounds()]).toEqual([[2], [3]]);
  });

  it('a request that makes its handler form the cluster is still answered', async () => {
    const [a, b] = await bed.startPair({}, unformed);
    bed.witnessB.answer = async () => {
      b.setClusterId(clusterId);
      await new Promise((resolve) => setImmediate(resolve));
      return 'formed';
    };
    expect(await a.request(nodeB, 'form', null, 1000)).toBe('formed');
    await until('the connection is made anew', () => downs(bed.witnessA) === 1 && a.connected(nodeB));
    a.send(nodeB, group, heartbeat(1));
    a.flush();
    await until('delivery', () => bed.witnessB.messages.length === 1);
  });

  it('says the same cluster id twice without harm', async () => {
    const [a] = await bed.startPair();
    a.setClusterId(clusterId);
    expect(a.connected(nodeB)).toBe(true);
    expect(bed.witnessA.peerEvents).toEqual(['b up']);
  });
});

describe('a peer that is there and does nothing', () => {
  it('accepts and never says hello: given up after the handshake timeout, and dialed again', async () => {
    const config = { ...quickConfig, handshakeTimeoutMs: 50 };
    const [, listener] = await bed.startTowards(() => undefined, { config });
    await until('three attempts', () => listener.peers.length >= 3);
    expect(listener.peers[0]?.closed).toBe(true);
    expect(bed.witnessA.peerEvents).toEqual([]);
  });

  it('falls silent after the handshake: its requests fail, it is down, and dialed again', async () => {
    const [a] = await bed.startTowards(welcomes(nodeB, nodeA));
    await until('up', () => a.connected(nodeB));
    const failure = await failureOf(a.request(nodeB, 'x', 1, 60_000));
    expect(failure).toEqual({ sent: true, reason: 'connection to b lost: silent for 200 ms' });
    await until('up again', () => a.connected(nodeB));
    expect(bed.witnessA.peerEvents).toEqual(['b up', 'b down', 'b up']);
  });

  it('dialed in and fell silent: its connection is closed', async () => {
    const a = await bed.start(nodeA);
    const silent = await RawPeer.shakeHands(a.port, helloFrom(nodeB, nodeA));
    await until('closed', () => silent.closed);
  });

  it('is kept while it answers pings, however idle', async () => {
    const [a, b] = await bed.startPair();
    const start = performance.now();
    await until('three silence timeouts', () => performance.now() - start > 3 * quickConfig.silenceTimeoutMs);
    expect([a.connected(nodeB), b.connected(nodeA)]).toEqual([true, true]);
    expect([...bed.witnessA.peerEvents, ...bed.witnessB.peerEvents]).toEqual(['b up', 'a up']);
  });

  it('is not blamed for a pause of this node itself', async () => {
    const [a] = await bed.startPair();
    const pausedUntil = performance.now() + 2 * quickConfig.silenceTimeoutMs;
    while (performance.now() < pausedUntil);
    expect(await a.request(nodeB, 'echo', 'after the pause', 1000)).toBe('after the pause');
    expect(bed.witnessA.peerEvents).toEqual(['b up']);
  });
});

it('a closed transport calls nobody, refuses politely, and leaves the port free', async () => {
  const [a, b] = await bed.startPair();
  const waiting = failureOf(a.request(nodeB, 'x', 1, 1000));
  const events = bed.witnessA.peerEvents.length;
  await a.close();
  await waiting;
  expect(bed.witnessA.peerEvents).toHaveLength(events);
  a.send(nodeB, group, heartbeat(1));
  a.flush();
  expect(a.connected(nodeB)).toBe(false);
  expect(await failureOf(a.request(nodeB, 'x', 1, 1000))).toMatchObject({ sent: false });
  await until('b notices', () => !b.connected(nodeA));
  await bed.start(nodeA, { listen: { host: '127.0.0.1', port: a.port } });
});

function downs(witness: Witness): number {
  return witness.peerEvents.filter((event) => event.endsWith('down')).length;
}
