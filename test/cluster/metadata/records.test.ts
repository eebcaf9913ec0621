/** What the metadata group stores and what travels of it: it comes back as it was, or is refused. */
import { describe, expect, test } from 'vitest';
import {
  decodeMapChange,
  decodeRecord,
  encodeMapChange,
  encodeRecord,
  incarnationOf,
  keyOfRecord,
  MetadataFormatError,
  replicasOf,
  type MetadataRecord,
} from '../../../src/cluster/metadata/records.ts';
import type { ReplicaId } from '../../../src/raft/types.ts';
import { overTheWire } from '../router-world.ts';
import { moveRecord, nodeRecord, partitionRecord } from './samples.ts';

const joining = nodeRecord('n4', { labels: { zone: 'a' }, weight: 2.5, standing: 'joining', stay: 3, nonce: 'ab12' });
const partition = partitionRecord(7, 4, [
  [2, 'n2'],
  [9, 'n4'],
  [3, 'n3'],
]);
const records: readonly MetadataRecord[] = [
  { type: 'node', record: joining },
  { type: 'node', record: nodeRecord('n1', { standing: 'draining' }) },
  { type: 'partition', record: partition },
  { type: 'partition', record: partitionRecord(0, 1, ['n1']) },
  { type: 'move', record: moveRecord(7, ['n1', 'n4'], { reason: 'purge', sinceMs: 1_700_000_000_000 }) },
  { type: 'balance', record: { sinceMs: 0 } },
];

/** A stored text under a key, as some version may have written it. */
function decode(key: string, value: unknown): MetadataRecord | undefined {
  return decodeRecord(Buffer.from(key), Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
}

describe('stored records', () => {
  test.each(records)('a $type comes back as it was', (record) => {
    expect(decodeRecord(keyOfRecord(record), encodeRecord(record))).toEqual(record);
  });

  test('keys are texts that sort by kind', () => {
    expect(records.map((record) => keyOfRecord(record).toString())).toEqual([
      'node/n4',
      'node/n1',
      'partition/7',
      'partition/0',
      'move/7',
      'balance/wanted',
    ]);
  });

  test('a kind that a later version brings is passed over, whatever it holds', () => {
    for (const key of ['schedule/n1', 'Node/n1', '/n1', '']) {
      expect(decode(key, { anything: 1 }), key).toBeUndefined();
      expect(decode(key, 'no JSON'), key).toBeUndefined();
    }
  });

  test.each(records)('fields of a $type that a later version adds are passed over', (record) => {
    const later = { ...record.record, colour: 'blue', limits: { cpu: 2 } };
    expect(decode(keyOfRecord(record).toString(), later)).toEqual(record);
  });

  test('a partition of a time when none could begin anew is as it was founded', () => {
    const { incarnation: _, ...earlier } = partition;
    expect(decode('partition/7', earlier)).toEqual({ type: 'partition', record: { ...earlier, incarnation: 1 } });
  });

  test.each(records)('a $type without one of its fields is not understood', (record) => {
    const key = keyOfRecord(record).toString();
    for (const field of Object.keys(record.record).filter((name) => name !== 'incarnation')) {
      const { [field]: _, ...rest } = record.record as unknown as Record<string, unknown>;
      expect(() => decode(key, rest), field).toThrow(MetadataFormatError);
    }
    for (const text of ['', '{', 'null', '[]', '7', '"n4"'])
      expect(() => decode(key, text), text).toThrow(MetadataFormatError);
  });

  const wrong: readonly (readonly [string, object])[] = [
    ['node/n4', { ...joining, weight: 0 }],
    ['node/n4', { ...joining, weight: -1 }],
    ['node/n4', { ...joining, weight: '1' }],
    ['node/n4', { ...joining, standing: 'asleep' }],
    ['node/n4', { ...joining, labels: { zone: 1 } }],
    ['node/n4', { ...joining, labels: ['a'] }],
    ['node/n4', { ...joining, stay: 0.5 }],
    ['node/n4', { ...joining, stay: -1 }],
    ['node/n4', { ...joining, http: null }],
    ['partition/7', { ...partition, epoch: '4' }],
    ['partition/7', { ...partition, preferredLeader: 'not a name' }],
    ['partition/7', { ...partition, replicas: [{ replicaId: 1 }] }],
    ['partition/7', { ...partition, replicas: { 0: partition.replicas[0] } }],
    ['move/7', { ...moveRecord(7, ['n1']), target: 'n1' }],
    ['move/7', { ...moveRecord(7, ['n1']), target: ['../n1'] }],
    ['move/7', { ...moveRecord(7, ['n1']), reason: 'whim' }],
    ['balance/wanted', { sinceMs: -1 }],
  ];
  test.each(wrong)('%s: %j is not understood, and the error names the key', (key, value) => {
    expect(() => decode(key, value)).toThrow(
      new MetadataFormatError(`the cluster's record "${key}" is not understood by this version`),
    );
  });

  test('the content must be of the node or partition that the key names', () => {
    for (const [i, record] of records.entries()) {
      const kind = keyOfRecord(record).toString().split('/')[0] ?? '';
      const value = encodeRecord(record);
      for (const key of [`${kind}/other`, `${kind}/`, `${kind}/07`, `${keyOfRecord(record).toString()}/`]) {
        expect(() => decodeRecord(Buffer.from(key), value), `${i} under ${key}`).toThrow(MetadataFormatError);
      }
    }
  });
});

describe('a change of the map on its way', () => {
  const change = {
    nodes: [
      { record: joining, revision: 12 },
      { record: nodeRecord('n1'), revision: 9 },
    ],
    partitions: [{ record: partition, revision: 2 ** 40 }],
  };

  test('comes back as it was, through msgpack and through JSON', () => {
    expect(decodeMapChange(overTheWire(encodeMapChange(change)))).toEqual(change);
    expect(decodeMapChange(JSON.parse(JSON.stringify(encodeMapChange(change))))).toEqual(change);
    const nothing = { nodes: [], partitions: [] };
    expect(decodeMapChange(overTheWire(encodeMapChange(nothing)))).toEqual(nothing);
  });

  test('what a later version adds is passed over', () => {
    const later = {
      ...change,
      moves: 7,
      partitions: [{ record: { ...partition, colour: 'blue' }, revision: 3, by: 'n1' }],
    };
    expect(decodeMapChange(overTheWire(later))).toEqual({
      nodes: change.nodes,
      partitions: [{ record: partition, revision: 3 }],
    });
  });

  const nonsense: readonly unknown[] = [
    null,
    undefined,
    7,
    'nodes',
    [],
    Buffer.from('{}'),
    {},
    { nodes: [] },
    { partitions: [] },
    { nodes: {}, partitions: [] },
    { nodes: [null], partitions: [] },
    { nodes: [{ record: joining }], partitions: [] },
    { nodes: [{ record: joining, revision: -1 }], partitions: [] },
    { nodes: [{ record: joining, revision: '12' }], partitions: [] },
    { nodes: [{ revision: 12 }], partitions: [] },
    { nodes: [{ record: { ...joining, weight: 0 }, revision: 12 }], partitions: [] },
    { nodes: [{ record: partition, revision: 12 }], partitions: [] },
    { nodes: [], partitions: [{ record: { ...partition, replicas: [7] }, revision: 12 }] },
    { nodes: [], partitions: [{ record: { ...partition, id: -1 }, revision: 12 }] },
  ];
  test.each(nonsense)('%j is refused as a whole', (payload) => {
    expect(decodeMapChange(payload)).toBeUndefined();
  });

  test('one record that is wrong spoils the others, too: part of a change is not passed off as all of it', () => {
    expect(
      decodeMapChange({ ...change, nodes: [...change.nodes, { record: { nodeId: 'n5' }, revision: 13 }] }),
    ).toBeUndefined();
  });
});

test('the members of a configuration are named with their hosts', () => {
  const hosts = new Map([4, 9].map((replicaId) => [replicaId as ReplicaId, `n${replicaId}`]));
  expect(replicasOf([9, 4] as ReplicaId[], hosts)).toEqual([
    { replicaId: 9, nodeId: 'n9' },
    { replicaId: 4, nodeId: 'n4' },
  ]);
});

test('incarnations of a stay lie above those of the stays before', () => {
  expect(incarnationOf(0)).toBe(0);
  expect(incarnationOf(2) - incarnationOf(1)).toBeGreaterThan(1_000_000);
});
