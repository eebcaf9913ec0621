/** Operations and their results as JSON says them, in a batch as in a transaction. */
import { isUtf8 } from 'node:buffer';
import { errorTable, problem, type Problem } from '../api/errors.ts';
import { formatETag } from '../api/etag.ts';
import { parseTtl, ttlHelp } from '../api/ttl.ts';
import type { JsonOperation, KeyFields, ValueFields } from '../api/schemas.ts';
import { asBuffer } from '../bytes.ts';
import type { Config } from '../config.ts';
import { unconditional, type Conditions, type Operation, type OperationResult } from '../kv/types.ts';
import { parseWanted } from './conditions.ts';
import { storedContentType } from './content-type.ts';
import { failure, type Failure } from './failure.ts';
import { checkKeyBytes, keyInJson } from './key.ts';
import { notText, utf8Bytes } from './utf8.ts';

export interface ParsedOperation {
  readonly type: 'operation';
  readonly operation: Operation;
}

type Limits = Pick<Config['limits'], 'keyBytesMax' | 'valueBytesMax' | 'contentTypeBytesMax'>;

/** `fields` have passed their schema. */
export function parseOperation(fields: JsonOperation, limits: Limits): ParsedOperation | Failure {
  const key = parseJsonKey(fields, limits.keyBytesMax);
  if (!Buffer.isBuffer(key)) return key;
  if (fields.op === 'get') return { type: 'operation', operation: { type: 'get', key } };
  const conditions = parseJsonConditions(fields);
  if ('type' in conditions) return conditions;
  if (fields.op === 'delete') return { type: 'operation', operation: { type: 'delete', key, conditions } };
  const value = parseJsonValue(fields);
  if (!Buffer.isBuffer(value)) return value;
  if (value.length > limits.valueBytesMax) {
    const detail = `A value has ${value.length} bytes; at most ${limits.valueBytesMax} are allowed.`;
    return failure('value_too_large', detail);
  }
  const contentType = storedContentType(fields.contentType, limits.contentTypeBytesMax);
  if (typeof contentType !== 'string') return contentType;
  const ttlMs = fields.ttl === undefined ? 0 : parseTtl(String(fields.ttl));
  if (ttlMs === undefined) {
    return failure('invalid_ttl', `${JSON.stringify(fields.ttl)} is no time to live. ${ttlHelp}`);
  }
  return { type: 'operation', operation: { type: 'put', key, value, contentType, ttlMs, conditions } };
}

export function parseJsonKey(fields: KeyFields, keyBytesMax: number): Buffer | Failure {
  const key = bytesOf(fields.key, fields.keyBase64);
  if (key === undefined) {
    return failure(
      'invalid_key',
      fields.key === undefined ? `keyBase64 ${notBase64}` : `key ${notText}: send keyBase64.`,
    );
  }
  return checkKeyBytes(key, keyBytesMax) ?? key;
}

export function parseJsonValue({ value, valueBase64 }: ValueFields): Buffer | Failure {
  const bytes = bytesOf(value, valueBase64);
  if (bytes !== undefined) return bytes;
  const detail = value === undefined ? `valueBase64 ${notBase64}` : `value ${notText}: send valueBase64.`;
  return failure('invalid_request', detail);
}

const notBase64 = 'takes standard base64 with padding (RFC 4648, section 4).';

/** The schema has seen to it that there is exactly one. Undefined for what stands for no bytes. */
function bytesOf(text: string | undefined, base64: string | undefined): Buffer | undefined {
  if (text !== undefined) return utf8Bytes(text);
  const bytes = Buffer.from(base64 ?? '', 'base64');
  // One spelling for each: spare bits are zero.
  return bytes.toString('base64') === base64 ? bytes : undefined;
}

function parseJsonConditions(fields: {
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
}): Conditions | Failure {
  if (fields.ifMatch === undefined && fields.ifNoneMatch === undefined) return unconditional;
  const match = parseWanted('If-Match', fields.ifMatch);
  if (typeof match === 'object' && 'type' in match) return match;
  const noneMatch = parseWanted('If-None-Match', fields.ifNoneMatch);
  return typeof noneMatch === 'object' && 'type' in noneMatch ? noneMatch : { match, noneMatch };
}

export interface JsonResult {
  readonly status: number;
  readonly key?: string;
  readonly keyBase64?: string;
  readonly revision?: number;
  readonly etag?: string;
  readonly created?: boolean;
  readonly deleted?: true;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly contentType?: string;
  readonly expiresAt?: string;
  readonly error?: Problem;
}

export interface ResultContext {
  readonly partition: number;
  readonly requestId: string;
  /** A due time of the log as a time of day. */
  readonly timeOfDay: (expiresAt: number) => string;
}

export function resultInJson(key: Uint8Array, result: OperationResult, context: ResultContext): JsonResult {
  const { timeOfDay } = context;
  const named = keyInJson(asBuffer(key));
  switch (result.type) {
    case 'put': {
      const { revision, incarnation, created, expiresAt } = result;
      const due = expiresAt === 0 ? {} : { expiresAt: timeOfDay(expiresAt) };
      return {
        status: created ? 201 : 200,
        ...named,
        revision,
        etag: formatETag(incarnation, revision),
        created,
        ...due,
      };
    }
    case 'deleted':
      return { status: 200, ...named, revision: result.revision, deleted: true };
    case 'value': {
      const { value, contentType, revision, incarnation, expiresAt } = result.record;
      const content = { revision, etag: formatETag(incarnation, revision), ...valueInJson(asBuffer(value)) };
      const due = expiresAt === 0 ? {} : { expiresAt: timeOfDay(expiresAt) };
      return { status: 200, ...named, ...content, ...(contentType === '' ? {} : { contentType }), ...due };
    }
    case 'not_found':
      return failedInJson(key, failure('key_not_found', 'Nothing is stored under this key.'), context);
    case 'condition_failed': {
      const { current } = result;
      if (current === undefined) {
        const detail = 'The condition does not hold: nothing is stored under this key.';
        return failedInJson(key, failure('precondition_failed', detail), context);
      }
      const { revision, incarnation } = current;
      const etag = formatETag(incarnation, revision);
      const detail = `The condition does not hold: the key's ETag is ${etag}. Read it again and decide anew.`;
      return { ...failedInJson(key, failure('precondition_failed', detail, { revision }), context), etag };
    }
    case 'key_reused': {
      const detail = 'The Idempotency-Key was used for another request: use a new one for every new request.';
      return failedInJson(key, failure('idempotency_key_reused', detail), context);
    }
  }
}

export function failedInJson(
  key: Uint8Array,
  { code, detail, outcome, leader, revision }: Failure,
  { partition, requestId }: Pick<ResultContext, 'requestId'> & { readonly partition: number | undefined },
): JsonResult {
  const error = problem({ code, detail, requestId, outcome, partition, leader, revision });
  const current = revision === undefined ? {} : { revision };
  return { status: errorTable[code].status, ...keyInJson(asBuffer(key)), ...current, error };
}

export function valueInJson(value: Buffer): { readonly value: string } | { readonly valueBase64: string } {
  return isUtf8(value) ? { value: value.toString() } : { valueBase64: value.toString('base64') };
}
