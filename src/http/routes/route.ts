/** A route that is only read: GET and HEAD. */
import type { Exchange } from '../exchange.ts';
import type { FrontContext } from '../front-context.ts';

export interface Route {
  /** A whole path or, ending in a slash, one with a variable rest. */
  readonly path: string;
  /** Answers the exchange. `rest` is the raw path after `path`: empty for a whole one. */
  readonly answer: (context: FrontContext, exchange: Exchange, rest: string) => void | Promise<void>;
}
