/**
 * The bytes of a command's result: kept for its repeats, and sent between nodes. Integers are big-endian; the layouts stand
 * beside the codes. Golden bytes in `test/kv/result-codec.test.ts` hold them still.
 */
import { writeU64 } from '../bytes.ts';
import { ByteReader, CommandFormatError } from './byte-reader.ts';
import { readVersion, versionBytes, writeVersion } from './operation.ts';
import type { CommandResult, OperationResult, ValueRecord } from './types.ts';

const Code = {
  /** version, u8 created, u64 expires at */
  put: 1,
  /** u64 revision */
  deleted: 2,
  not_found: 3,
  /** version, u64 expires at, u16 content type length, content type, u32 value length, value */
  value: 4,
  /** u8 whether there is a value, its version */
  condition_failed: 5,
  key_reused: 6,
  /** u16 results, each as here */
  batch: 16,
  /** u8 succeeded, u16 results, each as here */
  transaction: 17,
  /** u32 expired, u32 forgotten */
  swept: 18,
  /** u32 epoch */
  wrong_epoch: 19,
  result_too_large: 20,
} as const;

export function encodeResult(result: CommandResult): Buffer {
  const bytes = Buffer.allocUnsafe(resultBytes(result));
  writeResult(bytes, 0, result);
  return bytes;
}

/** Records are views of `bytes`. Throws CommandFormatError for anything that `encodeResult` does not write. */
export function decodeResult(bytes: Buffer): CommandResult {
  const reader = new ByteReader(bytes);
  const result = readResult(reader);
  reader.end('a result');
  return result;
}

function resultBytes(result: CommandResult): number {
  switch (result.type) {
    case 'put':
      return 1 + versionBytes + 1 + 8;
    case 'deleted':
      return 1 + 8;
    case 'not_found':
    case 'key_reused':
    case 'result_too_large':
      return 1;
    case 'value': {
      const { contentType, value } = result.record;
      return 1 + versionBytes + 8 + 2 + Buffer.byteLength(contentType) + 4 + value.length;
    }
    case 'condition_failed':
      return 2 + (result.current === undefined ? 0 : versionBytes);
    case 'batch':
      return 3 + sum(result.results);
    case 'transaction':
      return 4 + sum(result.results);
    case 'swept':
      return 1 + 4 + 4;
    case 'wrong_epoch':
      return 1 + 4;
  }
}

function sum(results: readonly OperationResult[]): number {
  return results.reduce((bytes, result) => bytes + resultBytes(result), 0);
}

function writeResult(bytes: Buffer, from: number, result: CommandResult): number {
  const at = bytes.writeUInt8(Code[result.type], from);
  switch (result.type) {
    case 'put': {
      const createdAt = writeVersion(bytes, at, result);
      bytes[createdAt] = result.created ? 1 : 0;
      writeU64(bytes, result.expiresAt, createdAt + 1);
      return createdAt + 9;
    }
    case 'deleted':
      writeU64(bytes, result.revision, at);
      return at + 8;
    case 'not_found':
    case 'key_reused':
    case 'result_too_large':
      return at;
    case 'value':
      return writeRecord(bytes, at, result.record);
    case 'condition_failed':
      bytes[at] = result.current === undefined ? 0 : 1;
      return result.current === undefined ? at + 1 : writeVersion(bytes, at + 1, result.current);
    case 'batch':
      return writeResults(bytes, at, result.results);
    case 'transaction':
      bytes[at] = result.succeeded ? 1 : 0;
      return writeResults(bytes, at + 1, result.results);
    case 'swept':
      return bytes.writeUInt32BE(result.forgotten, bytes.writeUInt32BE(result.expired, at));
    case 'wrong_epoch':
      return bytes.writeUInt32BE(result.epoch, at);
  }
}

function writeResults(bytes: Buffer, from: number, results: readonly OperationResult[]): number {
  return results.reduce((at, result) => writeResult(bytes, at, result), bytes.writeUInt16BE(results.length, from));
}

function writeRecord(bytes: Buffer, from: number, record: ValueRecord): number {
  const expiresAt = writeVersion(bytes, from, record);
  writeU64(bytes, record.expiresAt, expiresAt);
  const typeAt = expiresAt + 8;
  const typeBytes = bytes.write(record.contentType, typeAt + 2);
  bytes.writeUInt16BE(typeBytes, typeAt);
  const valueAt = bytes.writeUInt32BE(record.value.length, typeAt + 2 + typeBytes);
  bytes.set(record.value, valueAt);
  return valueAt + record.value.length;
}

function readResult(reader: ByteReader): CommandResult {
  const code = reader.u8();
  switch (code) {
    case Code.batch:
      return { type: 'batch', results: readResults(reader) };
    case Code.transaction:
      return { type: 'transaction', succeeded: reader.flag(), results: readResults(reader) };
    case Code.swept:
      return { type: 'swept', expired: reader.u32(), forgotten: reader.u32() };
    case Code.wrong_epoch:
      return { type: 'wrong_epoch', epoch: reader.u32() };
    case Code.result_too_large:
      return { type: 'result_too_large' };
    default:
      return readOperationResult(reader, code);
  }
}

function readResults(reader: ByteReader): OperationResult[] {
  return Array.from({ length: reader.u16() }, () => readOperationResult(reader, reader.u8()));
}

function readOperationResult(reader: ByteReader, code: number): OperationResult {
  switch (code) {
    case Code.put:
      return { type: 'put', ...readVersion(reader), created: reader.flag(), expiresAt: reader.u64() };
    case Code.deleted:
      return { type: 'deleted', revision: reader.u64() };
    case Code.not_found:
      return { type: 'not_found' };
    case Code.key_reused:
      return { type: 'key_reused' };
    case Code.value:
      return { type: 'value', record: readRecord(reader) };
    case Code.condition_failed:
      return { type: 'condition_failed', current: reader.flag() ? readVersion(reader) : undefined };
    default:
      throw new CommandFormatError(`result ${code} is not known here`);
  }
}

function readRecord(reader: ByteReader): ValueRecord {
  const { revision, incarnation } = readVersion(reader);
  const expiresAt = reader.u64();
  const contentType = reader.bytes(reader.u16()).toString();
  return { revision, incarnation, expiresAt, contentType, value: reader.bytes(reader.u32()) };
}
