/** What the node knows of its cluster: members, partitions, and where a key lives. */
import { metadataPartition } from '../../cluster/metadata/records.ts';
import type { NodeFacade, PartitionStatus } from '../../cluster/types.ts';
import { failure } from '../failure.ts';
import { keyInJson, parsePathKey } from '../key.ts';
import { leaderRoute } from './leader.ts';
import { maybeRefuseQuery } from './no-query.ts';
import { nodeRoutes } from './nodes.ts';
import { operationsRoute } from './operations.ts';
import { rebalanceRoute } from './rebalance.ts';
import { reading, type Route } from './route.ts';

export const clusterRoutes: readonly Route[] = [
  {
    path: '/v1/cluster',
    operation: 'cluster',
    methods: reading,
    answer: async (context, exchange) => {
      if (maybeRefuseQuery(exchange)) return;
      exchange.json(200, await context.node.clusterStatus());
    },
  },
  {
    path: '/v1/cluster/partitions',
    operation: 'cluster',
    methods: reading,
    answer: async (context, exchange) => {
      if (maybeRefuseQuery(exchange)) return;
      exchange.json(200, await context.node.partitionStatus());
    },
  },
  ...nodeRoutes,
  rebalanceRoute,
  operationsRoute,
  // Before the route whose rest would take it in.
  leaderRoute,
  {
    path: '/v1/cluster/partitions/',
    operation: 'cluster',
    methods: reading,
    answer: async (context, exchange, id) => {
      if (maybeRefuseQuery(exchange)) return;
      const partition = await partitionOf(context.node, id);
      if (partition === undefined) exchange.problem(failure('not_found', 'There is no partition with this id.'));
      else exchange.json(200, partition);
    },
  },
  {
    path: '/v1/locate/',
    operation: 'cluster',
    methods: reading,
    answer: (context, exchange, text) => {
      if (maybeRefuseQuery(exchange)) return;
      const key = parsePathKey(text, context.config.limits.keyBytesMax);
      if (key.type === 'failure') return exchange.problem(key);
      const { hash, partition, leader, replicas } = context.node.locate(key.bytes);
      exchange.json(200, { ...keyInJson(key.bytes), hash, partition, leader, replicas });
    },
  },
];

/** Ids are compared as text, so that 01 or 1.0 are no second names of a partition. */
async function partitionOf(node: NodeFacade, id: string): Promise<PartitionStatus | undefined> {
  // It holds no keys and so is not among the others, but who looks after the cluster has to see it.
  if (id === String(metadataPartition)) return node.metadataStatus();
  return (await node.partitionStatus()).find((candidate) => String(candidate.id) === id);
}
