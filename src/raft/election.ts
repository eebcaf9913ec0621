/** Elections (paper 5.2, 5.4.1) with pre-vote (thesis 9.6) and leader stickiness (thesis 4.2.3). */
import { planted } from '../planted.ts';
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  type Candidate,
  castVote,
  leaderOf,
  type Member,
  restartElectionTimer,
  sendWhenDurable,
} from './member.ts';
import { type Membership, membershipOf } from './membership.ts';
import { voteResult } from './quorum.ts';
import {
  type LogIndex,
  noReplica,
  type PreVoteRequest,
  type PreVoteResponse,
  type ReplicaId,
  type Term,
  type VoteRequest,
  type VoteResponse,
} from './types.ts';

/** Asks the other voters whether an election would be won. Nothing on a leader or a non-voter. */
export function campaign(member: Member): void {
  if (!mayCampaign(member)) return;
  const role = becomePreCandidate(member);
  role.votes.set(member.replicaId, true);
  askForPreVotes(member);
  countPreVotes(member);
}

function askForPreVotes(member: Member): void {
  for (const to of electorate(member).voterPeers) askForPreVote(member, to);
}

function askForPreVote({ log, messages, replicaId: from, hardState }: Member, to: ReplicaId): void {
  const term = (hardState.currentTerm + 1) as Term;
  messages.push({ type: 'PreVoteRequest', from, to, term, lastLogIndex: log.lastIndex, lastLogTerm: log.lastTerm });
}

/** See `RaftCore.askStranger`. Safety: a yes counts for nothing, since votes are counted by the configuration here. */
export function askStranger(member: Member, to: ReplicaId): void {
  if (member.removed || leaderOf(member) !== noReplica || member.membership.known.has(to)) return;
  askForPreVote(member, to);
}

/** A disk that completes nothing can't take a vote, its own included: to ask for others' would only hold up the election. */
function mayCampaign(member: Member): boolean {
  if (member.role.name === 'leader' || !isVoter(member)) return false;
  return member.durability.waitedTicks < member.limits.electionTicksMin;
}

/** By any configuration that may still be in force. */
export function isVoter({ configurations, replicaId, removed }: Member): boolean {
  return !removed && configurations.hasVoter(replicaId);
}

/** The leader asks this member to take over (thesis 3.10): no pre-vote, and the others set stickiness aside. */
export function handleTimeoutNow(member: Member): void {
  if (!mayCampaign(member) || leavesItToOthers(member)) return;
  becomePreCandidate(member);
  askForVotes(member, { transfer: true });
}

/**
 * A round of ticks without a leader ends in a campaign. Who has no vote asks as well and counts no answer: if it was removed
 * and the word of it was lost, this is how it is told; and a leader that fell silent without it is woken.
 */
export function tickElection(member: Member): void {
  member.durability.tick();
  member.electionElapsed++;
  if (member.electionElapsed < patience(member)) return;
  if (isVoter(member)) return campaign(member);
  if (member.removed) return;
  // Its leader is forgotten, as by a voter that campaigns: a configuration that it lacks may have given it a vote that others need.
  becomeFollower(member, member.hardState.currentTerm, noReplica);
  restartElectionTimer(member);
  askForPreVotes(member);
}

/**
 * A member whose node is about to stop would only have to hand over what it wins. So it begins nothing by itself, and waits
 * for the longest election timeout beyond its own before it asks: whoever else could win has asked by then, with this
 * member's vote to be had as ever.
 *
 * That is a matter of order alone, and of how long there is no leader: safety rests on votes, which are given and counted by
 * the same rules. And it does not depend on anything that could be wrong, such as who seems to be in reach, or leaves as
 * well: where nobody else can win, because the others lag or all of them are about to stop, this one still asks in the end.
 * Alone in its group it has nobody to wait for.
 */
export function leavesItToOthers({ standsBack, membership }: Member): boolean {
  return standsBack && membership.voterPeers.length > 0;
}

/** Ticks without a leader after which it campaigns. */
function patience(member: Member): number {
  const { electionTimeout, limits } = member;
  return leavesItToOthers(member) ? electionTimeout + limits.electionTicksMax : electionTimeout;
}

/**
 * A voter that has heard from a live leader within the minimum election timeout does not help to depose it, nor does
 * a leader, who steps down by itself once it hears from no quorum: a partitioned or removed member can't disturb.
 */
export function isLeaderAlive(member: Member): boolean {
  if (member.role.name === 'leader') return true;
  if (member.role.name !== 'follower' || member.role.leaderGone) return false;
  return member.role.leader !== noReplica && member.electionElapsed < member.limits.electionTicksMin;
}

/**
 * Answers a pre-vote and changes nothing: no term, no vote, no timer. Nothing durable is promised, so a yes goes at
 * once. A no carries our term: it lifts an asker who was left behind, who could else never win nor learn why.
 */
export function handlePreVoteRequest(member: Member, request: PreVoteRequest): void {
  const { log, replicaId: from, hardState } = member;
  const last = { index: request.lastLogIndex, term: request.lastLogTerm };
  const granted = request.term > hardState.currentTerm && log.isUpToDate(last);
  if (granted) {
    member.messages.push({ type: 'PreVoteResponse', from, to: request.from, term: request.term, granted });
  } else {
    refusePreVote(member, request);
  }
}

export function refusePreVote(member: Member, request: PreVoteRequest): void {
  const { replicaId: from, hardState } = member;
  const term = hardState.currentTerm;
  const refusal: PreVoteResponse = { type: 'PreVoteResponse', from, to: request.from, term, granted: false };
  sendWhenDurable(member, refusal, 0 as LogIndex);
}

/** Paper 5.2 and 5.4.1: one vote per term, first come, only for a log at least as up to date. `request.term` is current. */
export function handleVoteRequest(member: Member, request: VoteRequest): void {
  const { votedFor } = member.hardState;
  const free = votedFor === request.from || (votedFor === noReplica && leaderOf(member) === noReplica);
  const granted = free && member.log.isUpToDate({ index: request.lastLogIndex, term: request.lastLogTerm });
  if (granted) {
    castVote(member, request.from);
    member.electionElapsed = 0;
  }
  answerVote(member, request, granted);
}

/** Safety: a vote that was not durable before its answer could be given again, to another, after a crash. */
export function answerVote(member: Member, request: VoteRequest, granted: boolean): void {
  const { replicaId: from, hardState } = member;
  const response: VoteResponse = {
    type: 'VoteResponse',
    from,
    to: request.from,
    term: hardState.currentTerm,
    granted,
    timeTerm: 0 as Term,
    logTime: 0,
  };
  if (planted('vote-before-durable')) member.messages.push(response);
  else sendWhenDurable(member, response, 0 as LogIndex);
}

/** A yes carries the term that was asked for; one to an earlier question is dropped. */
export function handlePreVoteResponse(member: Member, response: PreVoteResponse): void {
  const { role, hardState } = member;
  if (role.name !== 'preCandidate') return;
  if (response.granted && response.term !== hardState.currentTerm + 1) return;
  noteVote(member, role.votes, response);
  countPreVotes(member);
}

export function handleVoteResponse(member: Member, response: VoteResponse): void {
  const { role } = member;
  if (role.name !== 'candidate') return;
  noteVote(member, role.votes, response);
  countVotes(member, role);
}

/** The first answer of a voter counts, whatever it repeats or takes back later. */
function noteVote(
  member: Member,
  votes: Map<ReplicaId, boolean>,
  { from, granted }: PreVoteResponse | VoteResponse,
): void {
  const { voterPeers } = electorate(member);
  // Not of the configuration in force: it decides nothing. (Left out, say, and not told yet.)
  if (!voterPeers.includes(from)) return;
  if (!votes.has(from)) votes.set(from, granted);
  else if (planted('duplicate-vote-counted')) votes.set(voterPeers.find((id) => !votes.has(id)) ?? from, granted);
}

/** Who is asked and counted: the voters of the configuration in force, which is the newest in the log, committed or not. */
function electorate({ membership, configurations, replicaId }: Member): Membership {
  if (!planted('removed-replica-votes')) return membership;
  return membershipOf(configurations.newestCommitted.configuration, replicaId);
}

/** The candidate's own vote, once durable: until then a crash could make it forget that it was cast. */
export function countOwnVote(member: Member, role: Candidate): void {
  if (role.votes.has(member.replicaId)) return;
  role.votes.set(member.replicaId, true);
  countVotes(member, role);
}

function countPreVotes(member: Member): void {
  const { role } = member;
  if (role.name !== 'preCandidate') return;
  const result = voteResult(electorate(member).configuration, role.votes);
  if (result === 'lost') becomeFollower(member, member.hardState.currentTerm, noReplica);
  if (result === 'won') askForVotes(member, { transfer: false });
}

/** The requests wait for the candidate's own term and vote to be durable: a restart must not ask twice in one term. */
function askForVotes(member: Member, { transfer }: { readonly transfer: boolean }): void {
  becomeCandidate(member);
  const { log, replicaId: from, hardState } = member;
  const question = { lastLogIndex: log.lastIndex, lastLogTerm: log.lastTerm, transfer };
  for (const to of electorate(member).voterPeers) {
    const request: VoteRequest = { type: 'VoteRequest', from, to, term: hardState.currentTerm, ...question };
    sendWhenDurable(member, request, 0 as LogIndex);
  }
}

function countVotes(member: Member, role: Candidate): void {
  const result = voteResult(electorate(member).configuration, role.votes);
  if (result === 'lost') becomeFollower(member, member.hardState.currentTerm, noReplica);
  if (result === 'won') becomeLeader(member);
}
