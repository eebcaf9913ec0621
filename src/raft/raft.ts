/**
 * One member of one Raft group as a deterministic state machine: inputs in, a `Ready` out. No I/O, no clock, no
 * randomness of its own. The rules of the roles are in `election.ts`, `follower.ts` and `leader.ts`.
 */
import { assert, unreachable } from '../assert.ts';
import { planted } from '../planted.ts';
import { Durability } from './durability.ts';
import {
  answerVote,
  askStranger,
  campaign,
  countOwnVote,
  handlePreVoteRequest,
  handlePreVoteResponse,
  handleVoteRequest,
  handleTimeoutNow,
  handleVoteResponse,
  isLeaderAlive,
  isVoter,
  leavesItToOthers,
  refusePreVote,
  tickElection,
} from './election.ts';
import { handleAppendEntries, handleHeartbeat, refuseOldLeader } from './follower.ts';
import { installSnapshot } from './install.ts';
import { Invariants } from './invariants.ts';
import {
  advanceCommit,
  changeConfiguration,
  committedBound,
  flushLeader,
  handleAppendEntriesResponse,
  handleHeartbeatResponse,
  propose,
  readIndex,
  snapshotEnded,
  tickLeader,
} from './leader.ts';
import { RaftLog } from './log.ts';
import {
  adoptConfiguration,
  becomeFollower,
  leaderOf,
  type Member,
  restartElectionTimer,
  sendWhenDurable,
} from './member.ts';
import { Configurations, isConfiguration, leavesOut, membershipOf } from './membership.ts';
import { breaksSilence, wake } from './quiescence.ts';
import { transferLeadership } from './transfer.ts';
import {
  type ChangeResult,
  type ConfigurationAt,
  type ConfigurationChange,
  type Entry,
  type EntryKind,
  type InstallResult,
  type InstallSnapshot,
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
  type TransferResult,
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
    if (breaksSilence(this.#member, message)) wake(this.#member);
    receive(this.#member, message);
    this.#invariants.check(this.#member);
  }

  tick(): void {
    const { role, quiesced } = this.#member;
    if (quiesced) return;
    if (role.name === 'leader') tickLeader(this.#member, role);
    else tickElection(this.#member);
    this.#invariants.check(this.#member);
  }

  campaign(): void {
    wake(this.#member);
    if (!leavesItToOthers(this.#member)) campaign(this.#member);
    this.#invariants.check(this.#member);
  }

  propose(kind: EntryKind, body: Uint8Array): ProposeResult {
    const { role } = this.#member;
    if (role.name !== 'leader') return { type: 'not_leader', leader: leaderOf(this.#member) };
    wake(this.#member);
    const result = propose(this.#member, role, kind, body);
    this.#invariants.check(this.#member);
    return result;
  }

  readIndex(context: number): boolean {
    const { role } = this.#member;
    if (role.name !== 'leader') return false;
    readIndex(this.#member, role, context);
    wake(this.#member);
    return true;
  }

  committedBound(): LogIndex | undefined {
    const { role } = this.#member;
    return role.name === 'leader' ? committedBound(this.#member, role) : undefined;
  }

  hasReady(): boolean {
    const member = this.#member;
    const { role, log } = member;
    if (role.name === 'leader' && (role.replicationDue || role.reads.isRoundDue())) return true;
    if (member.messages.length > 0 || member.reads.length > 0 || member.readsRefused.length > 0) return true;
    if (member.snapshotsDue.length > 0 || member.configurationChanged) return true;
    if (member.commitIndex > member.applyingIndex) return true;
    if (member.durability.isDue(log.lastIndex, member.hardState)) return true;
    return !isAnnounced(this.#announced, member);
  }

  ready(): Ready {
    const member = this.#member;
    if (member.role.name === 'leader') flushLeader(member, member.role);
    const { messages, reads, readsRefused, snapshotsDue, configurationChanged } = member;
    if (messages.length > 0) member.messages = [];
    if (reads.length > 0) member.reads = [];
    if (readsRefused.length > 0) member.readsRefused = [];
    if (snapshotsDue.length > 0) member.snapshotsDue = [];
    member.configurationChanged = false;
    const ready: Ready = {
      messages,
      persist: takePersist(member),
      committed: takeCommitted(member),
      reads,
      readsRefused,
      leadership: this.#takeLeadership(),
      snapshotsDue,
      configuration: configurationChanged ? member.configurations.newest : undefined,
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
    if (role.name !== 'leader') return;
    wake(this.#member);
    role.progress.get(replica)?.restarted(this.#member.log.lastIndex);
    // It is probed at once, and learns so who leads.
    role.replicationDue = true;
  }

  applied(index: LogIndex): void {
    const member = this.#member;
    assert(index >= member.appliedIndex && index <= member.applyingIndex, () => `applied ${index}, never handed out`);
    member.appliedIndex = index;
    evict(member);
    this.#invariants.check(member);
  }

  /** The one in force: appended, perhaps not committed. */
  get configuration(): ConfigurationAt {
    return this.#member.configurations.newest;
  }

  /** The newest that can't be rolled back any more, as far as this member knows. */
  get committedConfiguration(): ConfigurationAt {
    return this.#member.configurations.newestCommitted;
  }

  /** Where the log begins; 1 at first. */
  get firstIndex(): LogIndex {
    return this.#member.log.firstIndex;
  }

  /** Entries of the log, those that are in memory without reading: at least one, then up to about `bytesMax`. See `LogReader.entries`. */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
    return this.#member.log.entries(from, to, bytesMax);
  }

  get quiesced(): boolean {
    return this.#member.quiesced;
  }

  get removed(): boolean {
    return this.#member.removed;
  }

  status(): RaftStatus {
    const { replicaId, hardState, commitIndex, appliedIndex, log, membership, role, quiesced, removed } = this.#member;
    return {
      role: role.name,
      term: hardState.currentTerm,
      leader: leaderOf(this.#member),
      replicaId,
      votedFor: hardState.votedFor,
      commitIndex,
      appliedIndex,
      lastIndex: log.lastIndex,
      firstIndex: log.firstIndex,
      configuration: membership.configuration,
      quiesced,
      removed,
      transferee: (role.name === 'leader' && role.transfer?.to) || noReplica,
      progress: role.name === 'leader' ? [...role.progress].map(([id, progress]) => progress.status(id)) : [],
    };
  }

  transferLeadership(to: ReplicaId): TransferResult {
    const member = this.#member;
    if (member.role.name !== 'leader') return { type: 'not_leader', leader: leaderOf(member) };
    wake(member);
    const result = transferLeadership(member, member.role, to);
    this.#invariants.check(member);
    return result;
  }

  toldToTakeOver(replica: ReplicaId): boolean {
    const { role } = this.#member;
    return role.name === 'leader' && role.told.has(replica);
  }

  changeConfiguration(change: ConfigurationChange): ChangeResult {
    const member = this.#member;
    if (member.role.name !== 'leader') return { type: 'not_leader', leader: leaderOf(member) };
    wake(member);
    const result = changeConfiguration(member, member.role, change);
    this.#invariants.check(member);
    return result;
  }

  leaderGone(leader: ReplicaId): boolean {
    const { role } = this.#member;
    if (role.name !== 'follower' || role.leader !== leader || leader === noReplica) return false;
    wake(this.#member);
    role.leaderGone = true;
    return isVoter(this.#member);
  }

  askStranger(replica: ReplicaId): void {
    askStranger(this.#member, replica);
    this.#invariants.check(this.#member);
  }

  get leaderIsGone(): boolean {
    const { role } = this.#member;
    return role.name === 'follower' && role.leaderGone;
  }

  stalled(): void {
    const member = this.#member;
    wake(member);
    if (member.role.name === 'leader') becomeFollower(member, member.hardState.currentTerm, noReplica);
    this.#invariants.check(member);
  }

  standBack(): void {
    this.#member.standsBack = true;
  }

  wake(): void {
    wake(this.#member);
  }

  compact(through: LogIndex): void {
    const member = this.#member;
    // A snapshot was installed since this was decided.
    if (through < member.log.firstIndex) return;
    assert(through <= member.appliedIndex, () => `entry ${through} is not applied and can't be forgotten`);
    member.log.compact(through);
    member.durability.compacted(through);
    this.#invariants.check(member);
  }

  snapshotEnded(replica: ReplicaId): void {
    const member = this.#member;
    if (member.role.name === 'leader') snapshotEnded(member, member.role, replica);
  }

  installSnapshot(request: InstallSnapshot): InstallResult {
    wake(this.#member);
    const result = installSnapshot(this.#member, request);
    this.#invariants.check(this.#member);
    return result;
  }

  #takeLeadership(): Leadership | undefined {
    if (isAnnounced(this.#announced, this.#member)) return undefined;
    this.#announced = leadershipOf(this.#member);
    return this.#announced;
  }
}

function newMember(options: RaftOptions): Member {
  const { replicaId, configuration, hardState, appliedIndex, limits, random } = options;
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
    configurations: new Configurations(configuration),
    membership: membershipOf(configuration.configuration, replicaId),
    hardState,
    role: { name: 'follower', leader: noReplica, verifiedIndex: 0 as LogIndex, leaderGone: false },
    commitIndex: appliedIndex,
    applyingIndex: appliedIndex,
    appliedIndex,
    electionElapsed: 0,
    electionTimeout: 0,
    quiesced: false,
    standsBack: false,
    // What is applied is committed: the word that it was removed must not be lost with the process that heard it.
    removed: leavesOut(configuration.configuration, replicaId),
    messages: [],
    reads: [],
    readsRefused: [],
    snapshotsDue: [],
    configurationChanged: false,
  };
  readConfigurations(member);
  restartElectionTimer(member);
  return member;
}

/** Configurations above what is applied are in force as well: they stand in the log. */
function readConfigurations(member: Member): void {
  const { log, configurations, appliedIndex, limits } = member;
  for (let next = (appliedIndex + 1) as LogIndex; next <= log.lastIndex;) {
    const entries = log.entries(next, log.lastIndex, limits.applyBytesMax);
    for (const entry of entries) if (isConfiguration(entry)) configurations.append(entry);
    next = (next + entries.length) as LogIndex;
  }
  adoptConfiguration(member);
  member.configurationChanged = false;
}

/** Terms first (paper 5.1), then what the message says. */
function receive(member: Member, message: Message): void {
  // Meant for an earlier stay of this member, or led astray.
  if (message.to !== member.replicaId || message.from === member.replicaId) return;
  if (member.removed) {
    // It is over, but for whoever was removed as well and has nobody else to ask.
    maybeTellOfRemoval(member, message);
    return;
  }
  if (message.type === 'ReplicaRemoved') return leave(member);
  if (!member.membership.known.has(message.from) && !maybeHearStranger(member, message)) return;
  const { currentTerm } = member.hardState;
  if (message.term < currentTerm) {
    receiveOld(member, message);
    return;
  }
  if (message.term > currentTerm && !acceptTerm(member, message)) return;
  receiveCurrent(member, message);
}

/** A committed configuration has left this replica out. Whoever waits for it learns that it does not lead. */
function leave(member: Member): void {
  wake(member);
  becomeFollower(member, member.hardState.currentTerm, noReplica);
  member.removed = true;
}

/**
 * A message from a replica that the configuration in force does not name. It may be new, named by an entry that has not
 * arrived here yet: its questions are answered by the same rules as everybody's (thesis 4.1), for it could else not be elected
 * by those who lag. Or it was removed, and does not know: then it is told. Its answers count for nothing either way.
 */
function maybeHearStranger(member: Member, message: Message): boolean {
  switch (message.type) {
    case 'PreVoteRequest':
    case 'VoteRequest':
      return !maybeTellOfRemoval(member, message);
    case 'AppendEntriesResponse':
    case 'HeartbeatResponse':
      return false;
    default:
      return true;
  }
}

/** Answers the question of a replica that a committed configuration has left out. */
function maybeTellOfRemoval(member: Member, { type, from: to }: Message): boolean {
  if (type !== 'PreVoteRequest' && type !== 'VoteRequest') return false;
  if (!leavesOut(member.configurations.newestCommitted.configuration, to)) return false;
  const { replicaId: from, hardState } = member;
  sendWhenDurable(member, { type: 'ReplicaRemoved', from, to, term: hardState.currentTerm }, 0 as LogIndex);
  return true;
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
    case 'TimeoutNow':
    case 'ReplicaRemoved':
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
    case 'TimeoutNow':
      handleTimeoutNow(member);
      return;
    case 'ReplicaRemoved':
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
