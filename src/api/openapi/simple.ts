/** The simple routes. */
import { origin, readProblems, writeProblems } from './keys.ts';
import type { ParameterName } from './parameters.ts';
import type { BodyDescription, OperationDescription, RouteDescription } from './types.ts';

export const simpleRouteDescriptions: readonly RouteDescription[] = [
  {
    path: '/set',
    withoutHead: true,
    operations: {
      post: setting('setByBody', { body: { type: 'json', schema: 'simpleSet' } }),
      get: setting('setByQuery', { parameters: ['simpleKeyInQuery', 'simpleValueInQuery', 'ttl'] }),
    },
  },
  { path: '/put', operations: { put: setting('putByBody', { body: { type: 'json', schema: 'simpleSet' } }) } },
  {
    path: '/set/{key}/{value}',
    operations: { post: setting('setByPath', { parameters: ['simpleKeyInPath', 'simpleValueInPath'] }) },
  },
  { path: '/get', operations: { get: getting('getByQuery', 'simpleKeyInQuery') } },
  { path: '/get/key={key}', operations: { get: getting('getByPath', 'simpleKey') } },
  {
    path: '/delete',
    operations: {
      delete: {
        operationId: 'deleteByQuery',
        tag: 'simple routes',
        summary: 'Delete a key',
        parameters: ['simpleKeyInQuery', 'timeoutMs', 'idempotencyKey', 'requestId'],
        answers: [
          {
            status: 200,
            description: 'The key is gone.',
            headers: ['Idempotency-Replayed', ...origin],
            content: { type: 'json', schema: 'simpleDelete' },
          },
        ],
        problems: ['invalid_key', ...writeProblems.filter((code) => code !== 'precondition_failed')],
      },
    },
  },
];

function setting(
  operationId: string,
  from: { readonly parameters?: readonly ParameterName[]; readonly body?: BodyDescription },
): OperationDescription {
  const { parameters = [], body } = from;
  return {
    operationId,
    tag: 'simple routes',
    summary: 'Write a key',
    description:
      'Values are text; of a JSON body, another type is stored as its JSON text. Answers with the value as stored.',
    parameters: [...parameters, 'timeoutMs', 'idempotencyKey', 'requestId'],
    ...(body === undefined ? {} : { body }),
    answers: [
      {
        status: 200,
        description: 'The value is stored.',
        headers: ['Idempotency-Replayed', ...origin],
        content: { type: 'json', schema: 'simpleSet' },
      },
    ],
    problems: [
      'invalid_key',
      'invalid_ttl',
      'value_too_large',
      'disk_full',
      ...(body === undefined ? [] : (['unsupported_media_type'] as const)),
      ...writeProblems.filter((code) => code !== 'key_not_found' && code !== 'precondition_failed'),
    ],
  };
}

function getting(operationId: string, key: ParameterName): OperationDescription {
  return {
    operationId,
    tag: 'simple routes',
    summary: 'Read a key',
    parameters: [key, 'timeoutMs', 'requestId'],
    answers: [
      {
        status: 200,
        description: 'The value: as text, or as base64 where it is not UTF-8.',
        headers: ['Flotilla-Consistency', ...origin],
        content: { type: 'json', schema: 'simpleGet' },
      },
    ],
    problems: ['invalid_key', 'key_not_found', ...readProblems],
  };
}
