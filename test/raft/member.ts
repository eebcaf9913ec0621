/** One Raft member beside a disk in memory whose completions the test decides, and builders for what it is told. */
import { decodeConfiguration } from '../../src/raft/configuration.ts';
import { Raft } from '../../src/raft/raft.ts';
import {
  type AppendEntriesRequest,
  type Configuration,
  type ConfigurationAt,
  type Entry,
  EntryKind,
  type HardState,
  type Heartbeat,
  type InstallResult,
  type InstallSnapshot,
  type Leadership,
  type LogIndex,
  type LogReader,
  type Message,
  noReplica,
  type Persist,
  type RaftLimits,
  type ReadState,
  type Ready,
  type ReplicaId,
  type Term,
} from '../../src/raft/types.ts';

export const limits: RaftLimits = {
  heartbeatTicks: 1,
  electionTicksMin: 10,
  electionTicksMax: 19,
  promotionLagMax: 10,
  quiesceTicks: 0,
  appendBytesMax: 1 << 20,
  inflightMessagesMax: 16,
  inflightBytesMax: 1 << 20,
  uncommittedBytesMax: 1 << 20,
  applyBytesMax: 1 << 20,
  logCacheBytesMax: 1 << 20,
};

export const replica = (id: number) => id as ReplicaId;
export const at = (index: number) => index as LogIndex;
export const inTerm = (term: number) => term as Term;

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (entry: Entry): string => new TextDecoder().decode(entry.body);

/** Commands with the given terms, one each, from index 1. The body names the place: `t2i5`. */
export function entriesOfTerms(terms: readonly number[], from = 1): Entry[] {
  return terms.map((term, offset) => command({ index: from + offset, term }));
}

export function command({ index, term, body }: { index: number; term: number; body?: string }): Entry {
  return { index: at(index), term: inTerm(term), kind: EntryKind.command, body: bytesOf(body ?? `t${term}i${index}`) };
}

export function noop({ index, term }: { index: number; term: number }): Entry {
  return { index: at(index), term: inTerm(term), kind: EntryKind.noop, body: new Uint8Array(0) };
}

export function configurationOf(voters: readonly number[], rest: Partial<Configuration> = {}): Configuration {
  const members = [...voters, ...(rest.votersOutgoing ?? []), ...(rest.learners ?? [])].map(replica);
  return {
    voters: voters.map(replica),
    votersOutgoing: [],
    learners: [],
    replicaIdMax: Math.max(0, ...members) as ReplicaId,
    incarnation: 1,
    hosts: new Map(members.map((id) => [id, `n${id}`])),
    ...rest,
  };
}

/** What a crash leaves: the batches whose write was completed, whole and in order. */
export class MemoryDisk implements LogReader {
  hardState: HardState;
  entriesStored: Entry[];
  /** What the state machine holds: applied changes ride with a later write of the log, never with an earlier one. */
  state: MachineState;
  /** Entries below were compacted away; their last term is kept. */
  #first = 1;
  #termBefore = inTerm(0);

  constructor(
    start: {
      readonly hardState?: HardState;
      readonly entries?: readonly Entry[];
      readonly founding?: ConfigurationAt;
    } = {},
  ) {
    this.hardState = start.hardState ?? { currentTerm: inTerm(0), votedFor: noReplica };
    this.entriesStored = [...(start.entries ?? [])];
    this.state = { entries: [], appliedIndex: 0, founding: start.founding ?? foundedWith(configurationOf([1, 2, 3])) };
  }

  get appliedIndex(): number {
    return this.state.appliedIndex;
  }

  /** `state` is what was applied before the write was handed over: it is durable with it. */
  write(persist: Persist, state: MachineState = this.state): void {
    if (persist.install) {
      this.entriesStored = [];
      this.#first = persist.install.index + 1;
      this.#termBefore = persist.install.term;
    }
    if (persist.truncateFrom !== undefined) this.entriesStored.length = persist.truncateFrom - this.#first;
    for (const entry of persist.entries) {
      if (entry.index !== this.lastIndex() + 1) throw new Error(`disk: gap before ${entry.index}`);
      this.entriesStored.push(entry);
    }
    this.hardState = persist.hardState ?? this.hardState;
    if (state.appliedIndex > this.state.appliedIndex) this.state = state;
    if (persist.compactThrough === undefined) return;
    if (persist.compactThrough > this.appliedIndex) throw new Error('disk: what is compacted must be in the state');
    this.compactTo(persist.compactThrough);
  }

  /** The log alone, to see what writes would make of it. */
  copyOfLog(): MemoryDisk {
    const copy = new MemoryDisk({ hardState: this.hardState, entries: this.entriesStored });
    copy.#first = this.#first;
    copy.#termBefore = this.#termBefore;
    copy.state = { ...this.state, appliedIndex: Infinity };
    return copy;
  }

  /** Forgets everything up to and with `index`. A test that begins with a compacted log has it all applied. */
  compactTo(index: number): void {
    if (this.appliedIndex < index) {
      this.state = { ...this.state, entries: this.entriesStored.slice(0, index), appliedIndex: index };
    }
    this.#termBefore = this.term(at(index)) ?? this.#termBefore;
    this.entriesStored.splice(0, index - this.#first + 1);
    this.#first = index + 1;
  }

  firstIndex(): LogIndex {
    return at(this.#first);
  }

  lastIndex(): LogIndex {
    return at(this.entriesStored.length === 0 && this.#first === 1 ? 0 : this.#first + this.entriesStored.length - 1);
  }

  term(index: LogIndex): Term | undefined {
    if (index === this.#first - 1) return this.#termBefore;
    return this.entriesStored[index - this.#first]?.term;
  }

  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
    const wanted = this.entriesStored.slice(from - this.#first, to - this.#first + 1);
    let bytes = 0;
    const end = wanted.findIndex((entry, position) => (bytes += entry.body.length) > bytesMax && position > 0);
    return end === -1 ? wanted : wanted.slice(0, end);
  }
}

export interface MemberOptions {
  readonly id?: number;
  readonly configuration?: Configuration;
  readonly term?: number;
  readonly votedFor?: number;
  /** What the disk holds at the start. */
  readonly entries?: readonly Entry[];
  readonly appliedIndex?: number;
  readonly limits?: Partial<RaftLimits>;
  readonly random?: () => number;
  readonly disk?: MemoryDisk;
}

/** What was applied, in order from index 1. The array only grows; a snapshot brings another one. */
export interface MachineState {
  readonly entries: readonly Entry[];
  readonly appliedIndex: number;
  /** In force before the first configuration entry. */
  readonly founding: ConfigurationAt;
}

export const foundedWith = (configuration: Configuration): ConfigurationAt => ({ index: at(0), configuration });

/** In force when `state` had been applied up to `appliedIndex`. */
export function configurationAtApplied({ entries, founding }: MachineState, appliedIndex: number): ConfigurationAt {
  const entry = entries.slice(0, appliedIndex).findLast(({ kind }) => kind === EntryKind.configuration);
  return entry === undefined ? founding : { index: entry.index, configuration: decodeConfiguration(entry.body) };
}

/** A snapshot on its way: what the receiver's core is told, and the state that was staged for it. */
export interface Snapshot {
  readonly request: InstallSnapshot;
  readonly state: MachineState;
}

/** Everything a member asked for since the last look, in order. */
export interface Output {
  readonly messages: Message[];
  readonly committed: Entry[];
  readonly reads: ReadState[];
  readonly readsRefused: number[];
  readonly leadership: Leadership[];
  readonly snapshotsDue: ReplicaId[];
  readonly configurations: ConfigurationAt[];
}

/** A turn in which nothing was asked for; tests name what differs. */
export const nothing: Output = {
  messages: [],
  committed: [],
  reads: [],
  readsRefused: [],
  leadership: [],
  snapshotsDue: [],
  configurations: [],
};

export class TestMember {
  readonly id: ReplicaId;
  readonly disk: MemoryDisk;
  readonly raft: Raft;
  /** Handed to the disk and not yet completed. */
  readonly writes: Persist[] = [];
  /** For each of `writes`: what was applied before or with it. */
  readonly #appliedWith: MachineState[] = [];
  #entries: Entry[];
  #founding: ConfigurationAt;
  /** Set to keep `settle` from completing writes. */
  diskHeld = false;
  /** All entries given to apply since this member started. */
  readonly applied: Entry[] = [];

  constructor(options: MemberOptions = {}) {
    const entries = options.entries ?? [];
    this.id = replica(options.id ?? 1);
    const currentTerm = inTerm(options.term ?? entries.at(-1)?.term ?? 0);
    const hardState = { currentTerm, votedFor: replica(options.votedFor ?? 0) };
    const founding = foundedWith(options.configuration ?? configurationOf([1, 2, 3]));
    this.disk = options.disk ?? new MemoryDisk({ hardState, entries, founding });
    const applied = options.appliedIndex ?? 0;
    if (this.disk.appliedIndex < applied) {
      this.disk.state = { ...this.disk.state, entries: this.disk.entriesStored, appliedIndex: applied };
    }
    // What is not named was not durable after all.
    this.disk.state = { ...this.disk.state, appliedIndex: applied };
    this.#entries = this.disk.state.entries.slice(0, applied);
    this.#founding = this.disk.state.founding;
    this.raft = new Raft({
      replicaId: this.id,
      configuration: configurationAtApplied(this.disk.state, applied),
      hardState: this.disk.hardState,
      log: this.disk,
      appliedIndex: at(options.appliedIndex ?? 0),
      limits: { ...limits, ...options.limits },
      random: options.random ?? (() => 0),
    });
  }

  /** Takes one Ready; what it wants written is under way. */
  takeReady(): Ready {
    const ready = this.raft.ready();
    this.applied.push(...ready.committed);
    this.#entries.push(...ready.committed);
    if (ready.persist) {
      this.writes.push(ready.persist);
      this.#appliedWith.push(this.state);
    }
    return ready;
  }

  /** Completes the oldest write; returns what may be sent after it. */
  completeWrite(): readonly Message[] {
    const write = this.writes.shift();
    if (!write) throw new Error('no write is under way');
    this.disk.write(write, this.#appliedWith.shift());
    return this.raft.persisted(write);
  }

  /** Turns until nothing is left to do, disk included unless held. */
  settle(): Output {
    const output: Output = {
      messages: [],
      committed: [],
      reads: [],
      readsRefused: [],
      leadership: [],
      snapshotsDue: [],
      configurations: [],
    };
    for (;;) {
      if (this.raft.hasReady()) {
        const ready = this.takeReady();
        output.messages.push(...ready.messages);
        output.committed.push(...ready.committed);
        output.reads.push(...ready.reads);
        output.readsRefused.push(...ready.readsRefused);
        if (ready.leadership) output.leadership.push(ready.leadership);
        output.snapshotsDue.push(...ready.snapshotsDue);
        if (ready.configuration) output.configurations.push(ready.configuration);
        const last = ready.committed.at(-1);
        if (last) this.raft.applied(last.index);
      } else if (this.writes.length > 0 && !this.diskHeld) {
        output.messages.push(...this.completeWrite());
      } else {
        return output;
      }
    }
  }

  /** All that was applied, a snapshot's part included. */
  get state(): MachineState {
    return { entries: this.#entries, appliedIndex: this.#entries.length, founding: this.#founding };
  }

  /** What is durable of the state, for a follower that needs it. */
  snapshotFor(to: number): Snapshot {
    const { state } = this.disk;
    const { term } = this.raft.status();
    const configuration = configurationAtApplied(state, state.appliedIndex);
    const last = state.entries[state.appliedIndex - 1];
    if (!last) throw new Error('nothing is applied that a snapshot could hold');
    const point = { index: last.index, snapshotTerm: last.term, configuration };
    return { request: { type: 'InstallSnapshot', from: this.id, to: replica(to), term, ...point }, state };
  }

  /** The whole snapshot is staged: hands it to the core. */
  install({ request, state }: Snapshot): InstallResult {
    const result = this.raft.installSnapshot(request);
    if (result === 'installing') {
      this.#entries = state.entries.slice(0, request.index);
      this.#founding = state.founding;
    }
    return result;
  }

  /** Hands in a message and settles. */
  receive(message: Message): Output {
    this.raft.step(message);
    return this.settle();
  }

  tick(count = 1): void {
    for (let tick = 0; tick < count; tick++) this.raft.tick();
  }

  /** Wins an election with every voter's yes; returns what was sent as leader. */
  becomeLeader(): Output {
    this.raft.campaign();
    this.settle();
    const { configuration, term } = this.raft.status();
    const others = [...configuration.voters, ...configuration.votersOutgoing].filter((voter) => voter !== this.id);
    const to = this.id;
    for (const from of others)
      this.raft.step({
        type: 'PreVoteResponse',
        from,
        to,
        term: inTerm(term + 1),
        granted: true,
      });
    this.settle();
    for (const from of others)
      this.raft.step({
        type: 'VoteResponse',
        from,
        to,
        term: inTerm(term + 1),
        granted: true,
        timeTerm: inTerm(0),
        logTime: 0,
      });
    return this.settle();
  }

  /** The whole log as the next hand-out and the disk have it. */
  get log(): readonly Entry[] {
    const disk = this.disk.copyOfLog();
    for (const write of this.writes) disk.write(write);
    return disk.entriesStored;
  }
}

/** An AppendEntries to replica 1 from replica 2, unless said otherwise. */
export function appendEntries(fields: {
  from?: number;
  to?: number;
  term: number;
  prev: readonly [index: number, term: number];
  entries?: readonly Entry[];
  leaderCommit?: number;
}): AppendEntriesRequest {
  return {
    type: 'AppendEntriesRequest',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    prevLogIndex: at(fields.prev[0]),
    prevLogTerm: inTerm(fields.prev[1]),
    entries: fields.entries ?? [],
    leaderCommit: at(fields.leaderCommit ?? 0),
  };
}

/** The answer of replica 2 to replica 1, unless said otherwise. */
export function appended(fields: { from?: number; to?: number; term: number; index: number }): Message {
  return {
    type: 'AppendEntriesResponse',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    success: true,
    index: at(fields.index),
    hintIndex: at(0),
    hintTerm: inTerm(0),
  };
}

export function refusedAppend(fields: {
  from?: number;
  to?: number;
  term: number;
  index: number;
  hint: readonly [index: number, term: number];
}): Message {
  return {
    type: 'AppendEntriesResponse',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    success: false,
    index: at(fields.index),
    hintIndex: at(fields.hint[0]),
    hintTerm: inTerm(fields.hint[1]),
  };
}

export function heartbeat(fields: {
  from?: number;
  to?: number;
  term: number;
  leaderCommit?: number;
  readRound?: number;
  quiesce?: boolean;
}): Heartbeat {
  return {
    type: 'Heartbeat',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    leaderCommit: at(fields.leaderCommit ?? 0),
    readRound: fields.readRound ?? 0,
    logTime: 0,
    freshIndex: at(0),
    freshTime: 0,
    quiesce: fields.quiesce ?? false,
  };
}

export function heartbeatAnswered(fields: { from?: number; to?: number; term: number; readRound?: number }): Message {
  return {
    type: 'HeartbeatResponse',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    readRound: fields.readRound ?? 0,
    logTime: 0,
  };
}

/** `VoteRequest` or `PreVoteRequest` to replica 1 from replica 2, unless said otherwise; `last` is the asker's log end. */
export function voteRequest(fields: {
  from?: number;
  to?: number;
  term: number;
  last: readonly [index: number, term: number];
  transfer?: boolean;
}): Message {
  return {
    type: 'VoteRequest',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    lastLogIndex: at(fields.last[0]),
    lastLogTerm: inTerm(fields.last[1]),
    transfer: fields.transfer ?? false,
  };
}

export function preVoteRequest(fields: {
  from?: number;
  to?: number;
  term: number;
  last: readonly [index: number, term: number];
}): Message {
  return {
    type: 'PreVoteRequest',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    lastLogIndex: at(fields.last[0]),
    lastLogTerm: inTerm(fields.last[1]),
  };
}

export function voted(fields: { from?: number; to?: number; term: number; granted: boolean; pre?: boolean }): Message {
  const answer = {
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    granted: fields.granted,
  };
  if (fields.pre) return { type: 'PreVoteResponse', ...answer };
  return { type: 'VoteResponse', ...answer, timeTerm: inTerm(0), logTime: 0 };
}

export function timeoutNow(fields: { from?: number; to?: number; term: number }): Message {
  return {
    type: 'TimeoutNow',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
  };
}

export function removedWord(fields: { from?: number; to?: number; term: number }): Message {
  return { ...timeoutNow(fields), type: 'ReplicaRemoved' };
}
