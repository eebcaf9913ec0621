/** The rules about one replica alone: what it may write, say, and come back with. */
import type { AppendEntriesResponse, HardState, LogIndex, LogReader, Message, Term } from '../../raft/types.ts';
import { noReplica } from '../../raft/types.ts';
import type { MachineState } from '../../kv/types.ts';
import { StorageDamage } from '../../storage/damage.ts';
import { isSameContent, named, type KnownEntry } from './entries.ts';
import type { PartitionRecord } from './partition-record.ts';
import { highestWhere, sharedEnd, type JudgedWrite, type ReplicaRecord } from './replica-record.ts';
import { checkStoredConfiguration, type StoredConfiguration } from './snapshot-rules.ts';

/** Paper 5.1 and 5.2: the term never falls, and a vote stays what it is as long as the term does. */
export function checkHardState(partition: PartitionRecord, replica: ReplicaRecord, next: HardState | undefined): void {
  if (next === undefined) return;
  const { currentTerm, votedFor } = replica.hardState;
  const changesVote = next.currentTerm === currentTerm && votedFor !== noReplica && next.votedFor !== votedFor;
  if (next.currentTerm >= currentTerm && !changesVote) return;
  const way = `${spelled(partition, replica.hardState)} to ${spelled(partition, next)}`;
  partition.fail('durable term and vote', `${replica.name} goes from ${way}`);
}

/** What a write takes away, by truncating or by installing. `term` is the one that the write brings or leaves. */
export function checkTruncation(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { write, installed, term }: { write: JudgedWrite; installed: KnownEntry | undefined; term: Term },
): void {
  const { leading, acknowledged, lastEntry, name, log } = replica;
  const cutFrom = installed === undefined ? write.truncateFrom : sharedEnd(log, installed) + 1;
  if (cutFrom === undefined) return;
  if (leading === term && cutFrom <= lastEntry.index) {
    const what = `entries ${cutFrom} to ${lastEntry.index} of its log`;
    partition.fail('leader append-only', `${name} leads term ${term} and removes ${what}`);
  }
  if (acknowledged.term === term && cutFrom <= acknowledged.index) {
    const what = `it has told the leader of that term that it holds all up to ${acknowledged.index}`;
    const how = installed === undefined ? 'truncates' : `installs a snapshot up to ${named(installed)} and truncates`;
    partition.fail('acknowledged entry lost', `${name} ${how} from ${cutFrom} in term ${term}, though ${what}`);
  }
}

/** The last committed entry in its log. */
export function heldCommitted(partition: PartitionRecord, { log }: ReplicaRecord): KnownEntry {
  const end = Math.min(partition.committedIndex, log.length - 1);
  const isHeld = (index: number): boolean => log[index] === partition.committedAt(index);
  return log[isHeld(end) ? end : highestWhere(end, isHeld)] as KnownEntry;
}

/** Paper, figure 2: "updated on stable storage before responding". */
export function checkTermDurable(partition: PartitionRecord, replica: ReplicaRecord, { type, term }: Message): void {
  const durable = replica.diskHardState.currentTerm;
  if (durable >= term) return;
  partition.fail('spoke too early', `${replica.name} sends a ${type} of term ${term}, and only ${durable} is durable`);
}

/** A success is counted by the leader: it speaks of that leader's entries, and of durable ones. */
export function checkSuccess(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  response: AppendEntriesResponse,
): void {
  const { index, term } = response;
  const entry = replica.log[index];
  if (entry === undefined || !replica.holds(entry)) {
    const last = replica.matchOf(replica.log);
    const instead = `only what comes up to ${last} is durable there and stays`;
    partition.fail('spoke too early', `${replica.name} says in term ${term} that it holds ${index}; ${instead}`);
  }
  const leader = partition.leaderOf(term)?.replica;
  if (leader?.leading === term && leader.log[index] !== entry) {
    const own = leader.log[index];
    const theirs = own === undefined ? `ends at ${named(leader.lastEntry)}` : `has ${named(own)} there`;
    const what = `${leader.name} that their logs match up to ${named(entry)}, but the leader's ${theirs}`;
    partition.fail('false match', `${replica.name} tells ${what}`);
  }
  const { acknowledged } = replica;
  replica.acknowledged = { term, index: acknowledged.term === term ? Math.max(acknowledged.index, index) : index };
}

/** What came back is neither all that was announced nor that and some of the pending writes. Says what is wrong with it. */
export function failRecovery(
  partition: PartitionRecord,
  { name, disk, diskFirst, diskHardState, pendingWrites }: ReplicaRecord,
  found: { readonly hardState: HardState; readonly log: LogReader },
): never {
  const { hardState, log } = found;
  const last = disk[disk.length - 1] as KnownEntry;
  const lastFound = { index: log.lastIndex(), term: log.term(log.lastIndex()) ?? 0 };
  const durable = `${spelled(partition, diskHardState)} and ${logSpelled(diskFirst, last)} were durable`;
  const cameBack = `${spelled(partition, hardState)} and ${logSpelled(log.firstIndex(), lastFound)}`;
  const message = `${name} came back with ${cameBack}; ${durable}, ${pendingWrites} writes under way`;
  const { currentTerm, votedFor } = diskHardState;
  const lostVote = hardState.currentTerm === currentTerm && votedFor !== noReplica && hardState.votedFor !== votedFor;
  if (hardState.currentTerm < currentTerm || lostVote) partition.fail('durable term and vote', message);
  if (log.term(last.index) !== last.term) partition.fail('durable log', message);
  partition.fail('recovered state', message);
}

/** Reads back the stored entries that were not read back before. */
export function compareStored(partition: PartitionRecord, replica: ReplicaRecord, stored: LogReader): void {
  const last = stored.lastIndex();
  try {
    const before = (stored.firstIndex() - 1) as LogIndex;
    if (stored.term(before) !== replica.log[before]?.term) {
      const term = `${stored.term(before) ?? 'no term'} for ${before}, the last entry that it forgot`;
      partition.fail('durable log', `the disk of ${replica.name} names ${term}`);
    }
    for (let next = Math.max(stored.firstIndex(), replica.comparedTo + 1) as LogIndex; next <= last;) {
      for (const entry of stored.entries(next, last, Infinity)) {
        const own = replica.log[entry.index];
        if (entry.index !== next || own?.term !== entry.term || !isSameContent(own, entry)) {
          const expected = own === undefined ? 'nothing' : named(own);
          const difference = `holds entry ${named(entry)} where ${expected} was written, or with another content`;
          partition.fail('durable log', `the disk of ${replica.name} ${difference}`);
        }
        next = (entry.index + 1) as LogIndex;
      }
      replica.comparedTo = next - 1;
    }
  } catch (error) {
    // The node finds that by itself, once it reads there.
    if (!(error instanceof StorageDamage)) throw error;
  }
}

/**
 * State lags behind the log, never the other way round, and not behind what a start before this one had found, was said
 * to be durable, or was forgotten by the log. A damaged disk may have gone back: the log makes that good, if it can.
 */
export function recoverState(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  found: { machineState: MachineState; configuration: StoredConfiguration | undefined; damaged: boolean },
): void {
  const { name, appliedMax, recoveredApplied, stateDurable, lastEntry, first } = replica;
  const { appliedIndex } = found.machineState;
  const fail = (why: string): never =>
    partition.fail('recovered state', `${name} came back with the state after ${appliedIndex}, ${why}`);
  if (appliedIndex > appliedMax) fail(`and had applied no more than ${appliedMax}`);
  if (!found.damaged) {
    if (appliedIndex < recoveredApplied) fail(`and before that with the state after ${recoveredApplied}`);
    if (appliedIndex < first - 1) fail(`and its log begins at ${first}`);
    if (appliedIndex < stateDurable) fail(`and the state after ${stateDurable} was durable`);
  }
  if (appliedIndex > lastEntry.index) fail(`and its log ends at ${named(lastEntry)}`);
  const covered = partition.committedAt(appliedIndex);
  if (covered === undefined || replica.log[appliedIndex] !== covered)
    return fail('and its log has another entry there');
  partition.steps.reached(name, found.machineState, 'came back with');
  checkStoredConfiguration(partition, replica, { covered, configuration: found.configuration });
  replica.appliedIndex = appliedIndex;
  replica.recoveredApplied = appliedIndex;
  replica.stateDurable = appliedIndex;
  replica.removed = partition.roster.inForce(covered).leavesOut(replica);
}

function logSpelled(first: number, last: { readonly index: number; readonly term: number }): string {
  return `the log ${first > 1 ? `from ${first} ` : ''}up to ${named(last)}`;
}

function spelled(partition: PartitionRecord, { currentTerm, votedFor }: HardState): string {
  const vote = votedFor === noReplica ? 'no vote' : `a vote for ${partition.nameOf(votedFor)}`;
  return `term ${currentTerm} with ${vote}`;
}
