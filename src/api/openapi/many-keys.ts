/** The routes that take several keys in one request. */
import { origin, readProblems, writeProblems } from './keys.ts';
import type { RouteDescription } from './types.ts';

export const manyKeysRoutes: readonly RouteDescription[] = [
  {
    path: '/v1/kv',
    operations: {
      get: {
        operationId: 'scan',
        tag: 'many keys',
        summary: 'Read keys in their order',
        description:
          'Over all partitions, by the bytes of the keys. A page ends at its limit, or before it grows beyond some megabytes; ' +
          'then it has a cursor. With `Accept: application/x-ndjson` one line for each key, and a last one that says how it ended.',
        parameters: [
          'prefix',
          'prefixBase64',
          'start',
          'startBase64',
          'end',
          'endBase64',
          'limit',
          'cursor',
          'keysOnly',
          'reverse',
          'consistency',
          'route',
          'timeoutMs',
          'requestId',
        ],
        answers: [
          {
            status: 200,
            description: 'Keys in their order, and where to go on.',
            headers: ['Flotilla-Scan', 'Flotilla-Consistency'],
            content: { type: 'json', schema: 'scan', lines: 'scanLine' },
          },
        ],
        problems: ['invalid_key', ...readProblems],
      },
      delete: {
        operationId: 'deletePrefix',
        tag: 'many keys',
        summary: 'Remove all keys with a prefix',
        description:
          'Partition by partition, some hundred keys at a time. What is put meanwhile may stay. One that fails on its way is ' +
          'sent again to remove the rest.',
        parameters: ['removedPrefix', 'prefixBase64', 'confirm', 'confirmBase64', 'route', 'timeoutMs', 'requestId'],
        answers: [
          { status: 200, description: 'How many were removed.', content: { type: 'json', schema: 'prefixDelete' } },
        ],
        problems: ['invalid_key', 'cross_site_refused', 'no_leader', 'partition_stopped', 'outcome_unknown'],
      },
    },
  },
  {
    path: '/v1/batch',
    operations: {
      post: {
        operationId: 'batch',
        tag: 'many keys',
        summary: 'Run many operations',
        description:
          'Over any keys, in any partitions. Each operation is atomic, the whole is not; those on one key run in order. ' +
          'Each has a status of its own in the answer. A malformed one refuses them all.',
        parameters: ['route', 'routeHeader', 'timeoutMs', 'idempotencyKey', 'requestId'],
        body: { type: 'json', schema: 'batch' },
        answers: [
          {
            status: 200,
            description: 'One result for each operation, in their order.',
            content: { type: 'json', schema: 'batch' },
          },
        ],
        problems: ['invalid_key', 'invalid_ttl', 'cross_site_refused', 'value_too_large', 'unsupported_media_type'],
      },
    },
  },
  {
    path: '/v1/txn',
    operations: {
      post: {
        operationId: 'transaction',
        tag: 'many keys',
        summary: 'Compare, then do one or the other',
        description:
          'Atomic and strictly serializable, over keys of one partition. Of a key with `{tag}` in it only the tag is ' +
          'hashed, so that related keys can be kept together.',
        parameters: ['route', 'routeHeader', 'timeoutMs', 'idempotencyKey', 'requestId'],
        body: { type: 'json', schema: 'transaction' },
        answers: [
          {
            status: 200,
            description: 'Whether all comparisons held, and the results of the operations that this led to.',
            headers: ['Idempotency-Replayed', ...origin],
            content: { type: 'json', schema: 'transaction' },
          },
        ],
        problems: [
          'not_leader',
          'invalid_key',
          'invalid_ttl',
          'cross_partition',
          'value_too_large',
          'unsupported_media_type',
          'disk_full',
          ...writeProblems.filter((code) => code !== 'key_not_found' && code !== 'precondition_failed'),
        ],
      },
    },
  },
];
