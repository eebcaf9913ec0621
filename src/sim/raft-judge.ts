/**
 * Judges Raft while a simulation runs: told of all that every replica writes, applies and sends, it throws a `Violation`
 * at the first rule that is broken. The rules are the paper's figure 3, and what they rest on: what is said was durable,
 * and what was durable stays. It shares no code with what it judges, and costs a few look-ups per event.
 *
 * Each rule's name, as `Violation.judge`:
 *
 * - `election safety` (5.2): one leader per term, elected by a majority of durable votes; a crash ends its leadership.
 * - `leader append-only` (5.3): a leader never removes an entry of its log, nor sends what is not in it.
 * - `log matching` (5.3): index and term name one entry, and one log before it.
 * - `leader completeness` (5.4): whoever leads holds all that was committed in earlier terms.
 * - `state machine safety` (5.4.3): all apply the same entries, with the same changes, to the same state.
 * - `applied in order`: each index once per start, without a gap.
 * - `applied uncommitted`, `commit quorum` (5.3, 5.4.2): committed is what a majority holds durably, up to an entry of
 *   the leader's own term.
 * - `commit index`: a leader's commit index never goes back; a heartbeat's is durable at its receiver (raft/README.md).
 * - `durable term and vote`, `durable log` (figure 2): what was announced as durable survives every crash.
 * - `recovered state`: a disk holds all that was announced and the first few of the writes that were not, and no machine
 *   state that its log does not cover.
 * - `spoke too early` (figure 2): no message speaks of a term, a vote or an entry that is not durable.
 * - `false match` (5.3): a success to a leader means that leader's entries.
 * - `acknowledged entry lost`, `committed entry lost`: what a leader was told or what is committed is never truncated.
 */
import type { MachineState, StateWrite } from '../kv/types.ts';
import type {
  AppendEntriesRequest,
  Entry,
  HardState,
  Heartbeat,
  LogIndex,
  LogReader,
  Message,
  ReplicaId,
  Term,
} from '../raft/types.ts';
import type { LogWrite, NodeId, PartitionId, ReplicaDescriptor } from '../replica/ports.ts';
import { named, type KnownEntry } from './judge/entries.ts';
import { type LeaderRecord, PartitionRecord } from './judge/partition-record.ts';
import type { ReplicaRecord } from './judge/replica-record.ts';
import {
  checkHardState,
  checkSuccess,
  checkTermDurable,
  checkTruncation,
  compareStored,
  failRecovery,
  heldCommitted,
  recoverState,
} from './judge/rules.ts';

export interface ReplicaKey {
  readonly nodeId: NodeId;
  readonly partition: PartitionId;
  readonly replicaId: ReplicaId;
}

export interface JudgeCounts {
  /** Terms that had a leader. */
  readonly elections: number;
  /** Entries known to be committed. */
  readonly committed: number;
  /** Events judged. */
  readonly checks: number;
}

interface Recovered {
  readonly hardState: HardState;
  readonly log: LogReader;
  readonly machineState: MachineState;
}

export class RaftJudge {
  readonly #members: (partition: PartitionId) => readonly ReplicaDescriptor[];
  readonly #partitions = new Map<PartitionId, PartitionRecord>();
  readonly #counts = { elections: 0, committed: 0, checks: 0 };

  constructor(members: (partition: PartitionId) => readonly ReplicaDescriptor[]) {
    this.#members = members;
  }

  get counts(): JudgeCounts {
    return this.#counts;
  }

  /** Highest index known to be committed. */
  committed(partition: PartitionId): LogIndex {
    return this.#partition(partition).committedIndex;
  }

  /**
   * A node (re)started: what its disk came back with, which is taken for durable from now on. A damaged disk may have
   * gone back to an older machine state: the log makes it good.
   */
  started(key: ReplicaKey, { hardState, log, machineState }: Recovered, damaged = false): void {
    const partition = this.#partition(key.partition);
    const replica = recordOf(partition, key);
    this.#counts.checks += 1;
    if (!replica.recover(hardState, log)) failRecovery(partition, replica, { hardState, log });
    partition.voteDurable(replica, hardState);
    compareStored(partition, replica, log);
    if (damaged) replica.recoveredApplied = 0;
    recoverState(partition, replica, machineState);
    replica.up = true;
    replica.starts += 1;
    replica.leading = 0;
    replica.led = 0;
  }

  /** The process died. What it had handed over may still be on the disk. */
  crashed(key: ReplicaKey): void {
    const replica = recordOf(this.#partition(key.partition), key);
    replica.up = false;
    replica.leading = 0;
  }

  /** Handed to the storage, not durable yet: the replica's log in memory changes now. */
  appended(key: ReplicaKey, write: LogWrite): void {
    const partition = this.#partition(key.partition);
    const replica = recordOf(partition, key);
    if (!replica.up) return;
    this.#counts.checks += 1;
    const term = write.hardState?.currentTerm ?? replica.hardState.currentTerm;
    checkHardState(partition, replica, write.hardState);
    // A sole voter leads without a word to anybody.
    if (partition.isAlone && write.entries.length > 0) this.#leads(partition, replica, term);
    checkTruncation(partition, replica, write, term);
    const committed = heldCommitted(partition, replica);
    const end = write.truncateFrom ?? replica.log.length;
    replica.handOver(write, this.#known(partition, replica, { entries: write.entries, end }));
    if (replica.lastEntry.term > term) {
      const entry = named(replica.lastEntry);
      partition.fail('durable term and vote', `${replica.name} writes entry ${entry} and is only in term ${term}`);
    }
    if (replica.log[committed.index] !== committed) {
      partition.fail('committed entry lost', `${replica.name} drops the committed entry ${named(committed)}`);
    }
    if (term > replica.leading) replica.leading = 0;
  }

  /** The same write's `onDurable` runs. */
  durable(key: ReplicaKey, write: LogWrite): void {
    const partition = this.#partition(key.partition);
    const replica = recordOf(partition, key);
    if (!replica.up) return;
    this.#counts.checks += 1;
    if (!replica.announce(write)) {
      partition.fail('durable log', `${replica.name} hears that a write is durable out of the order of hand-outs`);
    }
    if (write.hardState !== undefined) partition.voteDurable(replica, write.hardState);
  }

  /** Applied: what changed, and the machine state after it. */
  staged(key: ReplicaKey, writes: readonly StateWrite[], machineState: MachineState): void {
    const partition = this.#partition(key.partition);
    const replica = recordOf(partition, key);
    if (!replica.up) return;
    this.#counts.checks += 1;
    const { appliedIndex: index, appliedTerm: term } = machineState;
    if (index !== replica.appliedIndex + 1) {
      partition.fail('applied in order', `${replica.name} applies ${index} after ${replica.appliedIndex}`);
    }
    const entry = replica.log[index];
    if (entry?.term !== term) {
      const held = entry === undefined ? 'nothing' : named(entry);
      partition.fail('state machine safety', `${replica.name} applies ${named({ index, term })}, its log has ${held}`);
    }
    this.#commit(partition, replica, { index, term: replica.led, rule: 'applied uncommitted', does: 'applies' });
    partition.steps.applied(replica.name, writes, machineState);
    replica.appliedIndex = index;
    replica.appliedMax = Math.max(replica.appliedMax, index);
  }

  /** Left the replica towards a peer. */
  sent(key: ReplicaKey, message: Message): void {
    const partition = this.#partition(key.partition);
    const replica = recordOf(partition, key);
    if (!replica.up) return;
    this.#counts.checks += 1;
    switch (message.type) {
      case 'PreVoteRequest':
        return;
      case 'PreVoteResponse':
        // A yes promises nothing; a no tells the term.
        if (!message.granted) checkTermDurable(partition, replica, message);
        return;
      case 'VoteRequest':
        // Asked again in the same term after a crash, with a shorter log, it would count what was given to the longer.
        checkTermDurable(partition, replica, message);
        return;
      case 'VoteResponse':
        checkTermDurable(partition, replica, message);
        if (message.granted && !partition.hasDurableVote(replica, message.term, message.to)) {
          const vote = `its vote for ${partition.nameOf(message.to)} in term ${message.term}`;
          partition.fail('spoke too early', `${replica.name} tells ${vote}, which is not durable`);
        }
        return;
      case 'HeartbeatResponse':
        checkTermDurable(partition, replica, message);
        return;
      case 'AppendEntriesResponse':
        checkTermDurable(partition, replica, message);
        if (message.success) checkSuccess(partition, replica, message);
        return;
      case 'AppendEntriesRequest':
        this.#appendEntries(partition, replica, message);
        return;
      case 'Heartbeat':
        this.#heartbeat(partition, replica, message);
    }
  }

  #appendEntries(partition: PartitionRecord, replica: ReplicaRecord, message: AppendEntriesRequest): void {
    const { term, prevLogIndex, prevLogTerm, entries, leaderCommit } = message;
    const leader = this.#leads(partition, replica, term);
    const previous = partition.entries.find(prevLogIndex, prevLogTerm);
    if (previous === undefined || (prevLogIndex < replica.log.length && replica.log[prevLogIndex] !== previous)) {
      const claimed = named({ index: prevLogIndex, term: prevLogTerm });
      partition.fail('leader append-only', `${replica.name} leads term ${term} and names ${claimed}, not in its log`);
    }
    let last = previous;
    for (const entry of entries) {
      last = partition.entries.known(entry, last, replica.name);
      if (last.index < replica.log.length && replica.log[last.index] !== last) {
        partition.fail('leader append-only', `${replica.name} sends entry ${named(entry)}, not in its log`);
      }
    }
    if (leaderCommit < leader.commit) {
      const both = `from ${leader.commit} to ${leaderCommit}`;
      partition.fail('commit index', `the commit index of ${replica.name} in term ${term} goes back ${both}`);
    }
    this.#announceCommit(partition, leader, leaderCommit);
  }

  #heartbeat(partition: PartitionRecord, replica: ReplicaRecord, { term, to, leaderCommit }: Heartbeat): void {
    const leader = this.#leads(partition, replica, term);
    this.#announceCommit(partition, leader, leaderCommit);
    const receiver = partition.replicas.get(to);
    const entry = replica.log[leaderCommit];
    if (receiver === undefined || entry === undefined) return;
    if (!receiver.holds(entry)) {
      const told = `that ${named(entry)} is committed and durable there, which it is not`;
      partition.fail('commit index', `${replica.name} tells ${receiver.name} ${told}`);
    }
    const seen = leader.heartbeats.get(to) ?? { commit: 0, returns: 0 };
    leader.heartbeats.set(to, seen);
    // A leader begins anew with a follower that restarted, once per start.
    if (leaderCommit < seen.commit) seen.returns += 1;
    if (seen.returns > receiver.starts) {
      const where = `to ${receiver.name} in term ${term} goes back from ${seen.commit} to ${leaderCommit}`;
      partition.fail('commit index', `the commit index of ${replica.name} ${where}`);
    }
    seen.commit = leaderCommit;
  }

  #announceCommit(partition: PartitionRecord, leader: LeaderRecord, index: LogIndex): void {
    if (index <= leader.commit) return;
    const { replica, term } = leader;
    this.#commit(partition, replica, { index, term, rule: 'commit quorum', does: 'announces' });
    partition.committedBy(index, term);
    leader.commit = index;
  }

  #commit(
    partition: PartitionRecord,
    replica: ReplicaRecord,
    {
      index,
      term,
      rule,
      does,
    }: { readonly index: number; readonly term: number; readonly rule: string; readonly does: string },
  ): void {
    const added = partition.commit(replica, index, term);
    if (added === undefined) {
      const entry = replica.log[index];
      const what = entry === undefined ? `${index}` : named(entry);
      const why = entry === undefined ? 'beyond the end of its log' : partition.whyUncommitted(entry, term);
      const who = `${replica.name}, ${term === 0 ? 'no leader in this start' : `last leader of term ${term}`},`;
      partition.fail(rule, `${who} ${does} ${what} as committed: ${why}`);
    }
    this.#counts.committed += added;
  }

  /** It speaks as the leader of `term`. */
  #leads(partition: PartitionRecord, replica: ReplicaRecord, term: Term): LeaderRecord {
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
    this.#counts.elections += 1;
    return leader;
  }

  /** The entries of a write, as everybody knows them. They go where the log ends or is cut off, at `end`. */
  #known(
    partition: PartitionRecord,
    replica: ReplicaRecord,
    { entries, end }: { readonly entries: readonly Entry[]; readonly end: number },
  ): KnownEntry[] {
    let previous = replica.log[end - 1];
    if (previous === undefined) {
      partition.fail('log matching', `${replica.name} writes at ${end}, its log ends at ${named(replica.lastEntry)}`);
    }
    const known: KnownEntry[] = [];
    for (const entry of entries) {
      if (entry.index !== previous.index + 1) {
        partition.fail('log matching', `${replica.name} appends ${named(entry)} right after ${named(previous)}`);
      }
      previous = partition.entries.known(entry, previous, replica.name);
      known.push(previous);
    }
    return known;
  }

  #partition(id: PartitionId): PartitionRecord {
    let partition = this.#partitions.get(id);
    if (partition === undefined) {
      partition = new PartitionRecord(id, this.#members(id));
      this.#partitions.set(id, partition);
    }
    return partition;
  }
}

function recordOf(partition: PartitionRecord, { nodeId, replicaId }: ReplicaKey): ReplicaRecord {
  const replica = partition.replicas.get(replicaId);
  if (replica?.name !== nodeId) throw new Error(`partition ${partition.id} has no replica ${replicaId} on ${nodeId}`);
  return replica;
}
