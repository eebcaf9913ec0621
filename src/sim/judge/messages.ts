/** The rules about what a replica says to another one. */
import type {
  AppendEntriesRequest,
  Heartbeat,
  HeartbeatResponse,
  Message,
  TimeoutNow,
  VoteResponse,
} from '../../raft/types.ts';
import { checkChange, checkToldRemoved } from './change-rules.ts';
import { named } from './entries.ts';
import { announceCommit, leads } from './leadership.ts';
import type { PartitionRecord } from './partition-record.ts';
import type { ReplicaRecord } from './replica-record.ts';
import { checkSuccess, checkTermDurable } from './rules.ts';

export function judgeMessage(partition: PartitionRecord, replica: ReplicaRecord, message: Message): void {
  switch (message.type) {
    case 'PreVoteRequest':
      if (!replica.removed) return;
      return partition.fail(
        'removed replica speaks',
        `${replica.name} campaigns, and has applied that it was left out`,
      );
    case 'PreVoteResponse':
      // A yes promises nothing; a no tells the term.
      if (!message.granted) checkTermDurable(partition, replica, message);
      return;
    case 'VoteRequest':
      // Asked again in the same term after a crash, with a shorter log, it would count what was given to the longer.
      return checkTermDurable(partition, replica, message);
    case 'VoteResponse':
      return judgeVote(partition, replica, message);
    case 'HeartbeatResponse':
      checkTermDurable(partition, replica, message);
      return checkConfirms(partition, replica, message);
    case 'AppendEntriesResponse':
      checkTermDurable(partition, replica, message);
      if (message.success) checkSuccess(partition, replica, message);
      return;
    case 'AppendEntriesRequest':
      return judgeAppendEntries(partition, replica, message);
    case 'Heartbeat':
      return judgeHeartbeat(partition, replica, message);
    case 'TimeoutNow':
      return judgeTimeoutNow(partition, replica, message);
    case 'ReplicaRemoved':
      return checkToldRemoved(partition, replica, partition.roster.replica(message.to));
  }
}

function judgeVote(partition: PartitionRecord, replica: ReplicaRecord, message: VoteResponse): void {
  checkTermDurable(partition, replica, message);
  const { term, to, granted } = message;
  if (!granted || partition.hasDurableVote(replica, term, to)) return;
  const vote = `its vote for ${partition.nameOf(to)} in term ${term}`;
  partition.fail('spoke too early', `${replica.name} tells ${vote}, which is not durable`);
}

function judgeAppendEntries(partition: PartitionRecord, replica: ReplicaRecord, message: AppendEntriesRequest): void {
  const { term, prevLogIndex, prevLogTerm, entries } = message;
  leads(partition, replica, term);
  const previous = partition.entries.find(prevLogIndex, prevLogTerm);
  const claimed = { index: prevLogIndex, term: prevLogTerm };
  if (previous === undefined && entries.length === 0 && prevLogIndex >= replica.log.length) {
    // Messages leave before the turn's log write is handed over; an entry may be named before it is sent to anyone.
    replica.claims.push(claimed);
    return judgeLeaderCommit(partition, replica, message);
  }
  if (previous === undefined || (prevLogIndex < replica.log.length && replica.log[prevLogIndex] !== previous)) {
    const what = `${replica.name} leads term ${term} and names ${named(claimed)}, not in its log`;
    return partition.fail('leader append-only', what);
  }
  if (prevLogIndex < replica.first - 1) {
    const what = `${replica.name} names ${named(claimed)} and sends what follows, but its log begins at ${replica.first}`;
    partition.fail('compaction', what);
  }
  let last = previous;
  for (const entry of entries) {
    checkChange(partition, replica, { entry, previous: last });
    last = partition.entries.known(entry, last, replica.name);
    if (last.index < replica.log.length && replica.log[last.index] !== last) {
      partition.fail('leader append-only', `${replica.name} sends entry ${named(entry)}, not in its log`);
    }
  }
  judgeLeaderCommit(partition, replica, message);
}

function judgeLeaderCommit(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { term, leaderCommit }: AppendEntriesRequest,
): void {
  const leader = leads(partition, replica, term);
  if (leaderCommit < leader.commit) {
    const both = `from ${leader.commit} to ${leaderCommit}`;
    partition.fail('commit index', `the commit index of ${replica.name} in term ${term} goes back ${both}`);
  }
  announceCommit(partition, leader, leaderCommit);
}

/** What it named before it handed it to the disk is in its log now. */
export function judgeClaims(partition: PartitionRecord, replica: ReplicaRecord): void {
  for (const claimed of replica.claims.splice(0)) {
    if (replica.log[claimed.index]?.term === claimed.term) continue;
    partition.fail('leader append-only', `${replica.name} has named ${named(claimed)}, and wrote something else`);
  }
}

function judgeHeartbeat(partition: PartitionRecord, replica: ReplicaRecord, message: Heartbeat): void {
  const { term, to, leaderCommit } = message;
  const leader = leads(partition, replica, term);
  leader.readRound = Math.max(leader.readRound, message.readRound);
  leader.logTime = Math.max(leader.logTime, message.logTime);
  announceCommit(partition, leader, leaderCommit);
  checkFreshness(partition, replica, message);
  if (message.quiesce) checkQuiesce(partition, replica, message);
  const receiver = partition.roster.replica(to);
  const entry = replica.log[leaderCommit];
  if (receiver === undefined || entry === undefined) return;
  if (!receiver.holds(entry)) {
    const told = `that ${named(entry)} is committed and durable there, which it is not`;
    partition.fail('commit index', `${replica.name} tells ${receiver.name} ${told}`);
  }
  const seen = leader.heartbeats.get(to) ?? { commit: 0, returns: 0 };
  leader.heartbeats.set(to, seen);
  // A leader begins anew with a follower that restarted, once per start. One whose disk is gone starts no more, but its node does, and waits to be let in.
  if (leaderCommit < seen.commit && !receiver.gone) seen.returns += 1;
  if (seen.returns > receiver.starts) {
    const where = `to ${receiver.name} in term ${term} goes back from ${seen.commit} to ${leaderCommit}`;
    partition.fail('commit index', `the commit index of ${replica.name} ${where}`);
  }
  seen.commit = leaderCommit;
}

/** By what it says its receiver may call its state as fresh as that time: nothing above that index may have been committed by then. */
function checkFreshness(partition: PartitionRecord, replica: ReplicaRecord, message: Heartbeat): void {
  const { logTime, freshIndex, freshTime } = message;
  partition.freshness.noteCommitted(logTime, partition.committedIndex);
  if (freshTime === 0) return; // it says nothing
  const committed = partition.freshness.committedBy(freshTime);
  if (committed === undefined || committed <= freshIndex) return;
  const told = `that all committed by log time ${freshTime} lies at or below ${freshIndex}`;
  partition.fail('freshness', `${replica.name} says ${told}, when ${committed} was committed`);
}

/** A round of reads, and a time by which all is known, are confirmed to the leadership that asked for it, and to no other of the same replica. */
function checkConfirms(partition: PartitionRecord, replica: ReplicaRecord, message: HeartbeatResponse): void {
  const { term, to, readRound, logTime } = message;
  if (readRound === 0 && logTime === 0) return; // it confirms nothing
  const leader = partition.leaderOf(term);
  const isAsked = leader?.replica.replicaId === to && leader.readRound >= readRound && leader.logTime >= logTime;
  if (isAsked) return;
  const told = `round ${readRound} of log time ${logTime} in term ${term}`;
  partition.fail(
    'confirmed unasked',
    `${replica.name} confirms ${told} to ${partition.nameOf(to)}, which was not asked there`,
  );
}

/** Nobody speaks up in a silent group: whatever somebody lacks then, it lacks until something else wakes the group. */
function checkQuiesce(partition: PartitionRecord, replica: ReplicaRecord, { leaderCommit }: Heartbeat): void {
  const { lastEntry, name } = replica;
  const fail = (why: string): never =>
    partition.fail('quiesce', `${name} lets its group fall silent with its log at ${named(lastEntry)}, ${why}`);
  if (leaderCommit !== lastEntry.index) fail(`and names ${leaderCommit} as committed`);
  for (const member of partition.roster.inForce(lastEntry).members) {
    if (!member.holds(lastEntry)) fail(`which ${member.name} does not hold durably`);
  }
}

/** Thesis 3.10: the target wins its election only with all that the leader's log holds. */
function judgeTimeoutNow(partition: PartitionRecord, replica: ReplicaRecord, { term, to }: TimeoutNow): void {
  leads(partition, replica, term);
  const { lastEntry, name } = replica;
  const target = partition.roster.replica(to);
  const fail = (whom: string): never =>
    partition.fail('transfer to a lagging target', `${name} hands the leadership of term ${term} to ${whom}`);
  if (target === undefined || !partition.roster.inForce(lastEntry).isVoter(target)) {
    return fail(`${partition.nameOf(to)}, which does not vote`);
  }
  if (!target.holds(lastEntry)) fail(`${target.name}, which does not hold ${named(lastEntry)} durably`);
}
