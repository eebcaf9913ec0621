/**
 * The bytes of operations within a command. Integers are big-endian.
 *
 * ```
 * u8  operation: 1 put, 2 delete, 3 get
 * u8  flags: bit 0 = a time to live follows, 1 = conditions on a match, 2 = conditions on no match
 * u16 key length | key
 * u64 time to live, ms                                                  when flags bit 0
 * u8  count, 0 for "any" | count x (u32 incarnation, u64 revision)      when flags bit 1
 * the same                                                              when flags bit 2
 * put: u16 content type length | content type, UTF-8 | value to the end
 * ```
 */
import { readU64, writeU64 } from '../bytes.ts';
import type { ByteReader } from './byte-reader.ts';
import { CommandFormatError } from './byte-reader.ts';
import type { Conditions, Operation, Version } from './types.ts';

export const OperationCode = { put: 1, delete: 2, get: 3 } as const;
const Flag = { ttl: 1, match: 2, noneMatch: 4 } as const;
const knownFlags = Flag.ttl | Flag.match | Flag.noneMatch;

export const versionBytes = 12;
/** A count of versions is one byte. */
export const versionsMax = 255;

type Wanted = Conditions['match'];

export function operationBytes(operation: Operation): number {
  const { key } = operation;
  switch (operation.type) {
    case 'put': {
      const { ttlMs, conditions, contentType, value } = operation;
      const fixed = 4 + key.length + (ttlMs === 0 ? 0 : 8) + conditionsBytes(conditions);
      return fixed + 2 + Buffer.byteLength(contentType) + value.length;
    }
    case 'delete':
      return 4 + key.length + conditionsBytes(operation.conditions);
    case 'get':
      return 4 + key.length;
  }
}

/** Writes `operationBytes(operation)` bytes at `at` and returns where they end. */
export function writeOperation(body: Buffer, at: number, operation: Operation): number {
  const { type, key } = operation;
  body[at] = OperationCode[type];
  body[at + 1] = flagsOf(operation);
  body.writeUInt16BE(key.length, at + 2);
  body.set(key, at + 4);
  let end = at + 4 + key.length;
  if (type === 'get') return end;
  if (type === 'put' && operation.ttlMs !== 0) {
    writeU64(body, operation.ttlMs, end);
    end += 8;
  }
  const { match, noneMatch } = operation.conditions;
  if (match !== undefined) end = writeWanted(body, end, match);
  if (noneMatch !== undefined) end = writeWanted(body, end, noneMatch);
  if (type === 'delete') return end;
  const contentTypeBytes = body.write(operation.contentType, end + 2);
  body.writeUInt16BE(contentTypeBytes, end);
  end += 2 + contentTypeBytes;
  body.set(operation.value, end);
  return end + operation.value.length;
}

/** Reads an operation that takes up the rest of `reader`. Key and value are views. */
export function readOperation(reader: ByteReader): Operation {
  const code = reader.u8();
  const flags = reader.u8();
  if ((flags & ~knownFlags) !== 0) throw new CommandFormatError('unknown operation flags');
  const key = reader.bytes(reader.u16());
  if (key.length === 0) throw new CommandFormatError('empty key');
  const ttlMs = flags & Flag.ttl ? reader.u64() : 0;
  const match = flags & Flag.match ? readWanted(reader) : undefined;
  const noneMatch = flags & Flag.noneMatch ? readWanted(reader) : undefined;
  const known = code as (typeof OperationCode)[keyof typeof OperationCode];
  switch (known) {
    case OperationCode.put: {
      const contentType = reader.bytes(reader.u16()).toString();
      return { type: 'put', key, contentType, ttlMs, conditions: { match, noneMatch }, value: reader.rest() };
    }
    case OperationCode.delete:
      if (flags & Flag.ttl) throw new CommandFormatError('a delete with a time to live');
      reader.end('a delete');
      return { type: 'delete', key, conditions: { match, noneMatch } };
    case OperationCode.get:
      if (flags !== 0) throw new CommandFormatError('a get with conditions');
      reader.end('a get');
      return { type: 'get', key };
    default:
      return (known satisfies never, unknownOperation(code));
  }
}

export function unknownOperation(code: number): never {
  throw new CommandFormatError(`operation ${code} is not known here`);
}

export function writeVersion(body: Buffer, at: number, { incarnation, revision }: Version): number {
  body.writeUInt32BE(incarnation, at);
  writeU64(body, revision, at + 4);
  return at + versionBytes;
}

export function readVersion(reader: ByteReader): Version {
  const bytes = reader.bytes(versionBytes);
  return { incarnation: bytes.readUInt32BE(0), revision: readU64(bytes, 4) };
}

function flagsOf(operation: Operation): number {
  if (operation.type === 'get') return 0;
  const { match, noneMatch } = operation.conditions;
  const ttl = operation.type === 'put' && operation.ttlMs !== 0 ? Flag.ttl : 0;
  return ttl | (match === undefined ? 0 : Flag.match) | (noneMatch === undefined ? 0 : Flag.noneMatch);
}

function conditionsBytes({ match, noneMatch }: Conditions): number {
  return wantedBytes(match) + wantedBytes(noneMatch);
}

function wantedBytes(wanted: Wanted): number {
  if (wanted === undefined) return 0;
  return 1 + (wanted === 'any' ? 0 : wanted.length * versionBytes);
}

function writeWanted(body: Buffer, at: number, wanted: NonNullable<Wanted>): number {
  const versions = wanted === 'any' ? [] : wanted;
  if (wanted !== 'any' && (versions.length === 0 || versions.length > versionsMax)) {
    throw new CommandFormatError(`a condition names 1 to ${versionsMax} versions`);
  }
  body[at] = versions.length;
  return versions.reduce((end, version) => writeVersion(body, end, version), at + 1);
}

function readWanted(reader: ByteReader): NonNullable<Wanted> {
  const count = reader.u8();
  return count === 0 ? 'any' : Array.from({ length: count }, () => readVersion(reader));
}
