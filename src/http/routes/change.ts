/** What the routes that change the cluster have in common: what may be asked beside the change, and what comes of it. */
import { unreachable } from '../../assert.ts';
import { metadataPartition } from '../../cluster/metadata/records.ts';
import type { ClusterChange, ClusterChangeOutcome, PlanSummary } from '../../cluster/types.ts';
import type { Config } from '../../config.ts';
import { readBody } from '../body.ts';
import type { Exchange } from '../exchange.ts';
import { failure, type Failure } from '../failure.ts';
import type { FrontContext } from '../front-context.ts';
import { parseQuery, parseSwitch, parseTimeout } from '../key-options.ts';
import { unavailable, unknownOutcome } from '../outcome-failure.ts';
import { splitTarget } from '../target.ts';

export interface ChangeCall {
  readonly type: 'call';
  readonly dryRun: boolean;
  readonly timeoutMs: number;
}

export function parseChangeCall({ request }: Exchange, limits: Config['limits']): ChangeCall | Failure {
  const parameters = parseQuery(splitTarget(request.url ?? '').query);
  if (parameters.type === 'failure') return parameters;
  const { values } = parameters;
  const unknown = [...values.keys()].find((name) => name !== 'dry_run');
  if (unknown !== undefined) {
    const detail = `A change of the cluster takes no query parameter ${JSON.stringify(unknown)}; it takes dry_run.`;
    return failure('invalid_request', detail);
  }
  const dryRun = parseSwitch(values, 'dry_run');
  if (typeof dryRun !== 'boolean') return dryRun;
  const timeoutMs = parseTimeout(request.headers, limits);
  if (typeof timeoutMs !== 'number') return timeoutMs;
  return { type: 'call', dryRun, timeoutMs };
}

/** As `parseChangeCall`, of a change that is said by its path alone. A body would be ignored, and might have said `dry_run`. */
export async function readBareCall(
  exchange: Exchange,
  limits: Config['limits'],
): Promise<ChangeCall | Failure | { readonly type: 'aborted' }> {
  const call = parseChangeCall(exchange, limits);
  if (call.type === 'failure') return call;
  const body = await readBody(exchange, limits.jsonBytesMax);
  if (body.type !== 'body') return body;
  if (body.bytes.length === 0) return call;
  return failure('invalid_request', 'This route takes no body; dry_run=true stands in the query.');
}

/** Has the change made, or shown, and answers with its plan. */
export async function changeCluster(
  { node }: FrontContext,
  exchange: Exchange,
  { change, call }: { readonly change: ClusterChange; readonly call: ChangeCall },
): Promise<void> {
  const { dryRun, timeoutMs } = call;
  const outcome = await node.changeCluster(change, { dryRun, deadlineAt: node.nowMs() + timeoutMs });
  if (outcome.type === 'accepted') exchange.json(dryRun ? 200 : 202, { plan: planInJson(outcome.plan) });
  else exchange.problem(changeFailure(outcome, dryRun));
}

function planInJson({ moves, replicas, bytes, fraction, ideal, risks }: PlanSummary): object {
  const movesInJson = moves.map((move) => {
    return { partition: move.partition, from: move.from ?? null, to: move.to ?? null, bytes: move.bytes };
  });
  return { moves: movesInJson, replicas, bytes, fraction, ideal, risks };
}

function changeFailure(outcome: Exclude<ClusterChangeOutcome, { type: 'accepted' }>, dryRun: boolean): Failure {
  const { type, detail } = outcome;
  switch (type) {
    case 'refused':
      return failure('change_refused', detail);
    case 'not_found':
      return failure('not_found', detail);
    case 'no_leader':
      return unavailable('no_leader', detail, metadataPartition);
    case 'unknown':
      // A dry run changes nothing, so nothing about it can be in doubt: it found no leader in time.
      if (dryRun) return unavailable('no_leader', detail, metadataPartition);
      return unknownOutcome({ partition: metadataPartition, detail });
    default:
      return unreachable(type);
  }
}
