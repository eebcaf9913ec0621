/** The description of all routes, for programs. */
import { openApiDocument } from '../../api/openapi/document.ts';
import { maybeRefuseQuery } from './no-query.ts';
import { reading, type Route } from './route.ts';

/** Made when first asked for: it would delay each start, and few nodes are asked. */
let document: ReturnType<typeof openApiDocument> | undefined;

export const openApiRoute: Route = {
  path: '/openapi.json',
  operation: 'page',
  methods: reading,
  answer: (_context, exchange) => {
    if (maybeRefuseQuery(exchange)) return;
    document ??= openApiDocument();
    exchange.json(200, document);
  },
};
