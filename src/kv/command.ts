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
 * 20  [u8 length 1..128 | idempotency key, visible ASCII | 16 bytes digest of the request]   when flags bit 0
 *     u8   operation: 1 put, 2 delete
 *     u8   operation flags, 0
 *     u16  key length | key
 *     put: u16 content type length | content type, UTF-8 | value to the end
 * ```
 */
import { readU64, writeU64 } from '../bytes.ts';
import type { Command } from './types.ts';

export const commandVersion = 1;
export const commandHeaderBytes = 20;
/** Digests are the first 16 bytes of a SHA-256. */
export const dedupDigestBytes = 16;
const dedupFlag = 1;
const Operation = { put: 1, delete: 2 } as const;

/** Names a request among its retries; `digest` tells a repeat from another request under the same key. */
export interface Dedup {
  readonly idempotencyKey: string;
  readonly digest: Uint8Array;
}

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

/** The bytes are no command of a version known here. Stored entries are checksummed: this means a newer writer, and the replica stops. */
export class CommandFormatError extends Error {
  override readonly name = 'CommandFormatError';
}

/** Encodes with an empty stamp. Keys are 1 to 65,535 bytes here (the front allows `limits.keyBytesMax`). */
export function encodeCommand(command: Command, dedup?: Dedup): Buffer {
  const dedupBytes = dedup === undefined ? 0 : 1 + dedup.idempotencyKey.length + dedupDigestBytes;
  const keyAt = commandHeaderBytes + dedupBytes + 4;
  const contentType = command.type === 'put' ? command.contentType : '';
  const contentTypeBytes = command.type === 'put' ? Buffer.byteLength(contentType) : 0;
  const valueBytes = command.type === 'put' ? command.value.length : 0;
  const valueAt = keyAt + command.key.length + (command.type === 'put' ? 2 + contentTypeBytes : 0);
  const body = Buffer.allocUnsafe(valueAt + valueBytes);
  body.fill(0, 0, commandHeaderBytes);
  body[0] = commandVersion;
  if (dedup !== undefined) {
    body[1] = dedupFlag;
    writeDedup(body, dedup);
  }
  body[keyAt - 4] = Operation[command.type];
  body[keyAt - 3] = 0;
  body.writeUInt16BE(command.key.length, keyAt - 2);
  body.set(command.key, keyAt);
  if (command.type === 'put') {
    body.writeUInt16BE(contentTypeBytes, keyAt + command.key.length);
    body.write(contentType, keyAt + command.key.length + 2);
    body.set(command.value, valueAt);
  }
  return body;
}

function writeDedup(body: Buffer, dedup: Dedup): void {
  const { idempotencyKey, digest } = dedup;
  if (idempotencyKey.length < 1 || idempotencyKey.length > 128 || digest.length !== dedupDigestBytes) {
    throw new CommandFormatError('an idempotency key has 1 to 128 characters and a digest 16 bytes');
  }
  body[commandHeaderBytes] = idempotencyKey.length;
  body.write(idempotencyKey, commandHeaderBytes + 1, 'latin1');
  body.set(digest, commandHeaderBytes + 1 + idempotencyKey.length);
}

/** Writes the leader's part into the header, in place. Done once, before the body is handed to Raft; never afterwards. */
export function stampCommand(body: Buffer, stamp: CommandStamp): void {
  writeU64(body, stamp.logTime, 4);
  body.writeUInt32BE(stamp.rangeEpoch, 12);
  body.writeUInt32BE(stamp.incarnation, 16);
}

/** Decodes; key and value are views of `body`. Throws CommandFormatError for anything that `encodeCommand` does not write. */
export function decodeCommand(body: Buffer): DecodedCommand {
  const version = body.length > 0 ? body[0] : undefined;
  if (version !== commandVersion) {
    throw new CommandFormatError(`command version ${version ?? 'missing'}: this node knows ${commandVersion}`);
  }
  try {
    return decodeVersion1(body);
  } catch (error) {
    if (error instanceof RangeError) throw new CommandFormatError(`truncated command: ${error.message}`);
    throw error;
  }
}

function decodeVersion1(body: Buffer): DecodedCommand {
  const flags = body.readUInt8(1);
  if (flags > dedupFlag || body.readUInt16BE(2) !== 0) throw new CommandFormatError('unknown command flags');
  const stamp = { logTime: readU64(body, 4), rangeEpoch: body.readUInt32BE(12), incarnation: body.readUInt32BE(16) };
  let at = commandHeaderBytes;
  let dedup: Dedup | undefined;
  if (flags === dedupFlag) {
    const length = body.readUInt8(at);
    const digestAt = at + 1 + length;
    if (length < 1 || length > 128) throw new CommandFormatError(`idempotency key of ${length} characters`);
    dedup = {
      idempotencyKey: slice(body, at + 1, digestAt).toString('latin1'),
      digest: slice(body, digestAt, digestAt + dedupDigestBytes),
    };
    at = digestAt + dedupDigestBytes;
  }
  const operation = body.readUInt8(at);
  if (body.readUInt8(at + 1) !== 0) throw new CommandFormatError('unknown operation flags');
  const keyEnd = at + 4 + body.readUInt16BE(at + 2);
  const key = slice(body, at + 4, keyEnd);
  return { stamp, dedup, command: decodeOperation(body, operation, key, keyEnd) };
}

function decodeOperation(body: Buffer, operation: number, key: Buffer, keyEnd: number): Command {
  if (key.length === 0) throw new CommandFormatError('empty key');
  const known = operation as (typeof Operation)[keyof typeof Operation];
  switch (known) {
    case Operation.put: {
      const valueAt = keyEnd + 2 + body.readUInt16BE(keyEnd);
      const contentType = slice(body, keyEnd + 2, valueAt).toString();
      return { type: 'put', key, contentType, value: body.subarray(valueAt) };
    }
    case Operation.delete:
      if (keyEnd !== body.length) throw new CommandFormatError('bytes after a delete');
      return { type: 'delete', key };
    default:
      return (known satisfies never, unknownOperation(operation));
  }
}

function unknownOperation(operation: number): never {
  throw new CommandFormatError(`operation ${operation} is not known here`);
}

function slice(body: Buffer, from: number, to: number): Buffer {
  if (to > body.length) throw new CommandFormatError(`truncated command: ${to} bytes wanted, ${body.length} there`);
  return body.subarray(from, to);
}
