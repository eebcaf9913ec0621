import type { PartitionId } from '../replica/ports.ts';

/**
 * What was acknowledged and is not there any more, or not as it was written: a record whose checksum does not cover what
 * was read, a gap in a chain, files that end short of what was promised. It is never repaired and never retried here:
 * the node says which record it was, and stops.
 */
export class StorageDamage extends Error {
  override readonly name = 'StorageDamage';
  /** The group whose record it is; undefined for what concerns the whole node. */
  readonly partition: PartitionId | undefined;

  constructor(message: string, partition?: PartitionId, options?: ErrorOptions) {
    super(message, options);
    this.partition = partition;
  }
}

/**
 * What a peer sent of a snapshot is not what the peer read: refused before anything of it is staged. Nothing of this node is in
 * doubt; the transfer starts over.
 */
export class SnapshotDamage extends Error {
  override readonly name = 'SnapshotDamage';
}
