/**
 * The public contract of the HTTP API, as one suite for every way in: the fast path, Express, and real nodes. It needs
 * a base URL and nothing else; keys are drawn afresh, so it may run against a store that holds other data.
 */
import { afterAll, beforeAll, describe } from 'vitest';
import { badInputCases } from './bad-input.ts';
import { clusterCases } from './cluster.ts';
import { connectionCases } from './connections.ts';
import { keyCases } from './keys.ts';

export interface ServerUnderTest {
  readonly baseUrl: string;
  close(): Promise<void>;
}

/** Where the cases find the server; set before the first of them runs. */
export interface Way {
  baseUrl: string;
}

export function conformanceSuite(name: string, start: () => Promise<ServerUnderTest>): void {
  describe(name, () => {
    const way: Way = { baseUrl: '' };
    let server: ServerUnderTest;
    beforeAll(async () => {
      server = await start();
      way.baseUrl = server.baseUrl;
    });
    afterAll(() => server.close());
    describe('keys and values', () => keyCases(way));
    describe('bad input', () => badInputCases(way));
    describe('connections', () => connectionCases(way));
    describe('cluster, health and page', () => clusterCases(way));
  });
}
