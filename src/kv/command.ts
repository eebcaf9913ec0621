/**
 * The body of a command entry: encoded once at the front, then the same bytes go to the log, the wire and the disk.
 * This format is final; `test/kv/command.test.ts` holds its golden bytes. Integers are big-endian.
 *
 * ```
 *  0  u8   command version (1)
 *  1  u8   flags: bit 0 = a dedup block follows the header
 *  2  u16  reserved, 0
 *  4  u64  log time, ms: stamped by the leader that appends it
 * 12  u32  range epoch under which it was routed: checked again at apply
 * 16  u32  partition incarnation
 * 20  [dedup block: u8 name length | name | 16 bytes digest of the request]   when flags bit 0
 *     a single operation (see `operation.ts`), or
 *     u8   16 batch, 17 transaction, 18 sweep
 *     u8   flags, 0
 *     batch: to the end, each: dedup block, its name length 0 for none | u32 length | operation
 *     transaction: u16 comparisons | each: u8 which, u16 key length, key, what is compared
 *                  u16 operations if they hold | each: u32 length | operation; the same for otherwise
 *     sweep: u16 due | each: version, u16 key length, key; u16 remembered | each: u64 at, u8 name length, name
 * ```
 */
import { asBuffer, readU64, writeU64 } from '../bytes.ts';
import { ByteReader, CommandFormatError } from './byte-reader.ts';
import {
  operationBytes,
  OperationCode,
  readOperation,
  readVersion,
  unknownOperation,
  versionBytes,
  writeOperation,
  writeVersion,
} from './operation.ts';
import type {
  BatchCommand,
  BatchItem,
  Command,
  Comparison,
  Dedup,
  Operation,
  RequestName,
  SweepCommand,
  TransactionCommand,
} from './types.ts';

export { CommandFormatError } from './byte-reader.ts';

export const commandVersion = 1;
export const commandHeaderBytes = 20;
/** Digests are the first 16 bytes of a SHA-256. */
export const dedupDigestBytes = 16;
/** A name's length is one byte. */
export const requestNameBytesMax = 255;
const dedupFlag = 1;
const CompoundCode = { batch: 16, transaction: 17, sweep: 18 } as const;
/** What a comparison names. */
const Compared = { exists: 1, existsNot: 2, revision: 4, version: 8, value: 16 } as const;
const knownCompared = 31;

/** What only the leader knows when it appends the command. */
export interface CommandStamp {
  readonly logTime: number;
  readonly rangeEpoch: number;
  readonly incarnation: number;
}

export interface DecodedCommand {
  readonly stamp: CommandStamp;
  readonly dedup: Dedup | undefined;
  readonly command: Command;
}

/** Encodes with an empty stamp. Keys are 1 to 65,535 bytes here (the front allows `limits.keyBytesMax`). */
export function encodeCommand(command: Command, dedup?: Dedup): Buffer {
  const headBytes = commandHeaderBytes + (dedup === undefined ? 0 : dedupBytes(dedup));
  const body = Buffer.allocUnsafe(headBytes + commandBytes(command));
  body.fill(0, 0, commandHeaderBytes);
  body[0] = commandVersion;
  if (dedup !== undefined) {
    body[1] = dedupFlag;
    writeDedup(body, commandHeaderBytes, dedup);
  }
  writeCommand(body, headBytes, command);
  return body;
}

/** Writes the leader's part into the header, in place. Done once, before the body is handed to Raft; never afterwards. */
export function stampCommand(body: Buffer, stamp: CommandStamp): void {
  writeU64(body, stamp.logTime, 4);
  body.writeUInt32BE(stamp.rangeEpoch, 12);
  body.writeUInt32BE(stamp.incarnation, 16);
}

/** The log time in an encoded command. */
export function stampedTime(body: Uint8Array): number {
  return readU64(asBuffer(body), 4);
}

/** Decodes; keys and values are views of `body`. Throws CommandFormatError for anything that `encodeCommand` does not write. */
export function decodeCommand(body: Buffer): DecodedCommand {
  const version = body.length > 0 ? body[0] : undefined;
  if (version !== commandVersion) {
    throw new CommandFormatError(`command version ${version ?? 'missing'}: this node knows ${commandVersion}`);
  }
  const reader = new ByteReader(body, 1);
  const flags = reader.u8();
  if (flags > dedupFlag || reader.u16() !== 0) throw new CommandFormatError('unknown command flags');
  const stamp = { logTime: reader.u64(), rangeEpoch: reader.u32(), incarnation: reader.u32() };
  const dedup = flags === dedupFlag ? readDedup(reader) : undefined;
  if (flags === dedupFlag && dedup === undefined) throw new CommandFormatError('an empty idempotency key');
  return { stamp, dedup, command: readCommand(reader) };
}

/** The names under which the results of an encoded command will be kept; mostly none. Decodes no more than it must. */
export function requestNames(body: Buffer): readonly RequestName[] {
  if (body[1] === dedupFlag) {
    const dedup = readDedup(new ByteReader(body, commandHeaderBytes));
    return dedup === undefined ? [] : [dedup.name];
  }
  if (body[commandHeaderBytes] !== CompoundCode.batch) return [];
  const reader = new ByteReader(body, commandHeaderBytes + 2);
  const names: RequestName[] = [];
  while (!reader.isAtEnd()) {
    const dedup = readDedup(reader);
    if (dedup !== undefined) names.push(dedup.name);
    reader.bytes(reader.u32());
  }
  return names;
}

function commandBytes(command: Command): number {
  switch (command.type) {
    case 'put':
    case 'delete':
      return operationBytes(command);
    case 'batch':
      return command.items.reduce(
        (bytes, { operation, dedup }) =>
          bytes + (dedup === undefined ? 1 : dedupBytes(dedup)) + 4 + operationBytes(operation),
        2,
      );
    case 'transaction': {
      const { compare, then, otherwise } = command;
      const compared = compare.reduce((bytes, comparison) => bytes + comparisonBytes(comparison), 0);
      return 2 + 2 + compared + listBytes(then) + listBytes(otherwise);
    }
    case 'sweep': {
      const due = command.expire.reduce((bytes, { key }) => bytes + versionBytes + 2 + key.length, 0);
      return command.forget.reduce((bytes, { name }) => bytes + 8 + 1 + name.length, 2 + 2 + due + 2);
    }
  }
}

function writeCommand(body: Buffer, at: number, command: Command): void {
  if (command.type === 'put' || command.type === 'delete') {
    writeOperation(body, at, command);
    return;
  }
  body[at] = CompoundCode[command.type];
  body[at + 1] = 0;
  if (command.type === 'batch') writeBatch(body, at + 2, command);
  else if (command.type === 'transaction') writeTransaction(body, at + 2, command);
  else writeSweep(body, at + 2, command);
}

function readCommand(reader: ByteReader): Command {
  const code = reader.peek();
  if (code === OperationCode.put || code === OperationCode.delete) return readOperation(reader) as Command;
  reader.u8();
  if (reader.u8() !== 0) throw new CommandFormatError('unknown operation flags');
  const known = code as (typeof CompoundCode)[keyof typeof CompoundCode];
  switch (known) {
    case CompoundCode.batch:
      return readBatch(reader);
    case CompoundCode.transaction:
      return readTransaction(reader);
    case CompoundCode.sweep:
      return readSweep(reader);
    default:
      return (known satisfies never, unknownOperation(code));
  }
}

function writeBatch(body: Buffer, from: number, { items }: BatchCommand): void {
  let at = from;
  for (const { operation, dedup } of items) {
    if (dedup === undefined) body[at++] = 0;
    else at = writeDedup(body, at, dedup);
    at = writeSized(body, at, operation);
  }
}

function readBatch(reader: ByteReader): BatchCommand {
  const items: BatchItem[] = [];
  while (!reader.isAtEnd()) {
    const dedup = readDedup(reader);
    items.push({ dedup, operation: readSized(reader) });
  }
  return { type: 'batch', items };
}

function writeTransaction(body: Buffer, from: number, { compare, then, otherwise }: TransactionCommand): void {
  let at = body.writeUInt16BE(compare.length, from);
  for (const comparison of compare) at = writeComparison(body, at, comparison);
  for (const operations of [then, otherwise]) {
    at = body.writeUInt16BE(operations.length, at);
    for (const operation of operations) at = writeSized(body, at, operation);
  }
}

function readTransaction(reader: ByteReader): TransactionCommand {
  const compare = Array.from({ length: reader.u16() }, () => readComparison(reader));
  const then = Array.from({ length: reader.u16() }, () => readSized(reader));
  const otherwise = Array.from({ length: reader.u16() }, () => readSized(reader));
  reader.end('a transaction');
  return { type: 'transaction', compare, then, otherwise };
}

function writeSweep(body: Buffer, from: number, { expire, forget }: SweepCommand): void {
  let at = body.writeUInt16BE(expire.length, from);
  for (const { key, version } of expire) {
    at = body.writeUInt16BE(key.length, writeVersion(body, at, version));
    body.set(key, at);
    at += key.length;
  }
  at = body.writeUInt16BE(forget.length, at);
  for (const { name, at: rememberedAt } of forget) {
    writeU64(body, rememberedAt, at);
    at = writeName(body, at + 8, name);
  }
}

function readSweep(reader: ByteReader): SweepCommand {
  const expire = Array.from({ length: reader.u16() }, () => {
    const version = readVersion(reader);
    return { version, key: reader.bytes(reader.u16()) };
  });
  const forget = Array.from({ length: reader.u16() }, () => {
    const at = reader.u64();
    return { at, name: reader.bytes(reader.u8()) };
  });
  reader.end('a sweep');
  return { type: 'sweep', expire, forget };
}

function comparisonBytes({ key, revision, version, value }: Comparison): number {
  const compared = (revision === undefined ? 0 : 8) + (version === undefined ? 0 : versionBytes);
  return 1 + 2 + key.length + compared + (value === undefined ? 0 : 4 + value.length);
}

function writeComparison(body: Buffer, from: number, comparison: Comparison): number {
  const { key, exists, revision, version, value } = comparison;
  body[from] =
    (exists === undefined ? 0 : exists ? Compared.exists : Compared.existsNot) |
    (revision === undefined ? 0 : Compared.revision) |
    (version === undefined ? 0 : Compared.version) |
    (value === undefined ? 0 : Compared.value);
  let at = body.writeUInt16BE(key.length, from + 1);
  body.set(key, at);
  at += key.length;
  if (revision !== undefined) {
    writeU64(body, revision, at);
    at += 8;
  }
  if (version !== undefined) at = writeVersion(body, at, version);
  if (value === undefined) return at;
  at = body.writeUInt32BE(value.length, at);
  body.set(value, at);
  return at + value.length;
}

function readComparison(reader: ByteReader): Comparison {
  const which = reader.u8();
  if ((which & ~knownCompared) !== 0) throw new CommandFormatError('an unknown comparison');
  const key = reader.bytes(reader.u16());
  const exists = which & Compared.exists ? true : which & Compared.existsNot ? false : undefined;
  const revision = which & Compared.revision ? reader.u64() : undefined;
  const version = which & Compared.version ? readVersion(reader) : undefined;
  const value = which & Compared.value ? reader.bytes(reader.u32()) : undefined;
  return { key, exists, revision, version, value };
}

function listBytes(operations: readonly Operation[]): number {
  return operations.reduce((bytes, operation) => bytes + 4 + operationBytes(operation), 2);
}

function writeSized(body: Buffer, at: number, operation: Operation): number {
  const end = writeOperation(body, at + 4, operation);
  body.writeUInt32BE(end - at - 4, at);
  return end;
}

function readSized(reader: ByteReader): Operation {
  return readOperation(new ByteReader(reader.bytes(reader.u32())));
}

function dedupBytes({ name }: Dedup): number {
  return 1 + name.length + dedupDigestBytes;
}

function writeDedup(body: Buffer, at: number, { name, digest }: Dedup): number {
  if (name.length < 1 || digest.length !== dedupDigestBytes) {
    throw new CommandFormatError(`a request's name has at least one byte, and its digest ${dedupDigestBytes}`);
  }
  const digestAt = writeName(body, at, name);
  body.set(digest, digestAt);
  return digestAt + dedupDigestBytes;
}

function writeName(body: Buffer, at: number, name: Uint8Array): number {
  if (name.length > requestNameBytesMax) {
    throw new CommandFormatError(`a request's name has at most ${requestNameBytesMax} bytes`);
  }
  body[at] = name.length;
  body.set(name, at + 1);
  return at + 1 + name.length;
}

/** Undefined for a name of no length. */
function readDedup(reader: ByteReader): Dedup | undefined {
  const name = reader.bytes(reader.u8());
  return name.length === 0 ? undefined : { name, digest: reader.bytes(dedupDigestBytes) };
}
