/** Whom a node dials, where, how soon, and how often. */
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { failureOf } from './contract.ts';
import { welcomes } from './raw-peer.ts';
import { TestBed } from './test-bed.ts';
import { addressOf, nodeA, nodeB, quickConfig, systemClock, until } from './world.ts';

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

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
