/** The page at `/`. */
import { page } from '../../dashboard/page.ts';
import { reading, type Route } from './route.ts';

const body = Buffer.from(page.html);

export const pageRoutes: readonly Route[] = [
  {
    path: '/',
    operation: 'page',
    methods: reading,
    answer: (_context, exchange) => {
      exchange.answer(
        200,
        [
          'Content-Type',
          'text/html; charset=utf-8',
          'Cache-Control',
          'no-store',
          'Content-Security-Policy',
          page.contentSecurityPolicy,
          'X-Content-Type-Options',
          'nosniff',
          'Referrer-Policy',
          'no-referrer',
        ],
        body,
      );
    },
  },
];
