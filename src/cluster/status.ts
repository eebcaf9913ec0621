/** The cluster's state as one node can tell it: every reachable node's own report, merged. For people and tools; nothing decides by it. */
import type { NodeId, PartitionId, Transport } from '../replica/ports.ts';
import { keyHash } from './hash.ts';
import { memberNodes, type MapNode, type PartitionMap } from './partition-map.ts';
import { isCount, isFields, isNodeId, isPartitionId } from './shapes.ts';
import type {
  ClusterStatus,
  KeyLocation,
  NodeState,
  PartitionDescriptor,
  PartitionStatus,
  ReplicaStatus,
} from './types.ts';

/** What each node says of its replicas; a node that could not be asked is absent. */
export type StatusReports = ReadonlyMap<NodeId, readonly ReplicaStatus[]>;

export interface StatusPorts {
  readonly nodeId: NodeId;
  readonly map: PartitionMap;
  readonly transport: Pick<Transport, 'request'>;
  /** This node's own replicas. */
  readonly local: () => readonly ReplicaStatus[];
  readonly statusTimeoutMs: number;
}

/** Asks all nodes of the map at once; takes at most `statusTimeoutMs`, a transport that keeps its word provided. */
export async function collectStatus(ports: StatusPorts): Promise<StatusReports> {
  const { nodeId, map, transport, local, statusTimeoutMs } = ports;
  const reports = new Map<NodeId, readonly ReplicaStatus[]>([[nodeId, local()]]);
  const others = memberNodes(map).filter((node) => node.nodeId !== nodeId);
  await Promise.all(
    others.map(async (node) => {
      try {
        const answer = await transport.request(node.nodeId, 'status', null, statusTimeoutMs);
        const report = decodeStatus(answer, node.nodeId);
        if (report !== undefined) reports.set(node.nodeId, report);
      } catch {
        // Unreachable: told by its absence.
      }
    }),
  );
  return reports;
}

/** Serves a peer's 'status' request: plain values that msgpack carries. */
export function encodeStatus(replicas: readonly ReplicaStatus[]): unknown {
  return replicas.map((replica) => ({ ...replica, leader: replica.leader ?? null }));
}

function decodeStatus(answer: unknown, nodeId: NodeId): readonly ReplicaStatus[] | undefined {
  if (!Array.isArray(answer)) return undefined;
  const replicas = answer.map((fields) => decodeReplica(fields, nodeId));
  return replicas.every((replica) => replica !== undefined) ? replicas : undefined;
}

const roles: readonly unknown[] = ['leader', 'follower', 'learner'];
const states: readonly unknown[] = ['ok', 'snapshot', 'in_doubt', 'stopped'];
const counts = ['term', 'lastIndex', 'commitIndex', 'appliedIndex', 'keys', 'bytes'] as const;

function decodeReplica(fields: unknown, nodeId: NodeId): ReplicaStatus | undefined {
  if (!isFields(fields)) return undefined;
  const { partition, role, state, leader, followers } = fields;
  const [term, lastIndex, commitIndex, appliedIndex, keys, bytes] = counts.map((name) => fields[name]);
  if (!isPartitionId(partition) || !roles.includes(role) || !states.includes(state)) return undefined;
  if (!isCount(term) || !isCount(lastIndex) || !isCount(commitIndex) || !isCount(appliedIndex)) return undefined;
  if (!isCount(keys) || !isCount(bytes) || !(leader === null || isNodeId(leader))) return undefined;
  if (!Array.isArray(followers) || !followers.every(isFollower)) return undefined;
  return {
    partition,
    nodeId,
    role: role as ReplicaStatus['role'],
    state: state as ReplicaStatus['state'],
    term,
    leader: leader ?? undefined,
    lastIndex,
    commitIndex,
    appliedIndex,
    keys,
    bytes,
    followers,
  };
}

function isFollower(value: unknown): value is ReplicaStatus['followers'][number] {
  return isFields(value) && isNodeId(value['nodeId']) && isCount(value['matchIndex']);
}

export function metadataStatus({ metadata }: PartitionMap, reports: StatusReports): PartitionStatus {
  const own = [...reports.values()].flat().filter(({ partition }) => partition === metadata.id);
  return partitionStatus(metadata, own);
}

export function partitionStatuses(map: PartitionMap, reports: StatusReports): readonly PartitionStatus[] {
  const byPartition = new Map<PartitionId, ReplicaStatus[]>();
  for (const report of [...reports.values()].flat()) {
    const known = byPartition.get(report.partition);
    if (known === undefined) byPartition.set(report.partition, [report]);
    else known.push(report);
  }
  return map.partitions.map((partition) => partitionStatus(partition, byPartition.get(partition.id) ?? []));
}

function partitionStatus(partition: PartitionDescriptor, reports: readonly ReplicaStatus[]): PartitionStatus {
  const leader = newestClaimant(reports);
  const newest = (field: 'term' | 'commitIndex' | 'appliedIndex'): number =>
    leader?.[field] ?? Math.max(0, ...reports.map((report) => report[field]));
  const commitIndex = newest('commitIndex');
  // Without a leader nobody knows who matches what; what is committed at a replica surely does.
  const target = leader?.lastIndex ?? commitIndex;
  const replicas = partition.replicas.map(({ nodeId }) => {
    const report = reports.find((candidate) => candidate.nodeId === nodeId);
    const matchIndex = matchIndexOf(nodeId, report, leader);
    return {
      nodeId,
      role: roleOf(report, leader),
      matchIndex,
      lag: Math.max(0, target - matchIndex),
      state: report?.state ?? ('unreachable' as const),
    };
  });
  return {
    id: partition.id,
    range: [partition.from, partition.to],
    epoch: partition.epoch,
    incarnation: partition.incarnation,
    leader: leader?.nodeId ?? null,
    term: newest('term'),
    commitIndex,
    appliedIndex: newest('appliedIndex'),
    replicas,
    ...(leader === undefined ? {} : { keys: leader.keys, bytes: leader.bytes }),
  };
}

/** Several may claim to lead while a deposed one has not heard of it yet: the newest term's claim is the true one. */
function newestClaimant(reports: readonly ReplicaStatus[]): ReplicaStatus | undefined {
  const claimants = reports.filter(({ role }) => role === 'leader');
  return claimants.toSorted((a, b) => b.term - a.term)[0];
}

function roleOf(report: ReplicaStatus | undefined, leader: ReplicaStatus | undefined): ReplicaStatus['role'] {
  if (report === undefined) return 'follower';
  return report.role === 'leader' && report !== leader ? 'follower' : report.role;
}

function matchIndexOf(nodeId: NodeId, report: ReplicaStatus | undefined, leader: ReplicaStatus | undefined): number {
  if (leader === undefined) return report?.commitIndex ?? 0;
  if (leader.nodeId === nodeId) return leader.lastIndex;
  return leader.followers.find((follower) => follower.nodeId === nodeId)?.matchIndex ?? 0;
}

export interface ClusterIdentity {
  readonly clusterId: string;
  readonly name: string;
}

export function clusterStatus(
  { clusterId, name }: ClusterIdentity,
  map: PartitionMap,
  reports: StatusReports,
): ClusterStatus {
  const partitions = partitionStatuses(map, reports);
  const nodes = map.nodes.map((node) => ({
    nodeId: node.nodeId,
    http: node.http,
    peer: node.peer,
    labels: node.labels,
    state: stateOf(node, reports),
    leads: partitions.filter(({ leader }) => leader === node.nodeId).length,
    replicas: partitions.filter(({ replicas }) => replicas.some(({ nodeId }) => nodeId === node.nodeId)).length,
  }));
  return { clusterId, name, epoch: map.epoch, partitions: partitions.length, nodes };
}

function stateOf({ nodeId, standing }: MapNode, reports: StatusReports): NodeState {
  if (standing !== 'up') return standing;
  return reports.has(nodeId) ? 'up' : 'down';
}

/** Where `key` lives; `leaderOf` says who leads as far as the node knows without asking anyone. */
export function locateKey(
  map: PartitionMap,
  key: Uint8Array,
  leaderOf: (partition: PartitionId) => NodeId | undefined,
): KeyLocation {
  const hash = keyHash(key);
  const { id, replicas } = map.partitionOf(hash);
  return { hash, partition: id, leader: leaderOf(id) ?? null, replicas: replicas.map(({ nodeId }) => nodeId) };
}
