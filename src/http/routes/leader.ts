/** Moving a partition's leadership. */
import { unreachable } from '../../assert.ts';
import type { TransferOutcome } from '../../cluster/types.ts';
import type { NodeId, PartitionId } from '../../replica/ports.ts';
import type { Exchange } from '../exchange.ts';
import { failure, type Failure } from '../failure.ts';
import type { FrontContext } from '../front-context.ts';
import { readJson } from '../json-body.ts';
import { parseTimeout } from '../key-options.ts';
import { unavailable, unknownOutcome } from '../outcome-failure.ts';
import { maybeRefuseQuery } from './no-query.ts';
import type { Route } from './route.ts';

export const leaderRoute: Route = {
  path: '/v1/cluster/partitions/{id}/leader',
  operation: 'change_cluster',
  methods: ['POST'],
  answer: moveLeader,
};

async function moveLeader({ node, config }: FrontContext, exchange: Exchange, id: string): Promise<void> {
  if (maybeRefuseQuery(exchange)) return;
  const timeoutMs = parseTimeout(exchange.request.headers, config.limits);
  if (typeof timeoutMs !== 'number') return exchange.problem(timeoutMs);
  const body = await readJson(exchange, 'moveLeader', config.limits);
  if (body.type === 'aborted') return exchange.abandon();
  if (body.type === 'failure') return exchange.problem(body);
  const partition = parsePartitionId(id);
  if (partition === undefined) return exchange.problem(failure('not_found', 'There is no partition with this id.'));

  const deadlineAt = node.nowMs() + timeoutMs;
  const outcome = await node.transferLeadership(partition, body.value.nodeId as NodeId, deadlineAt);
  if (outcome.type !== 'done') return exchange.problem(transferFailure(outcome));
  const { leader, term } = outcome;
  const headers = ['Flotilla-Partition', String(partition), 'Flotilla-Term', String(term), 'Flotilla-Leader', leader];
  exchange.json(200, { id: partition, leader, term }, headers);
}

/** One spelling for each id, so that 01 or 1.0 are no second names of a partition. */
function parsePartitionId(text: string): PartitionId | undefined {
  return /^(?:0|[1-9][0-9]{0,9})$/.test(text) ? (Number(text) as PartitionId) : undefined;
}

function transferFailure(outcome: Exclude<TransferOutcome, { type: 'done' }>): Failure {
  switch (outcome.type) {
    case 'not_found':
      return failure('not_found', outcome.detail);
    case 'refused': {
      const { partition, detail } = outcome;
      return failure('invalid_request', detail, { partition, headers: ['Flotilla-Partition', String(partition)] });
    }
    case 'no_leader':
      return unavailable(outcome.type, outcome.detail, outcome.partition);
    case 'not_moved':
      return unavailable('leader_not_moved', outcome.detail, outcome.partition);
    case 'unknown':
      return unknownOutcome(outcome);
    default:
      return unreachable(outcome);
  }
}
