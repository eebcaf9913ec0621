/** The routes on the cluster and on the node itself. */
import type { ErrorCode } from '../errors.ts';
import type { SchemaName } from '../schemas.ts';
import type { ParameterName } from './parameters.ts';
import type { OperationDescription, RouteDescription, TagName } from './types.ts';

const ofNodes: readonly SchemaName[] = ['livez', 'readyz', 'openApi'];

export const clusterRouteDescriptions: readonly RouteDescription[] = [
  { path: '/v1/cluster', operations: { get: told('getCluster', 'cluster', 'The nodes of the cluster') } },
  {
    path: '/v1/cluster/partitions',
    operations: { get: told('listPartitions', 'partitions', 'All partitions: who leads them, who lags') },
  },
  {
    path: '/v1/cluster/partitions/{id}',
    operations: {
      get: told('getPartition', 'partition', 'One partition', { of: 'partitionId', problem: 'not_found' }),
    },
  },
  {
    path: '/v1/locate/{key}',
    operations: { get: told('locate', 'locate', 'Where a key lives', { of: 'keyOfLocate', problem: 'invalid_key' }) },
  },
  {
    path: '/dashboard',
    operations: {
      get: withAnswer(told('getDashboard', 'dashboard', 'Nodes and partitions in one'), {
        status: 303,
        description: 'A browser that asks for HTML is led to the page.',
        headers: ['Location'],
      }),
    },
  },
];

export const nodeRouteDescriptions: readonly RouteDescription[] = [
  { path: '/livez', operations: { get: told('livez', 'livez', 'Whether the process lives') } },
  {
    path: '/readyz',
    operations: {
      get: withAnswer(
        told('readyz', 'readyz', 'Whether the node serves all its partitions, and what it has to warn of'),
        {
          status: 503,
          description: 'Not now, and why.',
          headers: ['Retry-After'],
          content: { type: 'json', schema: 'readyz' },
        },
      ),
    },
  },
  {
    path: '/metrics',
    operations: {
      get: {
        operationId: 'metrics',
        tag: 'node',
        summary: 'What the node counts, for Prometheus',
        description:
          'Its replicas, requests by operation and outcome, refusals, queues, disk batches, elections, snapshots, watches, peers, and how late its event ' +
          'loop is. Of this node alone: answered when others are out of reach, and when it refuses everything else.',
        parameters: ['requestId'],
        answers: [{ status: 200, description: 'In the text format, version 0.0.4.', content: { type: 'metrics' } }],
      },
    },
  },
  { path: '/openapi.json', operations: { get: told('openApi', 'openApi', 'This document') } },
  { path: '/docs', operations: { get: shown('docs', 'This document, for people') } },
  { path: '/', operations: { get: shown('page', 'The page, for people') } },
];

/** One document that needs nothing else. */
function shown(operationId: string, summary: string): OperationDescription {
  const description = 'One document that needs nothing else.';
  const answers = [{ status: 200, description, content: { type: 'html' } }] as const;
  return { operationId, tag: 'node', summary, parameters: ['requestId'], answers };
}

/** A reading that always comes to the same schema. */
function told(
  operationId: string,
  schema: SchemaName,
  summary: string,
  variable?: { readonly of: ParameterName; readonly problem: ErrorCode },
): OperationDescription {
  const tag: TagName = ofNodes.includes(schema) ? 'node' : 'cluster';
  return {
    operationId,
    tag,
    summary,
    parameters: variable === undefined ? ['requestId'] : [variable.of, 'requestId'],
    answers: [{ status: 200, description: 'As this node knows it.', content: { type: 'json', schema } }],
    ...(variable === undefined ? {} : { problems: [variable.problem] }),
  };
}

function withAnswer(
  operation: OperationDescription,
  answer: OperationDescription['answers'][number],
): OperationDescription {
  return { ...operation, answers: [...operation.answers, answer] };
}
