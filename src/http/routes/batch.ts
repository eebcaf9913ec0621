/** Many operations in one request, each with a status of its own. */
import type { JsonOperation } from '../../api/schemas.ts';
import type { Config } from '../../config.ts';
import { runBatch, type BatchOperation, type BatchResult } from '../batch.ts';
import { dedupOf } from '../dedup.ts';
import type { Exchange } from '../exchange.ts';
import type { Failure } from '../failure.ts';
import type { FrontContext } from '../front-context.ts';
import { readJson } from '../json-body.ts';
import { failedInJson, parseOperation, resultInJson, type JsonResult } from '../json-operations.ts';
import { parseRequestOptions } from '../key-options.ts';
import { splitTarget } from '../target.ts';
import { at } from './transaction.ts';
import type { Route } from './route.ts';

export const batchRoute: Route = { path: '/v1/batch', operation: 'batch', methods: ['POST'], answer: answerBatch };

async function answerBatch({ node, config }: FrontContext, exchange: Exchange): Promise<void> {
  const { limits } = config;
  const { headers, url = '' } = exchange.request;
  const options = parseRequestOptions({ headers, query: splitTarget(url).query }, config);
  if (options.type === 'failure') return exchange.problem(options);
  const body = await readJson(exchange, 'batch', limits);
  if (body.type === 'aborted') return exchange.abandon();
  if (body.type === 'failure') return exchange.problem(body);
  const operations = parseOperations(body.value.ops, { limits, idempotencyKey: options.idempotencyKey });
  if (!Array.isArray(operations)) return exchange.problem(operations);

  const deadlineAt = node.nowMs() + options.timeoutMs;
  const results = await runBatch(operations, {
    partitionOf: (key) => node.locate(key).partition,
    // Coordinated here: the parts lie with several leaders.
    execute: (request) => node.execute(request, { route: 'forward', hops: options.hops, deadlineAt }),
    commandBytesMax: limits.commandBytesMax,
    readBytesMax: limits.batchReadBytesMax,
  });
  const inJson = (result: BatchResult, i: number): JsonResult => {
    const { key } = (operations[i] as BatchOperation).item.operation;
    const { partition } = result;
    const requestId = exchange.requestId();
    if (result.type === 'failure') return failedInJson(key, result.failure, { partition, requestId });
    const timeOfDay = (expiresAt: number): string => new Date(node.wallMs() + expiresAt - result.logTime).toISOString();
    return resultInJson(key, result.result, { partition: result.partition, requestId, timeOfDay });
  };
  exchange.json(200, { results: results.map(inJson) });
}

/** One that is malformed refuses them all: nothing was sent yet. */
function parseOperations(
  ops: readonly JsonOperation[],
  { limits, idempotencyKey }: { readonly limits: Config['limits']; readonly idempotencyKey: string | undefined },
): BatchOperation[] | Failure {
  const operations: BatchOperation[] = [];
  for (const [position, fields] of ops.entries()) {
    const parsed = parseOperation(fields, limits);
    if (parsed.type === 'failure') return at(parsed, `ops[${position}]`);
    const { operation } = parsed;
    const names = idempotencyKey !== undefined && operation.type !== 'get';
    const dedup = names ? dedupOf(idempotencyKey, operation, position) : undefined;
    operations.push({ position, item: { operation, dedup } });
  }
  return operations;
}
