/** What a replica needs of the world, as types: storage, transport, clock. The real ones and the simulated ones pass the same contract suites. */
import type { Scratch } from '../bytes.ts';
import type { Entry, HardState, LogIndex, LogReader, Message, ReplicaId, SnapshotPoint, Term } from '../raft/types.ts';
import type { DueKey, KeyRange, MachineState, RangePage, RememberedAt, StateReader, StateWrite } from '../kv/types.ts';

declare const brand: unique symbol;

/** 0 is the metadata group; data groups start at 1; never reused. At most 2^32 - 2: the last number stands for the node itself on disk. */
export type PartitionId = number & { readonly [brand]: 'PartitionId' };
/** A node's configured name, 1 to 64 of [A-Za-z0-9._-]. */
export type NodeId = string & { readonly [brand]: 'NodeId' };

/** Milliseconds. */
export interface Clock {
  /** Only differences mean anything. */
  monotonicMs(): number;
  /** Wall time since 1970. For showing to people and for the first log time of a new partition; safety never rests on it. */
  wallMs(): number;
  /** Calls back once, not before `delayMs`; returns how to cancel. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The room on the disk that a node's data lie on. */
export interface DiskSpace {
  /**
   * Calls back once with the bytes that may still be written there; undefined when the system does not say. By callback, so that one
   * which knows answers at once.
   */
  measure(then: (freeBytes: number | undefined) => void): void;
}

/** One replica's part of the next group commit: its Raft state. Within it: install, truncate, append, hard state, compact. */
export interface LogWrite {
  readonly partition: PartitionId;
  /**
   * The whole log gives way to the staged snapshot that ends here; `entries` may follow it. From the call on reads see the
   * snapshot's state. Only what `completeSnapshot` completed, above all that was applied here.
   */
  readonly install?: SnapshotPoint | undefined;
  readonly hardState: HardState | undefined;
  readonly truncateFrom: LogIndex | undefined;
  readonly entries: readonly Entry[];
  /**
   * Entries up to and with this one are forgotten; nothing, when they were before. Safety: only what the durable state
   * covers (`durableAppliedIndex`). All of them are deleted in one batch, so a long way is better gone in steps.
   */
  readonly compactThrough?: LogIndex | undefined;
}

/** A configuration as the state machine's database keeps it. */
export interface StoredConfiguration {
  /** Of the entry that brought it. */
  readonly index: LogIndex;
  /** Body of the configuration entry (raft/configuration.ts), never empty. Opaque here. */
  readonly body: Uint8Array;
}

/** What is known of one group after opening. A group never written to has term 0, no vote, an empty log and state. */
export interface RecoveredGroup {
  /** Which stay of the member this is; undefined for one that the partition map names, or that was never written to. */
  readonly replicaId: ReplicaId | undefined;
  readonly hardState: HardState;
  readonly machineState: MachineState;
  /** The configuration in force at `machineState.appliedIndex`; undefined: the one the group was founded with. */
  readonly configuration: StoredConfiguration | undefined;
  /** Bytes of the stored log, roughly, for deciding when to compact it. */
  readonly logBytes: number;
}

/** A replica that a committed configuration has left out. */
export interface RemovedReplica {
  readonly replicaId: ReplicaId;
  /** Body of the newest committed configuration that it knows. */
  readonly configuration: Uint8Array;
}

/**
 * A replica of this node that must never speak again: what it has stored is not what it had said, so it may have forgotten votes and
 * acknowledged entries. Its group does not know that by itself.
 */
export interface ReplicaDoubt {
  readonly partition: PartitionId;
  readonly replicaId: ReplicaId;
  /** What was found, in words. */
  readonly reason: string;
  /** Its group goes on without it, and what it had stored is gone: only the group may still lack a replica. */
  readonly isGone: boolean;
}

/** One for each partition at most. All of it is durable when a call returns; a store that can't have it so throws. */
export interface ReplicaDoubts {
  all(): readonly ReplicaDoubt[];
  /** In place of an earlier one of the partition. */
  put(doubt: ReplicaDoubt): void;
  forget(partition: PartitionId): void;
}

/** Replicas of a partition that lived on this node and never come back: a committed configuration had left each of them out. */
export interface DeadReplicas {
  /** All ids up to it; 0 for none. */
  readonly through: ReplicaId;
  /** Body of the newest committed configuration that the last of them knew; undefined where nobody died. */
  readonly configuration: Uint8Array | undefined;
  /** Something of the last of them is still stored: nobody comes into being here until it is gone. */
  readonly remains: boolean;
}

/** A consistent view of one partition's durable state, of the moment when it was opened. Holds resources until it is closed. */
export interface StateSnapshot {
  /** Its applied index and term are the snapshot's point. */
  readonly machineState: MachineState;
  readonly configuration: StoredConfiguration | undefined;
  /**
   * One read at a time. The records are put together in `memory`, so those of the last read with it are gone from the call on.
   * Rejects with a StorageDamage for a record that does not verify, and once it is closed.
   */
  read(after: Uint8Array | undefined, bytesMax: number, memory: Scratch): Promise<SnapshotChunk>;
  close(): void;
}

/** The next records in key order after a key: at least one if there is any, about as many bytes as were asked for. */
export interface SnapshotChunk {
  /** Made and read by storage alone: checksummed, opaque to everybody else. */
  readonly records: Buffer;
  /** The last key in it, where the next read goes on; undefined when it holds none. */
  readonly last: Uint8Array | undefined;
  /** Nothing comes after it. */
  readonly done: boolean;
}

/**
 * One partition's durable state of one index, read from the disk from its beginning to its end, verified and summed up. Holds resources
 * until it is closed.
 */
export interface StateReading {
  readonly machineState: MachineState;
  /**
   * Verifies the next records: at least one if there is any, about so many bytes. One call at a time. Rejects with a StorageDamage for a
   * record that does not verify, and once it is closed.
   */
  read(bytesMax: number): Promise<ReadPart>;
  /** Once all is read. */
  digest(): StateDigest;
  close(): void;
}

export interface ReadPart {
  readonly bytes: number;
  /** Nothing comes after it. */
  readonly done: boolean;
}

/** What a state comes to: replicas that have applied the same entries have the same one, wherever and how often it was carried. */
export interface StateDigest {
  /** Of how it is summed up. Digests of different versions say nothing of each other. */
  readonly version: number;
  readonly sum: Uint8Array;
  readonly records: number;
  readonly bytes: number;
  /** Where what is stored is not as much as its own machine state says: in words. */
  readonly miscounted: string | undefined;
}

/** Waits for the moment at which a partition's durable state is that of one index. */
export interface StateTrap {
  /**
   * Undefined when that moment will not come: the state was replaced by one of a later index, or the trap was taken back. Rejects when the
   * storage fails or closes, and with a StorageDamage when the machine state can't be believed.
   */
  readonly sprung: Promise<StateReading | undefined>;
  takeBack(): void;
}

/** A place in an order by time: behind all that have an earlier time, and behind those of this time with a lower name. */
export interface TimePlace {
  /** Log time, ms. */
  readonly at: number;
  readonly name: Uint8Array;
}

export interface TimeRange {
  readonly after: TimePlace | undefined;
  /** Log time, ms; up to and with it. */
  readonly through: number;
  /** So many at most. */
  readonly limit: number;
}

/** Keys with `from` <= key < `to`, by their bytes; without `to` there is no upper end. */
export interface ValueRange extends KeyRange {
  /** Log time, ms: what was due by then is named apart. 0 for nothing. */
  readonly dueBy: number;
  /** So many of those at most, 1 and up. */
  readonly dueMax: number;
}

export interface ValuePage extends RangePage {
  /** What lies between the values and is due. */
  readonly due: readonly DueKey[];
}

/**
 * Durable storage of one node, all its groups together.
 *
 * Safety: nothing is ever written without fsync. What `appendLog` hands over goes out in synced batches with whatever
 * else waits, in order; `onDurable` runs after the fsync returned and the high-water mark was written, in the order of
 * the calls. What `stageState` hands over never is durable before the `appendLog`s that came before it. A failed batch is never retried: `onFailure` runs once, no `onDurable` runs
 * after it, and the node stops.
 */
export interface Storage {
  /** Groups with at least one record. */
  partitions(): readonly PartitionId[];
  /**
   * A replica comes into being that the partition map does not name: its id is stored with whatever is stored of it first. It is
   * above all that are dead here.
   */
  foundGroup(partition: PartitionId, replicaId: ReplicaId): void;
  dead(partition: PartitionId): DeadReplicas;
  /**
   * Destroys all that is stored of a replica, which must never be asked for anything again. First one record makes its id dead,
   * and all lower ones; from when that is durable on the rest follows, in bounded steps and over as many starts as it takes.
   * Resolves once nothing is left: then a replica with a higher id may come into being. Rejects when the storage fails
   * or is closed before; it goes on by itself at the next opening.
   *
   * Safety: only behind a committed configuration that leaves the replica out.
   */
  destroyGroup(partition: PartitionId, dead: RemovedReplica): Promise<void>;
  group(partition: PartitionId): RecoveredGroup;
  log(partition: PartitionId): LogReader;
  /** Sees what was staged, durable or not. */
  state(partition: PartitionId): StateReader;
  appendLog(write: LogWrite, onDurable: () => void): void;
  /**
   * Keys by the time at which they are due, oldest first: those of the state as it is when this resolves, and perhaps some that
   * were changed while it read. Rejects when the storage fails or closes.
   */
  dueKeys(partition: PartitionId, range: TimeRange): Promise<readonly DueKey[]>;
  /** Values in the order of their keys, as they are when it is called, staged ones too. Rejects when the storage fails or closes. */
  values(partition: PartitionId, range: ValueRange): Promise<ValuePage>;
  /** Results that are kept for repeats by the time at which they were, likewise. */
  rememberedResults(partition: PartitionId, range: TimeRange): Promise<readonly RememberedAt[]>;
  /**
   * Applied changes; until they are durable they are read from memory. `configuration`: a configuration entry was applied. `kept`: what is to
   * be kept of the entry, for as long as the log has it, for those who want to hear again what it changed.
   */
  stageState(
    partition: PartitionId,
    writes: readonly StateWrite[],
    machineState: MachineState,
    configuration?: StoredConfiguration,
    kept?: Uint8Array,
  ): void;
  /** What was kept of an applied entry that the log has; undefined when nothing was. Throws a StorageDamage. */
  keptChanges(partition: PartitionId, index: LogIndex): Uint8Array | undefined;
  /** The applied index up to which this partition's state is durable: the log may be compacted up to it and no further. */
  durableAppliedIndex(partition: PartitionId): LogIndex;
  openSnapshot(partition: PartitionId): StateSnapshot;
  /**
   * Opens the state as it is at exactly `index`, now or when it has come so far, for whoever sums it up. Undefined when it is beyond that
   * already. One at a time for each partition.
   */
  trapState(partition: PartitionId, index: LogIndex): StateTrap | undefined;
  /**
   * Empties the staging area beside the live state, in bounded batches; resolves once that is durable. Whatever an earlier
   * transfer left there is gone, a completed snapshot too. Called again while it works, it gives the same answer.
   */
  beginSnapshot(partition: PartitionId): Promise<void>;
  /**
   * Verifies one chunk and stages it; resolves once it is durable. The same chunk may come again. Rejects with a
   * SnapshotDamage, and stages none of it, when a record does not verify; this node's own disk is not in doubt then.
   * `records` is looked at until it settles, and not any more then.
   */
  stageSnapshotChunk(partition: PartitionId, records: Buffer): Promise<void>;
  /**
   * All chunks are staged: records what state they make. Resolves once durable; after it `appendLog({ install })` may be
   * called. Rejects with a SnapshotDamage when what was staged is not as many keys and bytes as `machineState` says.
   */
  completeSnapshot(
    partition: PartitionId,
    machineState: MachineState,
    configuration: StoredConfiguration | undefined,
  ): Promise<void>;
  /** Called at the end of a loop turn: starts a batch of what waits for the log if none is under way. Staged state gathers for `stateFlushDelayMs`. */
  flush(): void;
  /** Bytes that wait or are being written. Above `storage.pendingBytesMax` the node refuses proposals. */
  pendingBytes(): number;
  /** Writes what waits, then closes. Staging that needs more than one batch is broken off, and its promise rejects. */
  close(): Promise<void>;
}

/**
 * A node has two connections to a peer: main, always kept up, for Raft's messages and short requests; bulk, made when it
 * is needed and only in a formed cluster, for requests so large that heartbeats must not queue behind them.
 */
export type Lane = 'main' | 'bulk';

/** Frames to other nodes. `send` neither blocks nor throws: what can't be queued is dropped, and Raft repairs. */
export interface Transport {
  /** Queues; all messages of a loop turn to one peer leave in one write at `flush`. */
  send(to: NodeId, partition: PartitionId, message: Message): void;
  flush(): void;
  /**
   * One question, one answer, for what is not Raft (forwarding, formation, status). `payload` is any value msgpack
   * carries. Fails with a `RequestFailure`; `sent: false` means that not one byte left, so nothing can have happened.
   * `lane` is main when left out. What is sent on one lane neither waits for the other nor keeps an order with it.
   *
   * Safety: on the bulk lane a byte string that ends the payload (it is one, or its last property is) is not copied. It must stay as
   * it is until the request is fulfilled, and for ever when it is rejected: nobody knows then whether it is still being sent.
   */
  request(to: NodeId, kind: string, payload: unknown, timeoutMs: number, lane?: Lane): Promise<unknown>;
  /** Peers whose main lane is established now. */
  connected(to: NodeId): boolean;
}

export interface TransportHandlers {
  /** Called in arrival order; must not throw. */
  onMessage(from: NodeId, partition: PartitionId, message: Message): void;
  /**
   * Safety: byte strings in a payload that came on the bulk lane lie in memory that serves again once the promise has settled. What is
   * to be kept of them is copied.
   */
  onRequest(from: NodeId, kind: string, payload: unknown, lane: Lane): Promise<unknown>;
  onPeerUp(peer: NodeId): void;
  /** The main lane to the peer was lost. The loss of a bulk lane is told to nobody but those whose requests it fails. */
  onPeerDown(peer: NodeId, reason: string): void;
  /**
   * After `onPeerDown`, at most once for each: the main lane was dialed again (at once, unless it had been up only for a
   * moment) and refused, because nobody listens at the peer's address. Its process is gone. Only ever a hint.
   */
  onPeerRefused(peer: NodeId): void;
}

/** Why a `Transport.request` has no answer. */
export interface RequestFailure {
  readonly type: 'request_failure';
  /** False: certainly never sent. True: it may have been acted upon. */
  readonly sent: boolean;
  readonly reason: string;
}

/** Where one replica of a partition lives. */
export interface ReplicaDescriptor {
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
}

/** Who leads a partition, as far as a node knows. The hint with the newest term wins. */
export interface LeaderHint {
  readonly nodeId: NodeId;
  readonly term: Term;
}

/**
 * How far the founding of the cluster has come on this node. `founding` is the canonical JSON of the founders' list,
 * partition count and replication factor: the partition map follows from it alone, whatever the config says later.
 */
export type FormationState =
  | { readonly phase: 'unformed' }
  | { readonly phase: 'prepared'; readonly clusterId: string; readonly founding: string }
  | { readonly phase: 'formed'; readonly clusterId: string; readonly founding: string };

/** Who this process is. `clusterId` and `nonce` are 32 lower-case hex digits. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  readonly clusterName: string;
  /** One higher at each start, durable before the node connects to anyone. */
  readonly incarnation: number;
  /** Random at each start: two copies of one directory are told apart by it. */
  readonly nonce: string;
  readonly formation: FormationState;
}

/** What was last seen of a peer. A lower incarnation, or an equal one with another nonce, is an old copy of its disk. */
export interface PeerIncarnation {
  readonly incarnation: number;
  readonly nonce: string;
}

/** The node's identity on disk. All writes are fsynced when they return. */
export interface IdentityStore {
  identity(): NodeIdentity;
  peer(nodeId: NodeId): PeerIncarnation | undefined;
  /** The partition map as it was last stored here: plain JSON, whose shape the reader checks. */
  map(): unknown;
  saveMap(map: object): void;
  /** This node is a member from now on, with this incarnation at least. */
  admit(formation: FormationState, incarnation: number): void;
  saveFormation(state: FormationState): void;
  savePeer(nodeId: NodeId, seen: PeerIncarnation): void;
}

/** What both ends of a peer connection say first. */
export interface Hello {
  /** What the connection is for; the answer names the same. */
  readonly lane: Lane;
  /** 32 hex digits; undefined while the sender is not formed. */
  readonly clusterId: string | undefined;
  readonly nodeId: NodeId;
  /** Whom the sender means to talk to; a listener with another name refuses. */
  readonly to: NodeId;
  readonly incarnation: number;
  readonly nonce: string;
}
