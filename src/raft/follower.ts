/** A follower's side of replication (paper 5.3). All messages here are of the current term. */
import { assert } from '../assert.ts';
import { planted } from '../planted.ts';
import { adoptConfiguration, becomeFollower, commitTo, type Follower, type Member, sendWhenDurable } from './member.ts';
import { isConfiguration } from './membership.ts';
import { maybeFollowIntoSilence } from './quiescence.ts';
import {
  type AppendEntriesRequest,
  type AppendEntriesResponse,
  type Entry,
  type Heartbeat,
  type LogIndex,
  noReplica,
  type ReplicaId,
  type Term,
} from './types.ts';

const noHint = { hintIndex: 0 as LogIndex, hintTerm: 0 as Term };

export function handleAppendEntries(member: Member, request: AppendEntriesRequest): void {
  const role = follow(member, request.from);
  if (planted('commit-beyond-verified'))
    commitTo(member, Math.min(request.leaderCommit, member.log.lastIndex) as LogIndex);
  const { log, commitIndex } = member;
  const { prevLogIndex, entries } = request;
  const lastNewIndex = (prevLogIndex + entries.length) as LogIndex;
  assert(entries.length === 0 || entries[0]?.index === prevLogIndex + 1, 'entries follow prevLogIndex');
  // What is committed here is in this leader's log as well (Leader Completeness, paper 5.4.3): below the commit index
  // nothing is compared, and a prevLogIndex that was compacted away is no conflict.
  if (prevLogIndex >= commitIndex && log.term(prevLogIndex) !== request.prevLogTerm) {
    refuse(member, request);
    return;
  }
  if (planted('compacted-prev-truncates') && prevLogIndex < log.firstIndex - 1) dropUncommitted(member);
  adoptEntries(member, role, entries);
  const verifiedIndex = Math.max(lastNewIndex, commitIndex) as LogIndex;
  role.verifiedIndex = Math.max(role.verifiedIndex, verifiedIndex) as LogIndex;
  // Safety: what follows in our log after the last entry of this very message may be an old leader's, so the commit
  // index stops there (paper, figure 2, AppendEntries rule 5).
  commitTo(member, Math.min(request.leaderCommit, lastNewIndex) as LogIndex);
  answerSuccess(member, request.from, verifiedIndex);
}

/** Says, once it is durable, that the log up to `index` is the leader's. */
export function answerSuccess(member: Member, leader: ReplicaId, index: LogIndex): void {
  answer(member, leader, { success: true, index, ...noHint });
}

/** The leader names no more than it knows to be durable here, so there is nothing left to verify. */
export function handleHeartbeat(member: Member, heartbeat: Heartbeat): void {
  const wasGone = member.role.name === 'follower' && member.role.leaderGone;
  follow(member, heartbeat.from);
  commitTo(member, heartbeat.leaderCommit);
  // The last word of a leader that is gone may come after the news: nobody would wake its followers again.
  if (wasGone || !maybeFollowIntoSilence(member, heartbeat)) answerHeartbeat(member, heartbeat);
}

/**
 * Safety: what an answer confirms belongs to the leadership that asked. Whoever leads our term by now may have sent this heartbeat in an
 * earlier one: it would take the echo of that round and time for word on its own.
 */
function refuseOldHeartbeat(member: Member, heartbeat: Heartbeat): void {
  if (planted('old-heartbeat-confirms')) answerHeartbeat(member, heartbeat);
  else answerHeartbeat(member, { from: heartbeat.from, readRound: 0, logTime: 0 });
}

type Asked = Pick<Heartbeat, 'from' | 'readRound' | 'logTime'>;

function answerHeartbeat(member: Member, { from: to, readRound, logTime }: Asked): void {
  const { replicaId: from, hardState } = member;
  const response = { type: 'HeartbeatResponse', from, to, term: hardState.currentTerm, readRound, logTime } as const;
  sendWhenDurable(member, response, 0 as LogIndex);
}

/** Recognizes this term's leader. Election Safety (paper 5.2): there is only one. */
export function follow(member: Member, leader: ReplicaId): Follower {
  const { currentTerm } = member.hardState;
  assert(member.role.name !== 'leader', () => `replica ${leader} leads in our own term ${currentTerm}`);
  if (member.role.name !== 'follower') becomeFollower(member, currentTerm, leader);
  const role = member.role as Follower;
  assert(role.leader === noReplica || role.leader === leader, () => `two leaders in term ${currentTerm}`);
  role.leader = leader;
  role.leaderGone = false;
  member.electionElapsed = 0;
  return role;
}

/**
 * Appends what is new. Truncates at the first entry whose term differs from ours and nowhere else: a late or repeated
 * request that covers less than we hold must not remove what a later one brought (paper, figure 2, rules 3 and 4).
 */
function adoptEntries(member: Member, role: Follower, entries: readonly Entry[]): void {
  const { log, commitIndex } = member;
  const first = entries[0]?.index;
  if (first === undefined) return;
  let position = Math.max(0, commitIndex + 1 - first);
  for (; position < entries.length; position++) {
    const entry = entries[position] as Entry;
    if (entry.index > log.lastIndex) break;
    if (log.term(entry.index) === entry.term) continue;
    assert(entry.index > commitIndex, () => `committed entry ${entry.index} would be truncated`);
    assert(entry.index > role.verifiedIndex, () => `entry ${entry.index} of this term's leader would be truncated`);
    truncateFrom(member, entry.index);
    break;
  }
  for (; position < entries.length; position++) append(member, entries[position] as Entry);
  if (planted('matching-suffix-truncated')) cutOffAfter(member, entries.at(-1) as Entry);
}

function append(member: Member, entry: Entry): void {
  member.log.append(entry);
  if (!isConfiguration(entry)) return;
  member.configurations.append(entry);
  adoptConfiguration(member);
}

function truncateFrom(member: Member, index: LogIndex): void {
  member.log.truncateFrom(index);
  member.durability.truncated(index);
  if (member.configurations.truncateFrom(index)) adoptConfiguration(member);
}

/** A seeded bug. What is truncated must be replaced in the same batch, so the last entry is written once more. */
function cutOffAfter(member: Member, last: Entry): void {
  if (last.index <= member.commitIndex || last.index === member.log.lastIndex) return;
  truncateFrom(member, last.index);
  append(member, last);
}

/** A seeded bug. Of several entries one is written once more, since what is truncated must be replaced in the same batch. */
function dropUncommitted(member: Member): void {
  const { log, commitIndex } = member;
  const first = (commitIndex + 1) as LogIndex;
  if (first > log.lastIndex) return;
  const several = first < log.lastIndex;
  const [kept] = log.entries(first, first, Infinity);
  truncateFrom(member, first);
  if (several) append(member, kept as Entry);
}

/**
 * The logs don't meet at `prevLogIndex`. The hint is the last place where they still may: at or below it every entry
 * of ours whose term is above the leader's `prevLogTerm` is passed over at once. They do meet at our commit index.
 */
function refuse(member: Member, request: AppendEntriesRequest): void {
  const { log, commitIndex } = member;
  const hintIndex = log.lastIndexUpToTerm(request.prevLogIndex, request.prevLogTerm, commitIndex);
  const hintTerm = log.term(hintIndex);
  assert(hintTerm !== undefined, 'a hint lies within the log');
  answer(member, request.from, { success: false, index: request.prevLogIndex, hintIndex, hintTerm });
}

type Outcome = Pick<AppendEntriesResponse, 'success' | 'index' | 'hintIndex' | 'hintTerm'>;

/** A success speaks of entries up to its index: it waits until they are durable, new ones and repeated ones alike. */
function answer(member: Member, to: ReplicaId, outcome: Outcome): void {
  const { replicaId: from, hardState } = member;
  const speaksOf = outcome.success ? outcome.index : (0 as LogIndex);
  sendWhenDurable(
    member,
    { type: 'AppendEntriesResponse', from, to, term: hardState.currentTerm, ...outcome },
    speaksOf,
  );
}

/** Whoever leads in an older term learns ours and steps down (paper 5.1). This also frees a member stuck in a higher term. */
export function refuseOldLeader(member: Member, message: AppendEntriesRequest | Heartbeat): void {
  if (message.type === 'AppendEntriesRequest') {
    answer(member, message.from, { success: false, index: message.prevLogIndex, ...noHint });
  } else {
    refuseOldHeartbeat(member, message);
  }
}
