/** Records as the metadata group stores them, with whatever a test does not care about filled in. */
import {
  encodeRecord,
  keyOfRecord,
  type MapChange,
  type MetadataRecord,
  type MoveRecord,
  type NodeRecord,
  type PartitionRecord,
} from '../../../src/cluster/metadata/records.ts';
import type { StateWrite } from '../../../src/kv/types.ts';
import type { ReplicaId } from '../../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../../src/replica/ports.ts';

export function id(partition: number): PartitionId {
  return partition as PartitionId;
}

export function names(...list: string[]): NodeId[] {
  return list as NodeId[];
}

/** Its addresses follow from its name. */
export function nodeRecord(name: string, rest: Partial<NodeRecord> = {}): NodeRecord {
  const place = Number(name.slice(1));
  return {
    nodeId: name as NodeId,
    http: `http://127.0.0.1:${7000 + place}`,
    peer: `127.0.0.1:${7100 + place}`,
    labels: {},
    weight: 1,
    standing: 'up',
    stay: 0,
    nonce: '',
    ...rest,
  };
}

/** `hosts`: of replicas 1, 2, …, unless they are given as [replicaId, node]. */
export function partitionRecord(
  partition: number,
  epoch: number,
  hosts: readonly (string | readonly [number, string])[],
): PartitionRecord {
  const replicas = hosts.map((host, i) => {
    const [replicaId, nodeId] = typeof host === 'string' ? [i + 1, host] : host;
    return { replicaId: replicaId as ReplicaId, nodeId: nodeId as NodeId };
  });
  const [first] = replicas;
  if (first === undefined) throw new Error('a partition has replicas');
  return { id: id(partition), epoch, incarnation: 1, replicas, preferredLeader: first.nodeId };
}

export function moveRecord(partition: number, target: readonly string[], rest: Partial<MoveRecord> = {}): MoveRecord {
  return { partition: id(partition), target: target as NodeId[], reason: 'balance', sinceMs: 5000, ...rest };
}

export function putOf(record: MetadataRecord, revision: number): StateWrite & { readonly type: 'put' } {
  const stored = { value: encodeRecord(record), contentType: '', revision, incarnation: 1, expiresAt: 0 };
  return { type: 'put', key: keyOfRecord(record), record: stored, expiresBefore: 0 };
}

export function deleteOf(record: MetadataRecord): StateWrite {
  return { type: 'delete', key: keyOfRecord(record), expiresBefore: 0 };
}

/** A change of nodes alone. */
export function ofNodes(...list: readonly (readonly [NodeRecord, number])[]): MapChange {
  return { nodes: list.map(([record, revision]) => ({ record, revision })), partitions: [] };
}

/** A change of partitions alone. */
export function ofPartitions(...list: readonly (readonly [PartitionRecord, number])[]): MapChange {
  return { nodes: [], partitions: list.map(([record, revision]) => ({ record, revision })) };
}
