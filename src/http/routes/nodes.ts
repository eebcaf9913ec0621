/** Nodes that join the cluster, and that leave it. */
import { nodeIdPattern } from '../../api/member-fields.ts';
import type { NodeAddition } from '../../cluster/types.ts';
import type { NodeId } from '../../replica/ports.ts';
import type { Exchange } from '../exchange.ts';
import { failure } from '../failure.ts';
import type { FrontContext } from '../front-context.ts';
import { readJson } from '../json-body.ts';
import { percentDecode } from '../target.ts';
import { changeCluster, parseChangeCall, readBareCall } from './change.ts';
import type { Route } from './route.ts';

export const nodeRoutes: readonly Route[] = [
  { path: '/v1/cluster/nodes', operation: 'change_cluster', methods: ['POST'], answer: addNode },
  { path: '/v1/cluster/nodes/', operation: 'change_cluster', methods: ['DELETE'], answer: removeNode },
];

async function addNode(context: FrontContext, exchange: Exchange): Promise<void> {
  const { limits } = context.config;
  const call = parseChangeCall(exchange, limits);
  if (call.type === 'failure') return exchange.problem(call);
  const body = await readJson(exchange, 'addNode', limits);
  if (body.type === 'aborted') return exchange.abandon();
  if (body.type === 'failure') return exchange.problem(body);
  const { nodeId, http, peer, labels = {}, weight = 1 } = body.value;
  const node: NodeAddition = { nodeId: nodeId as NodeId, http, peer, labels, weight };
  await changeCluster(context, exchange, { change: { type: 'add_node', node }, call });
}

async function removeNode(context: FrontContext, exchange: Exchange, variable: string): Promise<void> {
  const call = await readBareCall(exchange, context.config.limits);
  if (call.type === 'aborted') return exchange.abandon();
  if (call.type === 'failure') return exchange.problem(call);
  const nodeId = parseNodeId(variable);
  if (nodeId === undefined) return exchange.problem(failure('not_found', 'There is no node with this id.'));
  await changeCluster(context, exchange, { change: { type: 'remove_node', nodeId }, call });
}

const nodeIdShape = new RegExp(nodeIdPattern);

/** Undefined for what no node is called. */
function parseNodeId(variable: string): NodeId | undefined {
  const text = percentDecode(variable)?.toString('latin1');
  return text !== undefined && nodeIdShape.test(text) ? (text as NodeId) : undefined;
}
