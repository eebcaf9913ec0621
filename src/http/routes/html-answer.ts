/** A page for people, under the policy that it comes with. */
import type { Page } from '../../dashboard/page.ts';
import type { Exchange } from '../exchange.ts';

export function answerPage(exchange: Exchange, { contentSecurityPolicy }: Page, body: Buffer): void {
  exchange.answer(
    200,
    [
      'Content-Type',
      'text/html; charset=utf-8',
      'Cache-Control',
      'no-store',
      'Content-Security-Policy',
      contentSecurityPolicy,
      'X-Content-Type-Options',
      'nosniff',
      'Referrer-Policy',
      'no-referrer',
    ],
    body,
  );
}
