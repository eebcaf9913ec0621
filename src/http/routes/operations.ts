/** Moves of replicas that are under way or wait. */
import { metadataPartition } from '../../cluster/metadata/records.ts';
import type { OperationStatus } from '../../cluster/types.ts';
import { parseTimeout } from '../key-options.ts';
import { unavailable } from '../outcome-failure.ts';
import { maybeRefuseQuery } from './no-query.ts';
import { reading, type Route } from './route.ts';

export const operationsRoute: Route = {
  path: '/v1/cluster/operations',
  operation: 'cluster',
  methods: reading,
  answer: async ({ node, config }, exchange) => {
    if (maybeRefuseQuery(exchange)) return;
    const timeoutMs = parseTimeout(exchange.request.headers, config.limits);
    if (typeof timeoutMs !== 'number') return exchange.problem(timeoutMs);
    const outcome = await node.operations(node.nowMs() + timeoutMs);
    if (outcome.type === 'operations') exchange.json(200, { operations: outcome.operations.map(operationInJson) });
    else exchange.problem(unavailable(outcome.type, outcome.detail, metadataPartition));
  },
};

function operationInJson(operation: OperationStatus): object {
  const { partition, reason, from, to, step, progress, lag, sinceMs, blockedBy } = operation;
  const since = new Date(sinceMs).toISOString();
  return { partition, reason, from, to, step, progress, lag, since, ...(blockedBy === undefined ? {} : { blockedBy }) };
}
