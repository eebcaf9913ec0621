/** The Express application: every route of the node, and one place where all errors become problems. Never HTML. */
import type { IncomingMessage } from 'node:http';
import express, { type Request, type Response } from 'express';
import { assert, AssertionError } from '../assert.ts';
import type { Exchange } from './exchange.ts';
import { failure, type Failure } from './failure.ts';
import type { FrontContext } from './front-context.ts';
import { base64KeyPrefix, handleKey, keyPrefix, methodNotAllowed } from './handlers.ts';
import { batchRoute } from './routes/batch.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { dashboardRoute } from './routes/dashboard.ts';
import { docsRoute } from './routes/docs.ts';
import { keysRoute } from './routes/keys.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoute } from './routes/metrics.ts';
import { openApiRoute } from './routes/openapi.ts';
import { pageRoutes } from './routes/page.ts';
import { simpleRoutes } from './routes/simple.ts';
import { routePattern, variableOf, type Route } from './routes/route.ts';
import { transactionRoute } from './routes/transaction.ts';
import { watchRoute } from './routes/watch.ts';
import { splitTarget } from './target.ts';

/** All routes but those of single keys. */
export const routes: readonly Route[] = [
  ...pageRoutes,
  ...healthRoutes,
  metricsRoute,
  openApiRoute,
  docsRoute,
  ...clusterRoutes,
  keysRoute,
  batchRoute,
  transactionRoute,
  dashboardRoute,
  ...simpleRoutes,
  watchRoute,
];

export type Application = (exchange: Exchange) => void;

/** Builds the application; the returned function serves one exchange and sees to it that it is answered. */
export function createApplication(context: FrontContext): Application {
  const application = express();
  application.enable('strict routing');
  application.enable('case sensitive routing');
  application.disable('etag');
  application.disable('x-powered-by');
  application.set('query parser', false);

  // Express hands its routes the Node request; the exchange it belongs to is looked up by it.
  const exchanges = new WeakMap<IncomingMessage, Exchange>();
  const exchangeOf = (request: Request): Exchange => {
    const exchange = exchanges.get(request);
    assert(exchange !== undefined, 'every request that Express sees belongs to an exchange');
    return exchange;
  };

  // Patterns without groups: Express decodes what a group or a named parameter matched, and keys are decoded here, once.
  for (const prefix of [keyPrefix, base64KeyPrefix]) {
    application.all(startsWith(prefix), (request: Request) => handleKey(context, exchangeOf(request)));
  }
  for (const route of routes) {
    application.all(routePattern(route), (request: Request): void | Promise<void> =>
      serveRoute(context, exchangeOf(request), route),
    );
  }

  return (exchange) => {
    exchanges.set(exchange.request, exchange);
    application(exchange.request as Request, exchange.response as Response, (error: unknown) => {
      conclude(context, exchange, error);
    });
  };
}

function serveRoute(context: FrontContext, exchange: Exchange, route: Route): void | Promise<void> {
  const { method = '', url = '' } = exchange.request;
  exchange.operation = typeof route.operation === 'string' ? route.operation : route.operation(method);
  if (!route.methods.includes(method)) return exchange.problem(methodNotAllowed(route.methods.join(', ')));
  return route.answer(context, exchange, variableOf(route, splitTarget(url).path));
}

/** Where Express ends when no route answered, or one failed: its own errors (bad percent-encoding and the like) carry a status. */
function conclude(context: FrontContext, exchange: Exchange, error: unknown): void {
  if (error instanceof AssertionError) throw error;
  if (exchange.answered) {
    context.logger.error({ err: error }, 'a request failed after its answer');
    return exchange.breakOff();
  }
  if (error === undefined || error === null) return exchange.problem(routeNotFound(exchange));
  if (isClientError(error)) return exchange.problem(failure('invalid_request', 'The request could not be understood.'));
  context.logger.error({ err: error, url: exchange.request.url }, 'a request failed inside this node');
  const detail = 'This node met an internal error; its log says more.';
  exchange.problem(failure('internal_error', detail, { outcome: exchange.safe ? 'not_applied' : 'unknown' }));
}

function routeNotFound(exchange: Exchange): Failure {
  const { method = '' } = exchange.request;
  return failure('route_not_found', `${method} of this path is no route of this node. Keys are under /v1/kv/{key}.`);
}

function isClientError(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('status' in error)) return false;
  return typeof error.status === 'number' && error.status >= 400 && error.status < 500;
}

function startsWith(prefix: string): RegExp {
  return new RegExp(`^${prefix}`);
}
