/** Checks of what replicas send each other beside Raft: nothing has vouched yet for the shape of it. */
import type { LogIndex, ReplicaId, Term } from '../raft/types.ts';
import type { PartitionId } from './ports.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** From whom to whom, and of what. */
export interface BetweenReplicas {
  readonly partition: PartitionId;
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  /** The sender's: it leads in it. */
  readonly term: Term;
  readonly index: LogIndex;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** A whole number from 0 to 2^53 - 1. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isReplicaId(value: unknown): value is ReplicaId {
  return isFrom1To(0xffff_ffff, value);
}

export function isBytes(value: unknown, bytesMax: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length <= bytesMax;
}

export function isBetweenReplicas(fields: Fields): fields is Fields & BetweenReplicas {
  const { partition, from, to, term, index } = fields;
  if (!isCount(partition) || partition >= 0xffff_ffff) return false;
  if (!isReplicaId(from) || !isReplicaId(to)) return false;
  return isFrom1To(Number.MAX_SAFE_INTEGER, term) && isFrom1To(Number.MAX_SAFE_INTEGER, index);
}

/** Without anything that was sent besides. */
export function idOf({ partition, from, to, term, index }: BetweenReplicas): BetweenReplicas {
  return { partition, from, to, term, index };
}

function isFrom1To(max: number, value: unknown): boolean {
  return isCount(value) && value >= 1 && value <= max;
}
