/** The bulk lane over TCP: made when it is needed, out of the way of everything else, gone when it is idle. */
import { describe, expect, it } from 'vitest';
import type { TcpTransport } from '../../src/transport/tcp-transport.ts';
import { failureOf } from './contract.ts';
import type { RawListener, RawPeer } from './raw-peer.ts';
import { TestBed } from './test-bed.ts';
import { clusterId, group, heartbeat, helloFrom, nodeA, nodeB, quickConfig, until, type NodeChanges } from './world.ts';

const bed = TestBed.forEachTest();
const mebibyte = Buffer.alloc(1 << 20, 7);

it('no heartbeat and no ping waits behind 64 MiB of bulk requests that the peer does not read', async () => {
  const config = { ...quickConfig, silenceTimeoutMs: 60_000, peerQueueBytesMax: 70 << 20 };
  const [a, listener] = await startTowards({ config });
  const first = a.request(nodeB, 'chunk', 1, 60_000, 'bulk');
  await until('the bulk lane is up', () => bulkUp(a));
  const main = peerOn(listener, 'main');
  peerOn(listener, 'bulk').socket.pause();
  const chunks = Array.from({ length: 64 }, () => failureOf(a.request(nodeB, 'chunk', mebibyte, 60_000, 'bulk')));
  await until('all are queued', () => bulkQueued(a) > 50 << 20);
  const pings = count(main, 'ping');
  a.send(nodeB, group, heartbeat(1));
  a.flush();
  await until('the heartbeat', () => count(main, 'raft') === 1);
  await until('a ping', () => count(main, 'ping') > pings);
  expect(bulkQueued(a)).toBeGreaterThan(50 << 20);
  await a.close();
  expect(await failureOf(first)).toMatchObject({ sent: true });
  await Promise.all(chunks);
});

describe('a bulk connection', () => {
  it('is dialed by the first request, serves all, and is closed when it is idle; the next dials again', async () => {
    const config = { ...quickConfig, bulkIdleMs: 100 };
    const [a, b] = await bed.startPair({ config }, { config });
    expect(a.statistics()).toMatchObject([{ connected: true, bulkConnected: false }]);
    for (const round of [1, 2]) {
      expect(await a.request(nodeB, 'echo', round, 1000, 'bulk')).toBe(round);
      expect([bulkUp(a), bulkUp(b)]).toEqual([true, false]);
      await until('it was idle', () => !bulkUp(a));
    }
    expect(a.connected(nodeB)).toBe(true);
    expect(bed.witnessA.peerEvents).toEqual(['b up']);
  });

  it('is not idle while a request waits for its answer', async () => {
    const config = { ...quickConfig, bulkIdleMs: 50 };
    const [a] = await bed.startPair({ config }, { config });
    let answer: (value: unknown) => void = () => undefined;
    bed.witnessB.answer = () => new Promise((resolve) => (answer = resolve));
    const waiting = a.request(nodeB, 'slow', 1, 5000, 'bulk');
    const start = performance.now();
    await until('three idle times', () => performance.now() - start > 3 * config.bulkIdleMs);
    answer('late');
    expect(await waiting).toBe('late');
  });

  it('carries what was asked while it was dialed, once it is up', async () => {
    const [a, listener] = await startTowards({}, { bulk: 'silent' });
    const waiting = [1, 2].map((n) => failureOf(a.request(nodeB, 'x', n, 5000, 'bulk')));
    await until('the hello is there', () => listener.peers[1]?.frames.length === 1);
    const bulk = peerOn(listener, 'bulk');
    expect(bulkUp(a)).toBe(false);
    bulk.sendHello(helloFrom(nodeB, nodeA, { lane: 'bulk' }));
    await until('both requests', () => count(bulk, 'request') === 2);
    await a.close();
    await Promise.all(waiting);
  });

  it('that does not come up fails each request within its own time, as never sent', async () => {
    const [a, listener] = await startTowards(
      { config: { ...quickConfig, handshakeTimeoutMs: 200 } },
      { bulk: 'silent' },
    );
    const later = failureOf(a.request(nodeB, 'x', 1, 60_000, 'bulk'));
    const soon = await failureOf(a.request(nodeB, 'x', 2, 20, 'bulk'));
    expect(soon).toEqual({ sent: false, reason: 'no bulk connection to b within 20 ms' });
    expect(await later).toEqual({ sent: false, reason: 'no bulk connection to b: no handshake within 200 ms' });
    expect(listener.peers.map((peer) => peer.lane)).toEqual(['main', 'bulk']);
    expect(bed.witnessA.peerEvents).toEqual(['b up']);
  });

  it('that is answered for another lane is given up', async () => {
    const [a] = await startTowards({}, { bulk: 'as main' });
    const failure = await failureOf(a.request(nodeB, 'x', 1, 1000, 'bulk'));
    expect(failure).toEqual({ sent: false, reason: 'no bulk connection to b: b took the bulk connection for main' });
  });

  it('has a bounded queue of its own, before it is up and after', async () => {
    const config = { ...quickConfig, silenceTimeoutMs: 60_000, peerQueueBytesMax: 3 << 20 };
    const [a, listener] = await startTowards({ config }, { bulk: 'silent' });
    const chunk = (): Promise<{ sent: boolean; reason: string }> =>
      failureOf(a.request(nodeB, 'x', mebibyte, 60_000, 'bulk'));
    const full = { sent: false, reason: 'not sent to b: queue_full' };
    const waiting = [chunk(), chunk()];
    expect(await chunk()).toEqual(full);
    await until('the hello is there', () => listener.peers[1]?.frames.length === 1);
    const bulk = peerOn(listener, 'bulk');
    bulk.sendHello(helloFrom(nodeB, nodeA, { lane: 'bulk' }));
    bulk.socket.pause();
    await until('up', () => bulkUp(a));
    // What the kernel takes is not ours to bound: it is filled first.
    const failures: unknown[] = [];
    await until('the queue is full', () => {
      waiting.push(chunk());
      void waiting.at(-1)?.then((failure) => failures.push(failure));
      return failures.length > 0;
    });
    expect(failures[0]).toEqual(full);
    expect(bulkQueued(a)).toBeLessThanOrEqual(config.peerQueueBytesMax);
    a.send(nodeB, group, heartbeat(1));
    a.flush();
    await until('the heartbeat', () => count(peerOn(listener, 'main'), 'raft') === 1);
    await a.close();
    await Promise.all(waiting);
  });

  it('never carries Raft', async () => {
    const [a, listener] = await startTowards();
    const waiting = failureOf(a.request(nodeB, 'x', 1, 5000, 'bulk'));
    await until('the bulk lane is up', () => bulkUp(a));
    for (let round = 1; round <= 10; round++) a.send(nodeB, group, heartbeat(round));
    a.flush();
    await until('delivery', () => count(peerOn(listener, 'main'), 'raft') === 1);
    expect(count(peerOn(listener, 'bulk'), 'raft')).toBe(0);
    await a.close();
    await waiting;
  });
});

it('takes large requests in where it has taken in others that are answered, and nowhere else', async () => {
  const [a] = await bed.startPair();
  const memory: unknown[] = [];
  let answer: (value: unknown) => void = () => undefined;
  bed.witnessB.answer = (kind, payload) => {
    memory.push((payload as Uint8Array).buffer);
    return kind === 'slow' ? new Promise((resolve) => (answer = resolve)) : Promise.resolve(null);
  };
  const ask = (kind: string) => a.request(nodeB, kind, mebibyte, 5000, 'bulk');
  for (let i = 0; i < 5; i++) await ask('quick');
  expect(new Set(memory).size).toBe(1);
  const slow = ask('slow');
  await until('it is being answered', () => memory.length === 6);
  for (let i = 0; i < 5; i++) await ask('quick');
  expect(new Set(memory.slice(0, 6)).size).toBe(1);
  expect(new Set(memory.slice(6)).size).toBe(1);
  expect(memory[6]).not.toBe(memory[5]);
  answer(null);
  await slow;
});

describe('the loss of', () => {
  it('a bulk connection fails what waits there and is no loss of the peer', async () => {
    const [a, listener] = await startTowards();
    const onMain = failureOf(a.request(nodeB, 'x', 1, 60_000));
    const onBulk = failureOf(a.request(nodeB, 'x', 1, 60_000, 'bulk'));
    await until(
      'it arrived',
      () => listener.peers.some(({ lane }) => lane === 'bulk') && count(peerOn(listener, 'bulk'), 'request') === 1,
    );
    peerOn(listener, 'bulk').socket.destroy();
    expect(await onBulk).toEqual({ sent: true, reason: 'bulk connection to b lost: closed by the peer' });
    expect(a.connected(nodeB)).toBe(true);
    const again = failureOf(a.request(nodeB, 'x', 2, 60_000, 'bulk'));
    await until('dialed again', () => listener.peers.length === 3 && bulkUp(a));
    expect(bed.witnessA.peerEvents).toEqual(['b up']);
    expect(bed.witnessA.refused).toEqual([]);
    await a.close();
    await Promise.all([onMain, again]);
  });

  it('a silent bulk connection is noticed like any other', async () => {
    const [a] = await startTowards({}, { main: 'answering' });
    const failure = await failureOf(a.request(nodeB, 'x', 1, 60_000, 'bulk'));
    expect(failure).toEqual({ sent: true, reason: 'bulk connection to b lost: silent for 200 ms' });
    expect(bed.witnessA.peerEvents).toEqual(['b up']);
  });

  it('the main connection takes the bulk one along', async () => {
    const [a, listener] = await startTowards();
    const waiting = failureOf(a.request(nodeB, 'x', 1, 60_000, 'bulk'));
    await until('up', () => bulkUp(a));
    const bulk = peerOn(listener, 'bulk');
    peerOn(listener, 'main').socket.destroy();
    expect(await waiting).toMatchObject({ sent: true });
    await until('closed', () => bulk.closed);
    expect(bulkUp(a)).toBe(false);
  });
});

describe('both lanes', () => {
  it('are closed when the peer is no longer there to be talked to, and what waits fails', async () => {
    const [a, listener] = await startTowards();
    const waiting = failureOf(a.request(nodeB, 'x', 1, 60_000, 'bulk'));
    await until('up', () => bulkUp(a));
    a.setPeers([]);
    expect(await waiting).toMatchObject({ reason: 'bulk connection to b lost: no longer at this address' });
    await until('both are closed', () => listener.peers.length === 2 && listener.peers.every((peer) => peer.closed));
  });

  it('carry nothing bulk before the cluster is formed, and are made anew then', async () => {
    const unformed: NodeChanges = { self: { clusterId: undefined } };
    const [a, b] = await bed.startPair({}, unformed);
    const failure = await failureOf(a.request(nodeB, 'x', 1, 1000, 'bulk'));
    expect(failure).toEqual({ sent: false, reason: 'no formed cluster with b yet' });
    b.setClusterId(clusterId);
    await until('they have met again', () => bed.witnessA.peerEvents.includes('b down') && a.connected(nodeB));
    expect(await a.request(nodeB, 'x', 1, 1000, 'bulk')).toBe(1);
    expect(bed.witnessA.refused).toEqual([]);
  });

  it('are closed at shutdown, and what waits fails', async () => {
    const [a] = await bed.startPair();
    bed.witnessB.answer = () => new Promise(() => undefined);
    const waiting = failureOf(a.request(nodeB, 'x', 1, 60_000, 'bulk'));
    await until('it arrived', () => bed.witnessB.requests.length === 1);
    await a.close();
    expect(await waiting).toMatchObject({ sent: true });
    expect(await failureOf(a.request(nodeB, 'x', 1, 60_000, 'bulk'))).toMatchObject({ sent: false });
  });
});

interface Play {
  /** Whether the main connection's pings are answered. */
  readonly main?: 'answering';
  readonly bulk?: 'silent' | 'as main';
}

/** Node a connected to a peer that reads and, but for its hellos, says nothing. */
async function startTowards(changes: NodeChanges = {}, play: Play = {}): Promise<[TcpTransport, RawListener]> {
  // Nobody answers pings here.
  const config = play.main === 'answering' ? quickConfig : { ...quickConfig, silenceTimeoutMs: 60_000 };
  const [a, listener] = await bed.startTowards(
    (peer) => {
      peer.socket.once('data', () => {
        if (peer.lane === 'bulk' && play.bulk === 'silent') return;
        const lane = play.bulk === 'as main' ? 'main' : peer.lane;
        peer.sendHello(helloFrom(nodeB, nodeA, { lane }));
      });
      if (play.main === 'answering') answerPingsOnMain(peer);
    },
    { config, ...changes },
  );
  await until('up', () => a.connected(nodeB));
  return [a, listener];
}

function answerPingsOnMain(peer: RawPeer): void {
  let answered = 0;
  peer.socket.on('data', () => {
    if (peer.lane === 'bulk') return;
    for (; answered < count(peer, 'ping'); answered++) peer.sendPong();
  });
}

function peerOn(listener: RawListener, lane: RawPeer['lane']): RawPeer {
  const peer = listener.peers.findLast((candidate) => candidate.lane === lane);
  if (peer === undefined) throw new Error(`nobody dialed for ${lane}`);
  return peer;
}

function bulkUp(transport: TcpTransport): boolean {
  return transport.statistics()[0]?.bulkConnected ?? false;
}

function bulkQueued(transport: TcpTransport): number {
  return transport.statistics()[0]?.bulkQueuedBytes ?? 0;
}

function count(peer: RawPeer, type: RawPeer['frames'][number]['type']): number {
  return peer.frames.filter((frame) => frame.type === type).length;
}
