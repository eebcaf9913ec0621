/**
 * Judges Raft while a simulation runs: told of all that every replica writes, applies and sends, it throws a `Violation`
 * at the first rule that is broken. The rules are the paper's figures 3 and 13 and the thesis's chapter 4, and what they
 * rest on: what is said was durable, and what was durable stays. It shares no code with what it judges but the codec of
 * configuration entries, and costs a few look-ups per event.
 *
 * Each rule's name, as `Violation.judge`:
 *
 * - `election safety` (5.2): one leader per term, elected by durable votes of a majority, two of them within a change of
 *   members, of the configuration in its log; a crash ends its leadership.
 * - `leader append-only` (5.3): a leader never removes an entry of its log, nor sends what is not in it.
 * - `log matching` (5.3): index and term name one entry, and one log before it.
 * - `leader completeness` (5.4): whoever leads holds all that was committed in earlier terms.
 * - `state machine safety` (5.4.3): all apply the same entries, with the same changes, to the same state.
 * - `applied in order`: each index once per start, without a gap, but for a snapshot.
 * - `applied uncommitted`, `commit quorum` (5.3, 5.4.2, 6): committed is what a quorum of the leader's configuration
 *   holds durably, up to an entry of the leader's own term.
 * - `commit index`: a leader's commit index never goes back; a heartbeat's is durable at its receiver (raft/README.md).
 * - `freshness`: a heartbeat's word on what was committed by which time holds (replica/freshness.ts).
 * - `durable term and vote`, `durable log` (figure 2): what was announced as durable survives every crash.
 * - `recovered state`: a disk holds all that was announced and the first few of the writes that were not, and no machine
 *   state that its log does not cover, nor a log that begins beyond its machine state.
 * - `spoke too early` (figure 2): no message speaks of a term, a vote or an entry that is not durable.
 * - `false match` (5.3): a success to a leader means that leader's entries.
 * - `acknowledged entry lost`, `committed entry lost`: what a leader was told or what is committed is never truncated.
 *
 * Of what is forgotten:
 *
 * - `compaction` (7): a log forgets only what was applied and whose state is durable; a leader sends nothing that follows
 *   what it has forgotten.
 * - `snapshot point` (figure 13): a snapshot is committed and whole, takes its replica forward, and drops no entries that
 *   follow it in a log that holds its last one.
 * - `stored configuration`: with each state goes the configuration that it covers.
 *
 * Of members:
 *
 * - `joint steps` (6): voters change only through a joint configuration, and were learners before.
 * - `one change at a time`, `change without a committed entry in the term` (thesis 4.1, and Ongaro's mail of 2015).
 * - `replica ids`: an id is given once, above all before, and stands for one stay on one node.
 * - `removed replica speaks`: whoever has applied that it was left out votes no more and campaigns no more.
 * - `told removed falsely`, `destroyed too early`: only behind a committed configuration that leaves the replica out.
 * - `transfer to a lagging target` (thesis 3.10): TimeoutNow goes to a voter that holds the leader's whole log durably.
 * - `quiesce`: a group falls silent once all is committed and all members hold it durably.
 * - `redundancy`: no change leaves fewer voters that have their disks than there were, or than is asked for.
 * - `directory`: what is recorded as a group's members was committed in it before, as a whole change; and no replica lives on a node that is
 *   recorded as removed.
 *
 * A replica comes into being with its first `started`, on any node, under an id above all that were given before.
 */
import type { MachineState, StateWrite } from '../kv/types.ts';
import {
  EntryKind,
  type HardState,
  type LogIndex,
  type LogReader,
  type Message,
  type ReplicaId,
} from '../raft/types.ts';
import type { NodeId, PartitionId, ReplicaDescriptor } from '../replica/ports.ts';
import { checkDestroyed, checkSpokenForDead } from './judge/change-rules.ts';
import { named, type KnownEntry } from './judge/entries.ts';
import { takeForCommitted } from './judge/leadership.ts';
import { bearsLoss, checkListed, checkPresent, checkRetired } from './judge/lost-disks.ts';
import { judgeClaims, judgeMessage } from './judge/messages.ts';
import { PartitionRecord } from './judge/partition-record.ts';
import type { JudgedWrite, ReplicaRecord } from './judge/replica-record.ts';
import { compareStored, failRecovery, recoverState } from './judge/rules.ts';
import { checkSnapshot, checkStoredConfiguration, type StoredConfiguration } from './judge/snapshot-rules.ts';
import { judgeWrite } from './judge/writes.ts';

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
  /** Logs that gave way to a snapshot. */
  readonly installs: number;
  /** Times that a log was cut at its front. */
  readonly compactions: number;
  /** Words from a leader to take over from it. */
  readonly transfers: number;
  /** Replicas whose destruction was begun, counted again where a crash came before anything of it was durable. */
  readonly destructions: number;
  /** Replicas that came into being where one had been destroyed before. */
  readonly returns: number;
  /** Times that a leader let its group fall silent, counted by follower. */
  readonly silences: number;
}

interface Recovered {
  readonly hardState: HardState;
  readonly log: LogReader;
  readonly machineState: MachineState;
  /** In force at `machineState.appliedIndex`; undefined: the founding one. */
  readonly configuration?: StoredConfiguration | undefined;
}

export class RaftJudge {
  /** Hears of a new leader as it speaks for the first time. */
  onElected: (partition: PartitionId) => void = () => undefined;
  /** Whether a node is down for good, as far as the world that it lives in goes: then nobody waits for its word. */
  isLost: (nodeId: NodeId) => boolean = () => false;
  readonly #founders: (partition: PartitionId) => readonly ReplicaDescriptor[];
  readonly #wholeVotersMin: number;
  #retiredThrough = 0;
  readonly #partitions = new Map<PartitionId, PartitionRecord>();
  readonly #tally = {
    elections: 0,
    committed: 0,
    checks: 0,
    installs: 0,
    compactions: 0,
    transfers: 0,
    silences: 0,
    destructions: 0,
    returns: 0,
  };

  /** `founders` make the configuration that a partition begins with. No change leaves fewer whole voters than `wholeVotersMin`, or than there were. */
  constructor(founders: (partition: PartitionId) => readonly ReplicaDescriptor[], wholeVotersMin = 0) {
    this.#founders = founders;
    this.#wholeVotersMin = wholeVotersMin;
  }

  get counts(): JudgeCounts {
    return this.#tally;
  }

  /** Highest index known to be committed. */
  committed(partition: PartitionId): LogIndex {
    return this.#partition(partition).committedIndex;
  }

  /**
   * A replica (re)started: what its disk came back with, which is taken for durable from now on. A damaged disk may have
   * gone back to an older machine state: the log makes it good.
   */
  started(key: ReplicaKey, { hardState, log, machineState, configuration }: Recovered, damaged = false): void {
    const partition = this.#partition(key.partition);
    this.#tally.checks += 1;
    const replica = partition.roster.hosted(key.replicaId, key.nodeId);
    if (replica.starts === 0 && partition.roster.isAnyGoneFrom(key.nodeId)) this.#tally.returns += 1;
    if (replica.gone) partition.fail('dead replicas', `${replica.name} starts again, and was destroyed`);
    if (!replica.recover(hardState, log)) failRecovery(partition, replica, { hardState, log });
    partition.voteDurable(replica, hardState);
    compareStored(partition, replica, log);
    recoverState(partition, replica, { machineState, configuration, damaged });
    replica.staged = undefined;
    replica.leaving = false;
    replica.unstored = false;
    replica.up = !replica.inDoubt;
    replica.starts += 1;
    replica.leading = 0;
    replica.led = 0;
  }

  /** Its node has found that what it stores can't be believed. */
  inDoubt(key: ReplicaKey): void {
    const replica = recordOf(this.#partition(key.partition), key);
    replica.inDoubt = true;
    replica.up = false;
  }

  /** A node has started, on a disk that holds these and no others. */
  opened(nodeId: NodeId, keys: ReadonlyMap<PartitionId, ReplicaKey>): void {
    for (const [id, partition] of this.#partitions) checkPresent(partition, nodeId, keys.get(id)?.replicaId);
  }

  /** The process died. What it had handed over may still be on the disk. */
  crashed(key: ReplicaKey): void {
    const replica = recordOf(this.#partition(key.partition), key);
    replica.up = false;
    replica.claims.length = 0;
    replica.leading = 0;
  }

  /** All that it holds is being destroyed, and it does nothing any more. A crash may still bring it back whole. */
  destroyed(key: ReplicaKey): void {
    const partition = this.#partition(key.partition);
    const replica = recordOf(partition, key);
    this.#tally.checks += 1;
    this.#tally.destructions += 1;
    checkDestroyed(partition, replica);
    replica.leaving = true;
    replica.up = false;
    replica.claims.length = 0;
    replica.leading = 0;
  }

  /** All that it held is gone from the disk: nothing may bring it back. */
  gone(key: ReplicaKey): void {
    const replica = recordOf(this.#partition(key.partition), key);
    replica.gone = true;
  }

  /** The node's disk is gone. To the rules its replicas are as if they were down for good: what they held was held, and none of them ever starts again. */
  emptied(nodeId: NodeId): void {
    for (const { roster } of this.#partitions.values()) {
      for (const replica of roster.all()) if (replica.nodeId === nodeId) replica.gone = true;
    }
  }

  /** Whether every group would keep a majority of whole replicas without that node's disk, whatever becomes of changes that are under way. */
  bearsLossOf(nodeId: NodeId): boolean {
    return [...this.#partitions.values()].every((partition) => bearsLoss(partition, nodeId));
  }

  /** A record of the directory was applied, by which these are a group's voters: the group has to have them, for good. */
  listed(id: PartitionId, replicas: readonly ReplicaDescriptor[]): void {
    checkListed(this.#partition(id), replicas);
  }

  /** A record of the directory, the write `index` of its group, was applied, by which the node is no member any more: nothing may live there. */
  retired(nodeId: NodeId, index: number): void {
    // Whoever applies it later may do so when the node has come back.
    if (index <= this.#retiredThrough) return;
    this.#retiredThrough = index;
    if (this.isLost(nodeId)) return;
    for (const partition of this.#partitions.values()) checkRetired(partition, nodeId);
  }

  /** A node speaks in the name of a replica that does not live there. */
  sentForDead(key: ReplicaKey, message: Message): void {
    const partition = this.#partition(key.partition);
    this.#tally.checks += 1;
    checkSpokenForDead(partition, recordOf(partition, key), message);
  }

  /** Handed to the storage, not durable yet: the replica's log in memory changes now. */
  appended(key: ReplicaKey, write: JudgedWrite): void {
    const [partition, replica] = this.#event(key);
    if (!replica.up) return;
    if (write.install !== undefined) this.#tally.installs += 1;
    if (write.compactThrough !== undefined) this.#tally.compactions += 1;
    judgeWrite(partition, replica, write);
    judgeClaims(partition, replica);
  }

  /** The same write's `onDurable` runs. */
  durable(key: ReplicaKey, write: JudgedWrite): void {
    const [partition, replica] = this.#event(key);
    if (!replica.up) return;
    judgeClaims(partition, replica);
    if (!replica.announce(write)) {
      partition.fail('durable log', `${replica.name} hears that a write is durable out of the order of hand-outs`);
    }
    if (write.hardState !== undefined) partition.voteDurable(replica, write.hardState);
  }

  /** Applied: what changed, the machine state after it, and the configuration when the entry brings one. */
  staged(
    key: ReplicaKey,
    writes: readonly StateWrite[],
    machineState: MachineState,
    configuration?: StoredConfiguration,
  ): void {
    const [partition, replica] = this.#event(key);
    if (!replica.up) return;
    judgeClaims(partition, replica);
    const { appliedIndex: index, appliedTerm: term } = machineState;
    if (index !== replica.appliedIndex + 1) {
      partition.fail('applied in order', `${replica.name} applies ${index} after ${replica.appliedIndex}`);
    }
    const entry = replica.log[index];
    if (entry?.term !== term) {
      const held = entry === undefined ? 'nothing' : named(entry);
      const what = `${replica.name} applies ${named({ index, term })}, its log has ${held}`;
      return partition.fail('state machine safety', what);
    }
    if (index < replica.first) {
      partition.fail('applied in order', `${replica.name} applies ${named(entry)}, its log begins at ${replica.first}`);
    }
    takeForCommitted(partition, replica, { index, term: replica.led, rule: 'applied uncommitted', does: 'applies' });
    partition.steps.applied(replica.name, writes, machineState);
    replica.appliedIndex = index;
    replica.appliedMax = Math.max(replica.appliedMax, index);
    if (entry.kind === EntryKind.configuration) {
      checkStoredConfiguration(partition, replica, { covered: entry, configuration });
      replica.removed = partition.roster.inForce(entry).leavesOut(replica);
    } else if (configuration !== undefined) {
      partition.fail('stored configuration', `${replica.name} stores one with ${named(entry)}, which brings none`);
    }
  }

  /** The storage says that the state after `appliedIndex` is durable. Before each write that compacts. */
  stateDurable(key: ReplicaKey, appliedIndex: LogIndex): void {
    const [partition, replica] = this.#event(key);
    if (!replica.up) return;
    if (appliedIndex > replica.appliedMax) {
      const applied = `its state after ${appliedIndex} durable, and has applied no more than ${replica.appliedMax}`;
      partition.fail('recovered state', `${replica.name} calls ${applied}`);
    }
    replica.stateDurable = Math.max(replica.stateDurable, appliedIndex);
  }

  /** A snapshot is whole beside the state and durable: what it makes. Before the write that installs it. */
  snapshotStaged(key: ReplicaKey, machineState: MachineState, configuration: StoredConfiguration | undefined): void {
    const [partition, replica] = this.#event(key);
    if (!replica.up) return;
    checkSnapshot(partition, replica, { machineState, configuration });
    const { appliedIndex, appliedTerm } = machineState;
    replica.staged = { index: appliedIndex as LogIndex, term: appliedTerm as KnownEntry['term'] };
  }

  /** The staging area is emptied: what was staged is gone. */
  snapshotDropped(key: ReplicaKey): void {
    this.#event(key)[1].staged = undefined;
  }

  /** Left the replica towards a peer. */
  sent(key: ReplicaKey, message: Message): void {
    const [partition, replica] = this.#event(key);
    if (replica.inDoubt) partition.fail('dead replicas', `${replica.name} is in doubt, and sends a ${message.type}`);
    if (!replica.up) return;
    if (message.type === 'TimeoutNow') this.#tally.transfers += 1;
    if (message.type === 'Heartbeat' && message.quiesce) this.#tally.silences += 1;
    const { elections } = this.#tally;
    judgeMessage(partition, replica, message);
    if (this.#tally.elections > elections) this.onElected(key.partition);
  }

  #event(key: ReplicaKey): readonly [PartitionRecord, ReplicaRecord] {
    const partition = this.#partition(key.partition);
    const replica = recordOf(partition, key);
    if (replica.up) this.#tally.checks += 1;
    return [partition, replica];
  }

  #partition(id: PartitionId): PartitionRecord {
    let partition = this.#partitions.get(id);
    if (partition === undefined) {
      partition = new PartitionRecord(id, this.#founders(id), {
        tally: this.#tally,
        wholeVotersMin: this.#wholeVotersMin,
      });
      this.#partitions.set(id, partition);
    }
    return partition;
  }
}

function recordOf(partition: PartitionRecord, { nodeId, replicaId }: ReplicaKey): ReplicaRecord {
  const replica = partition.roster.replica(replicaId);
  if (replica?.nodeId !== nodeId) throw new Error(`partition ${partition.id} has no replica ${replicaId} on ${nodeId}`);
  return replica;
}
