/** The rules about changing members: when a leader may, and what whoever was left out may still do. */
import { EntryKind, noReplica, type Entry, type HardState, type LogIndex, type Message } from '../../raft/types.ts';
import { named, type KnownEntry } from './entries.ts';
import type { LeaderRecord, PartitionRecord } from './partition-record.ts';
import type { ReplicaRecord } from './replica-record.ts';

/**
 * `entry`, to follow `previous`, is sent or written. When a configuration is first seen, it is its leader that appends
 * it. The leader needs a committed entry of its own term first: else two leaders could each change the members on top of
 * another configuration that neither knows to be superseded, and their quorums need not meet (Ongaro, raft-dev, July
 * 2015). And it needs the change before to be committed, for only neighbouring configurations have their quorums meet.
 */
export function checkChange(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { entry, previous }: { readonly entry: Entry; readonly previous: KnownEntry },
): void {
  if (entry.kind !== EntryKind.configuration) return;
  if (partition.entries.find(entry.index, entry.term) !== undefined) return;
  const leader = partition.leaderOf(entry.term);
  const what = `${replica.name} appends the configuration ${named(entry)}`;
  if (leader?.replica !== replica || !hasCommittedInTerm(partition, leader)) {
    partition.fail('change without a committed entry in the term', what);
  }
  const before = partition.roster.inForce(previous);
  const beforeEntry = replica.log[before.index];
  if (beforeEntry === undefined || !partition.isCommitted(replica, beforeEntry, entry.term)) {
    partition.fail('one change at a time', `${what}, and the one before, ${named(before)}, is not committed`);
  }
}

function hasCommittedInTerm(partition: PartitionRecord, { replica, term, last }: LeaderRecord): boolean {
  const { log } = replica;
  let own = last.index + 1;
  while (own > 1 && log[own - 1]?.term === term) own -= 1;
  const first = log[own];
  return first?.term === term && partition.isCommitted(replica, first, term);
}

/** It has applied a configuration that leaves it out: no vote for anybody from then on, itself least. */
export function checkRemovedVote(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  next: HardState | undefined,
): void {
  if (!replica.removed || next === undefined || next.votedFor === noReplica) return;
  const { currentTerm, votedFor } = replica.hardState;
  if (next.currentTerm === currentTerm && next.votedFor === votedFor) return;
  const vote = `votes for ${partition.nameOf(next.votedFor)} in term ${next.currentTerm}`;
  partition.fail('removed replica speaks', `${replica.name} ${vote}, and has applied that it was left out`);
}

/** Right when a committed configuration leaves `told` out, perhaps one that only `replica` knows to be committed yet. */
export function checkToldRemoved(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  told: ReplicaRecord | undefined,
): void {
  if (told !== undefined) {
    if (partition.committedConfiguration.leavesOut(told)) return;
    let first: LogIndex | undefined;
    for (let at = partition.roster.inForce(replica.lastEntry); at.leavesOut(told); at = at.previous) {
      first = at.index;
      if (at.previous === undefined) break;
    }
    if (first !== undefined && partition.commit(replica, first, replica.led)) return;
  }
  const whom = told === undefined ? 'a replica that never was' : told.name;
  partition.fail('told removed falsely', `${replica.name} tells ${whom} that it was left out, which is not committed`);
}

/** Of it nothing is heard any more but that others are out as well. */
export function checkSpokenForDead(partition: PartitionRecord, replica: ReplicaRecord, message: Message): void {
  if (replica.up || message.type !== 'ReplicaRemoved') {
    const what = `a ${message.type} leaves ${replica.nodeId ?? 'a node'} in the name of ${replica.name}`;
    partition.fail('dead replicas', `${what}, which does not live there`);
  }
  checkToldRemoved(partition, replica, partition.roster.replica(message.to));
}

/** Its data may go only behind a committed configuration without it: it may be what a quorum is made of. */
export function checkDestroyed(partition: PartitionRecord, replica: ReplicaRecord): void {
  if (partition.committedConfiguration.leavesOut(replica)) return;
  const { spelled } = partition.committedConfiguration;
  partition.fail(
    'destroyed too early',
    `${replica.name} is destroyed, and no committed configuration leaves it out: ${spelled}`,
  );
}
