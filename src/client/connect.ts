/**
 * The client:
 *
 *     import { connect } from 'flotilla';
 *
 *     const store = connect('localhost:7001');
 *     const { etag } = await store.set('greeting', 'hello', { ttl: '1h' });
 *     await store.set('greeting', 'good morning', { ifMatch: etag });
 *     console.log((await store.get('greeting'))?.text());
 *     for await (const { key, text } of store.scan({ prefix: 'user/' })) console.log(key, text());
 *     for await (const { type, key } of store.watch({ prefix: 'user/' })) if (type === 'delete') console.log(key);
 *     await store.close();
 *
 * One address is enough: the others are learned. Nothing is shared between two stores.
 */
import { parseServers } from './addresses.ts';
import { invalidArgument } from './flotilla-error.ts';
import { clientLimits } from './limits.ts';
import type { ConnectOptions } from './options.ts';
import { Store } from './store.ts';

export { FlotillaError, type ClientErrorCode } from './flotilla-error.ts';
export type { ClusterCalls } from './cluster.ts';
export type * from './cluster-options.ts';
export type * from './options.ts';
export type * from './watch-options.ts';
export type { Store } from './store.ts';

/**
 * A store over the nodes at `servers`: `localhost:7001`, `http://10.0.0.1:7001`, several with commas between, or a list.
 * Connections are opened when they are needed: a wrong address shows at the first call. Throws a FlotillaError
 * (`invalid_argument`) for what is no address.
 */
export function connect(servers: string | readonly string[], options: ConnectOptions = {}): Store {
  const { connectionsPerNode = clientLimits.connectionsPerNodeDefault, failFast = false } = options;
  if (!Number.isInteger(connectionsPerNode) || connectionsPerNode < 1) {
    throw invalidArgument('connectionsPerNode is a whole number above 0.');
  }
  const { timeoutMs = clientLimits.timeoutMsDefault } = options;
  return new Store({ servers: parseServers(servers), connectionsPerNode, failFast, timeoutMs });
}
