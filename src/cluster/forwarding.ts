/**
 * How a request and its outcome travel between nodes, as plain values that msgpack carries. What arrives is checked: a
 * peer's mistake must neither stop this node nor be taken for an answer.
 */
import { asBuffer } from '../bytes.ts';
import { CommandFormatError, decodeCommand } from '../kv/command.ts';
import { keysOf } from '../kv/keys-of.ts';
import { decodeResult, encodeResult } from '../kv/result-codec.ts';
import type { CommandResult, KeyValue, RangePage, ValueRecord } from '../kv/types.ts';
import type { PartitionId } from '../replica/ports.ts';
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
  if (request.type === 'range') {
    const { type, partition, range } = request;
    return { type, partition, range: { ...range, to: range.to ?? null }, hops, remainingMs };
  }
  if (request.type === 'point') return { type: request.type, partition: request.partition, hops, remainingMs };
  const { type, key } = request;
  // How stale is too stale, its caller decides.
  if (type === 'stale') return { type, key, hops, remainingMs };
  return { type, key, body: request.type === 'write' ? request.body : null, hops, remainingMs };
}

/**
 * Undefined when malformed. A write's body is decoded, too: once in the log, a command that can't be read would stop
 * every replica, and one with a key of another partition would be applied by the wrong one (safety).
 */
export function decodeForward(
  payload: unknown,
  partitionOf: (key: Uint8Array) => PartitionId,
): ForwardedRequest | undefined {
  if (!isFields(payload)) return undefined;
  const { type, key, body, hops, remainingMs } = payload;
  if (!isCount(hops) || hops === 0 || !isCount(remainingMs)) return undefined;
  if (type === 'range') {
    const range = decodeRange(payload);
    return range === undefined ? undefined : { request: range, hops, remainingMs };
  }
  if (type === 'point') {
    const { partition } = payload;
    return isPartitionId(partition) ? { request: { type, partition }, hops, remainingMs } : undefined;
  }
  if (!isBytes(key) || key.length === 0) return undefined;
  if (type === 'stale') return { request: { type, key, stalenessMsMax: Infinity }, hops, remainingMs };
  if (type === 'read') return { request: { type, key }, hops, remainingMs };
  if (type !== 'write' || !isBytes(body)) return undefined;
  const command = asBuffer(body);
  if (!isCommandOf(command, key, partitionOf)) return undefined;
  return { request: { type, key, body: command }, hops, remainingMs };
}

function decodeRange({ partition, range }: Fields): KvRequest | undefined {
  if (!isPartitionId(partition) || !isFields(range)) return undefined;
  const { from, to, reverse, limit, bytesMax, keysOnly } = range;
  if (!isBytes(from) || (to !== null && !isBytes(to))) return undefined;
  if (typeof reverse !== 'boolean' || typeof keysOnly !== 'boolean') return undefined;
  if (!isCount(limit) || limit === 0 || !isCount(bytesMax)) return undefined;
  return { type: 'range', partition, range: { from, to: to ?? undefined, reverse, limit, bytesMax, keysOnly } };
}

/** It names `key`, and nothing of another partition; what a leader proposes by itself is nobody's to forward. */
function isCommandOf(body: Buffer, key: Uint8Array, partitionOf: (key: Uint8Array) => PartitionId): boolean {
  try {
    const { command } = decodeCommand(body);
    if (command.type === 'sweep') return false;
    const keys = keysOf(command);
    const partition = partitionOf(key);
    return (
      keys.some((one) => Buffer.compare(one, key) === 0) &&
      keys.every((one) => one.length > 0 && partitionOf(one) === partition)
    );
  } catch (error) {
    if (error instanceof CommandFormatError) return false;
    throw error;
  }
}

/** Says that a forwarded request was not understood; `decodeOutcome` takes it for no outcome. */
export const malformedForward: Fields = { type: 'malformed' };

/** Results and records travel in the bytes in which they are kept. */
export function encodeOutcome(outcome: KvOutcome): Fields {
  if (outcome.type === 'done') return { ...outcome, result: encodeResult(outcome.result) };
  if (outcome.type === 'values') return { ...outcome, page: encodePage(outcome.page) };
  if (outcome.type === 'stale_value') {
    const { record } = outcome;
    return { ...outcome, record: record === undefined ? null : encodeRecord(record) };
  }
  if (outcome.type !== 'value') return { ...outcome };
  const { record } = outcome;
  return { ...outcome, record: record === undefined ? null : encodeRecord(record) };
}

function encodePage({ values, moreAfter }: RangePage): Fields {
  // All records in one piece: each byte string by itself costs several times its copy.
  const results = values.map(({ record }) => ({ type: 'value', record }) as const);
  const records = encodeResult({ type: 'batch', results });
  return { keys: values.map(({ key }) => key), records, moreAfter: moreAfter ?? null };
}

function encodeRecord(record: ValueRecord): Buffer {
  return encodeResult({ type: 'value', record });
}

/** Undefined when malformed, or when it answers another kind of request than `asked`. */
export function decodeOutcome(payload: unknown, asked: KvRequest['type']): KvOutcome | undefined {
  if (!isFields(payload)) return undefined;
  const { type, partition, detail, retryAfterMs } = payload;
  switch (type) {
    case 'value':
      return asked === 'read' ? decodeValue(payload) : undefined;
    case 'stale_value':
      return asked === 'stale' ? decodeStale(payload) : undefined;
    case 'values':
      return asked === 'range' ? decodeValues(payload) : undefined;
    case 'point':
      return asked === 'point' ? decodePoint(payload) : undefined;
    case 'done':
      return asked === 'write' ? decodeDone(payload) : undefined;
    case 'not_leader':
      return decodeNotLeader(payload);
    case 'shutting_down':
      return { type };
    case 'overloaded':
      if (!isPartitionId(partition) || typeof detail !== 'string' || !isCount(retryAfterMs)) return undefined;
      return { type, partition, detail, retryAfterMs };
    case 'no_leader':
    case 'disk_full':
    case 'partition_stopped':
      return isPartitionId(partition) && typeof detail === 'string' ? { type, partition, detail } : undefined;
    case 'unknown':
    case 'in_progress':
      if (asked !== 'write' || !isPartitionId(partition) || typeof detail !== 'string') return undefined;
      return { type, partition, detail };
    default:
      return undefined;
  }
}

function decodeValue({ origin, record, logTime }: Fields): KvOutcome | undefined {
  const from = decodeOrigin(origin);
  if (from === undefined || !isCount(logTime)) return undefined;
  if (record === null) return { type: 'value', origin: from, record: undefined, logTime };
  const result = decodeBytes(record);
  return result?.type === 'value' ? { type: 'value', origin: from, record: result.record, logTime } : undefined;
}

function decodeStale(payload: Fields): KvOutcome | undefined {
  const value = decodeValue(payload);
  const { stalenessMs, estimated } = payload;
  if (value?.type !== 'value' || !isCount(stalenessMs) || typeof estimated !== 'boolean') return undefined;
  return { ...value, type: 'stale_value', stalenessMs, estimated };
}

function decodeValues({ origin, page, logTime }: Fields): KvOutcome | undefined {
  const from = decodeOrigin(origin);
  if (from === undefined || !isCount(logTime) || !isFields(page)) return undefined;
  const { keys, records, moreAfter } = page;
  const decoded = decodeBytes(records);
  if (!Array.isArray(keys) || decoded?.type !== 'batch' || keys.length !== decoded.results.length) return undefined;
  if (moreAfter !== null && !isBytes(moreAfter)) return undefined;
  const values: KeyValue[] = [];
  for (const [i, key] of keys.entries()) {
    const result = decoded.results[i];
    if (!isBytes(key) || result?.type !== 'value') return undefined;
    values.push({ key, record: result.record });
  }
  return { type: 'values', origin: from, page: { values, moreAfter: moreAfter ?? undefined }, logTime };
}

function decodePoint({ origin, point }: Fields): KvOutcome | undefined {
  const from = decodeOrigin(origin);
  if (from === undefined || !isFields(point)) return undefined;
  const { incarnation, index } = point;
  if (!isCount(incarnation) || !isCount(index)) return undefined;
  return { type: 'point', origin: from, point: { incarnation, index } };
}

function decodeDone({ origin, result, logTime, replayed }: Fields): KvOutcome | undefined {
  const from = decodeOrigin(origin);
  const decoded = decodeBytes(result);
  if (from === undefined || decoded === undefined || decoded.type === 'wrong_epoch') return undefined;
  if (!isCount(logTime) || typeof replayed !== 'boolean') return undefined;
  return { type: 'done', origin: from, result: decoded, logTime, replayed };
}

function decodeBytes(bytes: unknown): CommandResult | undefined {
  if (!isBytes(bytes)) return undefined;
  try {
    return decodeResult(asBuffer(bytes));
  } catch (error) {
    if (error instanceof CommandFormatError) return undefined;
    throw error;
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
