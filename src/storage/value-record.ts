import { readU64, writeU64, type Scratch } from '../bytes.ts';
import type { ValueRecord } from '../kv/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { areaPrefixBytes, partitionOfKey, Space, writeAreaPrefix, type Area } from './keys.ts';
import { checksumBytes, damagedRecord, seal, unseal, version, type EncodedRecord } from './sealing.ts';

/** version, flags, revision, incarnation */
const valueHeaderBytes = 1 + 1 + 8 + 4;
const ValueFlag = { expiresAt: 1, contentType: 2 } as const;
const knownValueFlags = ValueFlag.expiresAt | ValueFlag.contentType;

export function encodeValue(
  scratch: Scratch,
  partition: PartitionId,
  area: Area,
  userKey: Uint8Array,
  record: ValueRecord,
): EncodedRecord {
  const keyBytes = areaPrefixBytes + userKey.length;
  const typeBytes = record.contentType === '' ? 0 : Buffer.byteLength(record.contentType);
  const length = keyBytes + valueHeaderBytes + 8 + 2 + typeBytes + record.value.length + checksumBytes;
  const bytes = scratch.take(length);
  writeAreaPrefix(bytes, partition, area, Space.value);
  bytes.set(userKey, areaPrefixBytes);
  let offset = keyBytes;
  bytes[offset] = version;
  bytes[offset + 1] =
    (record.expiresAt === 0 ? 0 : ValueFlag.expiresAt) | (typeBytes === 0 ? 0 : ValueFlag.contentType);
  writeU64(bytes, record.revision, offset + 2);
  bytes.writeUInt32BE(record.incarnation, offset + 10);
  offset += valueHeaderBytes;
  if (record.expiresAt !== 0) {
    writeU64(bytes, record.expiresAt, offset);
    offset += 8;
  }
  if (typeBytes !== 0) {
    bytes.writeUInt16BE(typeBytes, offset);
    bytes.write(record.contentType, offset + 2, typeBytes, 'utf8');
    offset += 2 + typeBytes;
  }
  bytes.set(record.value, offset);
  return seal(bytes, keyBytes, offset + record.value.length);
}

/** The record `value`, just verified, as it is sealed under `key`: for carrying it from one area to the other. */
export function sealUnder(scratch: Scratch, key: Buffer, value: Buffer): EncodedRecord {
  const end = key.length + value.length - checksumBytes;
  const bytes = scratch.take(end + checksumBytes);
  bytes.set(key);
  bytes.set(value.subarray(0, value.length - checksumBytes), key.length);
  return seal(bytes, key.length, end);
}

export function decodeValue(key: Buffer, value: Buffer): ValueRecord {
  const what = (): string => `value of key ${JSON.stringify(key.toString('utf8', areaPrefixBytes))}`;
  unseal(key, value, valueHeaderBytes, what);
  const flags = value[1] ?? 0;
  if ((flags & ~knownValueFlags) !== 0) {
    throw damagedRecord(partitionOfKey(key), what(), `has unknown flags ${flags}`);
  }
  const contentEnd = value.length - checksumBytes;
  const fits = (end: number): void => {
    if (end > contentEnd) throw damagedRecord(partitionOfKey(key), what(), `has fields beyond its end`);
  };
  let offset = valueHeaderBytes;
  let expiresAt = 0;
  let contentType = '';
  if (flags & ValueFlag.expiresAt) {
    fits(offset + 8);
    expiresAt = readU64(value, offset);
    offset += 8;
  }
  if (flags & ValueFlag.contentType) {
    fits(offset + 2);
    const typeBytes = value.readUInt16BE(offset);
    fits(offset + 2 + typeBytes);
    contentType = value.toString('utf8', offset + 2, offset + 2 + typeBytes);
    offset += 2 + typeBytes;
  }
  return {
    value: value.subarray(offset, contentEnd),
    contentType,
    revision: readU64(value, 2),
    incarnation: value.readUInt32BE(10),
    expiresAt,
  };
}

/** Key prefix, header, checksum and the optional fields. */
const valueOverheadBytes = areaPrefixBytes + valueHeaderBytes + 8 + 2 + checksumBytes;

/** Bytes that a staged value takes, for counting before it is encoded. */
export function valueRecordBytes(userKey: Uint8Array, record: ValueRecord | undefined): number {
  return valueOverheadBytes + userKey.length + (record?.value.length ?? 0) + (record?.contentType.length ?? 0);
}
