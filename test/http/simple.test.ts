/** The simple routes, as REST clients of small stores use them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectJson, expectProblem } from './expect-answer.ts';
import { send, type Call } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeAll(async () => {
  front = await startFront({ limits: { valueBytesMax: 100, keyBytesMax: 20 } });
});
afterAll(() => front.close());

const ask = (call: Call) => send(front.baseUrl, call);
const json = (method: string, path: string, body: unknown): Call => ({
  method,
  path,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
});
const get = (path: string) => ask({ path });

describe('set', () => {
  it.each<[string, Call]>([
    ['POST /set', json('POST', '/set', { key: 'k', value: 'a b' })],
    ['PUT /put', json('PUT', '/put', { key: 'k', value: 'a b' })],
    ['POST /set/{key}/{value}', { method: 'POST', path: '/set/k/a%20b' }],
    ['GET /set?key=&value=', { path: '/set?key=k&value=a+b' }],
  ])('%s', async (_name, call) => {
    const answer = await ask(call);
    expect(answer.status).toBe(200);
    expect(expectJson(answer, 'simpleSet')).toEqual({ key: 'k', value: 'a b', revision: expect.any(Number) as number });
    expect(expectJson(await get('/get?key=k'), 'simpleGet')).toEqual({ key: 'k', value: 'a b' });
    expect(front.node.seen.at(-1)?.options.route).toBe('forward');
    const plain = await get('/v1/kv/k');
    expect(plain.body.toString()).toBe('a b');
    expect(plain.headers['content-type']).toBe('text/plain; charset=utf-8');
    await ask({ method: 'DELETE', path: '/delete?key=k' });
  });

  it.each([
    [42, '42'],
    [true, 'true'],
    [null, 'null'],
    [{ a: [1] }, '{"a":[1]}'],
    ['', ''],
  ])('keeps the value %j as its JSON text', async (value, text) => {
    expect(expectJson(await ask(json('POST', '/set', { key: 'k', value })), 'simpleSet')).toMatchObject({
      value: text,
    });
    expect(expectJson(await get('/get?key=k'), 'simpleGet')).toMatchObject({ value: text });
  });

  it.each<[string, Call]>([
    ['a body', json('POST', '/set', { key: 'k', value: 'v', ttl: '90s' })],
    ['a number of seconds', json('PUT', '/put', { key: 'k', value: 'v', ttl: 90 })],
    ['the query', { path: '/set?key=k&value=v&ttl=1m30s' }],
  ])('takes a lifetime from %s', async (_name, call) => {
    expectJson(await ask(call), 'simpleSet');
    const due = new Date(front.node.wallMs() + 90_000).toISOString();
    expect((await get('/v1/kv/k')).headers['flotilla-expires-at']).toBe(due);
  });

  it('more slashes belong to the value', async () => {
    expect(expectJson(await ask({ method: 'POST', path: '/set/k/a/b%2Fc' }), 'simpleSet')).toMatchObject({
      value: 'a/b/c',
    });
  });

  it.each<[string, Call, Parameters<typeof expectProblem>[1]]>([
    ['no key', { path: '/set?value=v' }, 'invalid_request'],
    ['no value', { path: '/set?key=k' }, 'invalid_request'],
    ['an empty key', { path: '/set?key=&value=v' }, 'invalid_key'],
    ['a key that is too long', { path: `/set?key=${'k'.repeat(21)}&value=v` }, 'invalid_key'],
    ['a value that is too long', { path: `/set?key=k&value=${'v'.repeat(101)}` }, 'value_too_large'],
    ['a bad lifetime', { path: '/set?key=k&value=v&ttl=soon' }, 'invalid_ttl'],
    ['a lifetime of 0', json('POST', '/set', { key: 'k', value: 'v', ttl: 0 }), 'invalid_ttl'],
    ['an unknown parameter', { path: '/set?key=k&value=v&tll=5s' }, 'invalid_request'],
    ['an unknown field', json('POST', '/set', { key: 'k', value: 'v', tll: 5 }), 'invalid_request'],
    ['a key that is a number', json('POST', '/set', { key: 5, value: 'v' }), 'invalid_request'],
    ['no value in the path', { method: 'POST', path: '/set/k' }, 'invalid_request'],
    ['a value that is not UTF-8', { method: 'POST', path: '/set/k/%ff' }, 'invalid_request'],
    ['a key that is not UTF-8', { path: '/set?key=%ff&value=v' }, 'invalid_request'],
    ['another method', { method: 'DELETE', path: '/set' }, 'method_not_allowed'],
  ])('refuses %s and changes nothing', async (_name, call, code) => {
    await ask({ method: 'DELETE', path: '/delete?key=k' });
    expectProblem(await ask(call), code);
    expectProblem(await get('/get?key=k'), 'key_not_found');
  });

  it('a page of another site may not set, GET or not', async () => {
    const headers = { 'Sec-Fetch-Site': 'cross-site' };
    for (const path of ['/set?key=evil&value=v', 'http://host/set?key=evil&value=v']) {
      expectProblem(await ask({ path, headers }), 'cross_site_refused');
    }
    expectProblem(await get('/get?key=evil'), 'key_not_found');
  });

  it('a write by GET whose outcome is not known is not called a read', async () => {
    front.node.answerNext(() => ({ type: 'unknown', partition: 1 as never, detail: 'lost' }));
    expectProblem(await get('/set?key=k&value=v'), 'outcome_unknown');
  });

  it('is repeated safely under an idempotency key', async () => {
    const headers = { 'Idempotency-Key': 'simple-1' };
    const first = await ask({ path: '/set?key=k&value=v', headers });
    const again = await ask({ path: '/set?key=k&value=v', headers });
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.body).toEqual(first.body);
  });
});

describe('get', () => {
  it.each(['/get?key=a%2Fb', '/get/key=a%2Fb', '/get/key=a/b'])('%s', async (path) => {
    await ask({ method: 'PUT', path: '/v1/kv/a/b', body: 'x' });
    expect(expectJson(await get(path), 'simpleGet')).toEqual({ key: 'a/b', value: 'x' });
  });

  it('gives bytes that are no text as base64', async () => {
    await ask({ method: 'PUT', path: '/v1/kv/bin', body: Buffer.from([0xff, 0]) });
    expect(expectJson(await get('/get?key=bin'), 'simpleGet')).toEqual({ key: 'bin', valueBase64: '/wA=' });
  });

  it('answers 404 for what is not there, and 400 without a key', async () => {
    expectProblem(await get('/get?key=nobody'), 'key_not_found');
    expectProblem(await get('/get'), 'invalid_request');
    expectProblem(await get('/get/nobody'), 'invalid_request');
    expectProblem(await get('/get/key='), 'invalid_key');
  });
});

describe('delete', () => {
  it('says that it did, or that nothing was there', async () => {
    await ask({ method: 'PUT', path: '/v1/kv/gone', body: 'x' });
    const call = { method: 'DELETE', path: '/delete?key=gone' };
    expect(expectJson(await ask(call), 'simpleDelete')).toEqual({ key: 'gone', deleted: true });
    expectProblem(await ask(call), 'key_not_found');
  });
});

describe('dashboard', () => {
  it('is JSON for programs and leads browsers to the page', async () => {
    const body = expectJson(await get('/dashboard'), 'dashboard');
    expect(body).toMatchObject({ cluster: { name: 'test' }, partitions: [{ id: 1 }] });
    const answer = await ask({ path: '/dashboard', headers: { Accept: 'text/html,*/*;q=0.8' } });
    expect(answer).toMatchObject({ status: 303, headers: { location: '/', vary: 'Accept' } });
  });
});
