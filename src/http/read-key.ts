/** GET and HEAD of one key. */
import { formatETag } from '../api/etag.ts';
import { asBuffer } from '../bytes.ts';
import type { KvOutcome, Origin } from '../cluster/types.ts';
import { conditionsHold } from '../kv/conditions.ts';
import type { ValueRecord } from '../kv/types.ts';
import { octetStream } from './content-type.ts';
import { execute, originHeaders, refuse, refuseAbsent, refuseCondition, timeOfDay, type KeyCall } from './key-call.ts';

type ReadOutcome = Extract<KvOutcome, { type: 'value' | 'stale_value' }>;

export async function readKey(call: KeyCall): Promise<void> {
  const { exchange, options } = call;
  const outcome = await read(call);
  if (outcome.type !== 'value' && outcome.type !== 'stale_value') return refuse(call, outcome);
  const { record } = outcome;
  const origin = originOf(call, outcome);
  const consistency = consistencyHeaders(outcome);
  const { match, noneMatch } = options.conditions;
  if (!conditionsHold({ match, noneMatch: undefined }, record)) {
    return refuseCondition(call, origin, { current: record, headers: consistency });
  }
  if (record === undefined) return refuseAbsent(call, origin, consistency);
  const headers = [...valueHeaders(call, outcome, record), ...consistency];
  if (!conditionsHold({ match: undefined, noneMatch }, record)) return exchange.notModified(headers);
  const contentType = record.contentType === '' ? octetStream : record.contentType;
  headers.push('Content-Type', contentType, 'X-Content-Type-Options', 'nosniff', 'Content-Security-Policy', 'sandbox');
  exchange.answer(200, headers, asBuffer(record.value));
}

function read(call: KeyCall): Promise<KvOutcome> {
  const { key, options } = call;
  switch (options.consistency.level) {
    case 'linearizable':
      return execute(call, { type: 'read', key });
    case 'stale':
      return readStale(call, options.timeoutMs);
    case 'fallback':
      return readOrFallBack(call);
  }
}

function readStale({ context, key, options }: KeyCall, timeoutMs: number): Promise<KvOutcome> {
  const { stalenessMsMax } = options.consistency;
  const deadlineAt = context.node.nowMs() + timeoutMs;
  return context.node.execute(
    { type: 'stale', key, stalenessMsMax },
    { route: 'forward', hops: options.hops, deadlineAt },
  );
}

/** Forwarded, as who is sent to a leader that dies meanwhile has nobody to fall back to. Some of the time is kept for that. */
async function readOrFallBack(call: KeyCall): Promise<KvOutcome> {
  const { context, key, options } = call;
  const { timeoutMs, hops } = options;
  const keptMs = Math.min(context.config.limits.staleReadTimeoutMs, timeoutMs / 2);
  const endsAt = context.node.nowMs() + timeoutMs;
  const outcome = await context.node.execute(
    { type: 'read', key },
    { route: 'forward', hops, deadlineAt: endsAt - keptMs },
  );
  if (outcome.type !== 'no_leader' && outcome.type !== 'partition_stopped' && outcome.type !== 'shutting_down')
    return outcome;
  const stale = await readStale(call, Math.max(1, endsAt - context.node.nowMs()));
  return stale.type === 'stale_value' || stale.type === 'too_stale' ? stale : outcome;
}

/** Whose state is stale is not said to lead. */
function originOf({ context }: KeyCall, { type, origin }: ReadOutcome): Origin {
  return type === 'value' ? origin : { ...origin, nodeId: context.node.nodeId };
}

function consistencyHeaders(outcome: ReadOutcome): string[] {
  if (outcome.type === 'value') return ['Flotilla-Consistency', 'linearizable'];
  return ['Flotilla-Consistency', 'stale', 'Flotilla-Staleness-Ms', String(outcome.stalenessMs)];
}

/** What holds of a value whether it is sent or the client has it. `no-store`, because a cache could not say how old its copy is. */
function valueHeaders(call: KeyCall, outcome: ReadOutcome, record: ValueRecord): string[] {
  const { incarnation, revision, expiresAt } = record;
  const headers = originHeaders(call, originOf(call, outcome));
  headers.push('ETag', formatETag(incarnation, revision), 'Flotilla-Revision', String(revision));
  headers.push('Cache-Control', 'no-store');
  if (expiresAt !== 0) headers.push('Flotilla-Expires-At', timeOfDay(call, expiresAt, outcome.logTime));
  return headers;
}
