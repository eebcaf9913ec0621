/** Many operations in one request. */
import type { Problem } from '../api/errors.ts';
import { jsonOf, refusalOf } from './answers.ts';
import type { Caller } from './caller.ts';
import { FlotillaError } from './flotilla-error.ts';
import type { BatchOperation, BatchResult } from './options.ts';
import { bytesOf, jsonBytes, keyBytes, ttlText } from './request-parts.ts';

interface JsonResult {
  readonly status: number;
  readonly revision?: number;
  readonly etag?: string;
  readonly created?: boolean;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly contentType?: string;
  readonly expiresAt?: string;
  readonly error?: Problem;
}

interface Writing {
  readonly timeoutMs: number;
  readonly idempotencyKey: string;
}

/** The nodes name each operation of it by its place under the one idempotency key. */
export async function runBatch(
  caller: Caller,
  operations: readonly BatchOperation[],
  writing: Writing,
): Promise<BatchResult[]> {
  const body = Buffer.from(JSON.stringify({ ops: operations.map(operationInJson) }));
  const headers = { 'Content-Type': 'application/json' };
  const answer = await caller.call({ method: 'POST', path: '/v1/batch', headers, body, ...writing });
  const { results } = jsonOf(answer, 'unknown') as { readonly results: readonly JsonResult[] };
  return operations.map((operation, i) => resultOf(operation, results[i] as JsonResult, writing));
}

function operationInJson(operation: BatchOperation): object {
  const key = jsonBytes('key', keyBytes(operation.key));
  if (operation.op === 'get') return { op: 'get', ...key };
  const { ifMatch, ifNoneMatch } = operation;
  if (operation.op === 'delete') return { op: 'delete', ...key, ifMatch, ifNoneMatch };
  const { ttl, contentType } = operation;
  const value = jsonBytes('value', bytesOf(operation.value, 'value'));
  const lifetime = ttl === undefined ? undefined : ttlText(ttl);
  return { op: 'put', ...key, ...value, ifMatch, ifNoneMatch, ttl: lifetime, contentType };
}

function resultOf({ op }: BatchOperation, result: JsonResult, { idempotencyKey }: Writing): BatchResult {
  const { error, revision = 0, etag = '' } = result;
  if (error !== undefined) {
    if (op === 'get' && error.code === 'key_not_found') return { type: 'get', entry: undefined };
    if (op === 'delete' && error.code === 'key_not_found') {
      return { type: 'delete', deleted: false, revision: undefined };
    }
    const refusal = {
      ...refusalOf(error),
      etag: result.etag,
      idempotencyKey: op === 'get' ? undefined : idempotencyKey,
    };
    const retryable = error.retryable && error.outcome === 'not_applied';
    return { type: 'failed', error: new FlotillaError({ ...refusal, retryable }) };
  }
  const expiresAt = result.expiresAt === undefined ? undefined : new Date(result.expiresAt);
  switch (op) {
    case 'put':
      return { type: 'put', revision, etag, created: result.created === true, expiresAt };
    case 'delete':
      return { type: 'delete', deleted: true, revision };
    case 'get': {
      const { contentType = 'application/octet-stream' } = result;
      return {
        type: 'get',
        entry: { ...valueOf(result), revision, etag, contentType, expiresAt, stalenessMs: undefined },
      };
    }
  }
}

/** A value as JSON has it. */
export function valueOf({ value, valueBase64 }: { readonly value?: string; readonly valueBase64?: string }): {
  readonly value: Uint8Array;
  readonly text: () => string;
} {
  const bytes = value === undefined ? Buffer.from(valueBase64 ?? '', 'base64') : Buffer.from(value);
  return { value: bytes, text: () => bytes.toString('utf8') };
}
