/** Checks of what peers send: values that msgpack brought, whose shape nothing has vouched for yet. */
import type { NodeId, PartitionId } from '../replica/ports.ts';
import type { Term } from '../raft/types.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** A whole number from 0 to 2^53 - 1. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

export function isTerm(value: unknown): value is Term {
  return isCount(value);
}

export function isPartitionId(value: unknown): value is PartitionId {
  return isCount(value) && value <= 0xffff_ffff;
}

const nodeIdPattern = /^[A-Za-z0-9._-]{1,64}$/;

export function isNodeId(value: unknown): value is NodeId {
  return typeof value === 'string' && nodeIdPattern.test(value);
}
