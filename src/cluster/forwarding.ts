/**
 * How a request and its outcome travel between nodes, as plain values that msgpack carries. What arrives is checked: a
 * peer's mistake must neither stop this node nor be taken for an answer.
 */
import { asBuffer } from '../bytes.ts';
import { CommandFormatError, decodeCommand } from '../kv/command.ts';
import type { ValueRecord } from '../kv/types.ts';
import { isBytes, isCount, isFields, isNodeId, isPartitionId, isTerm, type Fields } from './shapes.ts';
import type { KvOutcome, KvRequest, Origin } from './types.ts';

export interface ForwardedRequest {
  readonly request: KvRequest;
  /** How often it was forwarded, this time included: 1 and up. */
  readonly hops: number;
  /** What is left of its caller's time. */
  readonly remainingMs: number;
}

export function encodeForward({ request, hops, remainingMs }: ForwardedRequest): Fields {
  const { type, key } = request;
  return { type, key, body: request.type === 'write' ? request.body : null, hops, remainingMs };
}

/**
 * Undefined when malformed. A write's body is decoded, too: once in the log, a command that can't be read would stop
 * every replica, and one for another key would be applied by the wrong partition.
 */
export function decodeForward(payload: unknown): ForwardedRequest | undefined {
  if (!isFields(payload)) return undefined;
  const { type, key, body, hops, remainingMs } = payload;
  if (!isBytes(key) || key.length === 0 || !isCount(hops) || hops === 0 || !isCount(remainingMs)) return undefined;
  if (type === 'read') return { request: { type, key }, hops, remainingMs };
  if (type !== 'write' || !isBytes(body)) return undefined;
  const command = asBuffer(body);
  if (!isCommandFor(command, key)) return undefined;
  return { request: { type, key, body: command }, hops, remainingMs };
}

function isCommandFor(body: Buffer, key: Uint8Array): boolean {
  try {
    return Buffer.compare(decodeCommand(body).command.key, key) === 0;
  } catch (error) {
    if (error instanceof CommandFormatError) return false;
    throw error;
  }
}

/** Says that a forwarded request was not understood; `decodeOutcome` takes it for no outcome. */
export const malformedForward: Fields = { type: 'malformed' };

export function encodeOutcome(outcome: KvOutcome): Fields {
  // An absent record is `null` in msgpack, which knows no `undefined`.
  return outcome.type === 'value' ? { ...outcome, record: outcome.record ?? null } : { ...outcome };
}

/** Undefined when malformed, or when it answers another kind of request than `asked`. */
export function decodeOutcome(payload: unknown, asked: KvRequest['type']): KvOutcome | undefined {
  if (!isFields(payload)) return undefined;
  const { type, partition, detail } = payload;
  switch (type) {
    case 'value':
      return asked === 'read' ? decodeValue(payload) : undefined;
    case 'done':
      return asked === 'write' ? decodeDone(payload) : undefined;
    case 'not_leader':
      return decodeNotLeader(payload);
    case 'shutting_down':
      return { type };
    case 'no_leader':
    case 'overloaded':
    case 'partition_stopped':
      return isPartitionId(partition) && typeof detail === 'string' ? { type, partition, detail } : undefined;
    case 'unknown':
      if (asked !== 'write' || !isPartitionId(partition) || typeof detail !== 'string') return undefined;
      return { type, partition, detail };
    default:
      return undefined;
  }
}

function decodeValue({ origin, record }: Fields): KvOutcome | undefined {
  const from = decodeOrigin(origin);
  if (from === undefined) return undefined;
  if (record === null) return { type: 'value', origin: from, record: undefined };
  const value = decodeRecord(record);
  return value && { type: 'value', origin: from, record: value };
}

function decodeRecord(fields: unknown): ValueRecord | undefined {
  if (!isFields(fields)) return undefined;
  const { value, contentType, revision, incarnation, expiresAt } = fields;
  if (!isBytes(value) || typeof contentType !== 'string') return undefined;
  if (!isCount(revision) || !isCount(incarnation) || !isCount(expiresAt)) return undefined;
  return { value, contentType, revision, incarnation, expiresAt };
}

function decodeDone({ origin, result }: Fields): KvOutcome | undefined {
  const from = decodeOrigin(origin);
  if (from === undefined || !isFields(result)) return undefined;
  const { type, revision, incarnation, created } = result;
  switch (type) {
    case 'put':
      if (!isCount(revision) || !isCount(incarnation) || typeof created !== 'boolean') return undefined;
      return { type: 'done', origin: from, result: { type, revision, incarnation, created } };
    case 'deleted':
      return isCount(revision) ? { type: 'done', origin: from, result: { type, revision } } : undefined;
    case 'not_found':
      return { type: 'done', origin: from, result: { type } };
    default:
      return undefined;
  }
}

function decodeNotLeader({ partition, hint, http }: Fields): KvOutcome | undefined {
  if (!isPartitionId(partition) || !isFields(hint) || typeof http !== 'string') return undefined;
  const { nodeId, term } = hint;
  return isNodeId(nodeId) && isTerm(term) ? { type: 'not_leader', partition, hint: { nodeId, term }, http } : undefined;
}

function decodeOrigin(origin: unknown): Origin | undefined {
  if (!isFields(origin)) return undefined;
  const { partition, term, nodeId } = origin;
  return isPartitionId(partition) && isTerm(term) && isNodeId(nodeId) ? { partition, term, nodeId } : undefined;
}
