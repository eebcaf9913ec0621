/** Routes that take no parameters. */
import type { Exchange } from '../exchange.ts';
import { failure } from '../failure.ts';
import { parseQuery } from '../key-options.ts';
import { splitTarget } from '../target.ts';

/** A parameter that is sent means something that would not happen: refused, never ignored. Returns whether it was. */
export function maybeRefuseQuery(exchange: Exchange): boolean {
  const parameters = parseQuery(splitTarget(exchange.request.url ?? '').query);
  if (parameters.type === 'failure') {
    exchange.problem(parameters);
    return true;
  }
  const [name] = parameters.values.keys();
  if (name === undefined) return false;
  exchange.problem(failure('invalid_request', `Unknown query parameter ${JSON.stringify(name)}.`));
  return true;
}
