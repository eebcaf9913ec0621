/** PUT and DELETE of one key. */
import { formatETag } from '../api/etag.ts';
import type { KvOutcome } from '../cluster/types.ts';
import { encodeCommand } from '../kv/command.ts';
import type { DeleteOperation, PutOperation } from '../kv/types.ts';
import { checkDeclaredBody, readBody } from './body.ts';
import { storedContentType } from './content-type.ts';
import { dedupOf } from './dedup.ts';
import { failure } from './failure.ts';
import { execute, originHeaders, refuse, refuseAbsent, refuseCondition, timeOfDay, type KeyCall } from './key-call.ts';
import { keyInJson } from './key.ts';

type WriteOutcome = Extract<KvOutcome, { type: 'done' }>;

export async function putKey(call: KeyCall): Promise<void> {
  const { exchange, context, key, options } = call;
  const { limits } = context.config;
  const contentType = storedContentType(exchange.request.headers['content-type'], limits.contentTypeBytesMax);
  if (typeof contentType !== 'string') return exchange.problem(contentType);
  const encoding = exchange.request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    const detail = 'Values are stored as sent: send no Content-Encoding, or name the encoding in the Content-Type.';
    return exchange.problem(failure('unsupported_media_type', detail));
  }
  // Before its body is read: what is refused by the thousand has to cost little.
  const refusal = context.node.refusal(key);
  if (refusal !== undefined) {
    // Who could never be served is told that instead: to ask again later is of no use.
    const never = checkDeclaredBody(exchange, limits.valueBytesMax);
    return never === undefined ? refuse(call, refusal) : exchange.problem(never);
  }
  // Awaited only when there is something to wait for: an empty value is at hand.
  const reading = readBody(exchange, limits.valueBytesMax);
  const body = reading instanceof Promise ? await reading : reading;
  if (body.type === 'aborted') return exchange.abandon();
  if (body.type === 'failure') return exchange.problem(body);

  const { ttlMs, conditions } = options;
  const outcome = await write(call, { type: 'put', key, value: body.bytes, contentType, ttlMs, conditions });
  if (outcome.type !== 'done' || outcome.result.type !== 'put') return refuseWrite(call, outcome);
  const { revision, incarnation, created, expiresAt } = outcome.result;
  const headers = writtenHeaders(call, outcome);
  headers.push('ETag', formatETag(incarnation, revision));
  const { partition } = outcome.origin;
  const due = expiresAt === 0 ? {} : { expiresAt: timeOfDay(call, expiresAt, outcome.logTime) };
  exchange.json(created ? 201 : 200, { ...keyInJson(key), revision, partition, created, ...due }, headers);
}

export async function deleteKey(call: KeyCall): Promise<void> {
  const { key, exchange, options } = call;
  const outcome = await write(call, { type: 'delete', key, conditions: options.conditions });
  if (outcome.type !== 'done' || outcome.result.type !== 'deleted') return refuseWrite(call, outcome);
  const { revision } = outcome.result;
  exchange.json(200, { ...keyInJson(key), revision, deleted: true }, writtenHeaders(call, outcome));
}

export function write(call: KeyCall, operation: PutOperation | DeleteOperation): Promise<KvOutcome> {
  const { idempotencyKey } = call.options;
  const dedup = idempotencyKey === undefined ? undefined : dedupOf(idempotencyKey, operation);
  return execute(call, { type: 'write', key: call.key, body: encodeCommand(operation, dedup) });
}

/** What was applied, and still is no success. */
export function refuseWrite(call: KeyCall, outcome: KvOutcome): void {
  if (outcome.type !== 'done') return refuse(call, outcome);
  const { result, origin } = outcome;
  switch (result.type) {
    case 'not_found':
      return refuseAbsent(call, origin, replayedHeader(outcome));
    case 'condition_failed':
      return refuseCondition(call, origin, { current: result.current, headers: replayedHeader(outcome) });
    case 'key_reused': {
      const detail =
        'This Idempotency-Key was used for another request of this partition: use a new one for every new request.';
      const { partition } = origin;
      const headers = originHeaders(call, origin);
      return call.exchange.problem(failure('idempotency_key_reused', detail, { partition, headers }));
    }
    default:
      return refuse(call, outcome);
  }
}

export function writtenHeaders(call: KeyCall, outcome: WriteOutcome): string[] {
  return [...originHeaders(call, outcome.origin), ...replayedHeader(outcome)];
}

function replayedHeader({ replayed }: WriteOutcome): string[] {
  return replayed ? ['Idempotency-Replayed', 'true'] : [];
}
