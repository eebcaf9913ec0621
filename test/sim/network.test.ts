/** The simulated network's connections: what a node is told of peers that go, and what the bulk lane leaves alone. */
import { beforeEach, describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import type { NodeTransport } from '../../src/node/composition.ts';
import type { Clock, Hello, NodeId } from '../../src/replica/ports.ts';
import { Network, type LinkQuality } from '../../src/sim/network.ts';
import { Random } from '../../src/sim/random.ts';
import { Scheduler } from '../../src/sim/scheduler.ts';
import { Trace } from '../../src/sim/trace.ts';
import { failureOf } from '../transport/contract.ts';
import { clusterId, group, heartbeat, nodeA, nodeB, nonce, Witness } from '../transport/world.ts';

const quality: LinkQuality = {
  delayMsMin: 1,
  delayMsMax: 3,
  stragglerChance: 0,
  stragglerMs: 0,
  lossChance: 0,
  duplicateChance: 0,
};
const roundTripMsMax = 2 * quality.delayMsMax;
/** By then any connection is made again. */
const redialedMs = 1000;

let scheduler: Scheduler;
let network: Network;
let witnessA: Witness;
let witnessB: Witness;
let a: NodeTransport;
/** What reaches node a meanwhile waits. */
let paused: (() => void)[] | undefined;

beforeEach(async () => {
  scheduler = new Scheduler();
  network = networkOf(scheduler, quality);
  paused = undefined;
  witnessA = new Witness();
  witnessB = new Witness();
  a = join(nodeA, witnessA);
  join(nodeB, witnessB);
  await pass(redialedMs);
});

function networkOf(its: Scheduler, itsQuality: LinkQuality): Network {
  return new Network({
    scheduler: its,
    random: (stream) => new Random(7, stream),
    trace: new Trace(() => its.now()),
    config: defaults.transport,
    quality: itsQuality,
    encoded: true,
  });
}

function join(nodeId: NodeId, witness: Witness, verifyHello: (hello: Hello) => string | undefined = () => undefined) {
  const clock: Clock = {
    monotonicMs: () => scheduler.now(),
    wallMs: () => scheduler.now(),
    after: (delayMs, callback) => scheduler.after(delayMs, callback),
  };
  const transport = network.attach({
    nodeId,
    number: nodeId === nodeA ? 0 : 1,
    clock,
    deliver: (event) => {
      if (nodeId === nodeA && paused !== undefined) paused.push(event);
      else event();
    },
    binding: { self: { nodeId, incarnation: 1, nonce, clusterId }, handlers: witness, verifyHello },
  });
  transport.setPeers([nodeA, nodeB].map((peer) => ({ nodeId: peer, host: peer, port: 1 })));
  return transport;
}

async function pass(ms: number): Promise<void> {
  await scheduler.runUntil(scheduler.now() + ms);
}

describe('a peer whose process is gone', () => {
  test('is down at once, and a round trip later nobody is there; that is told once', async () => {
    network.detach(nodeB);
    expect(witnessA.peerEvents).toEqual(['b up', 'b down']);
    await pass(2 * quality.delayMsMin - 0.1);
    expect(witnessA.refused).toEqual([]);
    await pass(roundTripMsMax);
    expect(witnessA.refused).toEqual([nodeB]);
    await pass(10 * redialedMs);
    expect(witnessA.refused).toEqual([nodeB]);
  });

  test('is told of again when it came back and went again', async () => {
    network.detach(nodeB);
    await pass(redialedMs);
    join(nodeB, new Witness());
    await pass(redialedMs);
    network.detach(nodeB);
    await pass(redialedMs);
    expect(witnessA.peerEvents).toEqual(['b up', 'b down', 'b up', 'b down']);
    expect(witnessA.refused).toEqual([nodeB, nodeB]);
  });

  test('closes by itself with the same effect, and hears nothing any more', async () => {
    const b = network.attachment(nodeB);
    expect(b).toBeDefined();
    await b?.transport().close();
    await pass(redialedMs);
    expect(witnessA.refused).toEqual([nodeB]);
    expect(witnessB.peerEvents).toEqual(['a up']);
  });

  test.each([
    [nodeA, nodeB],
    [nodeB, nodeA],
  ])('is not told of when the link from %s to %s is blocked', async (from, to) => {
    network.block(from, to, new Set());
    network.detach(nodeB);
    await pass(redialedMs);
    network.heal();
    await pass(redialedMs);
    expect(witnessA.refused).toEqual([]);
  });

  test('and is back within the round trip is not told of', async () => {
    network.detach(nodeB);
    join(nodeB, new Witness());
    await pass(redialedMs);
    expect(witnessA.peerEvents).toEqual(['b up', 'b down', 'b up']);
    expect(witnessA.refused).toEqual([]);
  });

  test('and is back and refuses the handshake is not told of', async () => {
    network.detach(nodeB);
    join(nodeB, new Witness(), () => 'an old copy');
    await pass(redialedMs);
    expect(a.connected(nodeB)).toBe(false);
    expect(witnessA.refused).toEqual([]);
  });

  test('is told to a paused node when it goes on', async () => {
    paused = [];
    network.detach(nodeB);
    await pass(redialedMs);
    expect([witnessA.peerEvents, witnessA.refused]).toEqual([['b up'], []]);
    const backlog = paused;
    paused = undefined;
    for (const event of backlog) event();
    expect([witnessA.peerEvents, witnessA.refused]).toEqual([['b up', 'b down'], [nodeB]]);
  });
});

test('a link that was cut and is whole again connects, and says nothing of refusals', async () => {
  network.block(nodeA, nodeB, new Set([nodeA, nodeB]));
  expect(witnessA.peerEvents).toEqual(['b up', 'b down']);
  await pass(redialedMs);
  network.unblock(nodeA, nodeB);
  await pass(redialedMs);
  expect(witnessA.peerEvents).toEqual(['b up', 'b down', 'b up']);
  expect([witnessA.refused, witnessB.refused]).toEqual([[], []]);
});

test('a link that was cut is half open while one end was told and the other has not noticed the silence', async () => {
  network.block(nodeA, nodeB, new Set([nodeA]));
  expect([witnessA.peerEvents, witnessB.peerEvents]).toEqual([['b up', 'b down'], ['a up']]);
  await pass(defaults.transport.silenceTimeoutMs - 1);
  expect(witnessB.peerEvents).toEqual(['a up']);
  await pass(1);
  expect([witnessA.peerEvents, witnessB.peerEvents]).toEqual([
    ['b up', 'b down'],
    ['a up', 'a down'],
  ]);
});

describe('the bulk lane', () => {
  test('answers, and fails with the connection', async () => {
    const answer = a.request(nodeB, 'echo', 'hello', 1000, 'bulk');
    await pass(roundTripMsMax);
    expect(await answer).toBe('hello');
    witnessB.answer = () => new Promise(() => undefined);
    const waiting = failureOf(a.request(nodeB, 'echo', 'hello', 60_000, 'bulk'));
    await pass(roundTripMsMax);
    network.detach(nodeB);
    expect(await waiting).toMatchObject({ sent: true });
    expect(await failureOf(a.request(nodeB, 'echo', 'hello', 1000, 'bulk'))).toMatchObject({ sent: false });
  });

  test('changes nothing on the main one: every message arrives when it would without it', async () => {
    const arrivals = async (bulk: boolean): Promise<readonly number[]> => {
      scheduler = new Scheduler();
      network = networkOf(scheduler, {
        ...quality,
        lossChance: 0.2,
        duplicateChance: 0.2,
        stragglerChance: 0.2,
        stragglerMs: 50,
      });
      const times: number[] = [];
      witnessB = new Witness();
      witnessB.onMessage = () => void times.push(scheduler.now());
      a = join(nodeA, new Witness());
      join(nodeB, witnessB);
      await pass(redialedMs);
      const requests: Promise<unknown>[] = [];
      for (let round = 1; round <= 100; round += 1) {
        if (bulk) requests.push(a.request(nodeB, 'chunk', Buffer.alloc(1000), 60_000, 'bulk'));
        a.send(nodeB, group, heartbeat(round));
        a.flush();
        await pass(1);
      }
      await pass(redialedMs);
      expect(await Promise.all(requests)).toHaveLength(bulk ? 100 : 0);
      return times;
    };
    const alone = await arrivals(false);
    expect(alone.length).toBeGreaterThan(60);
    expect(await arrivals(true)).toEqual(alone);
  });
});
