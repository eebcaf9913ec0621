/**
 * One member of one group: the shell around a Raft core. Everything that happens to it is put into its mailbox and acted
 * upon in `drive`, one function of named phases: take mail, step, send, persist, apply, answer. The node calls `drive` for
 * every replica with mail once in a loop turn and then flushes transport and storage once for all of them.
 */
import { Raft } from '../raft/raft.ts';
import { membersOf } from '../raft/configuration.ts';
import { EntryKind, noReplica } from '../raft/types.ts';
import type {
  ChangeResult,
  Configuration,
  ConfigurationAt,
  ConfigurationChange,
  Entry,
  Heartbeat,
  Leadership,
  LogIndex,
  Message,
  Persist,
  RaftStatus,
  ReadState,
  ReplicaId,
  Term,
  TransferResult,
} from '../raft/types.ts';
import { applyCommand, applyNoop, type Applied } from '../kv/machine.ts';
import { commandHeaderBytes, decodeCommand, stampCommand } from '../kv/command.ts';
import { conditionsHold } from '../kv/conditions.ts';
import { grows } from '../kv/grows.ts';
import { isDue, type MachineState, type StateReader } from '../kv/types.ts';
import { assert, unreachable } from '../assert.ts';
import { planted } from '../planted.ts';
import { ChangeLog, type ChangePoint } from './change-log.ts';
import { compactionPoint } from './compaction.ts';
import { Freshness } from './freshness.ts';
import { EarlyCampaign } from './early-campaign.ts';
import { configurationOf } from './founding.ts';
import { LogClock, type TermTime } from './log-clock.ts';
import { LogSizes } from './log-sizes.ts';
import { MemberHosts } from './member-hosts.ts';
import type { ReplicaOptions, ReplicaOutcome, ReplicaQueues, StaleRead, TransferStanding } from './options.ts';
import { Sweeper } from './sweeper.ts';
import { NamedRequests } from './named-requests.ts';
import { PendingProposals, PendingReads, type ReadQuery } from './pending.ts';
import { ReadAnswers } from './read-answers.ts';
import type { LeaderHint, NodeId, PartitionId, ReplicaDescriptor, Storage, StoredConfiguration } from './ports.ts';
import type { SnapshotId } from './snapshot-messages.ts';
import type { SnapshotWanted } from './snapshot-receiver.ts';
import type { InstallOutcome, StagedSnapshot } from './snapshot-reception.ts';

interface Installing extends StagedSnapshot {
  readonly done: (result: InstallOutcome) => void;
}

interface Proposed {
  readonly body: Buffer;
  readonly deadlineAt: number;
  readonly answer: (outcome: ReplicaOutcome) => void;
}

/** `nobody_now`: there are others, and none of them was heard of lately. A leader begins to listen anew from time to time. */
export type Heir =
  { readonly type: 'heir'; readonly nodeId: NodeId } | { readonly type: 'nobody_now' } | { readonly type: 'nobody' };

function timeOf({ appliedTerm, logTime }: MachineState): TermTime {
  return { timeTerm: appliedTerm as Term, logTime };
}

const notLeader: ReplicaOutcome = { type: 'not_leader' };

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #raft: Raft;
  readonly #state: StateReader;
  #logClock: LogClock;
  readonly #hosts: MemberHosts;
  #machineState: MachineState;
  #leadership: Leadership;
  /** A first leader was seen since this replica started: from then on elections run by their timeouts alone. */
  #leaderSeen = false;

  // The mailbox.
  #messages: Message[] = [];
  #proposals: Proposed[] = [];
  #durable: Persist[] = [];
  #ticks = 0;
  #snapshotsEnded: ReplicaId[] = [];
  #installs: Installing[] = [];
  #stalled = false;
  #onInstalled: () => void = () => undefined;
  #removed = false;
  #stopped = false;
  /** Nodes whose processes are gone. */
  #gone: NodeId[] = [];
  readonly #earlyCampaign: EarlyCampaign;
  readonly #sizes: LogSizes;

  readonly #pending = new PendingProposals<ReplicaOutcome>();
  readonly #reads = new PendingReads<ReplicaOutcome>();
  readonly #sweeper: Sweeper;
  readonly #named: NamedRequests;
  readonly #answers: ReadAnswers;
  readonly #freshness: Freshness;
  /** What its entries changed, for watchers. */
  readonly changes: ChangeLog;
  /** Something was applied, or the state was replaced, since watchers were last told. */
  #advanced = false;

  constructor(options: ReplicaOptions) {
    const { partition, storage, self, members, clock } = options;
    this.#options = options;
    this.#hosts = new MemberHosts(members, () => this.committedConfiguration().replicaIdMax);
    const recovered = storage.group(partition);
    this.#machineState = recovered.machineState;
    this.#state = storage.state(partition);
    this.#logClock = new LogClock(clock, timeOf(recovered.machineState));
    this.#logClock.storedIn(storage.log(partition), recovered.machineState.appliedIndex);
    this.#raft = new Raft({
      replicaId: self.replicaId,
      configuration: configurationOf(recovered.configuration, members),
      hardState: recovered.hardState,
      log: storage.log(partition),
      appliedIndex: recovered.machineState.appliedIndex as LogIndex,
      limits: options.limits,
      random: options.random,
    });
    this.#hosts.learn(this.#raft.configuration.configuration);
    this.#earlyCampaign = new EarlyCampaign({
      raft: this.#raft,
      partition,
      self: self.replicaId,
      clock,
      delayMs: options.limits.earlyCampaignDelayMs,
      wake: options.wake,
    });
    const { firstIndex, lastIndex } = this.#raft.status();
    this.#sizes = new LogSizes({ firstIndex, lastIndex, bytes: recovered.logBytes });
    this.#named = new NamedRequests({
      state: this.#state,
      kept: () => this.#machineState.remembered,
      limits: options.limits,
    });
    this.#sweeper = new Sweeper({
      partition,
      storage,
      clock,
      limits: options.limits,
      propose: (body, answer) => this.propose(body, clock.monotonicMs() + options.limits.sweepTimeoutMs, answer),
      onFailure: options.onFailure,
    });
    this.#freshness = new Freshness(self.replicaId);
    this.#answers = new ReadAnswers({
      partition,
      state: this.#state,
      storage,
      clock,
      now: () => this.#logClock.now(),
      limits: options.limits,
      term: () => this.#leadership.term,
      point: () => this.#point(),
      propose: (body, deadlineAt, answer) => this.propose(body, deadlineAt, answer),
    });
    this.changes = new ChangeLog({
      partition,
      entries: (from, to, bytesMax) => this.#raft.entries(from, to, bytesMax),
      firstIndex: () => this.#raft.firstIndex,
      now: () => this.#point(),
      storage,
    });
    this.#leadership = { role: 'follower', term: recovered.hardState.currentTerm, leader: noReplica };
  }

  get partition(): PartitionId {
    return this.#options.partition;
  }

  get replicaId(): ReplicaId {
    return this.#options.self.replicaId;
  }

  /** A message from `sender`. Dropped when the sender does not host the replica it speaks for, or the mailbox is full. */
  receive(sender: NodeId, message: Message): void {
    if (this.#messages.length >= this.#options.limits.mailboxMessagesMax) return;
    if (!this.#hosts.accepts(message.from, sender)) return;
    this.#messages.push(message);
    this.#options.wake();
  }

  /** The node of another member was started anew. */
  peerRestarted(nodeId: NodeId): void {
    for (const replicaId of this.#membersOn(nodeId)) this.#raft.peerRestarted(replicaId);
    this.peerGone(nodeId);
  }

  /** Nobody listens any more where a node was: if the leader lived there, this member need not wait out its election timeout. */
  peerGone(nodeId: NodeId): void {
    this.#gone.push(nodeId);
    this.#options.wake();
  }

  /** The connection to a node was made or lost: a group that has fallen silent has to look after itself again. */
  peerChanged(nodeId: NodeId): void {
    if (this.#membersOn(nodeId).length > 0) this.lookAround();
  }

  /** If it has fallen silent, it looks after itself again: who has no leader asks for one, and who was left out hears of it. */
  lookAround(): void {
    if (!this.#raft.quiesced) return;
    this.#raft.wake();
    this.#options.wake();
  }

  /**
   * The map does not place it here: without a leader it asks `placed` as well, who are members by the map. All whom it knows may have been left
   * out after it, and their nodes be no members of the cluster any more.
   */
  asksAfter(placed: readonly ReplicaDescriptor[]): void {
    this.lookAround();
    for (const { replicaId, nodeId } of placed) {
      if (replicaId !== this.replicaId && this.#hosts.accepts(replicaId, nodeId)) this.#raft.askStranger(replicaId);
    }
    this.#options.wake();
  }

  /** This node stood still for about an election timeout: others may lead by now. */
  stalled(): void {
    this.#stalled = true;
    this.#options.wake();
  }

  /** The node is about to stop: this replica leads on, but is elected only where nobody else can be. */
  standBack(): void {
    this.#raft.standBack();
  }

  /** Begins to hand leadership to the replica on `nodeId`. */
  transferLeadership(nodeId: NodeId): TransferResult {
    const [to] = this.#membersOn(nodeId);
    if (to === undefined) return { type: 'refused', reason: `${nodeId} has no replica of partition ${this.partition}` };
    const result = this.#raft.transferLeadership(to);
    this.#options.wake();
    return result;
  }

  /** What has become of a transfer to `nodeId` that began here in `term`. */
  transferStanding(nodeId: NodeId, term: Term): TransferStanding {
    const { role, term: current, transferee } = this.#raft.status();
    if (role !== 'leader' || current !== term) return 'in_doubt';
    const members = this.#membersOn(nodeId);
    if (members.includes(transferee)) return 'under_way';
    return members.some((to) => this.#raft.toldToTakeOver(to)) ? 'in_doubt' : 'given_up';
  }

  /** The transfer of a snapshot to `replica` has ended, well or not. */
  snapshotEnded(replica: ReplicaId): void {
    this.#snapshotsEnded.push(replica);
    this.#options.wake();
  }

  /** Whether a snapshot up to `index` would be of use: it is offered before anything of it is sent. */
  wantsSnapshot({ to, term, index }: Pick<SnapshotId, 'to' | 'term' | 'index'>): SnapshotWanted {
    const { self } = this.#options;
    if (to !== self.replicaId || this.#raft.removed) return { type: 'refused', reason: `replica ${to} is not here` };
    const { term: current } = this.#leadership;
    if (term < current) return { type: 'refused', reason: `term ${term} is over: this is term ${current}` };
    return { type: index > this.#machineState.appliedIndex ? 'yes' : 'not_needed' };
  }

  /** False when the replica is known to live elsewhere. */
  speaksFor(replicaId: ReplicaId, nodeId: NodeId): boolean {
    return this.#hosts.accepts(replicaId, nodeId);
  }

  /** Takes over a snapshot whose state is staged and complete. Resolves once it is durable, or certain that it will not be. */
  install(staged: StagedSnapshot): Promise<InstallOutcome> {
    if (this.#stopped) return Promise.resolve('stopped');
    return new Promise((done) => {
      this.#installs.push({ ...staged, done });
      this.#options.wake();
    });
  }

  /** Whom leadership is best handed to: a voter that answers and lacks least, on none of the nodes `but` names. */
  heir(but: ReadonlySet<NodeId>): Heir {
    const { progress, configuration } = this.#raft.status();
    const others = progress.flatMap(({ replicaId, recentlyActive, matchIndex }) => {
      const nodeId = this.#hosts.hostOf(replicaId);
      const mayLead = configuration.voters.includes(replicaId) && nodeId !== undefined && !but.has(nodeId);
      return mayLead ? [{ nodeId, recentlyActive, matchIndex }] : [];
    });
    if (others.length === 0) return { type: 'nobody' };
    const answering = others.filter(({ recentlyActive }) => recentlyActive);
    const [best] = answering.toSorted((one, other) => other.matchIndex - one.matchIndex);
    return best === undefined ? { type: 'nobody_now' } : { type: 'heir', nodeId: best.nodeId };
  }

  tick(): void {
    // A silent group costs nothing, unless somebody waits for an answer by a deadline.
    const isIdle = this.#raft.quiesced && this.#pending.size === 0 && this.#reads.size === 0;
    if (isIdle && !this.#sweepsNow()) return;
    this.#ticks += 1;
    this.#options.wake();
  }

  /** Proposes an encoded command; `answer` is called exactly once, by `deadlineAt` (give or take a tick). `body` is the log's from then on. */
  propose(body: Buffer, deadlineAt: number, answer: (outcome: ReplicaOutcome) => void): void {
    const { limits, storage } = this.#options;
    if (this.#leadership.role !== 'leader') return answer(notLeader);
    const full = this.#fullDisk(body);
    if (full !== undefined) return answer({ type: 'disk_full', detail: full });
    if (this.#proposals.length + this.#pending.size >= limits.pendingRequestsMax) {
      return answer({
        type: 'overloaded',
        detail: `${limits.pendingRequestsMax} writes already wait for this partition`,
      });
    }
    if (storage.pendingBytes() > limits.pendingBytesMax) {
      return answer({ type: 'overloaded', detail: `more than ${limits.pendingBytesMax} bytes wait for the disk` });
    }
    if (planted('condition-before-log')) {
      const { command } = decodeCommand(body);
      const current = command.type === 'put' ? this.#state.header(command.key) : undefined;
      if (command.type === 'put' && !conditionsHold(command.conditions, current)) {
        const result = { type: 'condition_failed', current } as const;
        const { term } = this.#leadership;
        return answer({ type: 'result', term, result, replayed: false, logTime: this.#logClock.now() });
      }
    }
    const waiting = this.#named.admit(body, { deadlineAt, answer });
    if ('refused' in waiting) return answer({ type: 'overloaded', detail: waiting.refused });
    this.#proposals.push({ body, ...waiting });
    this.#options.wake();
  }

  /**
   * What a command that may need more room has to wait for. Safety: every voter has to take in what is committed, also to get at the
   * deletes that come after it, so what one of them has no room for is begun by none.
   */
  #fullDisk(body: Buffer): string | undefined {
    const { lowDisks } = this.#options;
    if (lowDisks.size === 0 || !grows(decodeCommand(body).command)) return undefined;
    const { voters, votersOutgoing } = this.#raft.configuration.configuration;
    return [...voters, ...votersOutgoing]
      .map((id) => lowDisks.get(this.#hosts.hostOf(id) ?? ('' as NodeId)))
      .find((what) => what !== undefined);
  }

  /** A linearizable read; `answer` is called exactly once, by `deadlineAt` (give or take a tick). */
  read(query: ReadQuery, deadlineAt: number, answer: (outcome: ReplicaOutcome) => void): void {
    if (this.#leadership.role !== 'leader') return answer(notLeader);
    if (this.#reads.size >= this.#options.limits.pendingRequestsMax) {
      const detail = `${this.#options.limits.pendingRequestsMax} reads already wait for this partition`;
      return answer({ type: 'overloaded', detail });
    }
    this.#reads.add({ query, deadlineAt, answer });
    this.#options.wake();
  }

  /** A read of what is here now, whoever leads. Undefined when this replica never had anything: it may have just come. */
  staleRead(key: Uint8Array): StaleRead | undefined {
    const { appliedIndex, logTime: appliedAt } = this.#machineState;
    if (appliedIndex === 0 || this.#stopped) return undefined;
    // In silence nobody tells it how fresh it is: the next reader will know more.
    this.lookAround();
    const logTime = this.#logClock.now();
    const record = this.#state.get(key);
    const freshAt = this.#freshness.freshAt(appliedIndex);
    const wallMs = this.#options.clock.wallMs();
    return {
      term: this.#leadership.term,
      record: record === undefined || isDue(record, logTime) ? undefined : record,
      logTime,
      // Log time begins as wall time, and stands still while no replica runs.
      stalenessMs: Math.max(0, Math.floor(freshAt === undefined ? wallMs - appliedAt : logTime - freshAt)),
      estimated: freshAt === undefined,
    };
  }

  get removed(): boolean {
    return this.#raft.removed;
  }

  /** The newest configuration that it knows to be committed. */
  committedConfiguration(): Configuration {
    return this.#raft.committedConfiguration.configuration;
  }

  /** The configuration in force, and whether it is known to be committed. */
  configuration(): ConfigurationAt & { readonly committed: boolean } {
    const { index, configuration } = this.#raft.configuration;
    return { index, configuration, committed: this.#raft.committedConfiguration.index === index };
  }

  hostOf(replicaId: ReplicaId): NodeId | undefined {
    return this.#hosts.hostOf(replicaId);
  }

  /** Changes the members, on a leader: see `RaftCore.changeConfiguration`. */
  changeConfiguration(change: ConfigurationChange): ChangeResult {
    const result = this.#raft.changeConfiguration(change);
    this.#options.wake();
    return result;
  }

  get leads(): boolean {
    return this.#leadership.role === 'leader';
  }

  leader(): LeaderHint | undefined {
    const { leader, term } = this.#leadership;
    const nodeId = this.#hosts.hostOf(leader);
    return leader === noReplica || nodeId === undefined ? undefined : { nodeId, term };
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  queues(): ReplicaQueues {
    const writes = this.#proposals.length + this.#pending.size;
    return { messages: this.#messages.length, writes, reads: this.#reads.size };
  }

  machineState(): MachineState {
    return this.#machineState;
  }

  /** One turn. Throws what stops the node: a broken invariant, a damaged record, a command of unknown version. */
  drive(): void {
    if (this.#stopped) return;
    this.#takeMail();
    for (let round = 0; this.#raft.hasReady(); round += 1) {
      if (round === this.#options.limits.readiesPerTurnMax) {
        this.#options.wake();
        break;
      }
      const ready = this.#raft.ready();
      if (ready.leadership !== undefined) this.#changeLeadership(ready.leadership);
      if (ready.configuration !== undefined) this.#hosts.learn(ready.configuration.configuration);
      this.#send(ready.messages);
      this.#persist(ready.persist);
      this.#sendSnapshots(ready.snapshotsDue);
      this.#apply(ready.committed);
      this.#settleReads(ready.reads, ready.readsRefused);
    }
    this.#answerReads();
    if (this.#advanced) {
      this.#advanced = false;
      this.changes.wake();
    }
    // Only when it has said all: to whom it hands over, and who was left out with it.
    if (this.#raft.removed && !this.#removed && !this.#raft.hasReady()) {
      this.#removed = true;
      this.#options.onRemoved();
    }
  }

  /** It does nothing any more. Whoever waits learns what is true now; of writes whose end nobody knows, `why`. */
  stop(why = 'The node stopped before the write was known to be committed.'): void {
    this.#stopped = true;
    this.changes.wake();
    for (const { done } of this.#installs.splice(0)) done('stopped');
    this.#earlyCampaign.cancel();
    this.#sweeper.stop();
    for (const proposal of this.#proposals) proposal.answer(notLeader);
    this.#proposals = [];
    for (const waiting of this.#pending.drain()) {
      waiting.answer({ type: 'unknown', detail: why });
    }
    for (const read of this.#reads.drain()) read.answer(notLeader);
  }

  #takeMail(): void {
    const messages = this.#messages;
    this.#messages = [];
    for (const message of messages) {
      this.#observe(message);
      this.#raft.step(message);
    }
    for (const replica of this.#snapshotsEnded.splice(0)) this.#raft.snapshotEnded(replica);
    for (const installing of this.#installs.splice(0)) this.#install(installing);
    const durable = this.#durable;
    this.#durable = [];
    for (const persist of durable) this.#send(this.#raft.persisted(persist));
    if (this.#stalled) this.#raft.stalled();
    this.#stalled = false;
    // After the messages: what a leader sent before it died does not bring it back.
    for (const nodeId of this.#gone.splice(0)) this.#earlyCampaign.leaderGone(this.#membersOn(nodeId));
    this.#earlyCampaign.maybeCampaign();
    // Before the ticks: a group that has work does not fall silent.
    this.#takeProposals();
    for (; this.#ticks > 0; this.#ticks -= 1) this.#tick();
    this.#sealReads();
  }

  #tick(): void {
    this.#raft.tick();
    this.#maybeCompact();
    if (this.#sweepsNow()) this.#sweeper.sweep(this.#machineState, this.#logClock.now());
    if (this.#campaignsNow()) this.#raft.campaign();
    const now = this.#options.clock.monotonicMs();
    for (const waiting of this.#pending.expire(now)) {
      waiting.answer({ type: 'unknown', detail: 'No majority confirmed the write within its deadline.' });
    }
    // Nothing has happened for a read that was not answered: it may be asked again anywhere.
    for (const read of this.#reads.expire(now)) read.answer(notLeader);
  }

  #sweepsNow(): boolean {
    return this.#leadership.role === 'leader' && this.#sweeper.isDue(this.#machineState, this.#logClock.now());
  }

  /** Asks again at every tick, as peers may only just be starting; but an election under way is left its time. */
  #campaignsNow(): boolean {
    return this.#options.campaignsFirst && !this.#leaderSeen && this.#leadership.role !== 'candidate';
  }

  #maybeCompact(): void {
    const { storage, partition, limits, pinnedIndex } = this.#options;
    if (this.#sizes.lastIndex() - this.#sizes.firstIndex() < 1) return;
    const { progress: followers } = this.#raft.status();
    const durableAppliedIndex = storage.durableAppliedIndex(partition);
    const view = { log: this.#sizes, durableAppliedIndex, followers, pinnedIndex: pinnedIndex(partition) };
    const through = compactionPoint(view, limits);
    if (through === undefined) return;
    const stepEnd = this.#sizes.firstIndex() + limits.compactEntriesMax - 1;
    this.#raft.compact(Math.min(through, stepEnd) as LogIndex);
  }

  #takeProposals(): void {
    if (this.#proposals.length === 0) return;
    const proposals = this.#proposals;
    this.#proposals = [];
    const { epoch } = this.#options;
    // By the log and not by the map, which may be old: no incarnation is ever given back.
    const { incarnation } = this.#raft.configuration.configuration;
    const stamp = { logTime: this.#logClock.now(), rangeEpoch: epoch, incarnation };
    for (const { body, deadlineAt, answer } of proposals) {
      stampCommand(body, stamp);
      // The name's first byte: each replica that leads has names of its own.
      if (body[1] === 1 && planted('dedup-by-node')) body[commandHeaderBytes + 1] = this.replicaId & 0xff;
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
        case 'transferring':
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
      const to = this.#hosts.hostOf(message.to);
      if (to === undefined) continue; // a stranger that was forgotten again
      transport.send(to, partition, this.#stamped(message));
    }
  }

  /** What members tell each other beside Raft. */
  #stamped(message: Message): Message {
    if (message.type === 'VoteResponse') return { ...message, ...this.#logClock.reading() };
    return message.type === 'Heartbeat' ? this.#stampedHeartbeat(message) : message;
  }

  #stampedHeartbeat(heartbeat: Heartbeat): Heartbeat {
    const logTime = this.#logClock.now();
    const { configuration } = this.#raft.configuration;
    return { ...heartbeat, logTime, ...this.#freshness.heartbeat(logTime, this.#raft.committedBound(), configuration) };
  }

  #observe(message: Message): void {
    if (message.type === 'VoteResponse') {
      this.#logClock.follow(message);
    } else if (message.type === 'Heartbeat') {
      this.#logClock.follow({ timeTerm: message.term, logTime: message.logTime });
      this.#freshness.heard(message);
    } else if (message.type === 'HeartbeatResponse') {
      const { role, term } = this.#leadership;
      if (role !== 'leader' || message.term !== term) return;
      this.#freshness.heartbeatAnswered(message.from, message.logTime, this.#raft.configuration.configuration);
    }
  }

  #persist(persist: Persist | undefined): void {
    if (persist === undefined) return;
    this.#sizes.written(persist);
    this.#logClock.stored(persist.entries);
    const { storage, partition, wake } = this.#options;
    const { install, hardState, truncateFrom, entries, compactThrough } = persist;
    const installed = install === undefined ? undefined : this.#onInstalled;
    storage.appendLog({ partition, install, hardState, truncateFrom, entries, compactThrough }, () => {
      this.#durable.push(persist);
      installed?.();
      wake();
    });
  }

  /**
   * The core takes it or not; if it does, state, log clock and all that waits here jump along, before anything else is
   * applied. Its `Ready` is taken in this very turn, and with its log write the storage turns to the staged state.
   */
  #install({ request, machineState, done }: Installing): void {
    if (this.#raft.installSnapshot(request) === 'not_needed') return done('not_needed');
    this.#machineState = machineState;
    this.#advanced = true;
    this.#logClock.applied(timeOf(machineState));
    this.#sweeper.installed();
    this.#onInstalled = () => {
      done('installed');
      this.#options.observer?.replaced();
    };
    // Committed or replaced, here it can't be told any more.
    for (const waiting of this.#pending.takeUpTo(request.index)) {
      waiting.answer({
        type: 'unknown',
        detail: 'A snapshot took the place of the log before the write was known to be committed.',
      });
    }
  }

  #sendSnapshots(due: readonly ReplicaId[]): void {
    const { partition, self, onSnapshotDue } = this.#options;
    for (const replicaId of due) {
      const nodeId = this.#hosts.hostOf(replicaId);
      const { term } = this.#leadership;
      if (nodeId === undefined) this.snapshotEnded(replicaId);
      else onSnapshotDue({ partition, from: self.replicaId, to: { replicaId, nodeId }, term });
    }
  }

  #apply(committed: readonly Entry[]): void {
    for (const entry of committed) {
      if (entry.kind === EntryKind.command) this.#applyCommand(entry);
      else this.#applyOther(entry);
    }
    const last = committed.at(-1);
    if (last !== undefined) this.#raft.applied(last.index);
  }

  #applyCommand(entry: Entry): void {
    const applied = applyCommand({ epoch: this.#options.epoch }, this.#state, this.#machineState, entry);
    this.#logClock.applied(timeOf(applied.state));
    this.#stage(applied.writes, applied.state, entry, applied);
  }

  /** A term's no-op, or a configuration, which Raft itself has acted upon: the state keeps it for the time after the log. */
  #applyOther(entry: Entry): void {
    const { index, body, kind } = entry;
    const configuration = kind === EntryKind.configuration ? { index, body } : undefined;
    this.#stage([], applyNoop(this.#machineState, entry), entry, undefined, configuration);
  }

  /** Changes and applied index go to storage together; then the one who waited for this entry is answered. */
  #stage(
    writes: Parameters<Storage['stageState']>[1],
    state: MachineState,
    entry: Entry,
    applied: Pick<Applied, 'result' | 'replayed' | 'kept'> | undefined,
    configuration?: StoredConfiguration,
  ): void {
    assert(entry.index === this.#machineState.appliedIndex + 1, 'entries are applied one after the other, each once');
    this.#machineState = state;
    this.#options.storage.stageState(this.#options.partition, writes, state, configuration, applied?.kept);
    this.#advanced = true;
    this.#sweeper.applied(writes);
    this.#options.observer?.applied(writes);
    const settled = this.#pending.settle(entry.index, entry.term);
    if (settled === undefined) return;
    // Committed means: durable on a majority. Another leader's entry in this place means that ours never will be.
    if (!settled.own || applied === undefined) return settled.waiting.answer(notLeader);
    const { result, replayed } = applied;
    settled.waiting.answer({ type: 'result', term: entry.term, result, replayed, logTime: this.#logClock.now() });
  }

  #settleReads(confirmed: readonly ReadState[], refused: readonly number[]): void {
    for (const { context, index } of confirmed) this.#reads.confirm(context, index);
    for (const context of refused) for (const read of this.#reads.refuse(context)) read.answer(notLeader);
  }

  /** ReadIndex, last step: leadership was confirmed after the read came, and everything committed before it is applied. */
  #answerReads(): void {
    for (const read of this.#reads.takeAnswerable(this.#machineState.appliedIndex)) this.#answers.answer(read);
  }

  #point(): ChangePoint {
    return { incarnation: this.#raft.configuration.configuration.incarnation, index: this.#machineState.appliedIndex };
  }

  #membersOn(nodeId: NodeId): readonly ReplicaId[] {
    return membersOf(this.#raft.configuration.configuration).filter((id) => this.#hosts.hostOf(id) === nodeId);
  }

  #changeLeadership(leadership: Leadership): void {
    this.#leadership = leadership;
    this.#freshness.leadershipChanged();
    if (leadership.role === 'leader' && planted('ttl-reset-at-leader-change')) {
      this.#logClock = new LogClock(this.#options.clock, timeOf(this.#machineState));
    }
    if (leadership.role === 'leader') this.#logClock.lead(leadership.term);
    if (leadership.leader !== noReplica) this.#leaderSeen = true;
    this.#options.onRole?.(leadership.role);
    this.#options.onLeader(this.leader());
  }
}
