/** Names a request among its repeats. */
import { createHash } from 'node:crypto';
import { commandHeaderBytes, dedupDigestBytes, encodeCommand } from '../kv/command.ts';
import { operationBytes, writeOperation } from '../kv/operation.ts';
import type { Dedup, Operation, TransactionCommand } from '../kv/types.ts';

/**
 * The digest is of all that the request says: keys, values, types, lifetimes and conditions, and not how it came here.
 * `position`: of an operation within its batch, each of which has a name of its own.
 */
export function dedupOf(idempotencyKey: string, request: Operation | TransactionCommand, position?: number): Dedup {
  const digest = createHash('sha256').update(bytesOf(request)).digest().subarray(0, dedupDigestBytes);
  return { name: nameOf(idempotencyKey, position), digest };
}

/** A zero byte is in no idempotency key, so that no two names are the same by accident. */
function nameOf(idempotencyKey: string, position: number | undefined): Buffer {
  return Buffer.from(position === undefined ? idempotencyKey : `${idempotencyKey}\0${position}`, 'latin1');
}

function bytesOf(request: Operation | TransactionCommand): Buffer {
  if (request.type === 'transaction') return encodeCommand(request).subarray(commandHeaderBytes);
  const bytes = Buffer.allocUnsafe(operationBytes(request));
  writeOperation(bytes, 0, request);
  return bytes;
}
