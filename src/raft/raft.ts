/**
 * One member of one Raft group as a deterministic state machine: inputs in, a `Ready` out. No I/O, no clock, no
 * randomness of its own. The rules of the roles are in `election.ts`, `follower.ts` and `leader.ts`.
 */
import { assert, unreachable } from '../assert.ts';
import { planted } from '../planted.ts';
import { Durability } from './durability.ts';
import {
  answerVote,
  campaign,
  countOwnVote,
  handlePreVoteRequest,
  handlePreVoteResponse,
  handleVoteRequest,
  handleVoteResponse,
  isLeaderAlive,
  refusePreVote,
  tickElection,
} from './election.ts';
import { handleAppendEntries, handleHeartbeat, refuseOldLeader } from './follower.ts';
import { Invariants } from './invariants.ts';
import {
  advanceCommit,
  flushLeader,
  handleAppendEntriesResponse,
  handleHeartbeatResponse,
  propose,
  readIndex,
  tickLeader,
} from './leader.ts';
import { RaftLog } from './log.ts';
import { becomeFollower, leaderOf, type Member, restartElectionTimer } from './member.ts';
import { membershipOf } from './membership.ts';
import {
  type Entry,
  type EntryKind,
  type Leadership,
  type LogIndex,
  type Message,
  noReplica,
  type Persist,
  type ProposeResult,
  type ReplicaId,
  type RaftCore,
  type RaftOptions,
  type RaftStatus,
  type Ready,
} from './types.ts';

export class Raft implements RaftCore {
  readonly #member: Member;
  readonly #invariants: Invariants;
  /** What the last Ready said of the leadership. */
  #announced: Leadership;

  /** Starts as a follower that knows no leader, with what its disk holds. `appliedIndex` is within the stored log. */
  constructor(options: RaftOptions) {
    this.#member = newMember(options);
    this.#invariants = new Invariants(this.#member);
    this.#announced = leadershipOf(this.#member);
  }

  step(message: Message): void {
    receive(this.#member, message);
    this.#invariants.check(this.#member);
  }

  tick(): void {
    const { role } = this.#member;
    if (role.name === 'leader') tickLeader(this.#member, role);
    else tickElection(this.#member);
    this.#invariants.check(this.#member);
  }

  campaign(): void {
    campaign(this.#member);
    this.#invariants.check(this.#member);
  }

  propose(kind: EntryKind, body: Uint8Array): ProposeResult {
    const { role } = this.#member;
    if (role.name !== 'leader') return { type: 'not_leader', leader: leaderOf(this.#member) };
    const result = propose(this.#member, role, kind, body);
    this.#invariants.check(this.#member);
    return result;
  }

  readIndex(context: number): boolean {
    const { role } = this.#member;
    if (role.name !== 'leader') return false;
    readIndex(this.#member, role, context);
    return true;
  }

  hasReady(): boolean {
    const member = this.#member;
    const { role, log } = member;
    if (role.name === 'leader' && (role.replicationDue || role.reads.isRoundDue())) return true;
    if (member.messages.length > 0 || member.reads.length > 0 || member.readsRefused.length > 0) return true;
    if (member.commitIndex > member.applyingIndex) return true;
    if (member.durability.isDue(log.lastIndex, member.hardState)) return true;
    return !isAnnounced(this.#announced, member);
  }

  ready(): Ready {
    const member = this.#member;
    if (member.role.name === 'leader') flushLeader(member, member.role);
    const { messages, reads, readsRefused } = member;
    if (messages.length > 0) member.messages = [];
    if (reads.length > 0) member.reads = [];
    if (readsRefused.length > 0) member.readsRefused = [];
    const ready: Ready = {
      messages,
      persist: takePersist(member),
      committed: takeCommitted(member),
      reads,
      readsRefused,
      leadership: this.#takeLeadership(),
    };
    this.#invariants.check(member);
    return ready;
  }

  persisted(persist: Persist): readonly Message[] {
    const member = this.#member;
    const released = member.durability.completed(persist, member.hardState.currentTerm);
    if (member.role.name === 'candidate' && member.durability.holds(member.hardState))
      countOwnVote(member, member.role);
    if (member.role.name === 'leader') advanceCommit(member, member.role);
    evict(member);
    this.#invariants.check(member);
    return released;
  }

  peerRestarted(replica: ReplicaId): void {
    const { role } = this.#member;
    if (role.name === 'leader') role.progress.get(replica)?.restarted(this.#member.log.lastIndex);
  }

  applied(index: LogIndex): void {
    const member = this.#member;
    assert(index >= member.appliedIndex && index <= member.applyingIndex, () => `applied ${index}, never handed out`);
    member.appliedIndex = index;
    evict(member);
    this.#invariants.check(member);
  }

  status(): RaftStatus {
    const { replicaId, hardState, commitIndex, appliedIndex, log, membership, role } = this.#member;
    return {
      role: role.name,
      term: hardState.currentTerm,
      leader: leaderOf(this.#member),
      replicaId,
      votedFor: hardState.votedFor,
      commitIndex,
      appliedIndex,
      lastIndex: log.lastIndex,
      configuration: membership.configuration,
      progress: role.name === 'leader' ? [...role.progress].map(([id, progress]) => progress.status(id)) : [],
    };
  }

  #takeLeadership(): Leadership | undefined {
    if (isAnnounced(this.#announced, this.#member)) return undefined;
    this.#announced = leadershipOf(this.#member);
    return this.#announced;
  }
}

function newMember(options: RaftOptions): Member {
  const { replicaId, configuration, hardState, appliedIndex, limits, random } = options;
  assert(configuration.voters.length > 0, 'a group has voters');
  assert(limits.electionTicksMin > limits.heartbeatTicks, 'a leader is heard within the election timeout');
  assert(limits.electionTicksMax >= limits.electionTicksMin, 'election timeouts form a range');
  assert(limits.inflightMessagesMax > 0 && limits.inflightBytesMax > 0, 'the window lets something through');
  const log = new RaftLog(options.log, limits.logCacheBytesMax);
  assert(appliedIndex >= log.firstIndex - 1, 'what was compacted is in the state machine');
  const member: Member = {
    replicaId,
    limits,
    random,
    log,
    durability: new Durability({ lastIndex: log.lastIndex, hardState }),
    membership: membershipOf(configuration, replicaId),
    hardState,
    role: { name: 'follower', leader: noReplica, verifiedIndex: 0 as LogIndex },
    commitIndex: appliedIndex,
    applyingIndex: appliedIndex,
    appliedIndex,
    electionElapsed: 0,
    electionTimeout: 0,
    messages: [],
    reads: [],
    readsRefused: [],
  };
  restartElectionTimer(member);
  return member;
}

/** Terms first (paper 5.1), then what the message says. */
function receive(member: Member, message: Message): void {
  // Neither meant for an earlier stay of this member, nor from someone this group doesn't know.
  if (message.to !== member.replicaId || !member.membership.known.has(message.from)) return;
  const { currentTerm } = member.hardState;
  if (message.term < currentTerm) {
    receiveOld(member, message);
    return;
  }
  if (message.term > currentTerm && !acceptTerm(member, message)) return;
  receiveCurrent(member, message);
}

/** Questions of an older term are answered with ours, so that whoever was left behind catches up; answers are stale. */
function receiveOld(member: Member, message: Message): void {
  switch (message.type) {
    case 'PreVoteRequest':
      refusePreVote(member, message);
      return;
    case 'VoteRequest':
      answerVote(member, message, false);
      return;
    case 'AppendEntriesRequest':
    case 'Heartbeat':
      refuseOldLeader(member, message);
      return;
    case 'PreVoteResponse':
    case 'VoteResponse':
    case 'AppendEntriesResponse':
    case 'HeartbeatResponse':
      return;
    default:
      unreachable(message);
  }
}

/** A higher term: joins it, where the message calls for that. Returns false when the message is to be ignored. */
function acceptTerm(member: Member, message: Message): boolean {
  switch (message.type) {
    case 'PreVoteRequest':
      if (planted('pre-vote-refreshes-contact')) member.electionElapsed = 0;
      // Only a question; nobody has entered that term.
      return !isLeaderAlive(member);
    case 'VoteRequest':
      if (isLeaderAlive(member) && !message.transfer) return false;
      break;
    case 'PreVoteResponse':
      // A yes carries the term that was asked for; a no carries the responder's own.
      if (message.granted) return true;
      break;
    default:
      break;
  }
  becomeFollower(member, message.term, noReplica);
  return true;
}

function receiveCurrent(member: Member, message: Message): void {
  const { role } = member;
  switch (message.type) {
    case 'PreVoteRequest':
      handlePreVoteRequest(member, message);
      return;
    case 'PreVoteResponse':
      handlePreVoteResponse(member, message);
      return;
    case 'VoteRequest':
      handleVoteRequest(member, message);
      return;
    case 'VoteResponse':
      handleVoteResponse(member, message);
      return;
    case 'AppendEntriesRequest':
      handleAppendEntries(member, message);
      return;
    case 'AppendEntriesResponse':
      if (role.name === 'leader') handleAppendEntriesResponse(member, role, message);
      return;
    case 'Heartbeat':
      handleHeartbeat(member, message);
      return;
    case 'HeartbeatResponse':
      if (role.name === 'leader') handleHeartbeatResponse(member, role, message);
      return;
    default:
      unreachable(message);
  }
}

function takePersist(member: Member): Persist | undefined {
  const { log, durability, hardState } = member;
  if (!durability.isDue(log.lastIndex, hardState)) return undefined;
  const from = (durability.handedOutIndex + 1) as LogIndex;
  const entries = from <= log.lastIndex ? log.entries(from, log.lastIndex, Infinity) : [];
  return durability.handOut(entries, hardState);
}

/** The next chunk of what is committed; the rest follows in the next Ready. */
function takeCommitted(member: Member): readonly Entry[] {
  const { commitIndex, applyingIndex, log, limits } = member;
  if (commitIndex === applyingIndex) return [];
  const entries = log.entries((applyingIndex + 1) as LogIndex, commitIndex, limits.applyBytesMax);
  member.applyingIndex = (applyingIndex + entries.length) as LogIndex;
  return entries;
}

function evict(member: Member): void {
  member.log.evict(Math.min(member.durability.durableIndex, member.applyingIndex) as LogIndex);
}

function leadershipOf(member: Member): Leadership {
  return { role: member.role.name, term: member.hardState.currentTerm, leader: leaderOf(member) };
}

function isAnnounced(announced: Leadership, member: Member): boolean {
  return (
    announced.role === member.role.name &&
    announced.term === member.hardState.currentTerm &&
    announced.leader === leaderOf(member)
  );
}
