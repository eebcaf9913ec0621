/** The description of all routes, for people. */
import { openApiDocument } from '../../api/openapi/document.ts';
import { docsPage } from '../../dashboard/docs-page.ts';
import type { Page } from '../../dashboard/page.ts';
import { answerPage } from './html-answer.ts';
import { maybeRefuseQuery } from './no-query.ts';
import { reading, type Route } from './route.ts';

/** Made when first asked for: few nodes are asked. */
let made: { readonly page: Page; readonly body: Buffer } | undefined;

export const docsRoute: Route = {
  path: '/docs',
  operation: 'page',
  methods: reading,
  answer: (_context, exchange) => {
    if (maybeRefuseQuery(exchange)) return;
    made ??= make();
    answerPage(exchange, made.page, made.body);
  },
};

function make(): { readonly page: Page; readonly body: Buffer } {
  const page = docsPage(openApiDocument());
  return { page, body: Buffer.from(page.html) };
}
