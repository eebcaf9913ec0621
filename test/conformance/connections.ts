/** Connections: kept after errors, answered in order, and nothing half sent is ever applied. */
import { Agent } from 'node:http';
import { expect, it } from 'vitest';
import { expectJson, expectProblem } from '../http/expect-answer.ts';
import { RawConnection } from '../http/http-client.ts';
import { ask, freshPath } from './keys.ts';
import type { Way } from './suite.ts';

const forward = 'Host: x\r\nFlotilla-Route: forward\r\n';

export function connectionCases(way: Way): void {
  it('keeps the connection after errors, small unread bodies included', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const path = freshPath();
    const sockets = new Set<number | undefined>();
    agent.on('free', (socket: { readonly localPort?: number }) => sockets.add(socket.localPort));
    expectProblem(await ask(way, { method: 'PUT', path: '/v1/kv/%FF', body: 'unread', agent }), 'invalid_key');
    expectProblem(await ask(way, { method: 'POST', path: '/nowhere', body: 'unread', agent }), 'route_not_found');
    expectProblem(await ask(way, { path, agent }), 'key_not_found');
    expectJson(await ask(way, { method: 'PUT', path, body: 'x', agent }), 'putResult');
    expectProblem(await ask(way, { method: 'PATCH', path, body: 'unread', agent }), 'method_not_allowed');
    expect((await ask(way, { path, agent })).body.toString()).toBe('x');
    agent.destroy();
    expect(sockets.size).toBe(1);
  });

  it('ignores the body of a GET and of a DELETE', async () => {
    const path = freshPath();
    await ask(way, { method: 'PUT', path, body: 'kept' });
    const connection = await RawConnection.open(way.baseUrl);
    const withBody = (method: string): string =>
      `${method} ${path} HTTP/1.1\r\n${forward}Content-Length: 4\r\n\r\nbody`;
    connection.write(withBody('GET') + withBody('DELETE') + withBody('GET'));
    expect((await connection.answer())?.body.toString()).toBe('kept');
    expectJson(await connection.answer(), 'deleteResult');
    expectProblem(await connection.answer(), 'key_not_found');
    connection.destroy();
  });

  it('answers pipelined requests in order, and a read sent after a write sees it', async () => {
    const path = freshPath();
    const connection = await RawConnection.open(way.baseUrl);
    let bytes = '';
    for (let round = 0; round < 20; round++) {
      const value = `value-${round}`;
      bytes += `PUT ${path} HTTP/1.1\r\n${forward}Content-Length: ${value.length}\r\n\r\n${value}`;
      bytes += `GET ${path} HTTP/1.1\r\n${forward}\r\n`;
    }
    connection.write(bytes);
    for (let round = 0; round < 20; round++) {
      expectJson(await connection.answer(), 'putResult');
      expect((await connection.answer())?.body.toString()).toBe(`value-${round}`);
    }
    connection.destroy();
  });

  it('changes nothing when an upload is broken off', async () => {
    const path = freshPath();
    await ask(way, { method: 'PUT', path, body: 'before' });
    for (const framing of ['Content-Length: 100\r\n\r\nhalf', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n']) {
      const connection = await RawConnection.open(way.baseUrl);
      connection.write(`PUT ${path} HTTP/1.1\r\n${forward}Expect: 100-continue\r\n${framing}`);
      // The interim answer shows that the node has taken the request in and waits for the rest.
      expect((await connection.answer())?.status).toBe(100);
      connection.socket.end();
      await connection.closed();
      connection.destroy();
    }
    expect((await ask(way, { path })).body.toString()).toBe('before');
  });

  it('asks a client that waits to go on, and then takes its body', async () => {
    const path = freshPath();
    const connection = await RawConnection.open(way.baseUrl);
    connection.write(`PUT ${path} HTTP/1.1\r\n${forward}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n`);
    expect((await connection.answer())?.status).toBe(100);
    connection.write('late');
    expectJson(await connection.answer(), 'putResult');
    connection.destroy();
    expect((await ask(way, { path })).body.toString()).toBe('late');
  });

  it('refuses a client that waits without asking for its body', async () => {
    for (const [target, code] of [
      [freshPath(), 'value_too_large'],
      ['/v1/kv/%FF', 'invalid_key'],
    ] as const) {
      const connection = await RawConnection.open(way.baseUrl);
      connection.write(`PUT ${target} HTTP/1.1\r\n${forward}Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n`);
      const answer = await connection.answer();
      expectProblem(answer, code);
      expect(answer?.headers.connection).toBe('close');
      connection.destroy();
    }
  });

  it('finishes whole requests before it drops a connection for the garbage behind them', async () => {
    const path = freshPath();
    const connection = await RawConnection.open(way.baseUrl);
    connection.write(
      `PUT ${path} HTTP/1.1\r\n${forward}Content-Length: 4\r\n\r\nkeptGET ${path} HTTP/1.1\r\n${forward}\r\n!!`,
    );
    expectJson(await connection.answer(), 'putResult');
    const last = await connection.answer();
    expect(last?.body.toString()).toBe('kept');
    expect(last?.headers.connection).toBe('close');
    expect(await connection.answer()).toBeUndefined();
  });

  it('takes the absolute form of a target', async () => {
    const path = freshPath();
    const connection = await RawConnection.open(way.baseUrl);
    connection.write(`PUT http://elsewhere:80${path} HTTP/1.1\r\n${forward}Content-Length: 1\r\n\r\nx`);
    expectJson(await connection.answer(), 'putResult');
    connection.destroy();
    expect((await ask(way, { path })).body.toString()).toBe('x');
  });

  it('serves HTTP/1.0', async () => {
    const connection = await RawConnection.open(way.baseUrl);
    connection.write('GET /livez HTTP/1.0\r\n\r\n');
    expectJson(await connection.answer(), 'livez');
    await connection.closed();
  });
}
