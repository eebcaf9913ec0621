/** Evening out what the nodes hold. */
import { changeCluster, readBareCall } from './change.ts';
import type { Route } from './route.ts';

export const rebalanceRoute: Route = {
  path: '/v1/cluster/rebalance',
  operation: 'change_cluster',
  methods: ['POST'],
  answer: async (context, exchange) => {
    const call = await readBareCall(exchange, context.config.limits);
    if (call.type === 'aborted') return exchange.abandon();
    if (call.type === 'failure') return exchange.problem(call);
    await changeCluster(context, exchange, { change: { type: 'rebalance' }, call });
  },
};
