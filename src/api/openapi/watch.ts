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
        summary: 'Follow changes',
        description:
          'Changes of all keys, those with a prefix, or one, as they happen: `put`, `delete` and `expire`, of each key in the order of its revisions. Without a cursor it begins ' +
          'behind everything that was acknowledged before. Each change has a cursor, which holds at every node; a `bookmark`, at least every five seconds, has one as well, ' +
          'and says that nothing is missing. It goes on until either side ends it; an `end` says why the node does, as a problem. As server-sent events `id` is the cursor ' +
          'and `data` a line of JSON; with `Accept: application/x-ndjson` each is a line by itself.',
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
            description: 'What is told, for as long as both ends like.',
            content: { type: 'events', lines: 'watchLine' },
          },
        ],
        problems: ['invalid_key', 'cursor_expired', ...readProblems],
      },
    },
  },
];
