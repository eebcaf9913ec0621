/** The state of the cluster in one piece, for programs; people are led to the page. */
import { maybeRefuseQuery } from './no-query.ts';
import { reading, type Route } from './route.ts';

export const dashboardRoute: Route = {
  path: '/dashboard',
  operation: 'cluster',
  methods: reading,
  answer: async ({ node }, exchange) => {
    if (maybeRefuseQuery(exchange)) return;
    const vary = ['Vary', 'Accept'];
    if (exchange.request.headers.accept?.includes('text/html') === true) {
      return exchange.answer(303, ['Location', '/', 'Cache-Control', 'no-store', ...vary], '');
    }
    const [cluster, partitions] = await Promise.all([node.clusterStatus(), node.partitionStatus()]);
    exchange.json(200, { cluster, partitions }, vary);
  },
};
