/** What the node knows of its cluster: members, partitions, and where a key lives. */
import { failure } from '../failure.ts';
import { parseQuery } from '../key-options.ts';
import { keyInJson, parsePathKey } from '../key.ts';
import { splitTarget } from '../target.ts';
import type { Exchange } from '../exchange.ts';
import type { Route } from './route.ts';

export const clusterRoutes: readonly Route[] = [
  {
    path: '/v1/cluster',
    answer: async (context, exchange) => {
      if (maybeRefuseQuery(exchange)) return;
      exchange.json(200, await context.node.clusterStatus());
    },
  },
  {
    path: '/v1/cluster/partitions',
    answer: async (context, exchange) => {
      if (maybeRefuseQuery(exchange)) return;
      exchange.json(200, await context.node.partitionStatus());
    },
  },
  {
    path: '/v1/cluster/partitions/',
    answer: async (context, exchange, id) => {
      if (maybeRefuseQuery(exchange)) return;
      // Compared as text, so that 01 or 1.0 are no second names of a partition.
      const partition = (await context.node.partitionStatus()).find((candidate) => String(candidate.id) === id);
      if (partition === undefined) exchange.problem(failure('not_found', 'There is no partition with this id.'));
      else exchange.json(200, partition);
    },
  },
  {
    path: '/v1/locate/',
    answer: (context, exchange, text) => {
      if (maybeRefuseQuery(exchange)) return;
      const key = parsePathKey(text, context.config.limits.keyBytesMax);
      if (key.type === 'failure') return exchange.problem(key);
      const { hash, partition, leader, replicas } = context.node.locate(key.bytes);
      exchange.json(200, { ...keyInJson(key.bytes), hash, partition, leader, replicas });
    },
  },
];

/** These routes take no parameters; one that is sent means something that would not happen. */
function maybeRefuseQuery(exchange: Exchange): boolean {
  const parameters = parseQuery(splitTarget(exchange.request.url ?? '').query);
  if (parameters.type === 'failure') {
    exchange.problem(parameters);
    return true;
  }
  const [name] = parameters.values.keys();
  if (name === undefined) return false;
  exchange.problem(failure('invalid_request', `Unknown query parameter ${JSON.stringify(name)}.`));
  return true;
}
