/** The ring: who takes a point, how evenly, and how little moves when nodes come and go. */
import { expect, test } from 'vitest';
import { keyHash } from '../../src/cluster/hash.ts';
import { buildRing, replicasFor, type RingNode } from '../../src/cluster/ring.ts';
import type { NodeId } from '../../src/replica/ports.ts';

const virtualNodes = 64;
const points = Array.from({ length: 20_000 }, (_, i) => keyHash(Buffer.from(`point ${i}`)));

function node(nodeId: string, labels: Record<string, string> = {}, weight = 1): RingNode {
  return { nodeId: nodeId as NodeId, labels, weight };
}

function nodes(count: number): readonly RingNode[] {
  return Array.from({ length: count }, (_, i) => node(`n${i + 1}`));
}

function owners(members: readonly RingNode[]): readonly string[] {
  const ring = buildRing(members, virtualNodes);
  return points.map((point) => replicasFor(ring, point, 1)[0]?.nodeId ?? 'nobody');
}

function shares(taken: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const nodeId of taken) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1 / taken.length);
  return counts;
}

test.each([3, 5, 10])('%d nodes each take their share, within 40 %', (count) => {
  const taken = shares(owners(nodes(count)));
  expect(taken.size).toBe(count);
  for (const share of taken.values()) {
    expect(share * count).toBeGreaterThan(0.6);
    expect(share * count).toBeLessThan(1.4);
  }
});

test('a node of weight 3 takes about three times what the others do', () => {
  const taken = shares(owners([node('n1'), node('n2'), node('big', {}, 3)]));
  expect(taken.get('big')).toBeGreaterThan(0.5);
  expect(taken.get('big')).toBeLessThan(0.7);
});

test('a node that joins takes its share and nothing else moves', () => {
  const before = owners(nodes(9));
  const after = owners(nodes(10));
  const moved = after.filter((owner, i) => owner !== before[i]);
  expect(new Set(moved)).toEqual(new Set(['n10']));
  const ideal = points.length / 10;
  expect(moved.length).toBeLessThan(1.4 * ideal);
  expect(moved.length).toBeGreaterThan(0.6 * ideal);
});

test('a node that leaves gives up its share and nothing else moves', () => {
  const before = owners(nodes(10));
  const after = owners(nodes(10).filter(({ nodeId }) => nodeId !== 'n4'));
  for (const [i, owner] of before.entries()) {
    if (owner !== 'n4') expect(after[i]).toBe(owner);
  }
  expect(after).not.toContain('n4');
});

test('of three replicas, one more node among ten moves at most about three tenths', () => {
  const [nine, ten] = [buildRing(nodes(9), virtualNodes), buildRing(nodes(10), virtualNodes)];
  let moved = 0;
  for (const point of points) {
    const old = replicasFor(nine, point, 3);
    moved += replicasFor(ten, point, 3).filter(({ nodeId }) => !old.some((o) => o.nodeId === nodeId)).length;
  }
  expect(moved / (3 * points.length)).toBeLessThan(0.14);
});

test('the order of the list means nothing', () => {
  const shuffled = [3, 1, 4, 2, 0].map((i) => nodes(5)[i] as RingNode);
  expect(owners(shuffled)).toEqual(owners(nodes(5)));
});

test('replicas never share a node; too few nodes give fewer replicas', () => {
  const ring = buildRing(nodes(4), virtualNodes);
  for (const point of points.slice(0, 500)) {
    expect(new Set(replicasFor(ring, point, 3)).size).toBe(3);
  }
  expect(replicasFor(ring, 0, 7)).toHaveLength(4);
});

test('replicas avoid a shared zone while another zone is to be had, then spread over zones', () => {
  const zoned = ['a1', 'a2', 'a3', 'b1', 'c1'].map((nodeId) => node(nodeId, { zone: nodeId.slice(0, 1) }));
  const ring = buildRing(zoned, virtualNodes);
  for (const point of points.slice(0, 500)) {
    const zones = replicasFor(ring, point, 3).map(({ labels }) => labels['zone']);
    expect(new Set(zones)).toEqual(new Set(['a', 'b', 'c']));
  }
  const twoZones = buildRing(
    ['a1', 'a2', 'a3', 'b1', 'b2', 'b3'].map((nodeId) => node(nodeId, { zone: nodeId.slice(0, 1) })),
    virtualNodes,
  );
  for (const point of points.slice(0, 500)) {
    const inA = replicasFor(twoZones, point, 4).filter(({ labels }) => labels['zone'] === 'a');
    expect(inA).toHaveLength(2);
  }
});

test('within a zone replicas avoid a shared host; a node without labels stands alone', () => {
  const hosted = [
    node('p1', { zone: 'z', host: 'h1' }),
    node('p2', { zone: 'z', host: 'h1' }),
    node('p3', { zone: 'z', host: 'h2' }),
    node('p4', { zone: 'z', host: 'h3' }),
  ];
  const ring = buildRing(hosted, virtualNodes);
  for (const point of points.slice(0, 500)) {
    const hosts = replicasFor(ring, point, 3).map(({ labels }) => labels['host']);
    expect(new Set(hosts).size).toBe(3);
  }
  const mixed = buildRing([node('a1', { zone: 'a' }), node('a2', { zone: 'a' }), node('x'), node('y')], virtualNodes);
  for (const point of points.slice(0, 500)) {
    const inA = replicasFor(mixed, point, 3).filter(({ labels }) => labels['zone'] === 'a');
    expect(inA).toHaveLength(1);
  }
});
