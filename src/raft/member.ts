/**
 * The state of one member of a group and its changes of role. `raft.ts` gives it its inputs; `election.ts`,
 * `follower.ts` and `leader.ts` hold the rules of the roles; all other files of this folder only compute.
 */
import { assert } from '../assert.ts';
import { planted } from '../planted.ts';
import type { Durability } from './durability.ts';
import type { RaftLog } from './log.ts';
import { type Configurations, isConfiguration, leavesOut, type Membership, membershipOf } from './membership.ts';
import { Progress } from './progress.ts';
import { ReadRounds } from './reads.ts';
import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  type Message,
  noReplica,
  type RaftLimits,
  type ReadState,
  type ReplicaId,
  type Term,
} from './types.ts';

export interface Follower {
  readonly name: 'follower';
  /** `noReplica` until this term's leader has been heard. */
  leader: ReplicaId;
  /** The log up to here is known to equal this term's leader's: it never asks to truncate at or below it. */
  verifiedIndex: LogIndex;
  /** The leader's process is known to be gone: it does not count as having been heard from. */
  leaderGone: boolean;
}

export interface PreCandidate {
  readonly name: 'preCandidate';
  readonly votes: Map<ReplicaId, boolean>;
}

export interface Candidate {
  readonly name: 'candidate';
  /** One vote per voter: the first answer counts. Its own is added once it is durable. */
  readonly votes: Map<ReplicaId, boolean>;
}

/** Leadership on its way to another voter (thesis 3.10). Nothing is appended meanwhile. */
export interface Transfer {
  readonly to: ReplicaId;
  elapsedTicks: number;
  /** Since the last heartbeat. */
  told: boolean;
}

export interface Leader {
  readonly name: 'leader';
  /** All others who receive the log. Its own place is `durability.durableIndex`. */
  readonly progress: Map<ReplicaId, Progress>;
  transfer: Transfer | undefined;
  /** Told in this term to take over: each may yet, even where its transfer was given up, for the word may come late. */
  readonly told: Set<ReplicaId>;
  /** Ticks since there was anything to do. */
  idleTicks: number;
  /** The term's no-op. What lies at or above it is of this term, what lies below is of earlier ones. */
  readonly termStartIndex: LogIndex;
  readonly reads: ReadRounds;
  /** Body bytes of this term's entries above the commit index. */
  uncommittedBytes: number;
  /** Since the last heartbeat, in ticks. */
  heartbeatElapsed: number;
  /** For so many ticks another voter has had on its disk what this one's disk was given and did not complete. */
  overtakenTicks: number;
  /** Some follower may be sent something: looked after once per Ready, so that proposals travel together. */
  replicationDue: boolean;
}

export type Role = Follower | PreCandidate | Candidate | Leader;

export interface Member {
  readonly replicaId: ReplicaId;
  readonly limits: RaftLimits;
  readonly random: () => number;
  readonly log: RaftLog;
  readonly durability: Durability;
  readonly configurations: Configurations;
  /** Of the configuration in force. */
  membership: Membership;
  /** `currentTerm` and `votedFor`. Replaced as a whole, so that what was handed out stays what it was. */
  hardState: HardState;
  role: Role;
  /** appliedIndex <= applyingIndex <= commitIndex <= log.lastIndex */
  commitIndex: LogIndex;
  /** Handed out to apply. */
  applyingIndex: LogIndex;
  /** Reported as applied. */
  appliedIndex: LogIndex;
  /** Ticks since: a leader's word or a vote given (follower), the campaign's start, the last quorum check (leader). */
  electionElapsed: number;
  /** In ticks; drawn anew for each campaign. */
  electionTimeout: number;
  /** Silent: time stands still for it until something happens. */
  quiesced: boolean;
  /** Its node is about to stop: others are to lead. */
  standsBack: boolean;
  /** A committed configuration has left it out: it never votes, asks or leads again. */
  removed: boolean;
  /** For the next Ready: may go at once. */
  messages: Message[];
  reads: ReadState[];
  readsRefused: number[];
  snapshotsDue: ReplicaId[];
  configurationChanged: boolean;
}

export function leaderOf(member: Member): ReplicaId {
  if (member.role.name === 'leader') return member.replicaId;
  return member.role.name === 'follower' ? member.role.leader : noReplica;
}

/**
 * Sends a message that speaks of this member's term and vote, and of its log up to `speaksOf`: at once if all of that
 * is durable, else once it is. With the completions in order it is enough to wait for the next hand-out.
 */
export function sendWhenDurable(member: Member, message: Message, speaksOf: LogIndex): void {
  const { durability } = member;
  if (durability.holds(member.hardState) && speaksOf <= durability.durableIndex) member.messages.push(message);
  else durability.hold(message);
}

/** Moves the commit index up to `index`, or does nothing when it is there already. */
export function commitTo(member: Member, index: LogIndex): void {
  if (index <= member.commitIndex) return;
  assert(index <= member.log.lastIndex, () => `commit index ${index} beyond the log's end ${member.log.lastIndex}`);
  member.commitIndex = index;
  // A leader that is left out goes on until it has told the others: see `afterCommit` in leader.ts.
  for (const { configuration } of member.configurations.committed(index)) {
    if (member.role.name !== 'leader' && leavesOut(configuration, member.replicaId)) member.removed = true;
  }
}

/** A configuration was appended, truncated or installed: decisions are made by the newest from here on. */
export function adoptConfiguration(member: Member): void {
  const { role, log } = member;
  member.membership = membershipOf(member.configurations.newest.configuration, member.replicaId);
  member.configurationChanged = true;
  if (role.name !== 'leader') return;
  const { peers, known } = member.membership;
  for (const id of [...role.progress.keys()]) if (!known.has(id)) role.progress.delete(id);
  for (const id of peers) {
    if (!role.progress.has(id)) role.progress.set(id, newProgress(member, id, log.lastIndex));
  }
}

function newProgress(member: Member, id: ReplicaId, nextIndex: LogIndex): Progress {
  const { limits, membership, configurations } = member;
  const window = { messagesMax: limits.inflightMessagesMax, bytesMax: limits.inflightBytesMax };
  const progress = new Progress(nextIndex, window);
  // A voter never waits: a quorum may need it. It was a learner of a committed configuration before.
  const isLearner = membership.configuration.learners.includes(id);
  progress.held = isLearner && !configurations.newestCommitted.configuration.hosts.has(id);
  return progress;
}

/** `term` is the current or a higher one. Whoever leads until now loses its waiting reads. */
export function becomeFollower(member: Member, term: Term, leader: ReplicaId): void {
  const { role } = member;
  if (role.name === 'leader') {
    for (const context of role.reads.contexts()) member.readsRefused.push(context);
    member.snapshotsDue = [];
    restartElectionTimer(member);
  }
  enterTerm(member, term);
  member.quiesced = false;
  if (planted('vote-erased-on-step-down')) castVote(member, noReplica);
  member.role = { name: 'follower', leader, verifiedIndex: 0 as LogIndex, leaderGone: false };
}

/** Thesis 9.6: asks around before it disturbs anyone; term and vote stay as they are. */
export function becomePreCandidate(member: Member): PreCandidate {
  assert(member.role.name !== 'leader' && !member.removed, 'neither a leader nor a removed replica campaigns');
  restartElectionTimer(member);
  const role: PreCandidate = { name: 'preCandidate', votes: new Map() };
  member.role = role;
  return role;
}

/** Paper 5.2: a new term, a vote for itself. Neither is spoken of before both are durable. */
export function becomeCandidate(member: Member): Candidate {
  assert(member.role.name === 'preCandidate', 'only a pre-candidate becomes candidate');
  restartElectionTimer(member);
  enterTerm(member, (member.hardState.currentTerm + 1) as Term);
  castVote(member, member.replicaId);
  const role: Candidate = { name: 'candidate', votes: new Map() };
  member.role = role;
  return role;
}

/** Begins the term with a no-op: only an entry of its own term tells a leader what is committed (paper 5.4.2, 8). */
export function becomeLeader(member: Member): Leader {
  const { log, hardState } = member;
  assert(member.role.name === 'candidate', 'only a candidate becomes leader');
  assert(member.durability.holds(hardState), 'a leader owns a durable term and vote');
  const termStartIndex = (log.lastIndex + 1) as LogIndex;
  const role: Leader = {
    name: 'leader',
    progress: new Map(member.membership.peers.map((peer) => [peer, newProgress(member, peer, termStartIndex)])),
    transfer: undefined,
    told: new Set(),
    idleTicks: 0,
    termStartIndex,
    reads: new ReadRounds(),
    uncommittedBytes: 0,
    heartbeatElapsed: 0,
    overtakenTicks: 0,
    replicationDue: true,
  };
  member.role = role;
  member.electionElapsed = 0;
  appendOwn(member, EntryKind.noop, new Uint8Array(0));
  return role;
}

/** Appends an entry of the current term to the leader's own log. */
export function appendOwn(member: Member, kind: EntryKind, body: Uint8Array): Entry {
  const index = (member.log.lastIndex + 1) as LogIndex;
  const entry: Entry = { index, term: member.hardState.currentTerm, kind, body };
  member.log.append(entry);
  if (isConfiguration(entry)) {
    member.configurations.append(entry);
    adoptConfiguration(member);
  }
  return entry;
}

export function castVote(member: Member, candidate: ReplicaId): void {
  member.hardState = { currentTerm: member.hardState.currentTerm, votedFor: candidate };
}

function enterTerm(member: Member, term: Term): void {
  if (term === member.hardState.currentTerm) return;
  assert(term > member.hardState.currentTerm, 'terms never go back');
  member.hardState = { currentTerm: term, votedFor: noReplica };
  member.durability.forgetHeld();
}

/** Paper 5.2: random timeouts make split votes rare. In [electionTicksMin, electionTicksMax]. */
export function restartElectionTimer(member: Member): void {
  const { electionTicksMin, electionTicksMax } = member.limits;
  const spread = Math.floor(member.random() * (electionTicksMax - electionTicksMin + 1));
  member.electionElapsed = 0;
  member.electionTimeout = electionTicksMin + spread;
}
