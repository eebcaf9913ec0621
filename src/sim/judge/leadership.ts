/** What a leader does by speaking as one: it leads, and says what is committed. */
import type { HardState, LogIndex, Term } from '../../raft/types.ts';
import { named } from './entries.ts';
import type { LeaderRecord, PartitionRecord } from './partition-record.ts';
import type { ReplicaRecord } from './replica-record.ts';

/** It speaks as the leader of `term`. */
export function leads(partition: PartitionRecord, replica: ReplicaRecord, term: Term): LeaderRecord {
  const known = partition.leaderOf(term);
  if (known !== undefined && known.replica !== replica) {
    partition.fail('election safety', `${known.replica.name} and ${replica.name} both lead in term ${term}`);
  }
  if (known !== undefined && known.start !== replica.starts) {
    partition.fail('election safety', `${replica.name} led term ${term} before its crash and does so again`);
  }
  if (replica.hardState.currentTerm !== term) {
    const current = replica.hardState.currentTerm;
    partition.fail('election safety', `${replica.name} is in term ${current} and speaks as leader of term ${term}`);
  }
  if (known !== undefined) return known;
  const leader = partition.newLeader(replica, term);
  replica.leading = term;
  replica.led = term;
  partition.tally.elections += 1;
  return leader;
}

/**
 * The only voter of its configuration leads without a word to anybody: it writes entries in the term that it has voted
 * for itself in. One that follows the leader whose last act is to make it the only voter writes such entries, too.
 */
export function leadsAlone(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { votedFor, currentTerm }: HardState,
): boolean {
  if (!partition.roster.inForce(replica.lastEntry).isSoleVoter(replica) || votedFor !== replica.replicaId) return false;
  return (partition.leaderOf(currentTerm)?.replica ?? replica) === replica;
}

export function announceCommit(partition: PartitionRecord, leader: LeaderRecord, index: LogIndex): void {
  if (index <= leader.commit) return;
  const { replica, term } = leader;
  takeForCommitted(partition, replica, { index, term, rule: 'commit quorum', does: 'announces' });
  partition.committedBy(index, term);
  leader.commit = index;
}

interface Claim {
  readonly index: number;
  /** Of the leader that the replica is or was last. */
  readonly term: number;
  readonly rule: string;
  readonly does: string;
}

export function takeForCommitted(partition: PartitionRecord, replica: ReplicaRecord, claim: Claim): void {
  const { index, term, rule, does } = claim;
  if (partition.commit(replica, index, term)) return;
  const entry = replica.log[index];
  const what = entry === undefined ? `${index}` : named(entry);
  const why = entry === undefined ? 'beyond the end of its log' : partition.whyUncommitted(replica, entry, term);
  const who = `${replica.name}, ${term === 0 ? 'no leader in this start' : `last leader of term ${term}`},`;
  partition.fail(rule, `${who} ${does} ${what} as committed: ${why}`);
}
