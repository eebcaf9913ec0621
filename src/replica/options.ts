/** What a replica is made of, and what comes of what it is asked. */
import type { CommandResult, ValueRecord } from '../kv/types.ts';
import type { LogIndex, RaftLimits, ReplicaId, Term } from '../raft/types.ts';
import type { CompactionLimits } from './compaction.ts';
import type { Clock, LeaderHint, PartitionId, ReplicaDescriptor, Storage, Transport } from './ports.ts';

export interface ReplicaLimits extends RaftLimits, CompactionLimits {
  readonly mailboxMessagesMax: number;
  readonly pendingRequestsMax: number;
  readonly readiesPerTurnMax: number;
  /** Staged and not yet durable bytes of the whole node above which proposals are refused. */
  readonly pendingBytesMax: number;
  readonly earlyCampaignDelayMs: number;
  readonly compactEntriesMax: number;
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
  /** A follower needs what the log no longer has: to be sent a snapshot, and reported by `snapshotEnded`. */
  readonly onSnapshotDue: (due: SnapshotDue) => void;
  /** Where the oldest snapshot of the partition that is being sent ends: the log is kept from there on. */
  readonly pinnedIndex: (partition: PartitionId) => LogIndex | undefined;
  /** A committed configuration has left this replica out. */
  readonly onRemoved: () => void;
}

export interface SnapshotDue {
  readonly partition: PartitionId;
  readonly from: ReplicaId;
  readonly to: ReplicaDescriptor;
  readonly term: Term;
}

/** What came of a request on this replica. All but `unknown` and the two answers mean: certainly not applied. */
export type ReplicaOutcome =
  | { readonly type: 'value'; readonly term: number; readonly record: ValueRecord | undefined }
  | { readonly type: 'result'; readonly term: number; readonly result: CommandResult }
  | { readonly type: 'not_leader' }
  | { readonly type: 'overloaded'; readonly detail: string }
  | { readonly type: 'unknown'; readonly detail: string };

/**
 * Of a transfer of leadership: `given_up` means that certainly nothing comes of it. `in_doubt`: the target was told to take
 * over and may yet, or this replica leads no more in the term in which it began.
 */
export type TransferStanding = 'under_way' | 'given_up' | 'in_doubt';
