/** What every transport promises, whatever it is made of. Run over TCP and over memory. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NodeId, RequestFailure, Transport } from '../../src/replica/ports.ts';
import { append, group, heartbeat, nodeA, nodeB, nodeC, until, Witness } from './world.ts';

export interface ContractNetwork {
  /** Nodes that know each other, in the order of the handlers. */
  start(nodes: ReadonlyMap<NodeId, Witness>): Promise<ReadonlyMap<NodeId, Transport>>;
  /** The node is gone without a word. */
  kill(nodeId: NodeId): Promise<void>;
  /** A killed node comes back under its old address. */
  restart(nodeId: NodeId, witness: Witness): Promise<Transport>;
  /** Many bulk requests take their time, where they don't by themselves. */
  slowBulk(link: { readonly from: NodeId; readonly to: NodeId }): void;
  stop(): Promise<void>;
}

export function transportContract(name: string, makeNetwork: () => ContractNetwork): void {
  describe(`transport contract: ${name}`, () => {
    let network: ContractNetwork;
    let witnesses: Map<NodeId, Witness>;
    let transports: ReadonlyMap<NodeId, Transport>;
    let a: Transport;
    let witnessA: Witness;
    let witnessB: Witness;

    beforeEach(async () => {
      network = makeNetwork();
      witnesses = new Map([nodeA, nodeB, nodeC].map((nodeId) => [nodeId, new Witness()]));
      transports = await network.start(witnesses);
      a = transports.get(nodeA) as Transport;
      witnessA = witnesses.get(nodeA) as Witness;
      witnessB = witnesses.get(nodeB) as Witness;
      await until('all connected', () => allConnected(transports));
    });

    afterEach(() => network.stop());

    it('tells each node once of each peer that comes up', () => {
      for (const [nodeId, witness] of witnesses) {
        const others = [nodeA, nodeB, nodeC].filter((other) => other !== nodeId);
        expect([...witness.peerEvents].sort()).toEqual(others.map((other) => `${other} up`));
      }
    });

    it('delivers messages to the node they are for, in order, with group and sender', async () => {
      for (let round = 1; round <= 100; round++) a.send(nodeB, group, heartbeat(round));
      a.send(nodeC, group, heartbeat(1000));
      a.flush();
      const witnessC = witnesses.get(nodeC) as Witness;
      await until('delivery', () => witnessB.messages.length === 100 && witnessC.messages.length === 1);
      expect(witnessB.rounds()).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
      expect(witnessB.messages[0]).toEqual({ from: nodeA, partition: group, message: heartbeat(1) });
      expect(witnessC.rounds()).toEqual([1000]);
    });

    it('carries entry bodies of any size as they are, and shares no memory with the sender', async () => {
      const bodies = [Buffer.alloc(0), Buffer.from('small'), Buffer.alloc(1 << 20, 9)];
      a.send(nodeB, group, append(1, bodies));
      a.flush();
      await until('delivery', () => witnessB.messages.length === 1);
      const message = witnessB.messages[0]?.message;
      if (message?.type !== 'AppendEntriesRequest') throw new Error('another message arrived');
      expect(message.entries.map((entry) => Buffer.compare(entry.body, bodies[entry.index - 1] as Buffer))).toEqual([
        0, 0, 0,
      ]);
      (message.entries[1]?.body as Uint8Array).fill(0);
      expect(bodies[1]?.toString()).toBe('small');
    });

    it('drops what is sent to a node that nobody knows', () => {
      a.send('nobody' as NodeId, group, heartbeat(1));
      a.flush();
      expect(a.connected('nobody' as NodeId)).toBe(false);
    });

    it('answers a request with what the handler returns, many at a time, each its own', async () => {
      witnessB.answer = (kind, payload) => Promise.resolve({ kind, payload });
      const payloads = [1, 'text', [1, [2]], { a: { b: null } }, true, 2 ** 40];
      const answers = await Promise.all(payloads.map((payload) => a.request(nodeB, 'echo', payload, 1000)));
      expect(answers).toEqual(payloads.map((payload) => ({ kind: 'echo', payload })));
      expect(witnessB.requests.map(({ from }) => from)).toEqual(payloads.map(() => nodeA));
    });

    it('carries byte strings in requests and leaves out what is undefined', async () => {
      const answer = await a.request(nodeB, 'echo', { key: Buffer.from([0, 255]), absent: undefined }, 1000);
      expect(answer).toEqual({ key: Buffer.from([0, 255]) });
    });

    it('matches answers to requests when they come in another order', async () => {
      const release = new Map<unknown, () => void>();
      witnessB.answer = (_, payload) => new Promise((resolve) => release.set(payload, () => resolve(payload)));
      const first = a.request(nodeB, 'slow', 'first', 1000);
      const second = a.request(nodeB, 'slow', 'second', 1000);
      await until('both arrived', () => release.size === 2);
      release.get('second')?.();
      expect(await second).toBe('second');
      release.get('first')?.();
      expect(await first).toBe('first');
    });

    it('fails a request whose handler fails, with the reason, as one that may have been acted upon', async () => {
      witnessB.answer = () => Promise.reject(new Error('no such thing'));
      expect(await failureOf(a.request(nodeB, 'x', 1, 1000))).toEqual({ sent: true, reason: 'no such thing' });
      witnessB.answer = () => {
        throw new Error('thrown at once');
      };
      expect(await failureOf(a.request(nodeB, 'x', 1, 1000))).toEqual({ sent: true, reason: 'thrown at once' });
    });

    it('fails a request whose answer cannot be encoded', async () => {
      witnessB.answer = () => Promise.resolve(() => 'a function');
      expect(await failureOf(a.request(nodeB, 'x', 1, 1000))).toMatchObject({ sent: true });
    });

    it('refuses a payload that cannot be encoded: nothing is sent', async () => {
      expect(await failureOf(a.request(nodeB, 'x', () => 1, 1000))).toMatchObject({ sent: false });
      expect(witnessB.requests).toEqual([]);
    });

    it('fails a request that is not answered in time; the late answer harms nobody', async () => {
      let answerLate: (value: unknown) => void = () => undefined;
      witnessB.answer = () => new Promise((resolve) => (answerLate = resolve));
      const failure = await failureOf(a.request(nodeB, 'slow', 1, 30));
      expect(failure).toEqual({ sent: true, reason: 'no answer within 30 ms' });
      answerLate('too late');
      witnessB.answer = () => Promise.resolve('in time');
      expect(await a.request(nodeB, 'quick', 1, 1000)).toBe('in time');
    });

    it('fails requests to an unknown or lost peer at once as never sent', async () => {
      expect(await failureOf(a.request('nobody' as NodeId, 'x', 1, 1000))).toMatchObject({ sent: false });
      await network.kill(nodeB);
      await until('loss noticed', () => !a.connected(nodeB));
      expect(await failureOf(a.request(nodeB, 'x', 1, 1000))).toMatchObject({ sent: false });
    });

    it('carries requests on the bulk lane like any other, and no message waits for them', async () => {
      const mebibyte = Buffer.alloc(1 << 20, 7);
      // By itself: `toEqual` takes seconds for a mebibyte.
      expect(mebibyte.equals((await a.request(nodeB, 'chunk', mebibyte, 5000, 'bulk')) as Uint8Array)).toBe(true);
      network.slowBulk({ from: nodeA, to: nodeB });
      witnessB.answer = (_, payload) => Promise.resolve((payload as Uint8Array).length);
      const chunks = Array.from({ length: 24 }, () => a.request(nodeB, 'chunk', mebibyte, 5000, 'bulk'));
      await new Promise((resolve) => setImmediate(resolve));
      a.send(nodeB, group, heartbeat(1));
      a.flush();
      await until('the heartbeat', () => witnessB.messages.length === 1);
      expect(witnessB.requests.length).toBeLessThan(25);
      expect(await Promise.all(chunks)).toEqual(chunks.map(() => 1 << 20));
      expect(witnessA.peerEvents.filter((event) => event.startsWith('b'))).toEqual(['b up']);
    });

    it('lends what comes on the bulk lane while it is being answered, and gives away what comes on the main one', async () => {
      const ask = (kind: string, fill: number, lane: 'main' | 'bulk') =>
        a.request(nodeB, kind, { bytes: Buffer.alloc(300_000, fill) }, 5000, lane);
      let answer: (value: unknown) => void = () => undefined;
      witnessB.answer = (kind) =>
        kind === 'slow' ? new Promise((resolve) => (answer = resolve)) : Promise.resolve(null);
      await ask('quick', 1, 'main');
      const slow = ask('slow', 2, 'bulk');
      await until('it is being answered', () => witnessB.requests.length === 2);
      for (const fill of [3, 4, 5, 6]) for (const lane of ['bulk', 'main'] as const) await ask('quick', fill, lane);
      const [given, lent] = witnessB.requests.map(({ payload }) => (payload as { bytes: Uint8Array }).bytes);
      expect([onlyByteOf(given), onlyByteOf(lent)]).toEqual([1, 2]);
      answer(null);
      await slow;
    });

    it('is done with the memory that a bulk request was sent from once that is answered', async () => {
      const arrived: (number | undefined)[] = [];
      witnessB.answer = (_, payload) => Promise.resolve(arrived.push(onlyByteOf(payload as Uint8Array)));
      const memory = Buffer.alloc(1 << 20);
      for (let fill = 1; fill <= 10; fill++) await a.request(nodeB, 'x', memory.fill(fill), 5000, 'bulk');
      expect(arrived).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    });

    it('fails bulk requests as it does others', async () => {
      const failure = (to: NodeId, payload: unknown, timeoutMs: number) =>
        failureOf(a.request(to, 'x', payload, timeoutMs, 'bulk'));
      expect(await failure('nobody' as NodeId, 1, 1000)).toMatchObject({ sent: false });
      expect(await failure(nodeB, () => 1, 1000)).toMatchObject({ sent: false });
      witnessB.answer = () => Promise.reject(new Error('no such thing'));
      expect(await failure(nodeB, 1, 1000)).toEqual({ sent: true, reason: 'no such thing' });
      witnessB.answer = () => new Promise(() => undefined);
      expect(await failure(nodeB, 1, 30)).toEqual({ sent: true, reason: 'no answer within 30 ms' });
      const waiting = failure(nodeB, 'the last', 60_000);
      await until('it arrived', () => witnessB.requests.at(-1)?.payload === 'the last');
      await network.kill(nodeB);
      expect(await waiting).toMatchObject({ sent: true });
      await until('loss noticed', () => !a.connected(nodeB));
      expect(await failure(nodeB, 1, 1000)).toMatchObject({ sent: false });
    });

    it('says once of a peer that is gone that nobody is there, after saying that it is down', async () => {
      await network.kill(nodeB);
      const witnessC = witnesses.get(nodeC) as Witness;
      await until('both are told', () => witnessA.refused.length > 0 && witnessC.refused.length > 0);
      expect(witnessA.peerEvents).toContain('b down');
      await network.restart(nodeB, new Witness());
      await until('connected again', () => a.connected(nodeB));
      expect([witnessA.refused, witnessC.refused]).toEqual([[nodeB], [nodeB]]);
      await network.kill(nodeB);
      await until('told again', () => witnessA.refused.length > 1);
      expect(witnessA.refused).toEqual([nodeB, nodeB]);
      expect(a.connected(nodeC)).toBe(true);
    });

    it('fails what waits for an answer when the peer dies, as perhaps acted upon, and says that it is down', async () => {
      witnessB.answer = () => new Promise(() => undefined);
      const waiting = failureOf(a.request(nodeB, 'x', 1, 60_000));
      await until('it arrived', () => witnessB.requests.length === 1);
      await network.kill(nodeB);
      expect(await waiting).toMatchObject({ sent: true });
      await until('down is told', () => witnessA.peerEvents.includes('b down'));
      expect(a.connected(nodeB)).toBe(false);
      expect(a.connected(nodeC)).toBe(true);
    });

    it('drops messages to a peer that is gone, and reaches it again when it is back', async () => {
      await network.kill(nodeB);
      await until('loss noticed', () => !a.connected(nodeB));
      a.send(nodeB, group, heartbeat(1));
      a.flush();
      const reborn = new Witness();
      await network.restart(nodeB, reborn);
      await until('connected again', () => a.connected(nodeB));
      a.send(nodeB, group, heartbeat(2));
      a.flush();
      await until('delivery', () => reborn.messages.length > 0);
      expect(reborn.rounds()).toEqual([2]);
      expect(witnessA.peerEvents.filter((event) => event.startsWith('b'))).toEqual(['b up', 'b down', 'b up']);
    });
  });
}

/** How the request failed; an answer, or another error, fails the test. */
export async function failureOf(request: Promise<unknown>): Promise<Pick<RequestFailure, 'sent' | 'reason'>> {
  const failure: unknown = await request.then(
    (value) => {
      throw new Error(`the request was answered: ${JSON.stringify(value)}`);
    },
    (reason: unknown) => reason,
  );
  expect(failure).toBeInstanceOf(Error);
  expect(failure).toMatchObject({ type: 'request_failure' });
  const { sent, reason } = failure as RequestFailure;
  return { sent, reason };
}

function allConnected(transports: ReadonlyMap<NodeId, Transport>): boolean {
  return [...transports].every(([from, transport]) =>
    [...transports.keys()].every((to) => from === to || transport.connected(to)),
  );
}

/** What all of `bytes` are; undefined when they differ. */
function onlyByteOf(bytes: Uint8Array = new Uint8Array()): number | undefined {
  const [first] = bytes;
  return bytes.every((byte) => byte === first) ? first : undefined;
}
