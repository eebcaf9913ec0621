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
  /**
   * The highest replicaId ever given out in this group: a newcomer gets the next one. Ids are never reused, so a
   * committed configuration is the tombstone of every id up to this one that it does not name.
   */
  readonly replicaIdMax: ReplicaId;
  /**
   * How often the group has begun: 1 as it was founded, one more each time that it was begun anew by hand, from less than a majority.
   * No change of the members changes it. Opaque to the core.
   */
  readonly incarnation: number;
  /** Where each member lives, by its id. Opaque to the core. */
  readonly hosts: ReadonlyMap<ReplicaId, string>;
}

/** A configuration and the index of the entry that brought it; 0 for the one that the group was founded with. */
export interface ConfigurationAt {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

/** What a leader may be asked to change. Ids are never reused: who returns comes as a newcomer. */
export type ConfigurationChange =
  /** A newcomer that lives at `host` receives the log and decides nothing. Its id is the next one. */
  | { readonly type: 'addLearner'; readonly host: string }
  | { readonly type: 'removeLearner'; readonly replicaId: ReplicaId }
  /** By joint consensus. Voters that are new must be learners now, caught up and reachable; those left out are removed. */
  | { readonly type: 'changeVoters'; readonly voters: readonly ReplicaId[] };

export type ChangeResult =
  | { readonly type: 'appended'; readonly index: LogIndex; readonly term: Term; readonly configuration: Configuration }
  | { readonly type: 'not_leader'; readonly leader: ReplicaId }
  /** Nothing was appended; `reason` says why, for people. */
  | { readonly type: 'refused'; readonly reason: string };

export type TransferResult =
  /** Under way: it ends with another leader, or is given up after an election timeout. */
  | { readonly type: 'started' }
  /** The target leads already. */
  | { readonly type: 'done' }
  | { readonly type: 'not_leader'; readonly leader: ReplicaId }
  | { readonly type: 'refused'; readonly reason: string };

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
  /** A leadership transfer: the receiver sets leader stickiness aside (thesis 4.2.3). */
  readonly transfer: boolean;
}

export interface VoteResponse extends Envelope {
  readonly type: 'VoteResponse';
  readonly granted: boolean;
  /** Opaque to the core, which sends 0: see `replica/log-clock.ts`. */
  readonly timeTerm: Term;
  readonly logTime: number;
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
  /** As opaque, sent as 0: see `replica/freshness.ts`. */
  readonly freshIndex: LogIndex;
  readonly freshTime: number;
  /** The leader falls silent behind this: a follower that holds nothing above `leaderCommit` stops its election timer. */
  readonly quiesce: boolean;
}

/** "I still follow you in this very term": `term` equals the responder's currentTerm, or the leader does not count it. */
export interface HeartbeatResponse extends Envelope {
  readonly type: 'HeartbeatResponse';
  /** That of the heartbeat; 0, which confirms nothing, when the heartbeat was of an older term. */
  readonly readRound: number;
  /** The same. */
  readonly logTime: number;
}

/** Leadership transfer (thesis 3.10): the receiver campaigns at once, without pre-vote. Sent once its log is the leader's. */
export interface TimeoutNow extends Envelope {
  readonly type: 'TimeoutNow';
}

/**
 * Tells a replica that a committed configuration has left it out. It stops for good; its data may be destroyed.
 * Never sent on the word of a configuration that could still be rolled back.
 */
export interface ReplicaRemoved extends Envelope {
  readonly type: 'ReplicaRemoved';
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendEntriesRequest
  | AppendEntriesResponse
  | Heartbeat
  | HeartbeatResponse
  | TimeoutNow
  | ReplicaRemoved;

/**
 * The end of a snapshot transfer (paper, figure 13, InstallSnapshot): the state up to `index` is staged beside the
 * replica and durable. Handed to the core by the shell that received it; never a frame of its own.
 */
export interface InstallSnapshot extends Envelope {
  readonly type: 'InstallSnapshot';
  readonly index: LogIndex;
  readonly snapshotTerm: Term;
  readonly configuration: ConfigurationAt;
}

/** `not_needed`: the log holds it already, or its sender no longer leads; what was staged is dropped. */
export type InstallResult = 'installing' | 'not_needed';

/** The last entry that a snapshot covers. */
export interface SnapshotPoint {
  readonly index: LogIndex;
  readonly term: Term;
}

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
  /** A learner may become a voter when it lacks no more entries than this. */
  readonly promotionLagMax: number;
  /** Ticks without anything to do after which a leader lets its group fall silent; 0 for never. */
  readonly quiesceTicks: number;
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
  /** The whole log is replaced by a snapshot that ends here; entries may follow it. Before all else in the batch. */
  readonly install: SnapshotPoint | undefined;
  /** Stored entries from here on are replaced. */
  readonly truncateFrom: LogIndex | undefined;
  /** Stored entries up to and with this one are forgotten. */
  readonly compactThrough: LogIndex | undefined;
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
  /** Followers that need what was compacted away: each is to be sent a snapshot, and reported by `snapshotEnded`. */
  readonly snapshotsDue: readonly ReplicaId[];
  /** Set when the configuration in force changed since the last Ready, forward or back. */
  readonly configuration: ConfigurationAt | undefined;
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
  | { readonly type: 'overloaded' }
  /** Leadership is being handed over: nothing was appended, the next leader takes it. */
  | { readonly type: 'transferring' };

export interface ProgressStatus {
  readonly replicaId: ReplicaId;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  /** It answered within the last one or two minimum election timeouts. */
  readonly recentlyActive: boolean;
}

export interface RaftStatus extends Leadership {
  readonly replicaId: ReplicaId;
  readonly votedFor: ReplicaId;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly firstIndex: LogIndex;
  readonly configuration: Configuration;
  /** Silent: no ticks, no heartbeats. */
  readonly quiesced: boolean;
  /** A committed configuration has left this replica out. */
  readonly removed: boolean;
  /** Whom leadership is being handed to; `noReplica` when to nobody. */
  readonly transferee: ReplicaId;
  /** Only on a leader. */
  readonly progress: readonly ProgressStatus[];
}

export interface RaftOptions {
  readonly replicaId: ReplicaId;
  /** The one in force at `appliedIndex`; later ones are read from the log. */
  readonly configuration: ConfigurationAt;
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
  /** On a leader: all that anybody has committed so far lies at or below it, if a quorum confirms later that it still led now. */
  committedBound(): LogIndex | undefined;
  hasReady(): boolean;
  ready(): Ready;
  /** What `persist` names is durable. Returns the replies that may go now: none when a later term or truncation has overtaken it. */
  persisted(persist: Persist): readonly Message[];
  /** The member behind `replica` was started anew: a leader no longer relies on what the earlier start had acknowledged. */
  peerRestarted(replica: ReplicaId): void;
  /** Everything up to `index` is in the state machine. */
  applied(index: LogIndex): void;
  /** Hands leadership to another voter (thesis 3.10). */
  transferLeadership(to: ReplicaId): TransferResult;
  /**
   * Whether this leader has told `replica`, in its term, to take over. If not, and no transfer to it is under way, certainly
   * nothing comes of one that was; if so, it may yet win an election for it.
   */
  toldToTakeOver(replica: ReplicaId): boolean;
  /** Changes the members. One change at a time, and only on a leader that has committed an entry of its term. */
  changeConfiguration(change: ConfigurationChange): ChangeResult;
  /**
   * The process of `leader` is known to be gone: it no longer counts as having been heard from. Only ever a hint. Returns
   * whether this member followed it, and so may campaign before its election timeout.
   */
  leaderGone(leader: ReplicaId): boolean;
  /**
   * Without a leader: asks one for its pre-vote whom no configuration here names, and who is said to be a member. If this member was left out,
   * and all whom it knows since as well, nobody else tells it.
   */
  askStranger(replica: ReplicaId): void;
  /** `leaderGone` was said of the leader that this member follows, and nothing was heard of it since. */
  readonly leaderIsGone: boolean;
  /** This node stood still for so long that its leadership can't be relied on any more: steps down. */
  stalled(): void;
  /** The node is about to stop: from now on this member campaigns only when nobody else has won for a long time. */
  standBack(): void;
  /** Ends the silence of a quiesced group: contact to a member was lost or made. */
  wake(): void;
  /** Forgets the log up to and with `through`, which is applied, and whose state is durable. */
  compact(through: LogIndex): void;
  /** The transfer of a snapshot to `replica` has ended, well or not: what it still needs is found out by asking it. */
  snapshotEnded(replica: ReplicaId): void;
  installSnapshot(request: InstallSnapshot): InstallResult;
  status(): RaftStatus;
}
