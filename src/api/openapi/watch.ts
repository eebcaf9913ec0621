/** The route that tells changes as they happen. */
import { readProblems } from './keys.ts';
import type { RouteDescription } from './types.ts';

export const watchRoutes: readonly RouteDescription[] = [
  {
    path: '/v1/watch',
    withoutHead: true,
    operations: {
      get: {
        operationId: 'watch',
        tag: 'many keys',
        summary: 'Hear of changes as they happen',
        description:
          'Of all keys, those with a prefix, or one; those of a key in the order of their revisions. The answer goes on until either side ' +
          'ends it. Server-sent events: `put`, `delete` and `expire` tell what happened, `bookmark` that nothing is missing so far, `end` why it ' +
          'ends; `id` is the cursor to go on from, `data` one line of JSON. With `Accept: application/x-ndjson` the same as one line each.',
        parameters: [
          'prefix',
          'prefixBase64',
          'watchedKey',
          'watchedKeyBase64',
          'from',
          'route',
          'lastEventId',
          'timeoutMs',
          'requestId',
        ],
        answers: [
          {
            status: 200,
            description: 'Changes, each with a cursor, and a bookmark every few seconds.',
            content: { type: 'events', lines: 'watchLine' },
          },
        ],
        problems: ['invalid_key', 'cursor_expired', ...readProblems],
      },
    },
  },
];
