import type { ReplicaStatus } from '../cluster/types.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';

/** What is left to say of a replica that says nothing itself. */
export function silentStatus(
  state: Extract<ReplicaStatus['state'], 'in_doubt' | 'stopped'>,
  partition: PartitionId,
  nodeId: NodeId,
): ReplicaStatus {
  const known = { term: 0, leader: undefined, lastIndex: 0, commitIndex: 0, appliedIndex: 0, keys: 0, bytes: 0 };
  return { partition, nodeId, role: 'follower', state, ...known, followers: [] };
}
