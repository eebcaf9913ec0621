/** A leader's side: replication and commit (paper 5.3, 5.4), ReadIndex (thesis 6.4), check-quorum (thesis 6.2). */
import { assert } from '../assert.ts';
import { planted } from '../planted.ts';
import { encodeConfiguration } from './configuration.ts';
import { appendOwn, becomeFollower, commitTo, type Leader, type Member } from './member.ts';
import type { Progress } from './progress.ts';
import { maybeFallSilent } from './quiescence.ts';
import { isQuorum, quorumValue } from './quorum.ts';
import { leaveJoint, leftOut, planChange } from './reconfiguration.ts';
import { handOverAndStepDown, maybeTellTransferee, repeatToTransferee, tickTransfer } from './transfer.ts';
import {
  type AppendEntriesResponse,
  type ChangeResult,
  type ConfigurationAt,
  type ConfigurationChange,
  type Entry,
  EntryKind,
  type HeartbeatResponse,
  type LogIndex,
  noReplica,
  type ProposeResult,
  type ReplicaId,
} from './types.ts';

/** Appends in memory; sending and persisting follow with the next Ready, together with whatever else is proposed. */
export function propose(member: Member, role: Leader, kind: EntryKind, body: Uint8Array): ProposeResult {
  assert(kind === EntryKind.command, 'only commands are proposed');
  if (role.transfer !== undefined) return { type: 'transferring' };
  const bytes = role.uncommittedBytes + body.length;
  if (role.uncommittedBytes > 0 && bytes > member.limits.uncommittedBytesMax) return { type: 'overloaded' };
  const { index, term } = appendCounted(member, role, kind, body);
  return { type: 'appended', index, term };
}

function appendCounted(member: Member, role: Leader, kind: EntryKind, body: Uint8Array): Entry {
  role.uncommittedBytes += body.length;
  role.replicationDue = true;
  return appendOwn(member, kind, body);
}

export function changeConfiguration(member: Member, role: Leader, change: ConfigurationChange): ChangeResult {
  const plan = planChange(member, role, change);
  if (plan.type === 'refused') return plan;
  const { index, term } = appendCounted(member, role, EntryKind.configuration, encodeConfiguration(plan.configuration));
  return { type: 'appended', index, term, configuration: plan.configuration };
}

/** Notes the commit index. Before the term's no-op is committed it may lag behind what an earlier leader answered. */
export function readIndex(member: Member, role: Leader, context: number): void {
  if (member.quiesced && planted('quiesced-reads-without-quorum')) {
    member.reads.push({ context, index: member.commitIndex });
    return;
  }
  const noopCommitted = member.commitIndex >= role.termStartIndex;
  if (noopCommitted || planted('read-before-noop')) role.reads.add(context, member.commitIndex);
  else role.reads.addEarly(context);
}

/**
 * All that anybody has committed so far lies at or below it, if a quorum still follows this leader (thesis 6.4): its own no-op
 * stands behind whatever earlier leaders committed, of which it may not know yet how much that is.
 */
export function committedBound(member: Member, role: Leader): LogIndex {
  if (planted('fresh-before-noop')) return member.commitIndex;
  return Math.max(member.commitIndex, role.termStartIndex) as LogIndex;
}

export function tickLeader(member: Member, role: Leader): void {
  member.durability.tick();
  countOvertaken(member, role);
  // A leader that can't write is none, where another can.
  if (role.overtakenTicks >= member.limits.electionTicksMin) return handOverAndStepDown(member, role);
  if (maybeFallSilent(member, role))
    return broadcastHeartbeat(member, role, { to: member.membership.peers, readRound: 0 });
  tickTransfer(member, role);
  // A transfer that was given up has held this back.
  finishChange(member, role);
  if (member.role !== role) return;
  member.electionElapsed++;
  role.heartbeatElapsed++;
  if (member.electionElapsed >= member.limits.electionTicksMin) {
    member.electionElapsed = 0;
    if (!hasQuorumContact(member, role)) {
      becomeFollower(member, member.hardState.currentTerm, noReplica);
      return;
    }
  }
  if (role.heartbeatElapsed >= member.limits.heartbeatTicks) {
    role.heartbeatElapsed = 0;
    for (const progress of role.progress.values()) progress.repairDue = true;
    // With reads waiting, a round of its own: the messages of the last one may have been lost.
    const readRound = role.reads.isWaiting() ? role.reads.startRound() : 0;
    broadcastHeartbeat(member, role, { to: member.membership.peers, readRound });
    confirmReads(member, role);
    repeatToTransferee(member, role);
  }
}

/**
 * For how long this disk has completed nothing while another voter's was ahead of it. While nobody is ahead, all disks stand still (one machine's,
 * say, or under a flood), and an election, whose votes have to be written too, would only take the leader away for as long as that lasts. Safety
 * does not hang on it: an entry counts here only once it is on this disk.
 */
function countOvertaken({ durability, membership, replicaId }: Member, role: Leader): void {
  const { voters, votersOutgoing } = membership.configuration;
  const isAhead = (id: ReplicaId): boolean =>
    id !== replicaId && progressOf(role, id).matchIndex > durability.durableIndex;
  const isOvertaken = voters.some(isAhead) || votersOutgoing.some(isAhead);
  role.overtakenTicks = isOvertaken ? Math.min(role.overtakenTicks + 1, durability.waitedTicks) : 0;
}

/** Check-quorum: whoever hears from no quorum may have been replaced. Each call begins a new span of listening. */
function hasQuorumContact(member: Member, role: Leader): boolean {
  const { configuration } = member.membership;
  const active = isQuorum(
    configuration,
    (id) => id === member.replicaId || role.progress.get(id)?.recentlyActive === true,
  );
  for (const progress of role.progress.values()) progress.listenAnew();
  return active;
}

/** What became due since the last Ready goes out together. */
export function flushLeader(member: Member, role: Leader): void {
  if (role.reads.isRoundDue()) {
    broadcastHeartbeat(member, role, { to: member.membership.voterPeers, readRound: role.reads.startRound() });
    confirmReads(member, role);
  }
  if (role.replicationDue) {
    role.replicationDue = false;
    replicate(member, role);
  }
}

/** What the replica writes into a heartbeat on its way out. */
const unstamped = { logTime: 0, freshIndex: 0 as LogIndex, freshTime: 0 };

function broadcastHeartbeat(
  member: Member,
  role: Leader,
  { to: receivers, readRound }: { readonly to: readonly ReplicaId[]; readonly readRound: number },
): void {
  const { commitIndex, hardState, messages, replicaId: from, quiesced: quiesce } = member;
  const { currentTerm: term } = hardState;
  for (const to of receivers) {
    const { matchIndex, held } = progressOf(role, to);
    if (held) continue;
    const leaderCommit = Math.min(commitIndex, matchIndex) as LogIndex;
    messages.push({ type: 'Heartbeat', from, to, term, leaderCommit, readRound, ...unstamped, quiesce });
  }
}

/** Sends to every follower what its window lets through. Followers at the same place share one array of entries. */
function replicate(member: Member, role: Leader): void {
  const { log, limits } = member;
  let batch: readonly Entry[] = [];
  for (const [to, progress] of role.progress) {
    while (progress.canSend()) {
      if (progress.nextIndex > log.lastIndex) {
        if (progress.state === 'probe') sendEntries(member, { to, progress, entries: [] });
        break;
      }
      if (progress.nextIndex < log.firstIndex) {
        needsSnapshot(member, to, progress);
        break;
      }
      if (batch[0]?.index !== progress.nextIndex) {
        batch = log.entries(progress.nextIndex, log.lastIndex, limits.appendBytesMax);
      }
      sendEntries(member, { to, progress, entries: batch });
    }
  }
}

/** What the follower needs next was compacted away. The shell sends the state instead, and reports its end. */
function needsSnapshot(member: Member, to: ReplicaId, progress: Progress): void {
  progress.becomeSnapshot();
  member.snapshotsDue.push(to);
}

export function snapshotEnded(member: Member, role: Leader, replica: ReplicaId): void {
  const progress = role.progress.get(replica);
  if (progress?.state !== 'snapshot') return;
  progress.snapshotEnded(member.log.lastIndex);
  role.replicationDue = true;
}

interface Sending {
  readonly to: ReplicaId;
  readonly progress: Progress;
  readonly entries: readonly Entry[];
}

function sendEntries(member: Member, { to, progress, entries }: Sending): void {
  const { nextIndex } = progress;
  sendAppend(member, { to, progress, entries });
  let bodyBytes = 0;
  for (const entry of entries) bodyBytes += entry.body.length;
  progress.sent((nextIndex + entries.length - 1) as LogIndex, bodyBytes);
}

function sendAppend(member: Member, { to, progress, entries }: Sending): void {
  const { log, hardState, commitIndex, messages, replicaId: from } = member;
  const prevLogIndex = (progress.nextIndex - 1) as LogIndex;
  const prevLogTerm = log.term(prevLogIndex);
  assert(prevLogTerm !== undefined, () => `no term at prevLogIndex ${prevLogIndex}`);
  messages.push({
    type: 'AppendEntriesRequest',
    from,
    to,
    term: hardState.currentTerm,
    prevLogIndex,
    prevLogTerm,
    entries,
    leaderCommit: commitIndex,
  });
}

export function handleAppendEntriesResponse(member: Member, role: Leader, response: AppendEntriesResponse): void {
  const { log } = member;
  const progress = progressOf(role, response.from);
  progress.answered();
  if (response.success) {
    assert(response.index <= log.lastIndex, () => `replica ${response.from} holds ${response.index}, beyond our log`);
    const grew = progress.succeeded(response.index);
    if (progress.state === 'snapshot' && progress.matchIndex + 1 >= log.firstIndex) progress.leaveSnapshot();
    if (progress.nextIndex <= log.lastIndex && progress.canSend()) role.replicationDue = true;
    if (grew && response.index > member.commitIndex) advanceCommit(member, role);
    if (grew) maybeTellTransferee(member, role);
    return;
  }
  const floor = Math.max(progress.matchIndex, log.firstIndex - 1) as LogIndex;
  const { hintIndex, hintTerm } = response;
  // A log that ends before ours begins needs a snapshot: where the two might agree can't be found out here.
  const hint =
    hintIndex < floor
      ? (Math.max(hintIndex, progress.matchIndex) as LogIndex)
      : log.lastIndexUpToTerm(hintIndex, hintTerm, floor);
  if (progress.refused(response.index, hint)) role.replicationDue = true;
}

export function handleHeartbeatResponse(member: Member, role: Leader, response: HeartbeatResponse): void {
  const progress = progressOf(role, response.from);
  progress.answered();
  if (progress.repairDue) {
    progress.repairDue = false;
    repair(member, role, { to: response.from, progress });
  }
  if (response.readRound > progress.acknowledgedRound) {
    progress.acknowledgedRound = response.readRound;
    confirmReads(member, role);
  }
}

/**
 * What was sent may have been lost. A probe is repeated. To a follower in replication that has not answered for all,
 * an empty AppendEntries after the last entry sent asks whether it got there: yes frees the window, no leads back to
 * probing from `matchIndex`. It needs no room in the window, so a full one can't block it.
 */
function repair(
  member: Member,
  role: Leader,
  { to, progress }: { readonly to: ReplicaId; readonly progress: Progress },
): void {
  const { log } = member;
  if (progress.state === 'probe') {
    progress.allowProbe();
    role.replicationDue = true;
  } else if (progress.state === 'replicate' && progress.nextIndex < log.firstIndex) {
    needsSnapshot(member, to, progress);
  } else if (progress.state === 'replicate' && progress.matchIndex < log.lastIndex) {
    if (progress.nextIndex <= log.lastIndex && progress.canSend()) role.replicationDue = true;
    else sendAppend(member, { to, progress, entries: [] });
  }
}

/**
 * Commits what a quorum holds durably, this leader itself included only as far as its own disk has got.
 *
 * Safety (paper 5.4.2, figure 8): only an entry of the current term is committed by counting, and all before it with
 * it. An entry of an earlier term may sit on a majority and still be replaced by a later leader.
 */
export function advanceCommit(member: Member, role: Leader): void {
  const { durability, replicaId, log, commitIndex } = member;
  const ownIndex = planted('own-append-counted-early') ? log.lastIndex : durability.durableIndex;
  const index = quorumValue(member.membership.configuration, (id) =>
    id === replicaId ? ownIndex : progressOf(role, id).matchIndex,
  ) as LogIndex;
  if (planted('old-term-counted') && index < role.termStartIndex) commitTo(member, index);
  if (index <= commitIndex || index < role.termStartIndex) return;
  assert(log.term(index) === member.hardState.currentTerm, 'what follows the no-op is of the current term');
  const firstOwn = Math.max(commitIndex + 1, role.termStartIndex) as LogIndex;
  role.uncommittedBytes -= log.bodyBytes(firstOwn, index);
  const before = member.configurations.newestCommitted;
  commitTo(member, index);
  role.reads.releaseEarly(index);
  afterCommit(member, role, before);
  maybeTellTransferee(member, role);
}

/** What becomes due once a configuration is committed: telling who was left out, and the end of the change. */
function afterCommit(member: Member, role: Leader, before: ConfigurationAt): void {
  const { newestCommitted } = member.configurations;
  if (newestCommitted !== before) {
    const { hardState, messages, replicaId: from } = member;
    for (const to of leftOut(before.configuration, newestCommitted.configuration)) {
      if (to !== from) messages.push({ type: 'ReplicaRemoved', from, to, term: hardState.currentTerm });
    }
    for (const progress of role.progress.values()) progress.held = false;
    role.replicationDue = true;
  }
  finishChange(member, role);
}

/** Leaves the joint configuration, its own or an inherited one, once it is committed; a leader that is in no other goes. */
function finishChange(member: Member, role: Leader): void {
  const { newest, newestCommitted } = member.configurations;
  if (newest !== newestCommitted || member.commitIndex < role.termStartIndex) return;
  const { configuration } = newest;
  if (configuration.votersOutgoing.length > 0) {
    // While leadership is handed over nothing is appended: the next leader goes on with it.
    if (role.transfer !== undefined) return;
    appendCounted(member, role, EntryKind.configuration, encodeConfiguration(leaveJoint(configuration)));
    return;
  }
  if (configuration.voters.includes(member.replicaId)) return;
  // Paper, section 6: a leader that is not in the new configuration leads until it is committed, and counts itself out.
  handOverAndStepDown(member, role);
  member.removed = true;
}

/** Hands over the reads whose round a quorum has answered. Alone in its group, a leader is its own quorum. */
function confirmReads(member: Member, role: Leader): void {
  if (!role.reads.isWaiting()) return;
  const round = quorumValue(member.membership.configuration, (id) =>
    id === member.replicaId ? role.reads.newest : progressOf(role, id).acknowledgedRound,
  );
  role.reads.confirmTo(planted('read-by-clock') ? role.reads.newest : round, member.reads);
}

function progressOf(role: Leader, id: ReplicaId): Progress {
  const progress = role.progress.get(id);
  assert(progress !== undefined, () => `replica ${id} has no progress`);
  return progress;
}
