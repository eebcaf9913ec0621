/**
 * Groups without work fall silent, so that idle partitions cost nothing: no ticks, no heartbeats (as CockroachDB's quiescent
 * ranges). A leader does so once every member holds all of its log and it is all committed; the last heartbeat says so.
 *
 * Safety: silence grants nothing. A quiesced leader answers a read, like any other, only after a round that a quorum has
 * answered; and votes are given by the same rules. What silence takes away is noticing by time that the other is gone: the
 * node does that for all its groups together and calls `wake` when the connection to a member's node is lost or made.
 */
import type { Leader, Member } from './member.ts';
import type { Heartbeat, Message } from './types.ts';

/** Once a tick. True when the leader falls silent now: a last heartbeat is due. */
export function maybeFallSilent(member: Member, role: Leader): boolean {
  const { quiesceTicks } = member.limits;
  role.idleTicks = isIdle(member, role) ? role.idleTicks + 1 : 0;
  if (quiesceTicks === 0 || role.idleTicks < quiesceTicks) return false;
  // Whoever does not answer may be gone, and nobody would notice.
  for (const progress of role.progress.values()) {
    if (!progress.recentlyActive || !progress.answeredSinceSilence) return false;
  }
  member.quiesced = true;
  return true;
}

/** All that there is is durable and known to be so everywhere. */
function isIdle(member: Member, role: Leader): boolean {
  const { log, commitIndex, appliedIndex, durability, configurations, membership } = member;
  const { lastIndex } = log;
  if (commitIndex !== lastIndex || appliedIndex !== lastIndex || durability.durableIndex !== lastIndex) return false;
  if (role.transfer !== undefined || role.reads.isWaiting()) return false;
  if (membership.configuration.votersOutgoing.length > 0 || configurations.newest.index > commitIndex) return false;
  for (const { matchIndex } of role.progress.values()) if (matchIndex !== lastIndex) return false;
  return true;
}

/** A follower joins in when it holds no more than the leader says is committed; else it answers, and goes on counting. */
export function maybeFollowIntoSilence(member: Member, heartbeat: Heartbeat): boolean {
  const isAll = member.commitIndex === member.log.lastIndex && heartbeat.leaderCommit === member.commitIndex;
  const isDurable = member.durability.durableIndex === member.log.lastIndex;
  member.quiesced = heartbeat.quiesce && isAll && isDurable;
  return member.quiesced;
}

/** Time goes on. A leader speaks at once, and has a whole election timeout to hear from a quorum. */
export function wake(member: Member): void {
  if (!member.quiesced) return;
  member.quiesced = false;
  member.electionElapsed = 0;
  if (member.role.name !== 'leader') return;
  member.role.idleTicks = 0;
  for (const progress of member.role.progress.values()) progress.answeredSinceSilence = false;
  member.role.heartbeatElapsed = member.limits.heartbeatTicks;
}

/** Late answers tell a silent group nothing; all else does. */
export function breaksSilence({ membership, log }: Member, message: Message): boolean {
  switch (message.type) {
    case 'PreVoteRequest':
      // A stranger that could not win here may be a learner whose addition was rolled back: it asks for ever.
      return (
        membership.known.has(message.from) || log.isUpToDate({ index: message.lastLogIndex, term: message.lastLogTerm })
      );
    case 'Heartbeat':
      return !message.quiesce;
    case 'HeartbeatResponse':
    case 'PreVoteResponse':
    case 'VoteResponse':
      return false;
    case 'AppendEntriesResponse':
      return !message.success;
    default:
      return true;
  }
}
