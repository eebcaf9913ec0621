/** The page at `/`. */
import { page } from '../../dashboard/page.ts';
import { answerPage } from './html-answer.ts';
import { reading, type Route } from './route.ts';

const body = Buffer.from(page.html);

export const pageRoutes: readonly Route[] = [
  { path: '/', operation: 'page', methods: reading, answer: (_context, exchange) => answerPage(exchange, page, body) },
];
