/** Bad input gets the error table's answer. None of it kills the node, none gives HTML, none changes data. */
import { expect, it } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import { expectProblem } from '../http/expect-answer.ts';
import { RawConnection } from '../http/http-client.ts';
import { ask, freshPath } from './keys.ts';
import type { Way } from './suite.ts';

export function badInputCases(way: Way): void {
  const badKeys: readonly [string, string][] = [
    ['empty', '/v1/kv/'],
    ['empty, with a query', '/v1/kv/?route=forward'],
    ['1,025 bytes', `/v1/kv/${'k'.repeat(1025)}`],
    ['1,025 bytes once decoded', `/v1/kv/${'%61'.repeat(1025)}`],
    ['a lone percent sign', '/v1/kv/100%'],
    ['a cut-off percent sequence', '/v1/kv/a%2'],
    ['no hex digits', '/v1/kv/%zz'],
    ['a percent sequence within UTF-16 escapes', '/v1/kv/%u0041'],
    ['a byte that is not UTF-8', '/v1/kv/%FF'],
    ['overlong UTF-8', '/v1/kv/%C0%AF'],
    ['a lone surrogate', '/v1/kv/%ED%A0%80'],
    ['a raw hash', '/v1/kv/a#b'],
    ['empty base64url', '/v1/kv64/'],
    ['padded base64url', '/v1/kv64/YQ=='],
    ['percent-encoded padding', '/v1/kv64/YQ%3D%3D'],
    ['the other base64 alphabet', '/v1/kv64/+/+/'],
    ['an impossible length', '/v1/kv64/YWJjZ'],
    ['spare bits set', '/v1/kv64/YR'],
    ['1,025 bytes as base64url', `/v1/kv64/${Buffer.alloc(1025).toString('base64url')}`],
  ];
  it.each(badKeys)('refuses a bad key, whatever the verb: %s', async (_what, path) => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      expectProblem(await ask(way, { method, path, ...(method === 'PUT' ? { body: 'x' } : {}) }), 'invalid_key');
    }
  });

  it('names kv64 to whoever sends a key that is not UTF-8', async () => {
    for (const path of ['/v1/kv/%FF', '/v1/kv/%zz']) {
      expect(expectProblem(await ask(way, { path }), 'invalid_key').detail).toContain('/v1/kv64/');
    }
  });

  const badQueries: readonly [string, string][] = [
    ['colour=red', 'colour'],
    ['__proto__=1', '__proto__'],
    ['route=sideways', 'route'],
    ['route=forward&route=forward', 'twice'],
    ['consistency=eventual', 'linearizable'],
    ['max_staleness=500ms', 'max_staleness'],
    ['fallback=old', 'fallback'],
    ['a=%zz', 'percent'],
  ];
  it.each(badQueries)('refuses what it does not know, never ignores it: ?%s', async (query, named) => {
    const path = freshPath();
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await ask(way, { method, path: `${path}?${query}` });
      expect(expectProblem(answer, 'invalid_request').detail).toContain(named);
    }
    expectProblem(await ask(way, { path }), 'key_not_found');
  });

  const badHeaders: readonly [string, string, ErrorCode][] = [
    ['If-Match', '1-1', 'invalid_request'],
    ['If-None-Match', '"1-1', 'invalid_request'],
    ['Idempotency-Key', 'two words', 'invalid_request'],
    ['Flotilla-Timeout-Ms', '0', 'invalid_request'],
    ['Flotilla-Timeout-Ms', '60001', 'invalid_request'],
    ['Flotilla-Timeout-Ms', '1.5', 'invalid_request'],
    ['Flotilla-Timeout-Ms', '-1', 'invalid_request'],
    ['Flotilla-Timeout-Ms', '1e3', 'invalid_request'],
    ['Flotilla-Timeout-Ms', '', 'invalid_request'],
    ['Flotilla-Hops', 'many', 'invalid_request'],
    ['Flotilla-Route', 'sideways', 'invalid_request'],
    ['Content-Encoding', 'gzip', 'unsupported_media_type'],
    ['Content-Type', `text/plain; x=${'x'.repeat(300)}`, 'invalid_request'],
    ['Expect', 'the-unexpected', 'expectation_failed'],
    ['Sec-Fetch-Site', 'cross-site', 'cross_site_refused'],
  ];
  it.each(badHeaders)('refuses a write with %s: %s', async (name, value, code) => {
    const path = freshPath();
    expectProblem(await ask(way, { method: 'PUT', path, body: 'x', headers: { [name]: value } }), code);
    expectProblem(await ask(way, { path }), 'key_not_found');
  });

  it('lets a page of another site read, which changes nothing', async () => {
    const headers = { 'Sec-Fetch-Site': 'cross-site' };
    expectProblem(await ask(way, { path: freshPath(), headers }), 'key_not_found');
  });

  it.each(['POST', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'])('answers 405 to %s of a key', async (method) => {
    for (const path of [freshPath(), '/v1/kv64/YQ']) {
      const answer = await ask(way, { method, path });
      expectProblem(answer, 'method_not_allowed');
      expect(answer.headers.allow).toBe('GET, HEAD, PUT, DELETE');
    }
  });

  it.each([
    '/',
    '/livez',
    '/readyz',
    '/v1/cluster',
    '/v1/cluster/partitions',
    '/v1/cluster/partitions/1',
    '/v1/cluster/partitions/0',
    '/v1/cluster/operations',
    '/v1/locate/a',
  ])('answers 405 to POST, PUT and DELETE of %s', async (path) => {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const answer = await ask(way, { method, path, body: 'x', headers: { 'Content-Length': '1' } });
      expectProblem(answer, 'method_not_allowed');
      expect(answer.headers.allow).toBe('GET, HEAD');
    }
  });

  it.each(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])(
    'answers 405 to %s of a route that is posted to',
    async (method) => {
      const answer = await ask(way, { method, path: '/v1/cluster/partitions/1/leader' });
      if (method === 'HEAD') expect(answer.status).toBe(405);
      else expectProblem(answer, 'method_not_allowed');
      expect(answer.headers.allow).toBe('POST');
    },
  );

  it.each([
    '/v1',
    '/v1/',
    '/V1/kv/a',
    '/v1/KV/a',
    '/v1/kv64',
    '//v1/kv/a',
    '/v1//kv/a',
    '/v1/../v1/kv/a',
    '/%76%31/kv/a',
    '/v1/cluster/',
    '/v1/locate',
    '/metrics/',
    '/favicon.ico',
    '/index.html',
    '/%zz',
    '/%FF',
    '/%E0%A4%A',
    '/\\..\\windows',
    '/constructor',
    '/__proto__',
    '*',
  ])('knows no route %s', async (path) => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      expectProblem(await ask(way, { method, path }), 'route_not_found');
    }
  });

  it('refuses a larger body by its declared length, before a byte of it', async () => {
    const path = freshPath();
    const connection = await RawConnection.open(way.baseUrl);
    connection.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${1024 * 1024 + 1}\r\n\r\n`);
    const answer = await connection.answer();
    expectProblem(answer, 'value_too_large');
    expect(answer?.headers.connection).toBe('close');
    connection.destroy();
    expectProblem(await ask(way, { path }), 'key_not_found');
  });

  it('takes and drops what a refused client still sends, so that no reset overtakes the answer', async () => {
    const connection = await RawConnection.open(way.baseUrl);
    const errors: Error[] = [];
    connection.socket.on('error', (error) => errors.push(error));
    const length = 8 * 1024 * 1024;
    connection.write(`PUT ${freshPath()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
    expectProblem(await connection.answer(), 'value_too_large');
    connection.write(Buffer.alloc(length));
    await connection.closed();
    expect(errors).toEqual([]);
  });

  it('gives a client that sends a larger body anyway the answer, not a reset', async () => {
    const body = Buffer.alloc(4 * 1024 * 1024);
    expectProblem(await ask(way, { method: 'PUT', path: freshPath(), body }), 'value_too_large');
  });

  it('cuts a chunked body off at the cap', async () => {
    const path = freshPath();
    const body = Buffer.alloc(1024 * 1024 + 1);
    const headers = { 'Transfer-Encoding': 'chunked' };
    expectProblem(await ask(way, { method: 'PUT', path, body, headers }), 'value_too_large');
    expectProblem(await ask(way, { path }), 'key_not_found');
  });

  it('refuses headers that do not end', async () => {
    const connection = await RawConnection.open(way.baseUrl);
    connection.write(`GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n${'X-Flood: flood\r\n'.repeat(4000)}`);
    const answer = await connection.answer();
    expectProblem(answer, 'headers_too_large');
    expect(answer?.headers.connection).toBe('close');
    connection.destroy();
  });

  it('refuses a target that is too long, shorter than the headers may be', async () => {
    expectProblem(await ask(way, { path: `/v1/kv/${'k'.repeat(9000)}` }), 'uri_too_long');
  });

  it.each([
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n'],
    ['an unknown version', 'GET /v1/kv/a HTTP/9.9\r\n\r\n'],
    ['no Host', 'GET /v1/kv/a HTTP/1.1\r\n\r\n'],
    ['a negative length', 'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'],
    ['two lengths', 'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx'],
    [
      'length and chunks',
      'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a bad chunk', 'PUT /v1/kv/bad-chunk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n'],
    ['raw UTF-8 in the target', 'GET /v1/kv/\u00d0\u00ba HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a space in the target', 'GET /v1/kv/a b HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('answers broken HTTP with a problem: %s', async (_what, bytes) => {
    const connection = await RawConnection.open(way.baseUrl);
    connection.write(Buffer.from(bytes, 'latin1'));
    expectProblem(await connection.answer(), 'invalid_request');
    connection.destroy();
  });
}
