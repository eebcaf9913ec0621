/** A node remembers how often its peers have started: an old copy of a disk must not speak for its newer self. */
import { beforeEach, expect, test } from 'vitest';
import { givenUpNonce, incarnationOf } from '../../src/cluster/metadata/records.ts';
import { laterStart, seenAnswer, verifyIncarnation } from '../../src/node/incarnations.ts';
import type { Hello, IdentityStore, NodeId, PeerIncarnation } from '../../src/replica/ports.ts';

const peer = 'n2' as NodeId;

type Store = Pick<IdentityStore, 'peer' | 'savePeer'>;

function storeKnowing(seen: PeerIncarnation | undefined): Store & { saved: PeerIncarnation[] } {
  const saved: PeerIncarnation[] = [];
  return {
    saved,
    peer: () => saved.at(-1) ?? seen,
    savePeer: (_nodeId, incarnation) => void saved.push(incarnation),
  };
}

const restarted: NodeId[] = [];

beforeEach(() => void restarted.splice(0));

function verify(store: Store, from: Hello): string | undefined {
  return verifyIncarnation(store, from, (nodeId) => void restarted.push(nodeId));
}

function hello(incarnation: number, nonce: string, clusterId: string | null = 'c'.repeat(32)): Hello {
  return { lane: 'main', clusterId: clusterId ?? undefined, nodeId: peer, to: 'n1' as NodeId, incarnation, nonce };
}

test('a peer never seen before is remembered', () => {
  const store = storeKnowing(undefined);
  expect(verify(store, hello(1, 'a'))).toBeUndefined();
  expect(store.saved).toEqual([{ incarnation: 1, nonce: 'a' }]);
  expect(restarted).toEqual([]);
});

test('the same start connects as often as it likes, and nothing is written for it', () => {
  const store = storeKnowing({ incarnation: 4, nonce: 'a' });
  expect(verify(store, hello(4, 'a'))).toBeUndefined();
  expect(store.saved).toEqual([]);
});

test('a later start is remembered before it is talked to, and leaders hear of it', () => {
  const store = storeKnowing({ incarnation: 4, nonce: 'a' });
  expect(verify(store, hello(5, 'b'))).toBeUndefined();
  expect(store.saved).toEqual([{ incarnation: 5, nonce: 'b' }]);
  expect(restarted).toEqual([peer]);
});

test('an older start is an old copy of the disk, and is refused', () => {
  const store = storeKnowing({ incarnation: 4, nonce: 'a' });
  expect(verify(store, hello(3, 'a'))).toMatch('its data directory is an old copy');
  expect(store.saved).toEqual([]);
});

test('two starts of one number are two copies of one disk: the second is refused', () => {
  const store = storeKnowing({ incarnation: 4, nonce: 'a' });
  expect(verify(store, hello(4, 'b'))).toMatch('copies of one data directory');
});

test('an emptied founder may ask how far the founding is, and what is remembered of it stays', () => {
  const store = storeKnowing({ incarnation: 4, nonce: 'a' });
  expect(verify(store, hello(1, 'z', null))).toBeUndefined();
  expect(store.saved).toEqual([]);
  expect(verify(store, hello(1, 'z'))).toMatch('old copy');
});

test('an emptied node has started anew: what its earlier start had said is over', () => {
  const store = storeKnowing({ incarnation: 4, nonce: 'a' });
  verify(store, hello(4, 'a', null));
  expect(restarted, 'the same start, before the cluster is formed').toEqual([]);
  verify(store, hello(1, 'z', null));
  expect(restarted).toEqual([peer]);
});

test('starts that were never let in are forgotten: the one that is comes with whatever number it has', () => {
  const store = storeKnowing(undefined);
  expect(verify(store, hello(1, 'a', null))).toBeUndefined();
  expect(store.saved).toEqual([]);
  // Its directory was emptied before anybody let it in: it counts from 1 again.
  expect(verify(store, hello(1, 'b', null))).toBeUndefined();
  expect(verify(store, hello(1, 'b'))).toBeUndefined();
  expect(store.saved).toEqual([{ incarnation: 1, nonce: 'b' }]);
});

test('a node that was given up for lost is refused with all of its starts, hears why, and is let back in its next stay', () => {
  const givenUp = { incarnation: incarnationOf(1), nonce: givenUpNonce };
  const store = storeKnowing(givenUp);
  expect(verify(store, hello(7, 'a'))).toMatch('was given up for lost');
  expect(laterStart({ incarnation: 7, nonce: 'a' }, 'n1' as NodeId, seenAnswer(store, peer))).toBe(
    'n1 has given this node up for lost, and partitions were begun anew without it',
  );
  expect(verify(store, hello(1, 'b', null)), 'with nothing it may ask to be let in').toBeUndefined();
  expect(verify(store, hello(incarnationOf(1) + 1, 'b'))).toBeUndefined();
  expect(store.saved).toEqual([{ incarnation: incarnationOf(1) + 1, nonce: 'b' }]);
});
