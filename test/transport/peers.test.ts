/** Whom a node dials, where, how soon, and how often. */
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/replica/ports.ts';
import { FrameType } from '../../src/transport/wire.ts';
import { failureOf } from './contract.ts';
import { welcomes, type RawPeer } from './raw-peer.ts';
import { TestBed } from './test-bed.ts';
import { addressOf, clusterId, nodeA, nodeB, quickConfig, systemClock, until, Witness } from './world.ts';

const bed = TestBed.forEachTest();

describe('peers', () => {
  it('may be named before they are there, and are reached once they are', async () => {
    const a = await bed.start(nodeA);
    const reserved = await freePort();
    a.setPeers([addressOf(nodeB, { port: reserved })]);
    expect(await failureOf(a.request(nodeB, 'x', 1, 1000))).toEqual({ sent: false, reason: 'not connected to b' });
    await bed.start(nodeB, { listen: { host: '127.0.0.1', port: reserved } });
    await until('up', () => a.connected(nodeB));
  });

  it('are dialed at once when they show up here, whatever the delay', async () => {
    const config = { ...quickConfig, reconnectDelayMsMin: 60_000, reconnectDelayMsMax: 60_000 };
    const a = await bed.start(nodeA, { config });
    const reserved = await freePort();
    a.setPeers([addressOf(nodeB, { port: reserved })]);
    const b = await bed.start(nodeB, { listen: { host: '127.0.0.1', port: reserved } });
    b.setPeers([addressOf(nodeA, a)]);
    await until('up both ways', () => a.connected(nodeB) && b.connected(nodeA));
  });

  it('that move are reached at their new address, and nobody is left at the old one', async () => {
    const old = await bed.listen(welcomes(nodeB, nodeA));
    const a = await bed.start(nodeA);
    a.setPeers([addressOf(nodeB, old)]);
    await until('up', () => a.connected(nodeB));
    const moved = await bed.listen(welcomes(nodeB, nodeA));
    a.setPeers([addressOf(nodeB, moved)]);
    expect(a.connected(nodeB)).toBe(false);
    await until('up there', () => a.connected(nodeB) && old.peers[0]?.closed === true);
    expect(moved.peers).toHaveLength(1);
  });

  it('named again at the same address keep their connection; this node itself is passed over', async () => {
    const [a, b] = await bed.startPair();
    a.setPeers([addressOf(nodeB, b), addressOf(nodeA, a)]);
    expect(a.connected(nodeB)).toBe(true);
    expect(a.statistics()).toHaveLength(1);
    expect(bed.witnessA.peerEvents).toEqual(['b up']);
  });

  it('that fail at once are dialed after growing, jittered delays, and never faster than that', async () => {
    const delays: number[] = [];
    const config = { ...quickConfig, reconnectDelayMsMin: 10, reconnectDelayMsMax: 100, pingIntervalMs: 77_000 };
    const timeouts = [config.connectTimeoutMs, config.handshakeTimeoutMs, config.pingIntervalMs];
    const clock = {
      ...systemClock,
      after: (delayMs: number, callback: () => void) => {
        if (timeouts.includes(delayMs)) return () => undefined;
        delays.push(delayMs);
        return systemClock.after(0, callback);
      },
    };
    const a = await bed.start(nodeA, { config, clock, random: () => 0.5 });
    a.setPeers([addressOf(nodeB, { port: await freePort() })]);
    await until('eight attempts', () => delays.length >= 8);
    expect(delays.slice(0, 8)).toEqual([15, 25, 45, 55, 55, 55, 55, 55]);
  });

  it('lost after a while are dialed again at once; lost again and again, with delays', async () => {
    const delays: number[] = [];
    let now = 0;
    const config = { ...quickConfig, reconnectDelayMsMin: 10, reconnectDelayMsMax: 100, pingIntervalMs: 77_000 };
    const timeouts = [config.connectTimeoutMs, config.handshakeTimeoutMs, config.pingIntervalMs];
    const clock = {
      ...systemClock,
      monotonicMs: () => now,
      after: (delayMs: number, callback: () => void) => {
        if (timeouts.includes(delayMs)) return () => undefined;
        delays.push(delayMs);
        return systemClock.after(0, callback);
      },
    };
    const [a, listener] = await bed.startTowards(welcomes(nodeB, nodeA), { config, clock, random: () => 0.5 });
    for (const lifeMs of [1000, 0, 0, 1000]) {
      await until('up', () => a.connected(nodeB));
      now += lifeMs;
      const attempts = listener.peers.length;
      listener.peers.at(-1)?.socket.destroy();
      await until('dialed again', () => listener.peers.length > attempts);
    }
    expect(delays).toEqual([0, 15, 25, 0]);
  });
});

describe('a peer whose connection was lost', () => {
  it('and at whose address nobody listens any more is told of, once, however often it is dialed', async () => {
    const attempts: number[] = [];
    const [a, listener] = await bed.startTowards(welcomes(nodeB, nodeA), { clock: countingDials(attempts) });
    await until('up', () => a.connected(nodeB));
    await listener.close();
    await until('told', () => bed.witnessA.refused.length > 0);
    const told = attempts.length;
    await until('dialed again and again', () => attempts.length > told + 3);
    expect(bed.witnessA.refused).toEqual([nodeB]);
    expect(bed.witnessA.peerEvents).toEqual(['b up', 'b down']);
  });

  it('is told of by the very first attempt, which is made at once when the connection had lasted', async () => {
    let now = 0;
    const delays: number[] = [];
    const config = { ...quickConfig, reconnectDelayMsMin: 60_000, reconnectDelayMsMax: 60_001 };
    const clock = {
      ...systemClock,
      monotonicMs: () => now,
      after: (delayMs: number, callback: () => void) => {
        if (delayMs === 0 || delayMs >= 60_000) delays.push(delayMs);
        return systemClock.after(delayMs, callback);
      },
    };
    const [a, listener] = await bed.startTowards(welcomes(nodeB, nodeA), { config, clock });
    await until('up', () => a.connected(nodeB));
    now += 60_001;
    await listener.close();
    await until('told', () => bed.witnessA.refused.length > 0);
    expect(delays[0]).toBe(0);
    expect(delays).toHaveLength(2);
  });

  it('and that is there again, the same or another start of it, is not', async () => {
    const [a, listener] = await bed.startTowards(welcomes(nodeB, nodeA));
    for (const round of [1, 2]) {
      await until('up', () => listener.peers.length === round && a.connected(nodeB));
      listener.peers[round - 1]?.socket.destroy();
    }
    await until('up again', () => listener.peers.length === 3 && a.connected(nodeB));
    expect(bed.witnessA.refused).toEqual([]);
    expect(bed.witnessA.peerEvents).toEqual(['b up', 'b down', 'b up', 'b down', 'b up']);
  });

  it('and that then refuses the handshake, or says nothing, is not, not even when it is gone later', async () => {
    const attempts: number[] = [];
    for (const answer of [(peer: RawPeer) => peer.send(FrameType.refusal, Buffer.from('no')), () => undefined]) {
      const witness = new Witness();
      const listener = await bed.listen((peer) => {
        if (listener.peers.length === 1) welcomes(nodeB, nodeA)(peer);
        else peer.socket.once('data', () => answer(peer));
      });
      const config = { ...quickConfig, handshakeTimeoutMs: 50 };
      const a = await bed.startWith(witness, { clock: countingDials(attempts), config });
      a.setPeers([addressOf(nodeB, listener)]);
      await until('up', () => a.connected(nodeB));
      listener.peers[0]?.socket.destroy();
      await until('two more attempts have ended', () => listener.peers.length > 2);
      const before = attempts.length;
      await listener.close();
      await until('refused attempts', () => attempts.length > before + 3);
      expect(witness.refused).toEqual([]);
    }
  });

  it('and whose machine takes one more connection and drops it, while the process dies, is told of', async () => {
    const listener = await bed.listen((peer) => {
      if (listener.peers.length === 1) return welcomes(nodeB, nodeA)(peer);
      peer.socket.destroy();
      void listener.close();
    });
    const a = await bed.start(nodeA);
    a.setPeers([addressOf(nodeB, listener)]);
    await until('up', () => a.connected(nodeB));
    listener.peers[0]?.socket.destroy();
    await until('told', () => bed.witnessA.refused.length > 0);
    expect(listener.peers).toHaveLength(2);
  });

  it('by this node itself is not: new cluster id, no longer a peer, never connected', async () => {
    const attempts: number[] = [];
    const clock = countingDials(attempts);
    const [a, listener] = await bed.startTowards(welcomes(nodeB, nodeA), { clock, self: { clusterId: undefined } });
    await until('up', () => a.connected(nodeB));
    listener.peers[0]?.socket.destroy();
    await until('up again', () => listener.peers.length === 2 && a.connected(nodeB));
    // What listens goes with the connection that `setClusterId` gives up.
    const closed = listener.close();
    a.setClusterId(clusterId);
    await closed;
    const before = attempts.length;
    await until('refused attempts', () => attempts.length > before + 3);
    expect(bed.witnessA.refused).toEqual([]);
  });
});

/** A clock that notes the delays before attempts to connect. */
function countingDials(delays: number[]): Clock {
  return {
    ...systemClock,
    after: (delayMs, callback) => {
      if (delayMs <= quickConfig.reconnectDelayMsMax && delayMs !== quickConfig.pingIntervalMs) delays.push(delayMs);
      return systemClock.after(delayMs, callback);
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
