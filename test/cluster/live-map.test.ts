/** The map as one node knows it: the founding, and over it whatever is newest of what it has heard, in whatever order. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LiveMap } from '../../src/cluster/live-map.ts';
import type { MapChange } from '../../src/cluster/metadata/records.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { bootstrap } from './founders.ts';
import { id, nodeRecord, ofNodes, ofPartitions, partitionRecord } from './metadata/samples.ts';

const founding = buildPartitionMap(bootstrap(3));
const n1 = 'n1' as NodeId;
const n4 = 'n4' as NodeId;

describe('the founding', () => {
  test('is the map as long as nothing is recorded', () => {
    const map = new LiveMap(founding);
    expect(map.epoch).toBe(1);
    expect(map.nodes).toEqual(founding.nodes);
    expect(map.partitions).toEqual(founding.partitions);
    expect(map.metadata).toEqual(founding.metadata);
    expect(map.partition(id(0))).toEqual(founding.metadata);
    expect(map.stayOf(n1)).toBe(0);
    expect(map.changesSince(0)).toEqual({ nodes: [], partitions: [] });
  });

  test('is kept as it was, whatever is recorded', () => {
    const map = new LiveMap(founding);
    map.take(ofNodes([nodeRecord('n1', { standing: 'removed' }), 5]));
    map.take(ofPartitions([partitionRecord(3, 2, ['n4']), 6]));
    expect(map.founding).toBe(founding);
    expect(map.founding.node(n1)?.standing).toBe('up');
  });
});

describe('what is taken', () => {
  test('a newcomer is among the nodes, in the order of names, with its weight, labels and stay', () => {
    const map = new LiveMap(buildPartitionMap({ ...bootstrap(3), nodes: bootstrap(4).nodes.slice(1) }));
    const record = nodeRecord('n1', { weight: 2, labels: { zone: 'a' }, standing: 'joining', stay: 2 });
    expect(map.take(ofNodes([record, 8]))).toBe(true);
    expect(map.nodes.map(({ nodeId }) => nodeId)).toEqual(['n1', 'n2', 'n3', 'n4']);
    const { stay: _stay, nonce: _nonce, ...known } = record;
    expect(map.node(n1)).toEqual(known);
    expect(map.stayOf(n1)).toBe(2);
    expect(map.epoch).toBe(8);
  });

  test('a node that was removed stays known, as removed', () => {
    const map = new LiveMap(founding);
    map.take(ofNodes([nodeRecord('n1', { standing: 'removed' }), 5]));
    expect(map.nodes.map(({ nodeId, standing }) => `${nodeId} ${standing}`)).toEqual(['n1 removed', 'n2 up', 'n3 up']);
  });

  test('a partition keeps its range and incarnation, and has other members', () => {
    const map = new LiveMap(founding);
    const before = map.partition(id(3));
    map.take(ofPartitions([partitionRecord(3, 2, ['n4', 'n2']), 6]));
    const after = map.partition(id(3));
    expect(after).toEqual({ ...before, ...partitionRecord(3, 2, ['n4', 'n2']) });
    expect(map.partitionOf(before?.from ?? -1)).toBe(after);
    expect(map.partitions.filter((one) => one.id !== id(3))).toEqual(
      founding.partitions.filter((one) => one.id !== id(3)),
    );
  });

  test('the metadata group moves like any other', () => {
    const map = new LiveMap(founding);
    map.take(ofPartitions([partitionRecord(0, 2, ['n4']), 6]));
    expect(map.metadata).toEqual({ ...founding.metadata, ...partitionRecord(0, 2, ['n4']) });
    expect(map.partitions).toEqual(founding.partitions);
  });

  test('what is older than what is known of the same node is ignored, and so is the same again', () => {
    const map = new LiveMap(founding);
    map.take(ofNodes([nodeRecord('n4'), 9]));
    expect(map.take(ofNodes([nodeRecord('n4', { standing: 'joining' }), 7]))).toBe(false);
    expect(map.take(ofNodes([nodeRecord('n4', { standing: 'removed' }), 9]))).toBe(false);
    expect(map.take({ nodes: [], partitions: [] })).toBe(false);
    expect(map.node(n4)?.standing).toBe('up');
    expect(map.epoch).toBe(9);
  });

  test('what is older than the epoch is taken all the same, when nothing is known of it; the epoch stays', () => {
    const map = new LiveMap(founding);
    map.take(ofNodes([nodeRecord('n4'), 9]));
    expect(map.take(ofPartitions([partitionRecord(3, 2, ['n4']), 6]))).toBe(true);
    expect(map.partition(id(3))?.epoch).toBe(2);
    expect(map.epoch).toBe(9);
  });

  test('of a change that is older in part, the rest is taken', () => {
    const map = new LiveMap(founding);
    map.take(ofNodes([nodeRecord('n4'), 9]));
    expect(map.take(ofNodes([nodeRecord('n4', { standing: 'joining' }), 7], [nodeRecord('n5'), 10]))).toBe(true);
    expect(map.nodes.map(({ nodeId, standing }) => `${nodeId} ${standing}`).slice(3)).toEqual(['n4 up', 'n5 up']);
  });
});

test('all changes since an epoch are those with a higher revision', () => {
  const map = new LiveMap(founding);
  map.take(ofNodes([nodeRecord('n4'), 9], [nodeRecord('n5'), 4]));
  map.take(ofPartitions([partitionRecord(3, 2, ['n4']), 6]));
  expect(map.changesSince(9)).toEqual({ nodes: [], partitions: [] });
  expect(map.changesSince(6)).toEqual(ofNodes([nodeRecord('n4'), 9]));
  expect(map.changesSince(5)).toEqual({
    ...ofNodes([nodeRecord('n4'), 9]),
    partitions: [{ record: partitionRecord(3, 2, ['n4']), revision: 6 }],
  });
  expect(map.changesSince(0).nodes).toHaveLength(2);
});

test('whoever listens hears of every change, once it is there, and of nothing else', () => {
  const map = new LiveMap(founding);
  const heard: string[] = [];
  map.onChange(() => heard.push(`one at ${map.epoch}`));
  map.onChange(() => heard.push(`two at ${map.epoch}`));
  map.take(ofNodes([nodeRecord('n4'), 9]));
  map.take(ofNodes([nodeRecord('n4'), 9]));
  map.take(ofPartitions([partitionRecord(3, 2, ['n4']), 11]));
  expect(heard).toEqual(['one at 9', 'two at 9', 'one at 11', 'two at 11']);
});

test('in whatever order and however often the same changes come, the map ends the same', () => {
  const changes: readonly MapChange[] = [
    ofNodes([nodeRecord('n4', { standing: 'joining', nonce: 'a' }), 2]),
    ofNodes([nodeRecord('n4', { standing: 'joining', nonce: 'b', stay: 1 }), 3]),
    {
      ...ofPartitions([partitionRecord(0, 2, ['n4']), 5]),
      nodes: [{ record: nodeRecord('n4', { stay: 1 }), revision: 5 }],
    },
    ofPartitions([partitionRecord(3, 2, ['n4', 'n2']), 6], [partitionRecord(4, 2, ['n4', 'n2']), 7]),
    ofPartitions([partitionRecord(3, 3, ['n2']), 8]),
    ofNodes([nodeRecord('n1', { standing: 'draining' }), 9]),
    ofNodes([nodeRecord('n1', { standing: 'removed' }), 12]),
  ];
  const inOrder = new LiveMap(founding);
  for (const change of changes) inOrder.take(change);
  const place = fc.nat({ max: changes.length - 1 });
  const order = fc.tuple(fc.array(place), fc.shuffledSubarray([...changes.keys()], { minLength: changes.length }));
  fc.assert(
    fc.property(order, ([some, all]) => {
      const map = new LiveMap(founding);
      let epoch = map.epoch;
      for (const i of [...some, ...all]) {
        map.take(changes[i] as MapChange);
        expect(map.epoch).toBeGreaterThanOrEqual(epoch);
        epoch = map.epoch;
      }
      expect([map.epoch, map.nodes, map.partitions, map.metadata]).toEqual([
        inOrder.epoch,
        inOrder.nodes,
        inOrder.partitions,
        inOrder.metadata,
      ]);
      const byRevision = (change: MapChange): unknown =>
        [...change.nodes, ...change.partitions].toSorted((a, b) => a.revision - b.revision);
      expect(byRevision(map.changesSince(0))).toEqual(byRevision(inOrder.changesSince(0)));
    }),
    { seed: 7, numRuns: 200 },
  );
});
