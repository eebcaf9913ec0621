/** Conditions, lifetimes and repeats of single keys, as a client sees them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectJson, expectProblem } from './expect-answer.ts';
import { send, type Answer } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

describe.each([
  ['the fast path', true],
  ['Express alone', false],
])('%s', (_name, fastPath) => {
  let front: Front;
  let path = '';
  let keys = 0;
  beforeAll(async () => {
    front = await startFront({ limits: { fastPath } });
  });
  afterAll(() => front.close());

  const newKey = (): void => {
    keys += 1;
    path = `/v1/kv/key-${keys}`;
  };
  type Headers = Readonly<Record<string, string>>;
  const put = (body: string, headers: Headers = {}, query = '') =>
    send(front.baseUrl, { method: 'PUT', path: path + query, headers, body });
  const del = (headers: Headers = {}) => send(front.baseUrl, { method: 'DELETE', path, headers });
  const get = (headers: Headers = {}, method = 'GET') => send(front.baseUrl, { method, path, headers });
  const etagOf = (answer: Answer) => answer.headers.etag ?? '';

  describe('conditions', () => {
    it('creates only with If-None-Match: *', async () => {
      newKey();
      expect((await put('one', { 'If-None-Match': '*' })).status).toBe(201);
      const refused = await put('two', { 'If-None-Match': '*' });
      const problem = expectProblem(refused, 'precondition_failed');
      expect(problem).toMatchObject({ outcome: 'not_applied', retryable: false, partition: 1 });
      expect(refused.headers.etag).toBe(`"1-${String(problem.revision)}"`);
      expect((await get()).body.toString()).toBe('one');
    });

    it('changes only what the ETag names, and answers the new one', async () => {
      newKey();
      const first = etagOf(await put('one'));
      const second = await put('two', { 'If-Match': first });
      expect(second.status).toBe(200);
      expect(expectProblem(await put('three', { 'If-Match': first }), 'precondition_failed').revision).toBeTypeOf(
        'number',
      );
      expectProblem(await del({ 'If-Match': first }), 'precondition_failed');
      expectJson(await del({ 'If-Match': etagOf(second) }), 'deleteResult');
    });

    it('names neither ETag nor revision of a key that is absent', async () => {
      newKey();
      for (const answer of [
        await put('x', { 'If-Match': '*' }),
        await del({ 'If-Match': '*' }),
        await del({ 'If-Match': '"1-1"' }),
      ]) {
        expect(expectProblem(answer, 'precondition_failed').revision).toBeUndefined();
        expect(answer.headers.etag).toBeUndefined();
      }
    });

    it('an ETag outlives no delete: the key made anew has another', async () => {
      newKey();
      const first = etagOf(await put('same'));
      await del();
      expect(etagOf(await put('same'))).not.toBe(first);
      expectProblem(await put('x', { 'If-Match': first }), 'precondition_failed');
    });

    it.each(['GET', 'HEAD'])(
      '%s answers 304 to whoever has the value, without a body, and the value to others',
      async (method) => {
        newKey();
        const etag = etagOf(await put('one', { 'Content-Type': 'text/plain' }));
        const same = await get({ 'If-None-Match': `"0-0", W/${etag}` }, method);
        expect({ status: same.status, body: same.body.length }).toEqual({ status: 304, body: 0 });
        expect(same.headers).toMatchObject({ etag, 'cache-control': 'no-store', 'flotilla-partition': '1' });
        expect(same.headers['content-length']).toBeUndefined();
        expect((await get({ 'If-None-Match': '*' }, method)).status).toBe(304);
        await put('two');
        expect((await get({ 'If-None-Match': etag }, method)).status).toBe(200);
      },
    );

    it('an absent key is 404 whatever the client has, and 412 when it must be there', async () => {
      newKey();
      expectProblem(await get({ 'If-None-Match': '"1-1"' }), 'key_not_found');
      expectProblem(await get({ 'If-Match': '*' }), 'precondition_failed');
    });

    it('refuses what is no ETag, and changes nothing', async () => {
      newKey();
      const problem = expectProblem(await put('x', { 'If-Match': '1-42' }), 'invalid_request');
      expect(problem.detail).toContain('"1-42"');
      expectProblem(await get(), 'key_not_found');
    });
  });

  describe('lifetimes', () => {
    const wallMs = Date.UTC(2026, 0, 1);

    it('says when a key is due, by the time of day', async () => {
      newKey();
      const body = expectJson(await put('x', {}, '?ttl=1h30m'), 'putResult');
      const due = new Date(wallMs + 5_400_000).toISOString();
      expect(body).toMatchObject({ expiresAt: due });
      expect((await get()).headers['flotilla-expires-at']).toBe(due);
    });

    it('a put without one clears it', async () => {
      newKey();
      await put('x', {}, '?ttl=60');
      expect(expectJson(await put('y'), 'putResult')).not.toHaveProperty('expiresAt');
      expect((await get()).headers['flotilla-expires-at']).toBeUndefined();
    });

    it.each(['', '0s', '11y', '5 s', '3651d'])('refuses ?ttl=%s and shows good ones', async (ttl) => {
      newKey();
      const problem = expectProblem(await put('x', {}, `?ttl=${encodeURIComponent(ttl)}`), 'invalid_ttl');
      expect(problem.detail).toContain('1h30m');
      expectProblem(await get(), 'key_not_found');
    });

    it('is for PUT alone', async () => {
      newKey();
      await put('x');
      for (const method of ['GET', 'DELETE']) {
        const answer = await send(front.baseUrl, { method, path: `${path}?ttl=60` });
        expect(expectProblem(answer, 'invalid_request').detail).toContain('"ttl"');
      }
      expect((await get()).status).toBe(200);
    });
  });

  describe('repeats', () => {
    it('get the first answer again, and say that they did', async () => {
      newKey();
      const key = { 'Idempotency-Key': `a-${keys}-${String(fastPath)}` };
      const first = await put('one', key);
      await put('two');
      const again = await put('one', key);
      expect(first.headers['idempotency-replayed']).toBeUndefined();
      expect(again.headers['idempotency-replayed']).toBe('true');
      expect({ status: again.status, body: again.body.toString(), etag: again.headers.etag }).toEqual({
        status: 201,
        body: first.body.toString(),
        etag: first.headers.etag,
      });
      expect((await get()).body.toString()).toBe('two');
    });

    it.each([
      ['another value', (key: Headers) => put('two', key)],
      ['another type', (key: Headers) => put('one', { ...key, 'Content-Type': 'text/plain' })],
      ['another lifetime', (key: Headers) => put('one', key, '?ttl=1h')],
      ['a condition', (key: Headers) => put('one', { ...key, 'If-Match': '*' })],
      ['another method', (key: Headers) => del(key)],
      [
        'another key',
        (headers: Headers) => send(front.baseUrl, { method: 'PUT', path: `${path}x`, headers, body: 'one' }),
      ],
    ])('with %s are another request: 422', async (_what, other) => {
      newKey();
      const key = { 'Idempotency-Key': `b-${keys}-${String(fastPath)}` };
      const etag = etagOf(await put('one', key));
      expectProblem(await other(key), 'idempotency_key_reused');
      expect(etagOf(await get())).toBe(etag);
    });

    it('a 404 and a 412 are replayed, too', async () => {
      newKey();
      const key = { 'Idempotency-Key': `c-${keys}-${String(fastPath)}` };
      const other = { 'Idempotency-Key': `d-${keys}-${String(fastPath)}`, 'If-Match': '*' };
      expectProblem(await del(key), 'key_not_found');
      expectProblem(await put('x', other), 'precondition_failed');
      await put('one');
      for (const [answer, code] of [
        [await del(key), 'key_not_found'],
        [await put('x', other), 'precondition_failed'],
      ] as const) {
        expectProblem(answer, code);
        expect(answer.headers['idempotency-replayed']).toBe('true');
      }
      expect((await get()).body.toString()).toBe('one');
    });

    it.each(['', 'a b', 'x'.repeat(129), 'caf\u00e9'])('refuses the idempotency key %j', async (name) => {
      newKey();
      expectProblem(await put('x', { 'Idempotency-Key': name }), 'invalid_request');
      expectProblem(await get(), 'key_not_found');
    });
  });
});
