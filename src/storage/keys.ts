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
  value: 5,
  batchSequence: 6,
  configuration: 7,
  stagedSnapshot: 8,
  unswept: 9,
  valueOfArea1: 10,
  replica: 12,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/**
 * A group's values live in one of two areas, `value` being the kind of area 0. The machine state names the one that is live; in
 * the other one a snapshot is staged.
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

export function valueKey(partition: PartitionId, area: Area, key: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(keyPrefixBytes + key.length);
  writeKeyPrefix(bytes, partition, valueKind(area));
  bytes.set(key, keyPrefixBytes);
  return bytes;
}

export function valueKind(area: Area): RecordKind {
  return area === 0 ? RecordKind.value : RecordKind.valueOfArea1;
}

/**
 * Where an area ends: above every key in it, and itself never the key of a record. (Of kind 6 there are none in a group, and 11
 * is to stay unused.)
 */
export function areaEnd(partition: PartitionId, area: Area): Buffer {
  const bytes = Buffer.allocUnsafe(keyPrefixBytes);
  writeKeyPrefix(bytes, partition, valueKind(area));
  bytes[keyPrefixBytes - 1] = valueKind(area) + 1;
  return bytes;
}

/** The key's bytes without partition and kind. */
export function userKeyOf(key: Buffer): Buffer {
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
