/**
 * One member of one group: the shell around a Raft core. Everything that happens to it is put into its mailbox and acted
 * upon in `drive`, one function of named phases: take mail, step, send, persist, apply, answer. The node calls `drive` for
 * every replica with mail once in a loop turn and then flushes transport and storage once for all of them.
 */
import { Raft } from '../raft/raft.ts';
import { EntryKind, noReplica } from '../raft/types.ts';
import type {
  Entry,
  Leadership,
  LogIndex,
  Message,
  Persist,
  RaftLimits,
  RaftStatus,
  ReadState,
} from '../raft/types.ts';
import { applyCommand, applyNoop } from '../kv/machine.ts';
import { stampCommand } from '../kv/command.ts';
import type { CommandResult, MachineState, StateReader, ValueRecord } from '../kv/types.ts';
import { assert, unreachable } from '../assert.ts';
import { LogClock } from './log-clock.ts';
import { PendingProposals, PendingReads } from './pending.ts';
import type { Clock, LeaderHint, NodeId, PartitionId, ReplicaDescriptor, Storage, Transport } from './ports.ts';

export interface ReplicaLimits extends RaftLimits {
  readonly mailboxMessagesMax: number;
  readonly pendingRequestsMax: number;
  readonly readiesPerTurnMax: number;
  /** Staged and not yet durable bytes of the whole node above which proposals are refused. */
  readonly pendingBytesMax: number;
}

export interface ReplicaOptions {
  readonly partition: PartitionId;
  readonly epoch: number;
  readonly incarnation: number;
  readonly self: ReplicaDescriptor;
  /** All members, `self` among them. */
  readonly members: readonly ReplicaDescriptor[];
  readonly storage: Storage;
  readonly transport: Pick<Transport, 'send'>;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly limits: ReplicaLimits;
  /** True for the one that campaigns at once, instead of waiting, until a first leader is known. */
  readonly campaignsFirst: boolean;
  /** Asks the node for a `drive` in this or the next loop turn. */
  readonly wake: () => void;
  readonly onLeader: (hint: LeaderHint | undefined) => void;
}

/** What came of a request on this replica. All but `unknown` and the two answers mean: certainly not applied. */
export type ReplicaOutcome =
  | { readonly type: 'value'; readonly term: number; readonly record: ValueRecord | undefined }
  | { readonly type: 'result'; readonly term: number; readonly result: CommandResult }
  | { readonly type: 'not_leader' }
  | { readonly type: 'overloaded'; readonly detail: string }
  | { readonly type: 'unknown'; readonly detail: string };

interface Proposed {
  readonly body: Buffer;
  readonly deadlineAt: number;
  readonly answer: (outcome: ReplicaOutcome) => void;
}

const notLeader: ReplicaOutcome = { type: 'not_leader' };

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #raft: Raft;
  readonly #state: StateReader;
  readonly #logClock: LogClock;
  readonly #nodeOf: ReadonlyMap<number, NodeId>;
  #machineState: MachineState;
  #leadership: Leadership;
  /** A first leader was seen since this replica started: from then on elections run by their timeouts alone. */
  #leaderSeen = false;

  // The mailbox.
  #messages: Message[] = [];
  #proposals: Proposed[] = [];
  #durable: Persist[] = [];
  #ticks = 0;

  readonly #pending = new PendingProposals<ReplicaOutcome>();
  readonly #reads = new PendingReads<ReplicaOutcome>();

  constructor(options: ReplicaOptions) {
    const { partition, storage, self, members, clock } = options;
    this.#options = options;
    this.#nodeOf = new Map(members.map((member) => [member.replicaId, member.nodeId]));
    const recovered = storage.group(partition);
    this.#machineState = recovered.machineState;
    this.#state = storage.state(partition);
    this.#logClock = new LogClock(clock, recovered.machineState.logTime);
    this.#raft = new Raft({
      replicaId: self.replicaId,
      configuration: { voters: members.map((member) => member.replicaId), votersOutgoing: [], learners: [] },
      hardState: recovered.hardState,
      log: storage.log(partition),
      appliedIndex: recovered.machineState.appliedIndex as LogIndex,
      limits: options.limits,
      random: options.random,
    });
    this.#leadership = { role: 'follower', term: recovered.hardState.currentTerm, leader: noReplica };
  }

  get partition(): PartitionId {
    return this.#options.partition;
  }

  /** A message from `sender`. Dropped when the sender does not host the replica it speaks for, or the mailbox is full. */
  receive(sender: NodeId, message: Message): void {
    if (this.#nodeOf.get(message.from) !== sender) return;
    if (this.#messages.length >= this.#options.limits.mailboxMessagesMax) return;
    this.#messages.push(message);
    this.#options.wake();
  }

  /** The node of another member was started anew. */
  peerRestarted(nodeId: NodeId): void {
    const member = this.#options.members.find((candidate) => candidate.nodeId === nodeId);
    if (member !== undefined) this.#raft.peerRestarted(member.replicaId);
  }

  tick(): void {
    this.#ticks += 1;
    this.#options.wake();
  }

  /** Proposes an encoded command; `answer` is called exactly once, by `deadlineAt` (give or take a tick). */
  propose(body: Buffer, deadlineAt: number, answer: (outcome: ReplicaOutcome) => void): void {
    const { limits, storage } = this.#options;
    if (this.#leadership.role !== 'leader') return answer(notLeader);
    if (this.#proposals.length + this.#pending.size >= limits.pendingRequestsMax) {
      return answer({
        type: 'overloaded',
        detail: `${limits.pendingRequestsMax} writes already wait for this partition`,
      });
    }
    if (storage.pendingBytes() > limits.pendingBytesMax) {
      return answer({ type: 'overloaded', detail: `more than ${limits.pendingBytesMax} bytes wait for the disk` });
    }
    this.#proposals.push({ body, deadlineAt, answer });
    this.#options.wake();
  }

  /** A linearizable read; `answer` is called exactly once, by `deadlineAt` (give or take a tick). */
  read(key: Uint8Array, deadlineAt: number, answer: (outcome: ReplicaOutcome) => void): void {
    if (this.#leadership.role !== 'leader') return answer(notLeader);
    if (this.#reads.size >= this.#options.limits.pendingRequestsMax) {
      const detail = `${this.#options.limits.pendingRequestsMax} reads already wait for this partition`;
      return answer({ type: 'overloaded', detail });
    }
    this.#reads.add({ key, deadlineAt, answer });
    this.#options.wake();
  }

  leader(): LeaderHint | undefined {
    const { leader, term } = this.#leadership;
    const nodeId = this.#nodeOf.get(leader);
    return nodeId === undefined ? undefined : { nodeId, term };
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  machineState(): MachineState {
    return this.#machineState;
  }

  /** One turn. Throws what stops the node: a broken invariant, a damaged record, a command of unknown version. */
  drive(): void {
    this.#takeMail();
    for (let round = 0; this.#raft.hasReady(); round += 1) {
      if (round === this.#options.limits.readiesPerTurnMax) {
        this.#options.wake();
        break;
      }
      const ready = this.#raft.ready();
      if (ready.leadership !== undefined) this.#changeLeadership(ready.leadership);
      this.#send(ready.messages);
      this.#persist(ready.persist);
      this.#apply(ready.committed);
      this.#settleReads(ready.reads, ready.readsRefused);
    }
    this.#answerReads();
  }

  /** The node stops: whoever waits learns what is true now. */
  stop(): void {
    for (const proposal of this.#proposals) proposal.answer(notLeader);
    this.#proposals = [];
    for (const waiting of this.#pending.drain()) {
      waiting.answer({ type: 'unknown', detail: 'The node stopped before the write was known to be committed.' });
    }
    for (const read of this.#reads.drain()) read.answer(notLeader);
  }

  #takeMail(): void {
    const messages = this.#messages;
    this.#messages = [];
    for (const message of messages) {
      if (message.type === 'Heartbeat') this.#logClock.observe(message.logTime);
      this.#raft.step(message);
    }
    const durable = this.#durable;
    this.#durable = [];
    for (const persist of durable) this.#send(this.#raft.persisted(persist));
    for (; this.#ticks > 0; this.#ticks -= 1) this.#tick();
    this.#takeProposals();
    this.#sealReads();
  }

  #tick(): void {
    this.#raft.tick();
    if (this.#campaignsNow()) this.#raft.campaign();
    const now = this.#options.clock.monotonicMs();
    for (const waiting of this.#pending.expire(now)) {
      waiting.answer({ type: 'unknown', detail: 'No majority confirmed the write within its deadline.' });
    }
    // Nothing has happened for a read that was not answered: it may be asked again anywhere.
    for (const read of this.#reads.expire(now)) read.answer(notLeader);
  }

  /** Asks again at every tick, as peers may only just be starting; but an election under way is left its time. */
  #campaignsNow(): boolean {
    return this.#options.campaignsFirst && !this.#leaderSeen && this.#leadership.role !== 'candidate';
  }

  #takeProposals(): void {
    if (this.#proposals.length === 0) return;
    const proposals = this.#proposals;
    this.#proposals = [];
    const { epoch, incarnation } = this.#options;
    const stamp = { logTime: this.#logClock.now(), rangeEpoch: epoch, incarnation };
    for (const { body, deadlineAt, answer } of proposals) {
      stampCommand(body, stamp);
      const proposed = this.#raft.propose(EntryKind.command, body);
      switch (proposed.type) {
        case 'appended': {
          const displaced = this.#pending.add(proposed.index, proposed.term, { deadlineAt, answer });
          displaced?.answer({
            type: 'unknown',
            detail: 'Leadership changed before the write was known to be committed.',
          });
          break;
        }
        case 'not_leader':
          answer(notLeader);
          break;
        case 'overloaded':
          answer({ type: 'overloaded', detail: 'too many bytes wait to be committed by this partition' });
          break;
        default:
          unreachable(proposed);
      }
    }
  }

  #sealReads(): void {
    const context = this.#reads.seal();
    if (context === undefined || this.#raft.readIndex(context)) return;
    for (const read of this.#reads.refuse(context)) read.answer(notLeader);
  }

  #send(messages: readonly Message[]): void {
    const { transport, partition } = this.#options;
    for (const message of messages) {
      const to = this.#nodeOf.get(message.to);
      assert(to !== undefined, () => `partition ${partition}: no member ${message.to}`);
      const stamped = message.type === 'Heartbeat' ? { ...message, logTime: this.#logClock.now() } : message;
      transport.send(to, partition, stamped);
    }
  }

  #persist(persist: Persist | undefined): void {
    if (persist === undefined) return;
    const { storage, partition, wake } = this.#options;
    const { hardState, truncateFrom, entries } = persist;
    storage.appendLog({ partition, hardState, truncateFrom, entries }, () => {
      this.#durable.push(persist);
      wake();
    });
  }

  #apply(committed: readonly Entry[]): void {
    for (const entry of committed) {
      if (entry.kind === EntryKind.command) this.#applyCommand(entry);
      else this.#stage([], applyNoop(this.#machineState, entry), entry, undefined);
    }
    const last = committed.at(-1);
    if (last !== undefined) this.#raft.applied(last.index);
  }

  #applyCommand(entry: Entry): void {
    const applied = applyCommand({ epoch: this.#options.epoch }, this.#state, this.#machineState, entry);
    this.#logClock.observe(applied.state.logTime);
    this.#stage(applied.writes, applied.state, entry, applied.result);
  }

  /** Changes and applied index go to storage together; then the one who waited for this entry is answered. */
  #stage(
    writes: Parameters<Storage['stageState']>[1],
    state: MachineState,
    entry: Entry,
    result: CommandResult | undefined,
  ): void {
    assert(entry.index === this.#machineState.appliedIndex + 1, 'entries are applied one after the other, each once');
    this.#machineState = state;
    this.#options.storage.stageState(this.#options.partition, writes, state);
    const settled = this.#pending.settle(entry.index, entry.term);
    if (settled === undefined) return;
    // Committed means: durable on a majority. Another leader's entry in this place means that ours never will be.
    if (!settled.own || result === undefined) settled.waiting.answer(notLeader);
    else settled.waiting.answer({ type: 'result', term: entry.term, result });
  }

  #settleReads(confirmed: readonly ReadState[], refused: readonly number[]): void {
    for (const { context, index } of confirmed) this.#reads.confirm(context, index);
    for (const context of refused) for (const read of this.#reads.refuse(context)) read.answer(notLeader);
  }

  /** ReadIndex, last step: leadership was confirmed after the read came, and everything committed before it is applied. */
  #answerReads(): void {
    const reads = this.#reads.takeAnswerable(this.#machineState.appliedIndex);
    for (const { key, answer } of reads) {
      answer({ type: 'value', term: this.#leadership.term, record: this.#state.get(key) });
    }
  }

  #changeLeadership(leadership: Leadership): void {
    this.#leadership = leadership;
    if (leadership.leader !== noReplica) this.#leaderSeen = true;
    this.#options.onLeader(this.leader());
  }
}
