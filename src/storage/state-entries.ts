/**
 * What an area holds besides values: results for repeats, and what finds by time the results that were kept long enough and the
 * keys that are due. Sealed like all records.
 */
import { readU64, writeU64, type Scratch } from '../bytes.ts';
import { CommandFormatError } from '../kv/byte-reader.ts';
import { dedupDigestBytes } from '../kv/command.ts';
import { decodeResult, encodeResult } from '../kv/result-codec.ts';
import type { DueKey, RememberedAt, RememberedResult, RequestName } from '../kv/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { areaPrefixBytes, partitionOfKey, Space, writeAreaPrefix, type Area } from './keys.ts';
import { checksumBytes, damagedRecord, seal, unseal, version, type EncodedRecord } from './sealing.ts';

const timeBytes = 8;
/** version, log time, digest */
const rememberedHeaderBytes = 1 + timeBytes + dedupDigestBytes;
/** version, revision, incarnation */
const dueBytes = 1 + 8 + 4;

/** Where a record goes. */
export interface Place {
  readonly partition: PartitionId;
  readonly area: Area;
}

export function encodeRemembered(
  scratch: Scratch,
  { partition, area }: Place,
  name: RequestName,
  { at, digest, result }: RememberedResult,
): EncodedRecord {
  const encoded = encodeResult(result);
  const keyBytes = areaPrefixBytes + name.length;
  const end = keyBytes + rememberedHeaderBytes + encoded.length;
  const bytes = scratch.take(end + checksumBytes);
  writeAreaPrefix(bytes, partition, area, Space.remembered);
  bytes.set(name, areaPrefixBytes);
  bytes[keyBytes] = version;
  writeU64(bytes, at, keyBytes + 1);
  bytes.set(digest, keyBytes + 1 + timeBytes);
  bytes.set(encoded, keyBytes + rememberedHeaderBytes);
  return seal(bytes, keyBytes, end);
}

export function decodeRemembered(key: Buffer, value: Buffer): RememberedResult {
  const what = (): string => 'result kept for repeats';
  unseal(key, value, rememberedHeaderBytes, what);
  try {
    return {
      at: readU64(value, 1),
      digest: value.subarray(1 + timeBytes, rememberedHeaderBytes),
      result: decodeResult(value.subarray(rememberedHeaderBytes, value.length - checksumBytes)),
    };
  } catch (error) {
    if (!(error instanceof CommandFormatError)) throw error;
    throw damagedRecord(partitionOfKey(key), what(), `is not understood: ${error.message}`);
  }
}

/** By time, and within a time by name. */
export function encodeRememberedAt(
  scratch: Scratch,
  { partition, area }: Place,
  name: RequestName,
  at: number,
): EncodedRecord {
  const keyBytes = areaPrefixBytes + timeBytes + name.length;
  const bytes = scratch.take(keyBytes + 1 + checksumBytes);
  writeTimed(bytes, { partition, area }, Space.rememberedAt, at, name);
  bytes[keyBytes] = version;
  return seal(bytes, keyBytes, keyBytes + 1);
}

export function encodeDue(
  scratch: Scratch,
  { partition, area }: Place,
  { key, expiresAt, revision, incarnation }: DueKey,
): EncodedRecord {
  const keyBytes = areaPrefixBytes + timeBytes + key.length;
  const end = keyBytes + dueBytes;
  const bytes = scratch.take(end + checksumBytes);
  writeTimed(bytes, { partition, area }, Space.due, expiresAt, key);
  bytes[keyBytes] = version;
  writeU64(bytes, revision, keyBytes + 1);
  bytes.writeUInt32BE(incarnation, keyBytes + 9);
  return seal(bytes, keyBytes, end);
}

export function decodeDue(key: Buffer, value: Buffer): DueKey {
  const what = (): string => 'time at which a key is due';
  unseal(key, value, dueBytes, what);
  const { at: expiresAt, name } = decodeTimed(key, what);
  return { key: name, expiresAt, revision: readU64(value, 1), incarnation: value.readUInt32BE(9) };
}

export function decodeRememberedAt(key: Buffer, value: Buffer): RememberedAt {
  const what = (): string => 'time at which a result was kept';
  unseal(key, value, 1, what);
  return decodeTimed(key, what);
}

function writeTimed(bytes: Buffer, { partition, area }: Place, space: Space, at: number, name: Uint8Array): void {
  writeAreaPrefix(bytes, partition, area, space);
  writeU64(bytes, at, areaPrefixBytes);
  bytes.set(name, areaPrefixBytes + timeBytes);
}

function decodeTimed(key: Buffer, what: () => string): RememberedAt {
  if (key.length <= areaPrefixBytes + timeBytes) {
    throw damagedRecord(partitionOfKey(key), what(), `has a key that is cut short: ${key.length} bytes`);
  }
  return { at: readU64(key, areaPrefixBytes), name: key.subarray(areaPrefixBytes + timeBytes) };
}

/** What a result takes in a batch with its time, about. */
export function rememberedBytes(name: RequestName, { result }: RememberedResult): number {
  return 2 * (areaPrefixBytes + name.length) + rememberedHeaderBytes + 2 * checksumBytes + encodeResult(result).length;
}
