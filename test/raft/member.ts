/** One Raft member beside a disk in memory whose completions the test decides, and builders for what it is told. */
import { Raft } from '../../src/raft/raft.ts';
import {
  type AppendEntriesRequest,
  type Configuration,
  type Entry,
  EntryKind,
  type HardState,
  type Heartbeat,
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
  return { voters: voters.map(replica), votersOutgoing: [], learners: [], ...rest };
}

/** What a crash leaves: the batches whose write was completed, whole and in order. */
export class MemoryDisk implements LogReader {
  hardState: HardState;
  entriesStored: Entry[];
  /** What the state machine holds: applied changes ride with a later write of the log, never with an earlier one. */
  appliedIndex = 0;
  /** Entries below were compacted away; their last term is kept. */
  #first = 1;
  #termBefore = inTerm(0);

  constructor(start: { readonly hardState?: HardState; readonly entries?: readonly Entry[] } = {}) {
    this.hardState = start.hardState ?? { currentTerm: inTerm(0), votedFor: noReplica };
    this.entriesStored = [...(start.entries ?? [])];
  }

  write(persist: Persist): void {
    if (persist.truncateFrom !== undefined) this.entriesStored.length = persist.truncateFrom - this.#first;
    for (const entry of persist.entries) {
      if (entry.index !== this.lastIndex() + 1) throw new Error(`disk: gap before ${entry.index}`);
      this.entriesStored.push(entry);
    }
    this.hardState = persist.hardState ?? this.hardState;
  }

  /** Forgets everything up to and with `index`. */
  compactTo(index: number): void {
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

/** Everything a member asked for since the last look, in order. */
export interface Output {
  readonly messages: Message[];
  readonly committed: Entry[];
  readonly reads: ReadState[];
  readonly readsRefused: number[];
  readonly leadership: Leadership[];
}

export class TestMember {
  readonly id: ReplicaId;
  readonly disk: MemoryDisk;
  readonly raft: Raft;
  /** Handed to the disk and not yet completed. */
  readonly writes: Persist[] = [];
  /** For each of `writes`: what was applied before or with it. */
  readonly #appliedWith: number[] = [];
  /** Set to keep `settle` from completing writes. */
  diskHeld = false;
  /** All entries given to apply since this member started. */
  readonly applied: Entry[] = [];

  constructor(options: MemberOptions = {}) {
    const entries = options.entries ?? [];
    this.id = replica(options.id ?? 1);
    const currentTerm = inTerm(options.term ?? entries.at(-1)?.term ?? 0);
    const hardState = { currentTerm, votedFor: replica(options.votedFor ?? 0) };
    this.disk = options.disk ?? new MemoryDisk({ hardState, entries });
    this.raft = new Raft({
      replicaId: this.id,
      configuration: options.configuration ?? configurationOf([1, 2, 3]),
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
    if (ready.persist) {
      this.writes.push(ready.persist);
      this.#appliedWith.push(this.applied.at(-1)?.index ?? this.disk.appliedIndex);
    }
    return ready;
  }

  /** Completes the oldest write; returns what may be sent after it. */
  completeWrite(): readonly Message[] {
    const write = this.writes.shift();
    if (!write) throw new Error('no write is under way');
    this.disk.write(write);
    this.disk.appliedIndex = Math.max(this.disk.appliedIndex, this.#appliedWith.shift() ?? 0);
    return this.raft.persisted(write);
  }

  /** Turns until nothing is left to do, disk included unless held. */
  settle(): Output {
    const output: Output = { messages: [], committed: [], reads: [], readsRefused: [], leadership: [] };
    for (;;) {
      if (this.raft.hasReady()) {
        const ready = this.takeReady();
        output.messages.push(...ready.messages);
        output.committed.push(...ready.committed);
        output.reads.push(...ready.reads);
        output.readsRefused.push(...ready.readsRefused);
        if (ready.leadership) output.leadership.push(ready.leadership);
        const last = ready.committed.at(-1);
        if (last) this.raft.applied(last.index);
      } else if (this.writes.length > 0 && !this.diskHeld) {
        output.messages.push(...this.completeWrite());
      } else {
        return output;
      }
    }
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
      this.raft.step({ type: 'PreVoteResponse', from, to, term: inTerm(term + 1), granted: true });
    this.settle();
    for (const from of others)
      this.raft.step({ type: 'VoteResponse', from, to, term: inTerm(term + 1), granted: true });
    return this.settle();
  }

  /** The whole log as the next hand-out and the disk have it. */
  get log(): readonly Entry[] {
    const disk = new MemoryDisk({ entries: this.disk.entriesStored });
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
}): Heartbeat {
  return {
    type: 'Heartbeat',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    leaderCommit: at(fields.leaderCommit ?? 0),
    readRound: fields.readRound ?? 0,
    logTime: 0,
  };
}

export function heartbeatAnswered(fields: { from?: number; to?: number; term: number; readRound?: number }): Message {
  return {
    type: 'HeartbeatResponse',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    readRound: fields.readRound ?? 0,
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
  return {
    type: fields.pre ? 'PreVoteResponse' : 'VoteResponse',
    from: replica(fields.from ?? 2),
    to: replica(fields.to ?? 1),
    term: inTerm(fields.term),
    granted: fields.granted,
  };
}
