/**
 * Removes all keys that begin with a prefix, partition by partition. Each part is atomic, the whole is not: a key that is put
 * meanwhile may stay.
 */
import type { KvOutcome, KvRequest } from '../cluster/types.ts';
import { encodeCommand } from '../kv/command.ts';
import { unconditional, type KeyRange } from '../kv/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import type { Exchange } from './exchange.ts';
import { failure, type Failure } from './failure.ts';
import type { FrontContext } from './front-context.ts';
import { parseQuery, parseTimeout } from './key-options.ts';
import { outcomeFailure } from './outcome-failure.ts';
import { successor } from '../cluster/scan.ts';
import { parseBounds } from './scan-query.ts';
import { splitTarget } from './target.ts';

/** Keys that one entry removes: others' writes find their place between two of them. */
const keysAtOnce = 500;

export async function deletePrefix(context: FrontContext, exchange: Exchange): Promise<void> {
  const { limits } = context.config;
  const { headers, url = '' } = exchange.request;
  const timeoutMs = parseTimeout(headers, limits);
  if (typeof timeoutMs !== 'number') return exchange.problem(timeoutMs);
  const refused = checkHeaders(headers);
  if (refused !== undefined) return exchange.problem(refused);
  const range = parsePrefix(splitTarget(url).query, limits.keyBytesMax);
  if (range.type === 'failure') return exchange.problem(range);

  const deadlineAt = context.node.nowMs() + timeoutMs;
  const execute = (request: KvRequest): Promise<KvOutcome> =>
    context.node.execute(request, { route: 'forward', hops: 0, deadlineAt });
  let deleted = 0;
  const removals = context.node.partitions().map((partition) =>
    removeFrom(partition, range, {
      execute,
      onDeleted: (count) => (deleted += count),
    }),
  );
  const failures = (await Promise.all(removals)).filter((one) => one !== undefined);
  const [first] = failures;
  if (first === undefined) return exchange.json(200, { deleted });
  // What is in doubt is said before what certainly was not done.
  exchange.problem(partly(failures.find(({ code }) => code === 'outcome_unknown') ?? first, deleted));
}

interface Removal {
  readonly execute: (request: KvRequest) => Promise<KvOutcome>;
  readonly onDeleted: (count: number) => void;
}

/** Undefined once nothing is left. */
async function removeFrom(
  partition: PartitionId,
  { from, to }: Pick<KeyRange, 'from' | 'to'>,
  { execute, onDeleted }: Removal,
): Promise<Failure | undefined> {
  const piece = { to, reverse: false, keysOnly: true, limit: keysAtOnce, bytesMax: 1024 * 1024 } as const;
  for (let next: Uint8Array | undefined = from; next !== undefined;) {
    const found = await execute({ type: 'range', partition, range: { ...piece, from: next } });
    if (found.type !== 'values') return outcomeFailure(found, 'read', '');
    const { values, moreAfter }: typeof found.page = found.page;
    const [first] = values;
    if (first !== undefined) {
      const items = values.map(({ key }) => ({
        operation: { type: 'delete' as const, key, conditions: unconditional },
        dedup: undefined,
      }));
      const body = encodeCommand({ type: 'batch', items });
      const done = await execute({ type: 'write', key: first.key, body });
      if (done.type !== 'done' || done.result.type !== 'batch') return outcomeFailure(done, 'write', '');
      onDeleted(done.result.results.filter(({ type }) => type === 'deleted').length);
    }
    next = moreAfter === undefined ? undefined : successor(moreAfter);
  }
  return undefined;
}

/** An idempotency key would promise that a repeat does nothing, and a repeat removes what has come since. */
function checkHeaders(headers: Exchange['request']['headers']): Failure | undefined {
  for (const name of ['idempotency-key', 'if-match', 'if-none-match']) {
    if (headers[name] === undefined) continue;
    return failure('invalid_request', `The removal of a prefix takes no ${name} header.`);
  }
  return undefined;
}

function parsePrefix(query: string, keyBytesMax: number): ReturnType<typeof parseBounds> {
  const parameters = parseQuery(query);
  if (parameters.type === 'failure') return parameters;
  const { values } = parameters;
  const known = ['prefix', 'prefixBase64', 'confirm', 'confirmBase64', 'route'];
  const unknown = [...values.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const detail = `The removal of a prefix takes no query parameter ${JSON.stringify(unknown)}; it takes prefix and confirm.`;
    return failure('invalid_request', detail);
  }
  const name = values.has('prefixBase64') ? 'prefixBase64' : 'prefix';
  const confirmed = values.get(name.replace('prefix', 'confirm'));
  const prefix = values.get(name);
  if (prefix === undefined || prefix === '') {
    return failure('invalid_request', 'The removal of a prefix takes ?prefix= with one byte at least.');
  }
  if (confirmed !== prefix) {
    const repeat = `${name.replace('prefix', 'confirm')}=${encodeURIComponent(prefix)}`;
    return failure(
      'invalid_request',
      `All keys with this prefix would be removed: repeat it, as ${repeat}, to confirm.`,
    );
  }
  return parseBounds(values, keyBytesMax);
}

/** Once something was removed, "not applied" would be untrue of the whole. */
function partly(worst: Failure, deleted: number): Failure {
  const { code, detail, headers } = worst;
  if (deleted === 0 || code === 'outcome_unknown') {
    return failure(code, `${detail} ${deleted} keys were removed; send it again to remove the rest.`, {
      ...(headers === undefined ? {} : { headers }),
    });
  }
  return failure(
    'outcome_unknown',
    `${deleted} keys were removed before a partition failed: ${detail} Send it again to remove the rest.`,
  );
}
