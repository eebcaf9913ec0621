/**
 * Keys on disk: u32 partition (big-endian), one byte for the kind, then what tells records of that kind apart. All of
 * one group lies together, and within it log entries sort by index and values by the unsigned bytes of their key.
 * These numbers are stored: they never change, and a freed one is never used again.
 */
import { readU64, writeU64 } from '../bytes.ts';
import type { LogIndex } from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';

export const RecordKind = {
  /** Sorts before all else of its group: see `destruction.ts`. */
  dead: 0,
  hardState: 1,
  logStart: 2,
  machineState: 3,
  logEntry: 4,
  area0: 5,
  batchSequence: 6,
  configuration: 7,
  stagedSnapshot: 8,
  unswept: 9,
  area1: 10,
  replica: 12,
  keptChanges: 13,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/**
 * A group's state lives in one of two areas: values, results for repeats, and the orders by time of both. The machine state names
 * the one that is live; in the other one a snapshot is staged.
 */
export type Area = 0 | 1;

export function otherArea(area: Area): Area {
  return area === 0 ? 1 : 0;
}

/** Stands where a partition would for records of the node as a whole; no partition ever has this number. */
export const nodePartition = 0xffff_ffff as PartitionId;

/** Partition and kind. */
export const keyPrefixBytes = 5;
export const indexKeyBytes = keyPrefixBytes + 8;

export function writeKeyPrefix(bytes: Buffer, partition: PartitionId, kind: RecordKind): void {
  bytes.writeUInt32BE(partition, 0);
  bytes[4] = kind;
}

/** The key of a record of which a group has one. */
export function groupKey(partition: PartitionId, kind: RecordKind): Buffer {
  const key = Buffer.allocUnsafe(keyPrefixBytes);
  writeKeyPrefix(key, partition, kind);
  return key;
}

/** The key of a log entry or of a batch-sequence record. `index` is 0 to 2^53 - 1. */
export function indexKey(partition: PartitionId, kind: RecordKind, index: number): Buffer {
  const key = Buffer.allocUnsafe(indexKeyBytes);
  writeKeyPrefix(key, partition, kind);
  writeU64(key, index, keyPrefixBytes);
  return key;
}

/**
 * What lies in an area, as the byte behind the kind: so a snapshot, or the sweeping of an area, takes all of it in one scan.
 * Values come last: what is few is not looked for behind what is many.
 */
export const Space = {
  /** Results kept for repeats, by their names. */
  remembered: 0,
  /** The same names by the log time at which they were kept. */
  rememberedAt: 1,
  /** Keys by the log time at which they are due. */
  due: 2,
  value: 3,
} as const;
export type Space = (typeof Space)[keyof typeof Space];

/** Partition, kind and space. */
export const areaPrefixBytes = keyPrefixBytes + 1;

/** The key of a record in an area. `rest` begins with the byte of its space; empty: where the area begins. */
export function areaKey(partition: PartitionId, area: Area, rest: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(keyPrefixBytes + rest.length);
  writeKeyPrefix(bytes, partition, areaKind(area));
  bytes.set(rest, keyPrefixBytes);
  return bytes;
}

export function writeAreaPrefix(bytes: Buffer, partition: PartitionId, area: Area, space: Space): void {
  writeKeyPrefix(bytes, partition, areaKind(area));
  bytes[keyPrefixBytes] = space;
}

export function spaceKey(partition: PartitionId, area: Area, space: Space, name: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(areaPrefixBytes + name.length);
  writeAreaPrefix(bytes, partition, area, space);
  bytes.set(name, areaPrefixBytes);
  return bytes;
}

/** For records that are found by time: `name` behind the time. */
export function timedKey(partition: PartitionId, area: Area, space: Space, at: number, name: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(areaPrefixBytes + 8 + name.length);
  writeAreaPrefix(bytes, partition, area, space);
  writeU64(bytes, at, areaPrefixBytes);
  bytes.set(name, areaPrefixBytes + 8);
  return bytes;
}

export function valueKey(partition: PartitionId, area: Area, key: Uint8Array): Buffer {
  return spaceKey(partition, area, Space.value, key);
}

function areaKind(area: Area): RecordKind {
  return area === 0 ? RecordKind.area0 : RecordKind.area1;
}

/**
 * Where an area ends: above every key in it, and itself never the key of a record. (Of kind 6 there are none in a group, and 11
 * is to stay unused.)
 */
export function areaEnd(partition: PartitionId, area: Area): Buffer {
  const bytes = Buffer.allocUnsafe(keyPrefixBytes);
  writeKeyPrefix(bytes, partition, areaKind(area));
  bytes[keyPrefixBytes - 1] = areaKind(area) + 1;
  return bytes;
}

/** What tells a record of an area from the others: its space, and what is behind it. */
export function withinArea(key: Buffer): Buffer {
  return key.subarray(keyPrefixBytes);
}

/** The first key that sorts behind `key`. */
export function keyBehind(key: Uint8Array): Buffer {
  const bytes = Buffer.alloc(key.length + 1);
  bytes.set(key);
  return bytes;
}

export function partitionOfKey(key: Buffer): PartitionId {
  if (key.length < keyPrefixBytes) throw strangeKey(key);
  return key.readUInt32BE(0) as PartitionId;
}

export function kindOfKey(key: Buffer): number {
  if (key.length < keyPrefixBytes) throw strangeKey(key);
  return key.readUInt8(4);
}

/** Fails with a StorageDamage for a key that can't have been written. */
export function indexOfKey(key: Buffer): LogIndex {
  // Above 2^53 - 1 nothing is written, and readU64 would take it for a bug of the caller.
  if (key.length !== indexKeyBytes || key.readUInt16BE(keyPrefixBytes) >= 0x20) throw strangeKey(key);
  return readU64(key, keyPrefixBytes) as LogIndex;
}

function strangeKey(key: Buffer): StorageDamage {
  return new StorageDamage(`there is a record under the key ${key.toString('hex')}, which is none`);
}
