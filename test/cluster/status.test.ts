/** The cluster's state, merged from what each node says of itself. */
import { decode, encode } from '@msgpack/msgpack';
import { expect, test } from 'vitest';
import { keyHash } from '../../src/cluster/hash.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import {
  clusterStatus,
  collectStatus,
  encodeStatus,
  locateKey,
  partitionStatuses,
  type StatusReports,
} from '../../src/cluster/status.ts';
import type { ReplicaStatus } from '../../src/cluster/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { bootstrap } from './founders.ts';

const map = buildPartitionMap({ ...bootstrap(3), partitions: 2 });
const id = (name: string): NodeId => name as NodeId;

function replica(nodeId: string, partition: number, changes: Partial<ReplicaStatus> = {}): ReplicaStatus {
  return {
    partition: partition as PartitionId,
    nodeId: id(nodeId),
    role: 'follower',
    state: 'ok',
    term: 4,
    leader: id('n1'),
    lastIndex: 20,
    commitIndex: 18,
    appliedIndex: 17,
    keys: 5,
    bytes: 500,
    followers: [],
    ...changes,
  };
}

function leader(nodeId: string, partition: number, changes: Partial<ReplicaStatus> = {}): ReplicaStatus {
  const followers = ['n1', 'n2', 'n3']
    .filter((name) => name !== nodeId)
    .map((name, i) => ({ nodeId: id(name), matchIndex: 29 - i * 9 }));
  return replica(nodeId, partition, {
    role: 'leader',
    lastIndex: 30,
    commitIndex: 29,
    appliedIndex: 28,
    followers,
    ...changes,
  });
}

function reports(...groups: readonly (readonly ReplicaStatus[])[]): StatusReports {
  return new Map(groups.map((group) => [group[0]?.nodeId ?? id('nobody'), group]));
}

test('all reachable: the leader tells indexes, matches and lags', () => {
  const merged = partitionStatuses(map, reports([leader('n1', 1)], [replica('n2', 1)], [replica('n3', 1)]));
  const [first] = merged;
  expect({ ...first, replicas: first?.replicas.toSorted((a, b) => (a.nodeId < b.nodeId ? -1 : 1)) }).toEqual({
    id: 1,
    range: [0, 2_147_483_647],
    epoch: 1,
    incarnation: 1,
    leader: 'n1',
    term: 4,
    commitIndex: 29,
    appliedIndex: 28,
    replicas: [
      { nodeId: 'n1', role: 'leader', matchIndex: 30, lag: 0, state: 'ok' },
      { nodeId: 'n2', role: 'follower', matchIndex: 29, lag: 1, state: 'ok' },
      { nodeId: 'n3', role: 'follower', matchIndex: 20, lag: 10, state: 'ok' },
    ],
    keys: 5,
    bytes: 500,
  });
});

test('a deposed leader that has not heard of it is outshone by the newer term', () => {
  const merged = partitionStatuses(
    map,
    reports([leader('n1', 1)], [leader('n2', 1, { term: 5 })], [replica('n3', 1, { term: 5 })]),
  );
  expect(merged[0]).toMatchObject({ leader: 'n2', term: 5 });
  expect(merged[0]?.replicas.filter(({ role }) => role === 'leader').map(({ nodeId }) => nodeId)).toEqual(['n2']);
});

test('a node that does not answer is unreachable; its match is what the leader knows', () => {
  const merged = partitionStatuses(map, reports([leader('n1', 1)], [replica('n2', 1)]));
  expect(merged[0]?.replicas.find(({ nodeId }) => nodeId === 'n3')).toEqual({
    nodeId: 'n3',
    role: 'follower',
    matchIndex: 20,
    lag: 10,
    state: 'unreachable',
  });
});

test('without a leader none is named, and nothing is claimed that only a leader knows', () => {
  const merged = partitionStatuses(
    map,
    reports([replica('n2', 1, { term: 6 })], [replica('n3', 1, { commitIndex: 15 })]),
  );
  expect(merged[0]).toMatchObject({ leader: null, term: 6, commitIndex: 18, appliedIndex: 17 });
  expect(merged[0]).not.toHaveProperty('keys');
  expect(merged[0]?.replicas.find(({ nodeId }) => nodeId === 'n3')).toMatchObject({ matchIndex: 15, lag: 3 });
});

test('a partition of which nobody tells still has its line', () => {
  expect(partitionStatuses(map, new Map())[1]).toMatchObject({ id: 2, leader: null, term: 0, commitIndex: 0 });
});

test('the cluster: who is up, who leads how many', () => {
  const status = clusterStatus(
    { clusterId: 'c', name: 'dev' },
    map,
    reports([leader('n1', 1), leader('n1', 2)], [replica('n2', 1), replica('n2', 2)]),
  );
  expect(status).toMatchObject({ clusterId: 'c', name: 'dev', epoch: 1, partitions: 2 });
  expect(status.nodes.map(({ nodeId, state, leads, replicas }) => [nodeId, state, leads, replicas])).toEqual([
    ['n1', 'up', 2, 2],
    ['n2', 'up', 0, 2],
    ['n3', 'down', 0, 2],
  ]);
});

test('asking around: what arrives over the wire is what was sent; the silent and the nonsensical are absent', async () => {
  const sent = [replica('n2', 1, { leader: undefined }), leader('n2', 2)];
  const collected = await collectStatus({
    nodeId: id('n1'),
    map,
    statusTimeoutMs: 500,
    local: () => [leader('n1', 1)],
    transport: {
      request: (to, kind, _payload, timeoutMs) => {
        expect([kind, timeoutMs]).toEqual(['status', 500]);
        return to === 'n2'
          ? Promise.resolve(decode(encode(encodeStatus(sent))))
          : Promise.reject(new Error('not connected'));
      },
    },
  });
  expect(collected).toEqual(
    new Map([
      ['n1', [leader('n1', 1)]],
      ['n2', sent],
    ]),
  );

  for (const nonsense of [null, {}, [{}], [{ ...replica('n2', 1), leader: null, term: -1 }]]) {
    const again = await collectStatus({
      nodeId: id('n1'),
      map,
      statusTimeoutMs: 500,
      local: () => [],
      transport: { request: () => Promise.resolve(nonsense) },
    });
    expect([...again.keys()]).toEqual(['n1']);
  }
});

test('a key’s place is told without asking anyone', () => {
  const key = Buffer.from('hello');
  const located = locateKey(map, key, (partition) => (partition === 2 ? id('n3') : undefined));
  expect(located).toMatchObject({ hash: 0x888d766e, partition: 2, leader: 'n3' });
  expect(located.replicas.toSorted()).toEqual(['n1', 'n2', 'n3']);
  expect(keyHash(key)).toBe(0x888d766e);
  expect(locateKey(map, key, () => undefined).leader).toBeNull();
});
