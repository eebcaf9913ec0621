/** What a replica needs of the world, as types: storage, transport, clock. The real ones and the simulated ones pass the same contract suites. */
import type { Entry, HardState, LogIndex, LogReader, Message, ReplicaId, Term } from '../raft/types.ts';
import type { MachineState, StateReader, StateWrite } from '../kv/types.ts';

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

/** One replica's part of the next group commit: its Raft state. Within it: truncate, append, hard state. */
export interface LogWrite {
  readonly partition: PartitionId;
  readonly hardState: HardState | undefined;
  readonly truncateFrom: LogIndex | undefined;
  readonly entries: readonly Entry[];
}

/** What is known of one group after opening. A group never written to has term 0, no vote, an empty log and state. */
export interface RecoveredGroup {
  readonly hardState: HardState;
  readonly machineState: MachineState;
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
  group(partition: PartitionId): RecoveredGroup;
  log(partition: PartitionId): LogReader;
  /** Sees what was staged, durable or not. */
  state(partition: PartitionId): StateReader;
  appendLog(write: LogWrite, onDurable: () => void): void;
  /** Applied changes; until they are durable they are read from memory. */
  stageState(partition: PartitionId, writes: readonly StateWrite[], machineState: MachineState): void;
  /** Called at the end of a loop turn: starts a batch of what waits for the log if none is under way. Staged state gathers for `stateFlushDelayMs`. */
  flush(): void;
  /** Bytes that wait or are being written. Above `storage.pendingBytesMax` the node refuses proposals. */
  pendingBytes(): number;
  /** Writes what waits, then closes. */
  close(): Promise<void>;
}

/** Frames to other nodes. `send` neither blocks nor throws: what can't be queued is dropped, and Raft repairs. */
export interface Transport {
  /** Queues; all messages of a loop turn to one peer leave in one write at `flush`. */
  send(to: NodeId, partition: PartitionId, message: Message): void;
  flush(): void;
  /**
   * One question, one answer, for what is not Raft (forwarding, formation, status). `payload` is any value msgpack
   * carries. Fails with a `RequestFailure`; `sent: false` means that not one byte left, so nothing can have happened.
   */
  request(to: NodeId, kind: string, payload: unknown, timeoutMs: number): Promise<unknown>;
  /** Peers with an established connection now. */
  connected(to: NodeId): boolean;
}

export interface TransportHandlers {
  /** Called in arrival order; must not throw. */
  onMessage(from: NodeId, partition: PartitionId, message: Message): void;
  onRequest(from: NodeId, kind: string, payload: unknown): Promise<unknown>;
  onPeerUp(peer: NodeId): void;
  onPeerDown(peer: NodeId, reason: string): void;
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

/** The node's identity on disk. Both writes are fsynced when they return. */
export interface IdentityStore {
  identity(): NodeIdentity;
  peer(nodeId: NodeId): PeerIncarnation | undefined;
  saveFormation(state: FormationState): void;
  savePeer(nodeId: NodeId, seen: PeerIncarnation): void;
}

/** What both ends of a peer connection say first. */
export interface Hello {
  /** 32 hex digits; undefined while the sender is not formed. */
  readonly clusterId: string | undefined;
  readonly nodeId: NodeId;
  /** Whom the sender means to talk to; a listener with another name refuses. */
  readonly to: NodeId;
  readonly incarnation: number;
  readonly nonce: string;
}
