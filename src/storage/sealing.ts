/**
 * What all records on disk have in common. Each is: version byte, fields (big-endian), and last a CRC-32 over its key and
 * everything before the checksum, so that a record read back under another key, of another group, or with one bit turned
 * is told from a good one. The checksum stands last so that key and content are one stretch of memory, summed in one go.
 */
import { crc32 } from 'node:zlib';
import { readU64, writeU64, type Scratch } from '../bytes.ts';
import type { PartitionId } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import type { DatabaseBatch } from './database.ts';
import {
  indexKeyBytes,
  keyPrefixBytes,
  nodePartition,
  partitionOfKey,
  writeKeyPrefix,
  type RecordKind,
} from './keys.ts';

/** Of every record but those whose file says otherwise. */
export const version = 1;
export const checksumBytes = 4;

/** Views into the scratch memory they were encoded in: good until the next record is encoded there. */
export interface EncodedRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly checksum: number;
}

/** What a row of numbers may carry besides. */
export interface NumbersOptions {
  /** Part of the key, where a group has several records of the kind. */
  readonly index?: number;
  /** 1 when left out. */
  readonly recordVersion?: number;
  /** Bytes after the numbers. */
  readonly body?: Uint8Array;
}

/** Most records are a row of 64-bit numbers. */
export function encodeNumbers(
  scratch: Scratch,
  partition: PartitionId,
  kind: RecordKind,
  fields: readonly number[],
  { index, recordVersion = version, body = noBody }: NumbersOptions = {},
): EncodedRecord {
  const keyBytes = index === undefined ? keyPrefixBytes : indexKeyBytes;
  const end = keyBytes + 1 + 8 * fields.length + body.length;
  const bytes = scratch.take(end + checksumBytes);
  writeKeyPrefix(bytes, partition, kind);
  if (index !== undefined) writeU64(bytes, index, keyPrefixBytes);
  bytes[keyBytes] = recordVersion;
  let offset = keyBytes + 1;
  for (const field of fields) {
    writeU64(bytes, field, offset);
    offset += 8;
  }
  bytes.set(body, offset);
  return seal(bytes, keyBytes, end);
}

const noBody = new Uint8Array(0);

export function decodeNumbers(
  key: Buffer,
  value: Buffer,
  count: number,
  what: () => string,
  versionMax = version,
): number[] {
  const { fields, body } = decodeNumbersAndBody(key, value, count, what, versionMax);
  if (body.length > 0) throw damagedRecord(partitionOfKey(key), what(), `has the wrong length ${value.length}`);
  return fields;
}

export function decodeNumbersAndBody(
  key: Buffer,
  value: Buffer,
  count: number,
  what: () => string,
  versionMax = version,
): { readonly fields: number[]; readonly body: Buffer } {
  unseal(key, value, 1 + 8 * count, what, versionMax);
  const fields: number[] = [];
  for (let field = 0; field < count; field += 1) fields.push(readU64(value, 1 + 8 * field));
  return { fields, body: value.subarray(1 + 8 * count, value.length - checksumBytes) };
}

/** Returns the bytes put. */
export function putRecord(batch: DatabaseBatch, record: EncodedRecord): number {
  batch.put(record.key, record.value);
  return record.key.length + record.value.length;
}

export function seal(bytes: Buffer, keyBytes: number, end: number): EncodedRecord {
  const checksum = crc32(bytes.subarray(0, end));
  bytes.writeUInt32BE(checksum, end);
  return { key: bytes.subarray(0, keyBytes), value: bytes.subarray(keyBytes, end + checksumBytes), checksum };
}

/** Checks checksum, version and least length; returns the checksum. */
export function unseal(
  key: Buffer,
  value: Buffer,
  headerBytes: number,
  what: () => string,
  versionMax = version,
): number {
  const partition = partitionOfKey(key);
  if (value.length < headerBytes + checksumBytes)
    throw damagedRecord(partition, what(), `is cut short: ${value.length} bytes`);
  const contentEnd = value.length - checksumBytes;
  const stored = value.readUInt32BE(contentEnd);
  const computed = crc32(value.subarray(0, contentEnd), crc32(key));
  if (stored !== computed) {
    throw damagedRecord(partition, what(), `is corrupt: checksum ${hex(computed)}, stored ${hex(stored)}`);
  }
  const found = value[0] ?? 0;
  if (found === 0 || found > versionMax) {
    throw damagedRecord(partition, what(), `has version ${found}, known is ${versionMax}`);
  }
  return stored;
}

export function damagedRecord(partition: PartitionId, what: string, problem: string): StorageDamage {
  if (partition === nodePartition) return new StorageDamage(`${what} ${problem}`);
  return new StorageDamage(`partition ${partition}: ${what} ${problem}`, partition);
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, '0');
}
