/**
 * A group begins anew from the replica that lies here, when no majority of its voters is left: decided by a person (`recovery/`), on a node
 * that is stopped, and never by a node itself.
 *
 * One batch of the log holds all of it, for all groups of the node together: the entries that say who is a member now, behind all that the log
 * has; hard state; the new replica's id; and a tombstone of every id before it. So after a crash each group is as it was, or begun anew: there
 * is nothing between. The state's database is not touched.
 *
 * Safety: the ids that were given out before are dead here from then on. Whoever asks one of them for a vote is told by the tombstone that it was
 * left out, and nothing else is ever said in their names; the new id is a member of no configuration of before.
 */
import { assert } from '../assert.ts';
import type { Entry, HardState, ReplicaId } from '../raft/types.ts';
import type { LogWrite, PartitionId, Storage } from '../replica/ports.ts';

/** How one group begins anew. */
export interface Reincarnation {
  readonly partition: PartitionId;
  /** Above all that were ever given out in the group. */
  readonly replicaId: ReplicaId;
  readonly hardState: HardState;
  /** They follow the last that is stored; the first brings the configuration. */
  readonly entries: readonly Entry[];
  /** Body of that configuration. */
  readonly configuration: Uint8Array;
}

/** The storage of a node, beside which nothing runs. */
export interface OfflineStorage extends Storage {
  /**
   * Resolves once it is durable, for all of them or, when it rejects, for none. What this storage says of the groups is over then: it is to be
   * closed, and opened again.
   */
  reincarnate(groups: readonly Reincarnation[]): Promise<void>;
}

export function reincarnationWrite({ partition, hardState, entries }: Reincarnation): LogWrite {
  assert(entries.length > 0, 'a group that begins anew has members');
  return { partition, hardState, truncateFrom: undefined, entries };
}
