/** Several operations on keys of one partition, all of them or none. */
import { parseETag } from '../../api/etag.ts';
import type { JsonComparison, JsonOperation } from '../../api/schemas.ts';
import type { Config } from '../../config.ts';
import { encodeCommand } from '../../kv/command.ts';
import { keysOf } from '../../kv/keys-of.ts';
import { transactionReadBytesMax } from '../../kv/machine.ts';
import type { Comparison, Operation, TransactionCommand } from '../../kv/types.ts';
import type { Exchange } from '../exchange.ts';
import { dedupOf } from '../dedup.ts';
import { failure, type Failure } from '../failure.ts';
import type { FrontContext } from '../front-context.ts';
import { readJson } from '../json-body.ts';
import { parseJsonKey, parseJsonValue, parseOperation, resultInJson } from '../json-operations.ts';
import { execute, timeOfDay, type KeyCall } from '../key-call.ts';
import { parseRequestOptions } from '../key-options.ts';
import { splitTarget } from '../target.ts';
import { refuseWrite, writtenHeaders } from '../write-key.ts';
import type { Route } from './route.ts';

export const transactionRoute: Route = { path: '/v1/txn', operation: 'txn', methods: ['POST'], answer: runTransaction };

type Limits = Config['limits'];

async function runTransaction(context: FrontContext, exchange: Exchange): Promise<void> {
  const { limits } = context.config;
  const { headers, url = '' } = exchange.request;
  const options = parseRequestOptions({ headers, query: splitTarget(url).query }, context.config);
  if (options.type === 'failure') return exchange.problem(options);
  const body = await readJson(exchange, 'transaction', limits);
  if (body.type === 'aborted') return exchange.abandon();
  if (body.type === 'failure') return exchange.problem(body);
  const transaction = parseTransaction(body.value, limits);
  if (transaction.type === 'failure') return exchange.problem(transaction);
  const [key, ...others] = keysOf(transaction).map((bytes) => Buffer.from(bytes));
  if (key === undefined) return exchange.json(200, { succeeded: true, results: [] });
  const refused = crossPartition(context, [key, ...others]);
  if (refused !== undefined) return exchange.problem(refused);

  const call: KeyCall = { context, exchange, key, options };
  const { idempotencyKey } = options;
  const dedup = idempotencyKey === undefined ? undefined : dedupOf(idempotencyKey, transaction);
  const command = encodeCommand(transaction, dedup);
  if (command.length > limits.commandBytesMax) {
    const detail = `The transaction takes ${command.length} bytes; at most ${limits.commandBytesMax} go into one.`;
    return exchange.problem(failure('value_too_large', detail));
  }
  const outcome = await execute(call, { type: 'write', key, body: command });
  if (outcome.type === 'done' && outcome.result.type === 'result_too_large') {
    const detail = `The transaction would read more than ${transactionReadBytesMax} bytes of values: read fewer of them at once.`;
    return exchange.problem(failure('value_too_large', detail, { partition: outcome.origin.partition }));
  }
  if (outcome.type !== 'done' || outcome.result.type !== 'transaction') return refuseWrite(call, outcome);
  const { succeeded, results } = outcome.result;
  const resultContext = {
    partition: outcome.origin.partition,
    requestId: exchange.requestId(),
    timeOfDay: (expiresAt: number) => timeOfDay(call, expiresAt, outcome.logTime),
  };
  const operations = succeeded ? transaction.then : transaction.otherwise;
  const inJson = results.map((result, i) => resultInJson((operations[i] as Operation).key, result, resultContext));
  exchange.json(200, { succeeded, results: inJson }, writtenHeaders(call, outcome));
}

interface Fields {
  readonly compare?: readonly JsonComparison[];
  readonly then?: readonly JsonOperation[];
  readonly else?: readonly JsonOperation[];
}

function parseTransaction(fields: Fields, limits: Limits): TransactionCommand | Failure {
  const compare = each(fields.compare, 'compare', (one) => parseComparison(one, limits));
  if (!Array.isArray(compare)) return compare;
  const then = each(fields.then, 'then', (one) => parseOperation(one, limits));
  if (!Array.isArray(then)) return then;
  const otherwise = each(fields.else, 'else', (one) => parseOperation(one, limits));
  if (!Array.isArray(otherwise)) return otherwise;
  return {
    type: 'transaction',
    compare: compare.map(({ comparison }) => comparison),
    then: then.map(({ operation }) => operation),
    otherwise: otherwise.map(({ operation }) => operation),
  };
}

/** A mistake is named by where it stands. */
function each<In, Out extends { readonly type: string }>(
  items: readonly In[] = [],
  name: string,
  parse: (item: In) => Out | Failure,
): Out[] | Failure {
  const parsed: Out[] = [];
  for (const [i, item] of items.entries()) {
    const one = parse(item);
    if (one.type === 'failure') return at(one as Failure, `${name}[${i}]`);
    parsed.push(one as Out);
  }
  return parsed;
}

export function at(problem: Failure, place: string): Failure {
  return { ...problem, detail: `${place}: ${problem.detail}` };
}

interface ParsedComparison {
  readonly type: 'comparison';
  readonly comparison: Comparison;
}

function parseComparison(fields: JsonComparison, limits: Limits): ParsedComparison | Failure {
  const key = parseJsonKey(fields, limits.keyBytesMax);
  if (!Buffer.isBuffer(key)) return key;
  const compares = fields.value !== undefined || fields.valueBase64 !== undefined;
  const value = compares ? parseJsonValue(fields) : undefined;
  if (value !== undefined && !Buffer.isBuffer(value)) return value;
  const tag = fields.etag === undefined ? undefined : parseETag(fields.etag);
  if (fields.etag !== undefined && tag === undefined) {
    return failure('invalid_request', 'etag takes an ETag with its quotes, such as "\\"1-42\\"".');
  }
  const { exists, revision } = fields;
  return { type: 'comparison', comparison: { key, exists, revision, version: tag?.version, value } };
}

function crossPartition({ node }: FrontContext, keys: readonly Buffer[]): Failure | undefined {
  const partitions = new Set(keys.map((key) => node.locate(key).partition));
  if (partitions.size === 1) return undefined;
  const detail =
    `The keys lie in ${partitions.size} partitions. Give related keys a common {tag}: of user:{42}:name only 42 is hashed, ` +
    'so all keys with {42} lie together.';
  return failure('cross_partition', detail);
}
