/** The words of routing: partitions, and what a request comes to. */
import type { CommandResult, KeyRange, RangePage, ValueRecord } from '../kv/types.ts';
import type { ChangePoint } from '../replica/change-log.ts';
import type { TransferStanding } from '../replica/options.ts';
import type { LeaderHint, NodeId, PartitionId, ReplicaDescriptor } from '../replica/ports.ts';
import type { WatchCall, WatchOutcome } from './watch/hub.ts';
import type { Term } from '../raft/types.ts';

/** A partition owns the hashes in [from, to], both included. All partitions together cover 0 to 2^32 - 1 without a gap. */
export interface PartitionDescriptor {
  readonly id: PartitionId;
  readonly from: number;
  readonly to: number;
  /** Grows with every change of the range or its members; carried by commands and checked again at apply. */
  readonly epoch: number;
  /** Told apart from an earlier partition of the same range; part of ETags. Starts at 1. */
  readonly incarnation: number;
  readonly replicas: readonly ReplicaDescriptor[];
  /** Campaigns first when the cluster is formed, so that leaderships start out even. */
  readonly preferredLeader: NodeId;
}

/** A member of the cluster as the map knows it. `http` is a URL without a trailing slash, `peer` is host:port. */
export interface NodeDescriptor {
  readonly nodeId: NodeId;
  readonly http: string;
  readonly peer: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What a front asks for. A write's `body` is the encoded command (`kv/command.ts`), encoded once. */
export type KvRequest =
  | { readonly type: 'read'; readonly key: Uint8Array }
  /** Of any replica, as it is there. `stalenessMsMax`: older than this is of no use. */
  | { readonly type: 'stale'; readonly key: Uint8Array; readonly stalenessMsMax: number }
  /** Of one partition, whose part of the keys lies anywhere in their order. */
  | { readonly type: 'range'; readonly partition: PartitionId; readonly range: KeyRange }
  /** How far the partition is: everything that was acknowledged before the question lies at or before the answer. */
  | { readonly type: 'point'; readonly partition: PartitionId }
  | { readonly type: 'write'; readonly key: Uint8Array; readonly body: Buffer };

/** What only a leader answers. */
export type LeaderRequest = Exclude<KvRequest, { type: 'stale' }>;

export interface RequestOptions {
  /** What to do when another node leads: tell the caller, or fetch the answer. */
  readonly route: 'redirect' | 'forward';
  /** On the monotonic clock. */
  readonly deadlineAt: number;
  /** How often the request was forwarded already; at `routing.hopsMax` it is forwarded no further. */
  readonly hops: number;
}

/** Which partition answered, in which term. */
export interface Origin {
  readonly partition: PartitionId;
  readonly term: Term;
  /** The leader that answered. */
  readonly nodeId: NodeId;
}

/**
 * What a request came to. All but `done`, `unknown` and `in_progress` mean: certainly not applied.
 * `unknown`: it may be applied, now or later, once or never (writes only).
 */
export type KvOutcome =
  | {
      readonly type: 'value';
      readonly origin: Origin;
      readonly record: ValueRecord | undefined;
      /** Of the answer, ms: by it the record's `expiresAt` becomes a time of day. */
      readonly logTime: number;
    }
  | StaleValue
  /** No replica in reach is fresh enough; `stalenessMs` of the freshest. */
  | { readonly type: 'too_stale'; readonly partition: PartitionId; readonly detail: string }
  | {
      readonly type: 'values';
      readonly origin: Origin;
      readonly page: RangePage;
      readonly logTime: number;
    }
  | { readonly type: 'point'; readonly origin: Origin; readonly point: ChangePoint }
  | {
      readonly type: 'done';
      readonly origin: Origin;
      readonly result: Exclude<CommandResult, { type: 'wrong_epoch' }>;
      readonly logTime: number;
      /** The result is that of an earlier request, whose repeat this one is. */
      readonly replayed: boolean;
    }
  | { readonly type: 'not_leader'; readonly partition: PartitionId; readonly hint: LeaderHint; readonly http: string }
  | { readonly type: 'no_leader'; readonly partition: PartitionId; readonly detail: string }
  /** `retryAfterMs`: for so long what was taken on keeps the node busy. */
  | {
      readonly type: 'overloaded';
      readonly partition: PartitionId;
      readonly detail: string;
      readonly retryAfterMs: number;
    }
  /** A disk of the partition has too little room for what would take more. */
  | { readonly type: 'disk_full'; readonly partition: PartitionId; readonly detail: string }
  | { readonly type: 'partition_stopped'; readonly partition: PartitionId; readonly detail: string }
  | { readonly type: 'shutting_down' }
  | { readonly type: 'unknown'; readonly partition: PartitionId; readonly detail: string }
  /** As `unknown`, of a repeat: the request that it repeats is still under way. */
  | { readonly type: 'in_progress'; readonly partition: PartitionId; readonly detail: string };

/** What a replica has, however old; `origin` names it, be it the leader or not. */
export interface StaleValue {
  readonly type: 'stale_value';
  readonly origin: Origin;
  readonly record: ValueRecord | undefined;
  readonly logTime: number;
  /** Everything that was committed so long ago is in it, ms. */
  readonly stalenessMs: number;
  /** It has not heard of a leader since it started: the age is by wall clocks, and of no use to whoever needs to be sure. */
  readonly estimated: boolean;
}

/** What a local replica made of a request; `not_leader` carries what it knows of the leader. */
export type LocalOutcome =
  | Exclude<KvOutcome, { type: 'not_leader' | 'no_leader' | 'stale_value' | 'too_stale' }>
  | { readonly type: 'not_leader'; readonly partition: PartitionId; readonly hint: LeaderHint | undefined };

/** The replicas of this node, as the router sees them. */
export interface LocalReplicas {
  hosts(partition: PartitionId): boolean;
  /** What the local replica knows; undefined when none is known or it is not hosted. */
  leader(partition: PartitionId): LeaderHint | undefined;
  /** Runs the request on the local replica. Answers by `deadlineAt` at the latest. A write's body is the replica's from then on. */
  execute(partition: PartitionId, request: LeaderRequest, deadlineAt: number): Promise<LocalOutcome>;
  /** What the local replica has; undefined when there is none, or it never had anything. */
  staleRead(partition: PartitionId, key: Uint8Array): StaleValue | undefined;
}

/** The leaderships of this node's replicas. */
export interface LocalLeaderships {
  /** Begins to move the leadership of a partition that is led here. `refused` says why not, for people. */
  transferLeadership(partition: PartitionId, to: NodeId): LocalTransfer;
  /** What has become of a transfer to `to` that was `started` here in `term`. */
  transferStanding(partition: PartitionId, to: NodeId, term: Term): TransferStanding;
}

export type LocalTransfer =
  /** Under way: it has ended well once `LocalReplicas.leader` names the target. */
  | { readonly type: 'started'; readonly term: Term }
  | { readonly type: 'done' }
  | { readonly type: 'not_leader' }
  /** Nothing was begun: not now. */
  | { readonly type: 'not_moved'; readonly detail: string }
  | { readonly type: 'refused'; readonly detail: string };

/** What came of moving a partition's leadership. */
export type TransferOutcome =
  | { readonly type: 'done'; readonly partition: PartitionId; readonly leader: NodeId; readonly term: number }
  /** No such partition, or no such node. */
  | { readonly type: 'not_found'; readonly detail: string }
  /** The node has no replica of it that votes: nothing was begun. */
  | { readonly type: 'refused'; readonly partition: PartitionId; readonly detail: string }
  | { readonly type: 'no_leader'; readonly partition: PartitionId; readonly detail: string }
  /** The target is about to stop or could not be brought to take over, and will not on this account. Later it may go well. */
  | { readonly type: 'not_moved'; readonly partition: PartitionId; readonly detail: string }
  /** It was begun and did not come to its end in time: it may yet. */
  | { readonly type: 'unknown'; readonly partition: PartitionId; readonly detail: string };

/** One group as its node sees it. `matchIndex` of others is known to the leader only. */
export interface ReplicaStatus {
  readonly partition: PartitionId;
  readonly nodeId: NodeId;
  readonly role: 'leader' | 'follower' | 'learner';
  readonly state: 'ok' | 'snapshot' | 'in_doubt' | 'stopped';
  readonly term: number;
  readonly leader: NodeId | undefined;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly keys: number;
  readonly bytes: number;
  readonly followers: readonly { readonly nodeId: NodeId; readonly matchIndex: number }[];
}

export type NodeState = 'up' | 'down' | 'joining' | 'draining' | 'removed';

export interface ClusterStatus {
  readonly clusterId: string;
  readonly name: string;
  readonly epoch: number;
  readonly partitions: number;
  readonly nodes: readonly (NodeDescriptor & {
    readonly state: NodeState;
    readonly leads: number;
    readonly replicas: number;
  })[];
}

export interface PartitionStatus {
  readonly id: PartitionId;
  readonly range: readonly [number, number];
  readonly epoch: number;
  /** 1 unless it was begun anew, by hand. */
  readonly incarnation: number;
  readonly leader: NodeId | null;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly replicas: readonly {
    readonly nodeId: NodeId;
    readonly role: ReplicaStatus['role'];
    readonly matchIndex: number;
    readonly lag: number;
    readonly state: ReplicaStatus['state'] | 'unreachable';
  }[];
  readonly keys?: number;
  readonly bytes?: number;
}

/** A node that is to join. */
export interface NodeAddition extends NodeDescriptor {
  /** Its share relative to others; above 0, 1 for a usual node. */
  readonly weight: number;
}

/** What is asked of the controller of the cluster. */
export type ClusterChange =
  | { readonly type: 'add_node'; readonly node: NodeAddition }
  | { readonly type: 'remove_node'; readonly nodeId: NodeId }
  | { readonly type: 'rebalance' };

export interface ChangeOptions {
  /** Nothing is changed: the answer says what would be. */
  readonly dryRun: boolean;
  /** On the monotonic clock. */
  readonly deadlineAt: number;
}

/** One replica that goes from one node to another; without `from` one more, without `to` one fewer. */
export interface PlannedMove {
  readonly partition: PartitionId;
  readonly from: NodeId | undefined;
  readonly to: NodeId | undefined;
  /** Keys and values of the partition, as far as they are known. */
  readonly bytes: number;
}

export interface PlanSummary {
  readonly moves: readonly PlannedMove[];
  /** Replicas that move. */
  readonly replicas: number;
  readonly bytes: number;
  /** Replicas that move, of all; and how many of all any plan has to move. Both 0 to 1. */
  readonly fraction: number;
  readonly ideal: number;
  /** For people: what is less safe meanwhile, or afterwards. */
  readonly risks: readonly string[];
}

export type ClusterChangeOutcome =
  | { readonly type: 'accepted'; readonly plan: PlanSummary }
  /** Nothing was begun; `detail` says why not. */
  | { readonly type: 'refused'; readonly detail: string }
  | { readonly type: 'not_found'; readonly detail: string }
  /** Nobody leads the metadata group: nothing was begun. */
  | { readonly type: 'no_leader'; readonly detail: string }
  | { readonly type: 'unknown'; readonly detail: string };

/** `join` and `balance` even things out, `repair` brings back a replica that is missing, `purge` leaves out what a node has lost. */
export type MoveReason = 'join' | 'drain' | 'replace' | 'repair' | 'balance' | 'purge';

/** What a move does now; `record` is its last step. */
export type MoveStep = 'waiting' | 'learner' | 'catch_up' | 'voters' | 'leave' | 'record';

/** A move as it stands. */
export interface OperationStatus {
  readonly partition: PartitionId;
  readonly reason: MoveReason;
  readonly from: readonly NodeId[];
  readonly to: readonly NodeId[];
  readonly step: MoveStep;
  /** 0 to 1: how much of what the newcomers need they have. */
  readonly progress: number;
  /** Entries that they lack. */
  readonly lag: number;
  /** Wall time at which it was decided, ms since 1970. */
  readonly sinceMs: number;
  /** Why it does not go on, for people. */
  readonly blockedBy: string | undefined;
}

export type OperationsOutcome =
  | { readonly type: 'operations'; readonly operations: readonly OperationStatus[] }
  | { readonly type: 'no_leader'; readonly detail: string };

export interface KeyLocation {
  readonly hash: number;
  readonly partition: PartitionId;
  readonly leader: NodeId | null;
  readonly replicas: readonly NodeId[];
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not, one line each; empty when ready. */
  readonly reasons: readonly string[];
  /** What does not go well although it is ready, or besides: a disk with little room left. */
  readonly warnings?: readonly string[];
}

/** All that the HTTP front knows of a node. */
export interface NodeFacade {
  readonly nodeId: NodeId;
  /** Monotonic ms, the clock of `deadlineAt`. */
  nowMs(): number;
  /** Wall time, ms since 1970. */
  wallMs(): number;
  execute(request: KvRequest, options: RequestOptions): Promise<KvOutcome>;
  /** What a write of `key` would come to whatever it says, asked before its body is read; undefined: it may be done. */
  refusal(key: Uint8Array): KvOutcome | undefined;
  locate(key: Uint8Array): KeyLocation;
  /** All that hold keys. */
  partitions(): readonly PartitionId[];
  nodeAddress(nodeId: NodeId): string | undefined;
  clusterStatus(): Promise<ClusterStatus>;
  partitionStatus(): Promise<readonly PartitionStatus[]>;
  readiness(): Readiness;
  /** Moves a partition's leadership to `to`, through whichever node leads now. Answers by `deadlineAt`. */
  transferLeadership(partition: PartitionId, to: NodeId, deadlineAt: number): Promise<TransferOutcome>;
  /** Through whichever node leads the metadata group. Answers by `deadlineAt`. */
  changeCluster(change: ClusterChange, options: ChangeOptions): Promise<ClusterChangeOutcome>;
  /** Moves that are under way or wait. Answers by `deadlineAt`. */
  operations(deadlineAt: number): Promise<OperationsOutcome>;
  watch(call: WatchCall): Promise<WatchOutcome>;
  /** All watches at this node end, each with its cursor, and none begins: the node is about to stop. */
  endWatches(): void;
  /** The metadata group, which is not among the partitions. */
  metadataStatus(): Promise<PartitionStatus>;
}
