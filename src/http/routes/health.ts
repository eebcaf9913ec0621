/** Whether the process lives, and whether it serves all its partitions. */
import { reading, type Route } from './route.ts';

export const healthRoutes: readonly Route[] = [
  {
    path: '/livez',
    operation: 'health',
    methods: reading,
    answer: (context, exchange) => exchange.json(200, { status: 'ok', nodeId: context.node.nodeId }),
  },
  {
    path: '/readyz',
    operation: 'health',
    methods: reading,
    answer: (context, exchange) => {
      const { ready, ...why } = context.node.readiness();
      const body = { status: ready ? 'ready' : 'not_ready', nodeId: context.node.nodeId, ...why };
      exchange.json(ready ? 200 : 503, body, ready ? [] : ['Retry-After', '1']);
    },
  },
];
