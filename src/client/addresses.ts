/** The addresses that a user names: `localhost:7001`, `http://10.0.0.1:7001`, several of them, or with commas between. */
import { invalidArgument } from './flotilla-error.ts';

const portDefault = 7001;

/** URLs without a trailing slash, each once. Throws a FlotillaError (`invalid_argument`) that names the bad one. */
export function parseServers(servers: string | readonly string[]): string[] {
  const named = (typeof servers === 'string' ? [servers] : servers).flatMap((text) => text.split(','));
  const words = named.map((word) => word.trim()).filter((word) => word !== '');
  if (words.length === 0) throw invalidArgument('No server is named: give one, such as localhost:7001.');
  return [...new Set(words.map(parseServer))];
}

function parseServer(word: string): string {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(word);
  const url = parseUrl(hasScheme ? word : `http://${word}`);
  if (url === undefined || url.hostname === '') throw bad(word, 'is no address');
  if (url.protocol !== 'http:') throw bad(word, 'is not spoken to: nodes speak plain HTTP');
  if (url.username !== '' || url.password !== '') throw bad(word, 'has credentials in it, which nodes do not take');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') throw bad(word, 'has more than a host and a port');
  // A URL means its scheme's port, a bare host a node's.
  if (!hasScheme && !/:\d+$/.test(word)) url.port = String(portDefault);
  return url.origin;
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function bad(word: string, problem: string): Error {
  return invalidArgument(
    `The server ${JSON.stringify(word)} ${problem}: write localhost:7001 or http://localhost:7001.`,
  );
}
