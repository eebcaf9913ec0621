/** Stores that watch nodes which follow a script, and what they are told. */
import type { ServerResponse } from 'node:http';
import { expect } from 'vitest';
import {
  connect,
  FlotillaError,
  type ConnectOptions,
  type Store,
  type WatchBookmark,
  type WatchChange,
} from '../../src/client/connect.ts';
import { refusal, startStub, type Script, type StubNode } from './stub-node.ts';

export const toClose: { close(): Promise<void> }[] = [];
export async function closeAll(): Promise<void> {
  for (const one of toClose.splice(0)) await one.close();
}

export interface WatchedNode extends StubNode {
  /** What it was asked to go on from, watch by watch. */
  readonly cursors: () => unknown[];
  readonly watches: () => StubNode['requests'];
}

/** The script is for watches only, and counts only them; it has no map. */
export async function watchStub(script: Script): Promise<WatchedNode> {
  let count = 0;
  const node = await startStub((request) =>
    request.url.pathname === '/v1/watch' ? script(request, (count += 1)) : refusal('not_found'),
  );
  toClose.push(node);
  const watches = () => node.requests.filter(({ url }) => url.pathname === '/v1/watch');
  return { ...node, watches, cursors: () => watches().map(({ headers }) => headers['last-event-id']) };
}

export function storeOf(servers: string | readonly string[], options?: ConnectOptions): Store {
  const store = connect(servers, options);
  toClose.push(store);
  return store;
}

export type Event = WatchChange | WatchBookmark;

export async function take(events: AsyncIterable<Event>, count: number): Promise<Event[]> {
  const taken: Event[] = [];
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}

export const cursorsOf = (events: readonly Event[]) => events.map(({ cursor }) => cursor);

export async function errorOf(events: AsyncIterable<Event>): Promise<FlotillaError> {
  const error = await take(events, Infinity).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(FlotillaError);
  return error as FlotillaError;
}

export const breaks = (response: ServerResponse): void => void setTimeout(() => response.destroy(), 5);
export const ends = (response: ServerResponse): void => void response.end();

/** Two nodes; which of them is asked first is not said. `scripts`: of the first, second, … watch, whoever is asked. */
export async function pair(
  ...scripts: readonly ReturnType<Script>[]
): Promise<{ store: Store; asked: () => unknown[] }> {
  const asked: { node: number; from: unknown }[] = [];
  const at = (node: number) =>
    watchStub(({ headers }) => scripts[asked.push({ node, from: headers['last-event-id'] }) - 1]);
  const nodes = [await at(0), await at(1)];
  const others = () => new Set(asked.map(({ node }) => node)).size;
  const store = storeOf(nodes.map(({ url }) => url));
  return { store, asked: () => [...asked.map(({ from }) => from), `${others()} nodes`] };
}
