/** What all requests for one key have in common. */
import { formatETag } from '../api/etag.ts';
import type { KvOutcome, KvRequest, Origin } from '../cluster/types.ts';
import type { Version } from '../kv/types.ts';
import type { Exchange } from './exchange.ts';
import { failure } from './failure.ts';
import type { FrontContext } from './front-context.ts';
import type { KeyOptions } from './key-options.ts';
import { outcomeFailure } from './outcome-failure.ts';
import { originForm } from './target.ts';

export interface KeyCall {
  readonly context: FrontContext;
  readonly exchange: Exchange;
  readonly key: Buffer;
  readonly options: KeyOptions;
}

/** The deadline starts once the whole request is here: a slow upload has its own (`receiveTimeoutMs`). */
export function execute(call: KeyCall, request: KvRequest): Promise<KvOutcome> {
  const { node } = call.context;
  const { route, timeoutMs, hops } = call.options;
  return node.execute(request, { route, hops, deadlineAt: node.nowMs() + timeoutMs });
}

export function refuse(call: KeyCall, outcome: KvOutcome): void {
  const { exchange } = call;
  const kind = exchange.safe ? 'read' : 'write';
  exchange.problem(outcomeFailure(outcome, kind, originForm(exchange.request.url ?? '')));
}

/** 404. `headers`: name, value, name, value. */
export function refuseAbsent(call: KeyCall, origin: Origin, headers: readonly string[]): void {
  const { partition } = origin;
  const details = { partition, headers: [...originHeaders(call, origin), ...headers] };
  call.exchange.problem(failure('key_not_found', 'Nothing is stored under this key.', details));
}

/** 412, with what the key is now: nothing of it when it is absent. */
export function refuseCondition(
  call: KeyCall,
  origin: Origin,
  { current, headers }: { readonly current: Version | undefined; readonly headers: readonly string[] },
): void {
  const all = [...originHeaders(call, origin), ...headers];
  const { partition } = origin;
  if (current === undefined) {
    const detail = 'The condition does not hold: nothing is stored under this key.';
    return call.exchange.problem(failure('precondition_failed', detail, { partition, headers: all }));
  }
  const { incarnation, revision } = current;
  const etag = formatETag(incarnation, revision);
  const detail = `The condition does not hold: the key's ETag is ${etag}. Read it again and decide anew.`;
  all.push('ETag', etag);
  call.exchange.problem(failure('precondition_failed', detail, { partition, revision, headers: all }));
}

export function originHeaders(call: KeyCall, origin: Origin): string[] {
  const headers = ['Flotilla-Partition', String(origin.partition), 'Flotilla-Term', String(origin.term)];
  if (origin.nodeId !== call.context.node.nodeId) headers.push('Flotilla-Leader', origin.nodeId);
  return headers;
}

/** A due time of the log as a time of day, ISO 8601 with milliseconds. What is due stays due: the past is shown as it is. */
export function timeOfDay(call: KeyCall, expiresAt: number, logTime: number): string {
  return new Date(call.context.node.wallMs() + expiresAt - logTime).toISOString();
}
