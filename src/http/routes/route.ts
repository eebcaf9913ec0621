/** One route beside those of keys: where it is, what it takes, and how it answers. */
import type { Operation } from '../../metrics/ports.ts';
import type { Exchange } from '../exchange.ts';
import type { FrontContext } from '../front-context.ts';

export interface Route {
  /** A whole path; ending in a slash, one with a variable rest; with `{id}` in it, one with a variable segment there. */
  readonly path: string;
  /** What a request of it is, for metrics and logs. A function: by its method. */
  readonly operation: Operation | ((method: string) => Operation);
  /** All others are answered 405. */
  readonly methods: readonly string[];
  /** Answers the exchange. `variable` is the raw rest or segment: empty for a whole path. */
  readonly answer: (context: FrontContext, exchange: Exchange, variable: string) => void | Promise<void>;
}

/** The methods of a route that changes nothing. */
export const reading = ['GET', 'HEAD'] as const;

/** What is fixed of a path before and after its variable part. */
interface PathFrame {
  readonly before: string;
  readonly after: string;
}

/** What Express matches. Without groups: Express decodes what a group matched, and that is done once and elsewhere. */
export function routePattern(route: Route): string | RegExp {
  const { before, after } = frame(route.path);
  if (after !== '') return new RegExp(`^${before}[^/]*${after}$`);
  return before.endsWith('/') && before !== '/' ? new RegExp(`^${before}`) : before;
}

/** The variable part of `path`, as it was sent; `path` matched the route's pattern. */
export function variableOf(route: Route, path: string): string {
  const { before, after } = frame(route.path);
  return path.slice(before.length, path.length - after.length);
}

function frame(path: string): PathFrame {
  const [before = '', after = ''] = path.split('{id}');
  return { before, after };
}
