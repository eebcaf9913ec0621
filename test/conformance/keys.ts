/** Single keys: what is put is what is got, under whatever name and of whatever bytes. */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { expectJson, expectProblem } from '../http/expect-answer.ts';
import { send, type Answer, type Call } from '../http/http-client.ts';
import type { Way } from './suite.ts';

interface PutBody {
  readonly key?: string;
  readonly keyBase64?: string;
  readonly revision: number;
  readonly partition: number;
  readonly created: boolean;
}

/** A path for a key that no other case uses. */
export function freshPath(name = 'key'): string {
  return `/v1/kv/conformance/${randomBytes(9).toString('hex')}/${name}`;
}

export function base64Path(key: Uint8Array): string {
  return `/v1/kv64/${Buffer.from(key).toString('base64url')}`;
}

/** As `send`, through whichever node: answers are fetched from the leader. */
export function ask(way: Way, call: Call): Promise<Answer> {
  return send(way.baseUrl, { ...call, headers: { 'Flotilla-Route': 'forward', ...call.headers } });
}

export function keyCases(way: Way): void {
  const put = (path: string, body: Uint8Array | string, headers: Record<string, string> = {}): Promise<Answer> =>
    ask(way, { method: 'PUT', path, body, headers });
  const get = (path: string): Promise<Answer> => ask(way, { path });

  it('creates, replaces, reads and deletes', async () => {
    const path = freshPath();
    const absent = await get(path);
    const problem = expectProblem(absent, 'key_not_found');
    expect(absent.headers).toMatchObject({ 'flotilla-consistency': 'linearizable' });
    expect(absent.headers['flotilla-partition']).toBe(String(problem.partition));

    const created = await put(path, 'one');
    const first = expectJson(created, 'putResult') as PutBody;
    expect(created.status).toBe(201);
    expect(first).toEqual({
      key: path.slice('/v1/kv/'.length),
      revision: first.revision,
      partition: first.partition,
      created: true,
    });
    expect(created.headers.etag).toMatch(new RegExp(`^"[0-9]+-${first.revision}"$`));
    expect(created.headers['flotilla-partition']).toBe(String(first.partition));
    expect(created.headers['flotilla-term']).toMatch(/^[1-9][0-9]*$/);

    const replaced = await put(path, 'two');
    const second = expectJson(replaced, 'putResult') as PutBody;
    expect(replaced.status).toBe(200);
    expect(second.created).toBe(false);
    expect(second.revision).toBeGreaterThan(first.revision);
    expect(replaced.headers.etag).not.toBe(created.headers.etag);

    const read = await get(path);
    expect(read.status).toBe(200);
    expect(read.body.toString()).toBe('two');
    expect(read.headers).toMatchObject({
      etag: replaced.headers.etag,
      'content-type': 'application/octet-stream',
      'content-length': '3',
      'flotilla-revision': String(second.revision),
      'flotilla-partition': String(second.partition),
      'flotilla-consistency': 'linearizable',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': 'sandbox',
    });
    expect(read.headers['flotilla-term']).toBe(replaced.headers['flotilla-term']);
    expect(read.headers['flotilla-node']).toBeTruthy();

    const deleted = await ask(way, { method: 'DELETE', path });
    const removal = expectJson(deleted, 'deleteResult') as PutBody;
    expect(deleted.status).toBe(200);
    expect(removal.revision).toBeGreaterThan(second.revision);
    expectProblem(await get(path), 'key_not_found');
    expectProblem(await ask(way, { method: 'DELETE', path }), 'key_not_found');
    expect((await put(path, 'again')).status).toBe(201);
  });

  it('answers HEAD as GET, without the body', async () => {
    const path = freshPath();
    await put(path, 'value', { 'Content-Type': 'text/plain' });
    const got = await get(path);
    const head = await ask(way, { method: 'HEAD', path });
    expect(head.status).toBe(200);
    expect(head.body.length).toBe(0);
    const { date: _gotDate, ...gotHeaders } = got.headers;
    const { date: _headDate, ...headHeaders } = head.headers;
    expect(headHeaders).toEqual(gotHeaders);

    const absent = await ask(way, { method: 'HEAD', path: freshPath() });
    expect(absent.status).toBe(404);
    expect(absent.body.length).toBe(0);
    expect(absent.headers['content-type']).toBe('application/problem+json');
  });

  const sameKeys: readonly [string, string, string][] = [
    ['a slash, plain or encoded', 'a/b', 'a%2Fb'],
    ['lower and upper case hex', 'x%2fy', 'x%2Fy'],
    ['an encoded letter', '%61bc', 'abc'],
    ['emoji', '%F0%9F%9A%A2', '%f0%9f%9a%a2'],
    ['a plus', 'one+one', 'one%2Bone'],
    ['a tilde', '~', '%7E'],
    ['dots between slashes, never normalised', 'a/../b/./c', 'a%2F..%2Fb%2F.%2Fc'],
    ['empty segments and a slash at the end', 'a//b/', 'a%2F%2Fb%2F'],
    ['a question mark and a hash', '%3F%23', '%3f%23'],
    ['a percent sign, decoded once', '%2541', '%25%34%31'],
  ];
  it.each(sameKeys)('knows one key by two spellings: %s', async (_what, one, other) => {
    const path = freshPath('');
    expectJson(await put(path + one, 'same'), 'putResult');
    expect((await get(path + other)).body.toString()).toBe('same');
  });

  it.each([
    ['a plus is no space', 'a+b', 'a%20b'],
    ['case matters', 'Key', 'key'],
    ['a slash at the end matters', 'dir/', 'dir'],
    ['dots are not resolved', 'a/../b', 'b'],
    ['what was encoded twice is decoded once', 'a%252Fb', 'a%2Fb'],
    ['no Unicode normalisation', '%C3%A9', 'e%CC%81'],
  ])('keeps two keys apart: %s', async (_what, one, other) => {
    const path = freshPath('');
    await put(path + one, 'one');
    expectProblem(await get(path + other), 'key_not_found');
    expect((await get(path + one)).status).toBe(200);
  });

  it.each([
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '%00',
    '%20',
    '%0D%0A',
    '.hidden',
    '...',
    'kv/',
    '-',
  ])('has no reserved keys: %s', async (name) => {
    const bare = `/v1/kv/${name}`;
    await ask(way, { method: 'DELETE', path: bare });
    expectProblem(await get(bare), 'key_not_found');
    const created = await put(bare, 'value');
    expect(created.status).toBe(201);
    const body = expectJson(created, 'putResult') as PutBody;
    expect(body.key).toBe(decodeURIComponent(name));
    expect((await get(bare)).body.toString()).toBe('value');
    expect((await ask(way, { method: 'DELETE', path: bare })).status).toBe(200);
  });

  it.each([
    ['one dot', Buffer.from('.')],
    ['two dots', Buffer.from('..')],
    ['bytes that are not UTF-8', Buffer.from([0xff, 0x00, 0xfe])],
    ['text', Buffer.from('text/plain')],
  ])('carries any key as base64url: %s', async (_what, key) => {
    const path = base64Path(key);
    await ask(way, { method: 'DELETE', path });
    const created = await put(path, 'sixty-four');
    const body = expectJson(created, 'putResult') as PutBody;
    expect(created.status).toBe(201);
    expect(body.key ?? Buffer.from(body.keyBase64 ?? '', 'base64').toString('latin1')).toBe(key.toString('latin1'));
    expect((await get(path)).body.toString()).toBe('sixty-four');
    expect((await ask(way, { method: 'HEAD', path })).status).toBe(200);
    expectJson(await ask(way, { method: 'DELETE', path }), 'deleteResult');
    expectProblem(await get(path), 'key_not_found');
  });

  it('reads under one prefix what was put under the other', async () => {
    const path = freshPath();
    await put(path, 'both');
    expect((await get(base64Path(Buffer.from(path.slice('/v1/kv/'.length))))).body.toString()).toBe('both');
  });

  it('takes keys of 1 and of 1,024 bytes, counted once decoded', async () => {
    const longest = `/v1/kv/${'%F0%9F%9A%A2'.repeat(256)}`;
    expectJson(await put(longest, 'longest'), 'putResult');
    expect((await get(longest)).body.toString()).toBe('longest');
    expectJson(await put('/v1/kv/~', 'shortest'), 'putResult');
  });

  it.each([
    ['no bytes', Buffer.alloc(0)],
    ['every byte there is', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
    ['invalid UTF-8', Buffer.from([0xc3, 0x28, 0xff])],
    ['64 KiB', randomBytes(64 * 1024)],
    ['exactly 1 MiB', randomBytes(1024 * 1024)],
  ])('gives back the very bytes: %s', async (_what, value) => {
    const path = freshPath();
    expectJson(await put(path, value), 'putResult');
    const got = await get(path);
    expect(got.headers['content-length']).toBe(String(value.length));
    expect(got.body.equals(value)).toBe(true);
  });

  it('stores an empty value where no body is sent', async () => {
    const path = freshPath();
    expect((await ask(way, { method: 'PUT', path })).status).toBe(201);
    const got = await get(path);
    expect({ status: got.status, length: got.body.length }).toEqual({ status: 200, length: 0 });
  });

  it('takes a chunked body', async () => {
    const path = freshPath();
    await put(path, 'in chunks', { 'Transfer-Encoding': 'chunked' });
    expect((await get(path)).body.toString()).toBe('in chunks');
  });

  it.each([
    ['application/json', 'application/json'],
    ['text/html; charset=utf-8', 'text/html; charset=utf-8'],
    ['application/x-www-form-urlencoded', 'application/octet-stream'],
    ['Application/Octet-Stream', 'application/octet-stream'],
    ['text/plain; name="caf\u00e9"', 'text/plain; name="caf\u00e9"'],
  ])('gives back the Content-Type %s as %s', async (sent, stored) => {
    const path = freshPath();
    // As bytes: Node's client would send a header in UTF-8 together with a body of text.
    await put(path, Buffer.from('typed'), { 'Content-Type': sent });
    expect((await get(path)).headers['content-type']).toBe(stored);
    await put(path, 'untyped');
    expect((await get(path)).headers['content-type']).toBe('application/octet-stream');
  });

  it('takes the parameters it knows', async () => {
    const path = freshPath();
    expect((await ask(way, { method: 'PUT', path: `${path}?route=forward`, body: 'x' })).status).toBe(201);
    expect((await get(`${path}?consistency=linearizable&route=forward`)).status).toBe(200);
    expect((await get(`${path}?`)).status).toBe(200);
    const headers = { 'Flotilla-Timeout-Ms': '60000', 'Flotilla-Hops': '0' };
    expect((await ask(way, { path, headers })).status).toBe(200);
  });

  it('echoes a request id, and makes one up where a problem needs it', async () => {
    const sent = await ask(way, { path: freshPath(), headers: { 'X-Request-Id': 'mine-42' } });
    expect(expectProblem(sent, 'key_not_found').requestId).toBe('mine-42');
    const path = freshPath();
    await put(path, 'x');
    expect((await ask(way, { path, headers: { 'X-Request-Id': 'ok' } })).headers['x-request-id']).toBe('ok');
    const tooLong = await ask(way, { path: freshPath(), headers: { 'X-Request-Id': 'x'.repeat(129) } });
    const madeUp = expectProblem(tooLong, 'key_not_found').requestId;
    expect(madeUp).toMatch(/^[\w-]{8,32}$/);
    expect(expectProblem(await get(freshPath()), 'key_not_found').requestId).not.toBe(madeUp);
  });
}
