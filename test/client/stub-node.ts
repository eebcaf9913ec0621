/** What answers as a node does, by a script: for what real nodes can't be made to do at will. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { problem, type ErrorCode } from '../../src/api/errors.ts';

export interface StubRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly atMs: number;
}

export interface StubAnswer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Answers bit by bit. */
export type StubStream = (response: ServerResponse) => void;

/** Undefined: the connection is broken. `torn`: in the middle of the answer. `never`: nothing is answered. */
export type Script = (request: StubRequest, count: number) => StubAnswer | StubStream | 'never' | 'torn' | undefined;

export interface StubNode {
  readonly url: string;
  readonly requests: readonly StubRequest[];
  close(): Promise<void>;
}

export async function startStub(script: Script): Promise<StubNode> {
  const requests: StubRequest[] = [];
  const server = createServer((incoming, response) => {
    let body = '';
    incoming.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    incoming.on('end', () => {
      const request = {
        method: incoming.method ?? '',
        url: new URL(incoming.url ?? '', 'http://stub'),
        headers: incoming.headers,
        body,
        atMs: performance.now(),
      };
      requests.push(request);
      give(response, script(request, requests.length));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, requests, close };
}

function give(response: ServerResponse, answer: ReturnType<Script>): void {
  if (answer === 'never') return;
  if (answer === 'torn') {
    response.writeHead(200, { ...node, 'Content-Length': '100' }).write('half', () => response.destroy());
    return;
  }
  if (answer === undefined) {
    response.destroy();
    return;
  }
  if (typeof answer === 'function') answer(response);
  else response.writeHead(answer.status, answer.headers).end(answer.body);
}

const node = { 'Flotilla-Node': 'stub', 'Flotilla-Partition': '1', 'Flotilla-Term': '3' };

export function ok(body: unknown, headers: Record<string, string> = {}): StubAnswer {
  return { status: 200, headers: { ...node, ETag: '"1-7"', ...headers }, body: JSON.stringify(body) };
}

/** A watch that tells these, and then does what it is to do: by default it stays open. */
export function watched(
  lines: readonly { readonly event: string; readonly cursor?: string; readonly data?: object }[],
  then: StubStream = () => undefined,
): StubStream {
  return (response) => {
    response.writeHead(200, { 'Flotilla-Node': 'stub', 'Content-Type': 'application/x-ndjson' });
    for (const line of lines) response.write(`${JSON.stringify(line)}\n`);
    then(response);
  };
}

export const bookmark = (cursor: string) => ({ event: 'bookmark', cursor });

export function put(key: string, value: string, cursor: string) {
  return { event: 'put', cursor, data: { key, value, revision: 7, etag: '"1-7"', partition: 1 } };
}

export function ended(code: ErrorCode) {
  return { event: 'end', data: problem({ code, detail: `The stub says ${code}.`, requestId: 'r1' }) };
}

export const written = ok({ key: 'k', revision: 7, partition: 1, created: true });

export function refusal(code: ErrorCode, headers: Record<string, string> = {}): StubAnswer {
  const body = problem({ code, detail: `The stub says ${code}.`, requestId: 'r1' });
  const type = { 'Content-Type': 'application/problem+json' };
  return { status: body.status, headers: { ...node, ...type, ...headers }, body: JSON.stringify(body) };
}
