/** What other nodes ask of a node that goes: what it has begun is answered, and it begins nothing that would not be. */
import { expect, test } from 'vitest';
import { PeerRequests, type PeerRequestsOptions } from '../../src/node/peer-requests.ts';
import { decodeTransferAnswer, encodeTransfer, malformedTransfer } from '../../src/cluster/transfer-messages.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';

const n2 = 'n2' as NodeId;

/** Forwarded requests, held until the test answers them. */
class World {
  readonly forwards: ((answer: unknown) => void)[] = [];
  readonly left: NodeId[] = [];
  readonly moves: unknown[] = [];
  readonly snapshots: string[] = [];
  readonly digests: string[] = [];
  readonly requests = new PeerRequests({
    router: { handleForward: () => new Promise((resolve) => this.forwards.push(resolve)) },
    transfers: { handleTransfer: (payload: unknown) => Promise.resolve(this.moves.push(payload) && 'moved') },
    host: {
      peerLeaving: (peer: NodeId) => this.left.push(peer),
      statuses: () => [],
      handleDigest: (_from: NodeId, kind: string) => Promise.resolve(this.digests.push(kind) && 'asked'),
      handleSnapshot: (_from: NodeId, kind: string) => Promise.resolve(this.snapshots.push(kind) && 'taken'),
    },
    metadata: { handle: () => undefined },
    nonceOf: (peer: NodeId) => (peer === n2 ? 'newest' : undefined),
  } as unknown as PeerRequestsOptions);
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

test('without anything under way it is drained at once', async () => {
  await new World().requests.drain();
});

test('it is drained once all that was under way is answered', async () => {
  const { requests, forwards } = new World();
  const [one, other] = [requests.answer(n2, 'forward', 1, 'main'), requests.answer(n2, 'forward', 2, 'main')];
  const drained = requests.drain();
  forwards[0]?.('first');
  expect(await one).toBe('first');
  expect(await isSettled(drained)).toBe(false);
  forwards[1]?.('second');
  expect(await other).toBe('second');
  expect(await isSettled(drained)).toBe(true);
});

test('snapshots come on either lane, and nothing else on that of the snapshots: what comes there is only lent', async () => {
  const { requests, forwards, snapshots } = new World();
  for (const lane of ['main', 'bulk'] as const) await requests.answer(n2, 'snapshot.chunk', null, lane);
  expect(snapshots).toHaveLength(2);
  for (const kind of ['forward', 'transfer', 'status', 'formation.prepare', 'sing']) {
    await expect(requests.answer(n2, kind, null, 'bulk')).rejects.toThrow(`not "${kind}"`);
  }
  expect(forwards).toEqual([]);
});

test('a request that fails is no longer under way either', async () => {
  const { requests } = new World();
  const unknown = requests.answer(n2, 'sing', null, 'main');
  const drained = requests.drain();
  await expect(unknown).rejects.toThrow('no request of kind "sing"');
  await drained;
});

test('a request that is forwarded to it from then on is refused, and certainly not begun', async () => {
  const { requests, forwards } = new World();
  void requests.drain();
  const refused = requests.answer(n2, 'forward', 1, 'main');
  expect(forwards).toEqual([]);
  expect(await refused).toMatchObject({ type: 'shutting_down' });
  // How it stands is told to the end.
  expect(await requests.answer(n2, 'status', null, 'main')).toBeDefined();
});

test.each(['snapshot.begin', 'snapshot.chunk', 'snapshot.end'])(
  'nor is anything of a snapshot taken: %s',
  async (kind) => {
    const { requests, snapshots } = new World();
    expect(await requests.answer(n2, kind, null, 'main')).toBe('taken');
    void requests.drain();
    expect(await requests.answer(n2, kind, null, 'main')).toEqual({ type: 'refused', reason: 'the node stops' });
    expect(snapshots).toEqual([kind]);
  },
);

test('nor is the state of a replica read for a comparison; one that is under way comes to its end', async () => {
  const { requests, digests } = new World();
  expect(await requests.answer(n2, 'digest.begin', null, 'main')).toBe('asked');
  void requests.drain();
  expect(await requests.answer(n2, 'digest.begin', null, 'main')).toEqual({
    type: 'refused',
    reason: 'the node stops',
  });
  for (const kind of ['digest.result', 'digest.end', 'digest.differs']) {
    expect(await requests.answer(n2, kind, null, 'main')).toBe('asked');
  }
  expect(digests).toEqual(['digest.begin', 'digest.result', 'digest.end', 'digest.differs']);
});

test('nor is a leadership moved: who asked is told that this node does not lead, which certainly begins nothing', async () => {
  const { requests, moves } = new World();
  const wish = { partition: 1 as PartitionId, to: n2, remainingMs: 100 };
  expect(await requests.answer(n2, 'transfer', encodeTransfer(wish), 'main')).toBe('moved');
  void requests.drain();
  const answer = await requests.answer(n2, 'transfer', encodeTransfer(wish), 'main');
  expect(decodeTransferAnswer(answer, wish)).toEqual({ type: 'not_leader', partition: 1, hint: undefined });
  expect(await requests.answer(n2, 'transfer', 'nonsense', 'main')).toEqual(malformedTransfer);
  expect(moves).toHaveLength(1);
});

test('the word of another that it leaves is noted', async () => {
  const { requests, left } = new World();
  expect(await requests.answer(n2, 'leaving', { nonce: 'newest' }, 'main')).toBeNull();
  expect(left).toEqual([n2]);
});

test.each([{ nonce: 'earlier' }, { nonce: undefined }, {}, null])(
  'that of an earlier start of it, which comes late, is not true of the one that runs: %j',
  async (payload) => {
    const { requests, left } = new World();
    expect(await requests.answer(n2, 'leaving', payload, 'main')).toBeNull();
    // Of whom no start has been heard of.
    expect(await requests.answer('n3' as NodeId, 'leaving', payload, 'main')).toBeNull();
    expect(left).toEqual([]);
  },
);
