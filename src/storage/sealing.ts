/**
 * What all records on disk have in common. Each is: version byte, fields (big-endian), and last a CRC-32 over its key and
 * everything before the checksum, so that a record read back under another key, of another group, or with one bit turned
 * is told from a good one. The checksum stands last so that key and content are one stretch of memory, summed in one go.
 */
import { crc32 } from 'node:zlib';
import { readU64, writeU64 } from '../bytes.ts';
import type { PartitionId } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import {
  indexKeyBytes,
  keyPrefixBytes,
  nodePartition,
  partitionOfKey,
  writeKeyPrefix,
  type RecordKind,
} from './keys.ts';

export const version = 1;
export const checksumBytes = 4;

/** Views into the scratch memory they were encoded in: good until the next record is encoded there. */
export interface EncodedRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly checksum: number;
}

/** Memory that records are encoded in, one after the other: LevelDB's batch copies each as it is put. */
export class Scratch {
  #bytes = Buffer.allocUnsafeSlow(64 * 1024);

  /** At least `length` bytes; what they held before is lost. */
  take(length: number): Buffer {
    if (this.#bytes.length < length) this.#bytes = Buffer.allocUnsafeSlow(2 * length);
    return this.#bytes;
  }
}

/** Most records are a row of 64-bit numbers; `index` is part of the key where a group has several of the kind. */
export function encodeNumbers(
  scratch: Scratch,
  partition: PartitionId,
  kind: RecordKind,
  fields: readonly number[],
  index?: number,
): EncodedRecord {
  const keyBytes = index === undefined ? keyPrefixBytes : indexKeyBytes;
  const end = keyBytes + 1 + 8 * fields.length;
  const bytes = scratch.take(end + checksumBytes);
  writeKeyPrefix(bytes, partition, kind);
  if (index !== undefined) writeU64(bytes, index, keyPrefixBytes);
  bytes[keyBytes] = version;
  let offset = keyBytes + 1;
  for (const field of fields) {
    writeU64(bytes, field, offset);
    offset += 8;
  }
  return seal(bytes, keyBytes, end);
}

export function decodeNumbers(key: Buffer, value: Buffer, count: number, what: () => string): number[] {
  unseal(key, value, 1 + 8 * count, what);
  if (value.length !== 1 + 8 * count + checksumBytes) {
    throw damagedRecord(partitionOfKey(key), what(), `has the wrong length ${value.length}`);
  }
  const fields: number[] = [];
  for (let field = 0; field < count; field += 1) fields.push(readU64(value, 1 + 8 * field));
  return fields;
}

export function seal(bytes: Buffer, keyBytes: number, end: number): EncodedRecord {
  const checksum = crc32(bytes.subarray(0, end));
  bytes.writeUInt32BE(checksum, end);
  return { key: bytes.subarray(0, keyBytes), value: bytes.subarray(keyBytes, end + checksumBytes), checksum };
}

/** Checks checksum, version and least length; returns the checksum. */
export function unseal(key: Buffer, value: Buffer, headerBytes: number, what: () => string): number {
  const partition = partitionOfKey(key);
  if (value.length < headerBytes + checksumBytes)
    throw damagedRecord(partition, what(), `is cut short: ${value.length} bytes`);
  const contentEnd = value.length - checksumBytes;
  const stored = value.readUInt32BE(contentEnd);
  const computed = crc32(value.subarray(0, contentEnd), crc32(key));
  if (stored !== computed) {
    throw damagedRecord(partition, what(), `is corrupt: checksum ${hex(computed)}, stored ${hex(stored)}`);
  }
  if (value[0] !== version) throw damagedRecord(partition, what(), `has version ${value[0]}, known is ${version}`);
  return stored;
}

export function damagedRecord(partition: PartitionId, what: string, problem: string): StorageDamage {
  if (partition === nodePartition) return new StorageDamage(`${what} ${problem}`);
  return new StorageDamage(`partition ${partition}: ${what} ${problem}`, partition);
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, '0');
}
