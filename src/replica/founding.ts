/** The configuration that a group begins with, and the one that a member comes back with. */
import { decodeConfiguration } from '../raft/configuration.ts';
import type { Configuration, ConfigurationAt, LogIndex, ReplicaId } from '../raft/types.ts';
import type { ReplicaDescriptor, StoredConfiguration } from './ports.ts';

/** In force at the applied index that the member comes back with. */
export function configurationOf(
  stored: StoredConfiguration | undefined,
  members: readonly ReplicaDescriptor[],
): ConfigurationAt {
  if (stored === undefined) return { index: 0 as LogIndex, configuration: foundingConfiguration(members) };
  return { index: stored.index, configuration: decodeConfiguration(stored.body) };
}

/** The one that every member starts with: all founders vote. */
export function foundingConfiguration(members: readonly ReplicaDescriptor[]): Configuration {
  const voters = members.map((member) => member.replicaId);
  const hosts = new Map(members.map((member) => [member.replicaId, member.nodeId]));
  const replicaIdMax = Math.max(...voters) as ReplicaId;
  return { voters, votersOutgoing: [], learners: [], replicaIdMax, incarnation: 1, hosts };
}
