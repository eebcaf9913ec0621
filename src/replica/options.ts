/** What a replica is made of, and what comes of what it is asked. */
import type { CommandResult, RangePage, StateWrite, ValueRecord } from '../kv/types.ts';
import type { LogIndex, RaftLimits, ReplicaId, RoleName, Term } from '../raft/types.ts';
import type { ChangePoint } from './change-log.ts';
import type { CompactionLimits } from './compaction.ts';
import type { SweepLimits } from './sweeper.ts';
import type { Clock, LeaderHint, NodeId, PartitionId, ReplicaDescriptor, Storage, Transport } from './ports.ts';

export interface ReplicaLimits extends RaftLimits, CompactionLimits, SweepLimits {
  /** A sweep that was not applied within this time is given up, and what it names is looked for anew. */
  readonly sweepTimeoutMs: number;
  /** Results kept for repeats beyond which new requests with an idempotency key are refused. */
  readonly idempotencyEntriesMax: number;
  readonly tickMs: number;
  readonly mailboxMessagesMax: number;
  readonly pendingRequestsMax: number;
  /** Ranges that are being read from storage; more are refused. */
  readonly rangeReadsMax: number;
  readonly readiesPerTurnMax: number;
  /** Staged and not yet durable bytes of the whole node above which proposals are refused. */
  readonly pendingBytesMax: number;
  readonly earlyCampaignDelayMs: number;
  readonly compactEntriesMax: number;
}

export interface ReplicaOptions {
  readonly partition: PartitionId;
  readonly epoch: number;
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
  /** Its role, or the term of it, has changed: heard before `onLeader`. */
  readonly onRole?: ((role: RoleName) => void) | undefined;
  /** A follower needs what the log no longer has: to be sent a snapshot, and reported by `snapshotEnded`. */
  readonly onSnapshotDue: (due: SnapshotDue) => void;
  /** Where the oldest snapshot of the partition that is being sent ends: the log is kept from there on. */
  readonly pinnedIndex: (partition: PartitionId) => LogIndex | undefined;
  /** Something broke below that is no answer to anybody: the node has to stop. */
  readonly onFailure: (error: unknown) => void;
  /** A committed configuration has left this replica out. */
  readonly onRemoved: () => void;
  /** Nodes that take in nothing that needs more room on their disks, as far as is known now, and for people what is the matter. */
  readonly lowDisks: ReadonlyMap<NodeId, string>;
  /** Who follows what is applied here. */
  readonly observer: StateObserver | undefined;
}

/** What waits for a replica: messages not looked at, writes not committed, reads not confirmed. */
export interface ReplicaQueues {
  readonly messages: number;
  readonly writes: number;
  readonly reads: number;
}

export interface StateObserver {
  /** What one entry has written, entry by entry. */
  applied(writes: readonly StateWrite[]): void;
  /** The state was replaced by a snapshot's. */
  replaced(): void;
}

export interface SnapshotDue {
  readonly partition: PartitionId;
  readonly from: ReplicaId;
  readonly to: ReplicaDescriptor;
  readonly term: Term;
}

/** What came of a request on this replica. All but `unknown`, `in_progress` and the four answers mean: certainly not applied. */
export type ReplicaOutcome =
  | {
      readonly type: 'value';
      readonly term: number;
      readonly record: ValueRecord | undefined;
      /** Of the answer, ms. */
      readonly logTime: number;
    }
  | {
      readonly type: 'values';
      readonly term: number;
      readonly page: RangePage;
      readonly logTime: number;
    }
  | ({ readonly type: 'point'; readonly term: number } & ChangePoint)
  | {
      readonly type: 'result';
      readonly term: number;
      readonly result: CommandResult;
      readonly replayed: boolean;
      readonly logTime: number;
    }
  | { readonly type: 'not_leader' }
  | { readonly type: 'overloaded'; readonly detail: string }
  | { readonly type: 'disk_full'; readonly detail: string }
  | { readonly type: 'unknown'; readonly detail: string }
  /** As `unknown`, of a repeat: the request that it repeats is under way here. */
  | { readonly type: 'in_progress'; readonly detail: string };

/** What a replica read of its own state. */
export interface StaleRead {
  readonly term: number;
  readonly record: ValueRecord | undefined;
  readonly logTime: number;
  /** Everything that was committed so long ago is in it, ms. */
  readonly stalenessMs: number;
  /** It has not heard of a leader since it started: the age is by wall clocks, and of no use to whoever needs to be sure. */
  readonly estimated: boolean;
}

/**
 * Of a transfer of leadership: `given_up` means that certainly nothing comes of it. `in_doubt`: the target was told to take
 * over and may yet, or this replica leads no more in the term in which it began.
 */
export type TransferStanding = 'under_way' | 'given_up' | 'in_doubt';
