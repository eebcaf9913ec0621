/** The page at `/`: one document without outside resources, served under a policy that allows exactly its own parts. */
import { createHash } from 'node:crypto';
import { markup } from './markup.ts';
import { script } from './script.ts';
import { style } from './style.ts';

export interface Page {
  readonly html: string;
  /** Allows this style, this script, calls to the node it came from, and nothing else. */
  readonly contentSecurityPolicy: string;
}

export const page: Page = {
  html: [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    '<title>Flotilla</title>',
    '<link rel="icon" href="data:,">',
    `<style>${style}</style>`,
    '</head>',
    `<body>${markup}<script>${script}</script></body>`,
    '</html>',
    '',
  ].join('\n'),
  contentSecurityPolicy: [
    "default-src 'none'",
    `style-src '${sourceHash(style)}'`,
    `script-src '${sourceHash(script)}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
};

function sourceHash(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
