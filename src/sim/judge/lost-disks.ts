/** What a group bears of nodes that lose all that they have, and what it is to be listed as. */
import type { ReplicaId } from '../../raft/types.ts';
import type { NodeId, ReplicaDescriptor } from '../../replica/ports.ts';
import { named } from './entries.ts';
import type { KnownConfiguration } from './known-configuration.ts';
import type { PartitionRecord } from './partition-record.ts';
import type { ReplicaRecord } from './replica-record.ts';

/**
 * One node at a time: nobody else whose disk is gone is a member yet. So it does not matter whom a change that is under way makes a
 * voter next. By each configuration that may come into force a majority stays.
 */
export function bearsLoss(partition: PartitionRecord, nodeId: NodeId): boolean {
  return livingConfigurations(partition).every(
    (configuration) =>
      configuration.members.every((member) => !member.gone || member.nodeId === nodeId) &&
      configuration.isQuorum((voter) => !voter.gone && voter.nodeId !== nodeId),
  );
}

/** The newest committed one, and those in some log that may follow it. */
function livingConfigurations(partition: PartitionRecord): readonly KnownConfiguration[] {
  const { committedConfiguration, roster } = partition;
  const living = new Set([committedConfiguration]);
  for (const { gone, lastEntry } of roster.all()) {
    let next: KnownConfiguration | undefined = gone ? undefined : roster.inForce(lastEntry);
    for (; next !== undefined && next.index > committedConfiguration.index; next = next.previous) living.add(next);
  }
  return [...living];
}

/** The directory follows the groups, and never goes before them: what it says was committed in the group, and no change half done. */
export function checkListed(partition: PartitionRecord, replicas: readonly ReplicaDescriptor[]): void {
  const { committedConfiguration } = partition;
  const listed = spelled(replicas);
  for (let at: KnownConfiguration | undefined = committedConfiguration; at !== undefined; at = at.previous) {
    const { voters, hosts } = at.content;
    if (at.isJoint) continue;
    if (spelled(voters.map((replicaId) => ({ replicaId, nodeId: hosts.get(replicaId) ?? '' }))) === listed) return;
  }
  const committed = `the newest that it has committed is ${named(committedConfiguration)}, ${committedConfiguration.spelled}`;
  partition.fail(
    'directory',
    `the directory has the members ${listed}, which the group never had for good: ${committed}`,
  );
}

/** Nobody speaks to a node that is no member: whoever still lives there would never hear that it was left out. */
export function checkRetired(partition: PartitionRecord, nodeId: NodeId): void {
  for (const replica of partition.roster.all()) {
    if (replica.nodeId !== nodeId || replica.starts === 0 || isEnded(replica)) continue;
    partition.fail('directory', `${nodeId} is no member any more, and ${replica.name} still lives there`);
  }
}

/** A node that was let in has started, and only this replica of the group lives on it, if any. */
export function checkPresent(partition: PartitionRecord, nodeId: NodeId, present: ReplicaId | undefined): void {
  for (const replica of partition.roster.all()) {
    if (replica.nodeId !== nodeId || replica.starts === 0 || isEnded(replica) || replica.replicaId === present)
      continue;
    if (replica.isStored) partition.fail('durable log', `${replica.name} is not on the disk of ${nodeId} any more`);
    replica.unstored = true;
  }
}

function isEnded({ gone, leaving, unstored }: ReplicaRecord): boolean {
  return gone || leaving || unstored;
}

function spelled(replicas: readonly { readonly replicaId: number; readonly nodeId: string }[]): string {
  return replicas
    .map(({ replicaId, nodeId }) => `${replicaId} on ${nodeId}`)
    .toSorted()
    .join(', ');
}
