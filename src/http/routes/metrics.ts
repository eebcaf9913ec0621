/** What the node counts, for Prometheus: answered by this node alone, whatever becomes of the others. */
import { maybeRefuseQuery } from './no-query.ts';
import { reading, type Route } from './route.ts';

export const metricsRoute: Route = {
  path: '/metrics',
  operation: 'metrics',
  methods: reading,
  answer: async ({ metrics }, exchange) => {
    if (maybeRefuseQuery(exchange)) return;
    const { contentType, text } = await metrics.scrape();
    exchange.answer(200, ['Content-Type', contentType, 'Cache-Control', 'no-store'], text);
  },
};
