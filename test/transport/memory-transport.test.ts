/** The network under a test's control, on a clock under its control too. What all transports promise: contract.ts. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/replica/ports.ts';
import { MemoryNetwork, type MemoryTransport } from '../../src/transport/memory-transport.ts';
import { failureOf } from './contract.ts';
import { append, group, heartbeat, nodeA, nodeB, nodeC, Witness } from './world.ts';

/** Time stands still until `advance`. */
class ManualClock implements Clock {
  #now = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  monotonicMs(): number {
    return this.#now;
  }

  wallMs(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  /** Runs what is due, earliest first, in the order it was asked for; then lets promises settle. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = due.at;
      due.callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#now = end;
  }
}

let clock: ManualClock;
let network: MemoryNetwork;
let witnessA: Witness;
let witnessB: Witness;
let a: MemoryTransport;
let b: MemoryTransport;

beforeEach(async () => {
  clock = new ManualClock();
  network = new MemoryNetwork(clock);
  witnessA = new Witness();
  witnessB = new Witness();
  a = network.join(nodeA, witnessA);
  b = network.join(nodeB, witnessB);
  await clock.advance(0);
});

function sendRound(round: number): void {
  a.send(nodeB, group, heartbeat(round));
  a.flush();
}

describe('a link', () => {
  it('delivers after its delay, not before', async () => {
    network.setLink({ from: nodeA, to: nodeB }, { delayMs: 10 });
    sendRound(1);
    await clock.advance(9);
    expect(witnessB.rounds()).toEqual([]);
    await clock.advance(1);
    expect(witnessB.rounds()).toEqual([1]);
  });

  it('whose delay gets smaller lets later messages overtake', async () => {
    network.setLink({ from: nodeA, to: nodeB }, { delayMs: 10 });
    sendRound(1);
    network.setLink({ from: nodeA, to: nodeB }, { delayMs: 2 });
    sendRound(2);
    await clock.advance(10);
    expect(witnessB.rounds()).toEqual([2, 1]);
  });

  it('drops what the test picks, in its direction only', async () => {
    network.setLink({ from: nodeA, to: nodeB }, { drops: (_, message) => message.type === 'Heartbeat' });
    sendRound(1);
    a.send(nodeB, group, append(1, [Buffer.from('kept')]));
    a.flush();
    b.send(nodeA, group, heartbeat(2));
    b.flush();
    await clock.advance(0);
    expect(witnessB.messages.map(({ message }) => message.type)).toEqual(['AppendEntriesRequest']);
    expect(witnessA.rounds()).toEqual([2]);
  });

  it('that is cut loses what was under way, fails what waits, and both are told', async () => {
    network.setLink({ from: nodeA, to: nodeB }, { delayMs: 10 });
    sendRound(1);
    const waiting = failureOf(a.request(nodeB, 'x', 1, 1000));
    network.partition([[nodeA], [nodeB]]);
    expect(await waiting).toEqual({ sent: true, reason: 'connection to b lost: the link was cut' });
    expect(await failureOf(a.request(nodeB, 'x', 1, 1000))).toMatchObject({ sent: false });
    expect(a.connected(nodeB)).toBe(false);
    network.heal();
    await clock.advance(100);
    expect(witnessB.messages).toEqual([]);
    expect(witnessB.requests).toEqual([]);
    sendRound(2);
    await clock.advance(0);
    expect(witnessB.rounds()).toEqual([2]);
    expect(witnessA.peerEvents).toEqual(['b up', 'b down', 'b up']);
    expect(witnessB.peerEvents).toEqual(['a up', 'a down', 'a up']);
  });

  it('that is a black hole looks connected, and requests run into their timeouts', async () => {
    network.setLink({ from: nodeA, to: nodeB }, { state: 'black_hole' });
    sendRound(1);
    const waiting = failureOf(a.request(nodeB, 'x', 1, 50));
    await clock.advance(50);
    expect(await waiting).toEqual({ sent: true, reason: 'no answer within 50 ms' });
    expect(witnessB.messages).toEqual([]);
    expect(a.connected(nodeB)).toBe(true);
    network.heal();
    sendRound(2);
    await clock.advance(0);
    expect(witnessB.rounds()).toEqual([2]);
  });
});

describe('a node that is gone', () => {
  it('is told of after a round trip, unless it is back by then', async () => {
    network.setLink({ from: nodeA, to: nodeB }, { delayMs: 10 });
    network.setLink({ from: nodeB, to: nodeA }, { delayMs: 5 });
    b.close();
    expect(witnessA.peerEvents).toEqual(['b up', 'b down']);
    await clock.advance(14);
    expect(witnessA.refused).toEqual([]);
    await clock.advance(1);
    expect(witnessA.refused).toEqual([nodeB]);
    b = network.join(nodeB, new Witness());
    await clock.advance(100);
    b.close();
    network.join(nodeB, new Witness());
    await clock.advance(100);
    expect(witnessA.refused).toEqual([nodeB]);
  });

  it.each(['cut', 'black_hole'] as const)('behind a link that is %s is not, in either direction', async (state) => {
    const witnessC = new Witness();
    network.join(nodeC, witnessC);
    await clock.advance(0);
    network.setLink({ from: nodeA, to: nodeB }, { state });
    network.setLink({ from: nodeB, to: nodeC }, { state });
    b.close();
    await clock.advance(100);
    expect([witnessA.refused, witnessC.refused]).toEqual([[], []]);
  });

  it('is not told to one that is gone itself', async () => {
    b.close();
    a.close();
    await clock.advance(100);
    expect(witnessA.refused).toEqual([]);
  });
});

it('a link that is cut and open again is no refusal', async () => {
  network.partition([[nodeA], [nodeB]]);
  await clock.advance(100);
  network.heal();
  await clock.advance(100);
  expect([witnessA.refused, witnessB.refused]).toEqual([[], []]);
});

it('a partition separates sides, not the nodes of one side', async () => {
  const witnessC = new Witness();
  network.join(nodeC, witnessC);
  await clock.advance(0);
  network.partition([[nodeA, nodeB], [nodeC]]);
  a.send(nodeC, group, heartbeat(1));
  sendRound(2);
  await clock.advance(0);
  expect(witnessC.messages).toEqual([]);
  expect(witnessB.rounds()).toEqual([2]);
});

it('rules outlive a node: one that joins again is as cut off as before', async () => {
  network.partition([[nodeA], [nodeB]]);
  b.close();
  const reborn = new Witness();
  network.join(nodeB, reborn);
  await clock.advance(0);
  expect(a.connected(nodeB)).toBe(false);
  network.heal();
  await clock.advance(0);
  expect(a.connected(nodeB)).toBe(true);
});

it('a name is on the network once', () => {
  expect(() => network.join(nodeA, witnessA)).toThrow('on the network already');
});
