/** The routes that change the cluster, and the one that tells how far a change has come. */
import type { ErrorCode } from '../errors.ts';
import type { ParameterName } from './parameters.ts';
import type { BodyDescription, OperationDescription, RouteDescription } from './types.ts';

export const changeRouteDescriptions: readonly RouteDescription[] = [
  {
    path: '/v1/cluster/nodes',
    operations: {
      post: change('addNode', 'Take a node into the cluster', {
        description: 'The node joins and is given its share of replicas, a few at a time.',
        body: { type: 'json', schema: 'addNode' },
      }),
    },
  },
  {
    path: '/v1/cluster/nodes/{id}',
    operations: {
      delete: change('removeNode', 'Take a node out of the cluster', {
        description: 'Its replicas are moved elsewhere first; once it holds none it is no member any more.',
        of: 'nodeId',
        problem: 'not_found',
      }),
    },
  },
  {
    path: '/v1/cluster/rebalance',
    operations: {
      post: change('rebalance', 'Even out what the nodes hold', {
        description: 'Moves no more replicas than it takes.',
      }),
    },
  },
  {
    path: '/v1/cluster/operations',
    operations: {
      get: {
        operationId: 'listOperations',
        tag: 'cluster',
        summary: 'Moves of replicas that are under way or wait',
        parameters: ['timeoutMs', 'requestId'],
        answers: [
          {
            status: 200,
            description: 'As whoever leads the cluster’s own group knows it.',
            content: { type: 'json', schema: 'operations' },
          },
        ],
        problems: ['no_leader'],
      },
    },
  },
  {
    path: '/v1/cluster/partitions/{id}/leader',
    operations: {
      post: {
        operationId: 'moveLeader',
        tag: 'cluster',
        summary: 'Move the leadership of a partition',
        parameters: ['partitionId', 'timeoutMs', 'requestId'],
        body: { type: 'json', schema: 'moveLeader' },
        answers: [
          {
            status: 200,
            description: 'It is led by the node that was named.',
            headers: ['Flotilla-Partition', 'Flotilla-Term', 'Flotilla-Leader'],
            content: { type: 'json', schema: 'leader' },
          },
        ],
        problems: [
          'cross_site_refused',
          'not_found',
          'value_too_large',
          'unsupported_media_type',
          'no_leader',
          'leader_not_moved',
          'outcome_unknown',
        ],
      },
    },
  },
];

function change(
  operationId: string,
  summary: string,
  more: {
    readonly description: string;
    readonly of?: ParameterName;
    readonly body?: BodyDescription;
    readonly problem?: ErrorCode;
  },
): OperationDescription {
  const { description, of, body, problem } = more;
  return {
    operationId,
    tag: 'cluster',
    summary,
    description: `${description} Refused, with the reason, where that would cost a quorum.`,
    parameters: [...(of === undefined ? [] : [of]), 'dryRun', 'timeoutMs', 'requestId'],
    ...(body === undefined ? {} : { body }),
    answers: [
      {
        status: 202,
        description: 'It is decided. What moves is told by `/v1/cluster/operations`.',
        content: { type: 'json', schema: 'plan' },
      },
      { status: 200, description: 'What would be done; nothing is.', content: { type: 'json', schema: 'plan' } },
    ],
    problems: [
      'cross_site_refused',
      'change_refused',
      'value_too_large',
      'unsupported_media_type',
      'no_leader',
      'outcome_unknown',
      ...(problem === undefined ? [] : [problem]),
    ],
  };
}
