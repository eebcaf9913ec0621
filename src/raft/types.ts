/**
 * The words of the Raft core: what goes in, what comes out. The names are the Raft paper's (Ongaro and Ousterhout 2014,
 * and Ongaro's thesis for pre-vote, ReadIndex and membership).
 */
declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** 0 before the first election; grows by one with each election. */
export type Term = Brand<number, 'Term'>;
/** 1 for the first entry of a log; 0 means "before the first". */
export type LogIndex = Brand<number, 'LogIndex'>;
/** One stay of one member in one group, 1 and up, never reused: whoever returns after losing its disk has a new one. */
export type ReplicaId = Brand<number, 'ReplicaId'>;
/** Stands where there is no replica: no vote cast, no leader known. */
export const noReplica = 0 as ReplicaId;

/** What an entry is to Raft. The numbers are stored and sent: they never change. */
export const EntryKind = { noop: 0, command: 1, configuration: 2 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** One entry of the log. `body` is opaque to Raft: the same bytes go to the log, the wire and the disk. */
export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Empty for a no-op. Never written to after it is handed over. */
  readonly body: Uint8Array;
}

/** What must be durable before a reply that speaks of it (paper, figure 2: "persistent state"). Written as one record. */
export interface HardState {
  readonly currentTerm: Term;
  /** `noReplica` when no vote was cast in `currentTerm`. */
  readonly votedFor: ReplicaId;
}

/**
 * Who counts. Outside a change `votersOutgoing` is empty; within one (joint consensus, paper section 6) a decision
 * needs a majority of `voters` and one of `votersOutgoing`. Learners receive the log and decide nothing.
 */
export interface Configuration {
  readonly voters: readonly ReplicaId[];
  readonly votersOutgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
}

interface Envelope {
  /** The sender; a reply from an id that this group does not know, or no longer knows, is dropped. */
  readonly from: ReplicaId;
  /** The addressee; a message meant for an earlier stay of this member is dropped. */
  readonly to: ReplicaId;
  /** The sender's term; for a pre-vote, the term it would campaign in. */
  readonly term: Term;
}

/** Asks "would you vote for me?" without raising anyone's term (thesis 9.6). Answered from durable and volatile state; changes neither. */
export interface PreVoteRequest extends Envelope {
  readonly type: 'PreVoteRequest';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
}

/** `term` is the term asked for when granted, the responder's own when refused. */
export interface PreVoteResponse extends Envelope {
  readonly type: 'PreVoteResponse';
  readonly granted: boolean;
}

export interface VoteRequest extends Envelope {
  readonly type: 'VoteRequest';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
  /** A leadership transfer: the receiver sets leader stickiness aside (thesis 4.2.3). Always false until transfers exist. */
  readonly transfer: boolean;
}

export interface VoteResponse extends Envelope {
  readonly type: 'VoteResponse';
  readonly granted: boolean;
}

export interface AppendEntriesRequest extends Envelope {
  readonly type: 'AppendEntriesRequest';
  readonly prevLogIndex: LogIndex;
  readonly prevLogTerm: Term;
  /** Consecutive from `prevLogIndex + 1`; empty when only a probe. */
  readonly entries: readonly Entry[];
  readonly leaderCommit: LogIndex;
}

export interface AppendEntriesResponse extends Envelope {
  readonly type: 'AppendEntriesResponse';
  readonly success: boolean;
  /** On success: the last index that the request verified and that is durable here. On refusal: the request's `prevLogIndex`, so that an answer to an older probe is told apart. */
  readonly index: LogIndex;
  /** On refusal: where the leader may look next (conflict-term fast back-up, paper 5.3): an index not above the responder's log and its term there. 0 and 0 on success. */
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
}

/** Keeps leadership known, moves `leaderCommit` (never above what the receiver is known to match) and carries a read round. */
export interface Heartbeat extends Envelope {
  readonly type: 'Heartbeat';
  readonly leaderCommit: LogIndex;
  /** The leader's newest ReadIndex round; 0 when no read waits. A round is never reused within a term. */
  readonly readRound: number;
  /** Milliseconds of log time. Opaque to the core, which sends 0; the replica writes it on the way out and reads it on the way in. */
  readonly logTime: number;
}

/** "I still follow you in this very term": `term` equals the responder's currentTerm, or the leader does not count it. */
export interface HeartbeatResponse extends Envelope {
  readonly type: 'HeartbeatResponse';
  readonly readRound: number;
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendEntriesRequest
  | AppendEntriesResponse
  | Heartbeat
  | HeartbeatResponse;

/** The durable part of the log, read synchronously. What it returns has been verified; corruption throws and stops the node. */
export interface LogReader {
  /** The first index still stored; 1 until logs are compacted. */
  firstIndex(): LogIndex;
  /** 0 when the log is empty. */
  lastIndex(): LogIndex;
  /** Term at `index`, `firstIndex - 1` included; undefined outside. */
  term(index: LogIndex): Term | undefined;
  /** Consecutive entries from `from` up to and with `to`, cut once their bodies exceed `bytesMax` (at least one is returned). */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[];
}

/** Named bounds of one group. Ticks are the node's `raft.tickMs`. */
export interface RaftLimits {
  readonly heartbeatTicks: number;
  /** A follower waits a random number of ticks in [electionTicksMin, electionTicksMax] before it campaigns. */
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  /** Body bytes in one AppendEntries (one larger entry may exceed it alone). */
  readonly appendBytesMax: number;
  /** AppendEntries sent to one follower and not yet answered: how many, and their body bytes. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Body bytes proposed and not yet committed; above it a proposal is refused. */
  readonly uncommittedBytesMax: number;
  /** Body bytes handed out to apply in one Ready. */
  readonly applyBytesMax: number;
  /** Body bytes of durable entries kept in memory for followers and apply. Entries not yet durable are always kept. */
  readonly logCacheBytesMax: number;
}

/** What must be written, in this order within one atomic batch: truncate, append, hard state. Completions are FIFO. */
export interface Persist {
  /** Counts this replica's hand-outs. */
  readonly sequence: number;
  readonly hardState: HardState | undefined;
  /** Stored entries from here on are replaced. */
  readonly truncateFrom: LogIndex | undefined;
  readonly entries: readonly Entry[];
  /** Replies that speak of what is written here. The core hands them back from `persisted`, never before. */
  readonly messagesAfterPersist: readonly Message[];
}

/** A read whose leadership was confirmed: answer it once `index` is applied. */
export interface ReadState {
  readonly context: number;
  readonly index: LogIndex;
}

/** All that one turn asks of the shell. */
export interface Ready {
  /** May be sent now. */
  readonly messages: readonly Message[];
  /** Nothing to persist when undefined. */
  readonly persist: Persist | undefined;
  /** To apply, consecutive, each once. Committed, though perhaps not yet durable here. */
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
  /** Reads that can no longer be confirmed (leadership lost): certainly not answered from here. */
  readonly readsRefused: readonly number[];
  /** Set when role, term or known leader changed since the last Ready. */
  readonly leadership: Leadership | undefined;
}

export interface Leadership {
  readonly role: RoleName;
  readonly term: Term;
  /** `noReplica` when none is known. */
  readonly leader: ReplicaId;
}

export type RoleName = 'follower' | 'preCandidate' | 'candidate' | 'leader';

export type ProposeResult =
  | { readonly type: 'appended'; readonly index: LogIndex; readonly term: Term }
  | { readonly type: 'not_leader'; readonly leader: ReplicaId }
  /** `uncommittedBytesMax` reached: nothing was appended, try again later. */
  | { readonly type: 'overloaded' };

export interface ProgressStatus {
  readonly replicaId: ReplicaId;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly recentlyActive: boolean;
}

export interface RaftStatus extends Leadership {
  readonly replicaId: ReplicaId;
  readonly votedFor: ReplicaId;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly configuration: Configuration;
  /** Only on a leader. */
  readonly progress: readonly ProgressStatus[];
}

export interface RaftOptions {
  readonly replicaId: ReplicaId;
  readonly configuration: Configuration;
  readonly hardState: HardState;
  readonly log: LogReader;
  /** What the state machine already holds; nothing at or below it is handed out again. */
  readonly appliedIndex: LogIndex;
  readonly limits: RaftLimits;
  /** Uniform in [0, 1): the only source of randomness. */
  readonly random: () => number;
}

/**
 * One member of one group as a deterministic state machine. The shell calls `step`, `tick`, `propose`, `readIndex`,
 * then takes a `ready()`, and reports back with `persisted` and `applied`.
 */
export interface RaftCore {
  step(message: Message): void;
  tick(): void;
  /** Starts a (pre-)election at once instead of waiting for the timeout. Does nothing on a leader. */
  campaign(): void;
  propose(kind: EntryKind, body: Uint8Array): ProposeResult;
  /** False when this is no leader (then nothing is remembered). `context` grows with each call. */
  readIndex(context: number): boolean;
  hasReady(): boolean;
  ready(): Ready;
  /** What `persist` names is durable. Returns the replies that may go now: none when a later term or truncation has overtaken it. */
  persisted(persist: Persist): readonly Message[];
  /** The member behind `replica` was started anew: a leader no longer relies on what the earlier start had acknowledged. */
  peerRestarted(replica: ReplicaId): void;
  /** Everything up to `index` is in the state machine. */
  applied(index: LogIndex): void;
  status(): RaftStatus;
}
