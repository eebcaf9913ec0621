/** Batches and transactions, as a client sees them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectJson, expectProblem } from './expect-answer.ts';
import { send, type Answer } from './http-client.ts';
import { localOrigin } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeAll(async () => {
  front = await startFront({ limits: { valueBytesMax: 2000, commandBytesMax: 4000, batchReadBytesMax: 3000 } });
});
afterAll(() => front.close());

type Headers = Readonly<Record<string, string>>;
const post = (path: string, body: unknown, headers: Headers = {}): Promise<Answer> =>
  send(front.baseUrl, {
    method: 'POST',
    path,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
const batch = (ops: unknown, headers?: Headers) => post('/v1/batch', { ops }, headers);
const resultsOf = (answer: Answer, schema: 'batch' | 'transaction') =>
  (expectJson(answer, schema) as { results: Record<string, unknown>[] }).results;
const put = (key: string, value = 'x', more = {}) => ({ op: 'put', key, value, ...more });
const get = (key: string) => ({ op: 'get', key });
const del = (key: string, more = {}) => ({ op: 'delete', key, ...more });
const valueOf = async (key: string) => (await send(front.baseUrl, { path: `/v1/kv/${key}` })).body.toString();

describe('batch', () => {
  it('answers each operation by itself, in order', async () => {
    const answer = await batch([
      put('a', 'one', { ttl: '1h', contentType: 'text/plain' }),
      get('a'),
      del('a'),
      get('a'),
      del('a'),
    ]);
    expect(answer.status).toBe(200);
    const due = new Date(front.node.wallMs() + 3_600_000).toISOString();
    const etag = expect.stringMatching(/^"1-\d+"$/) as string;
    const revision = expect.any(Number) as number;
    expect(resultsOf(answer, 'batch')).toMatchObject([
      { status: 201, key: 'a', revision, etag, created: true, expiresAt: due },
      { status: 200, key: 'a', revision, etag, value: 'one', contentType: 'text/plain', expiresAt: due },
      { status: 200, key: 'a', revision, deleted: true },
      { status: 404, key: 'a', error: { code: 'key_not_found', outcome: 'not_applied' } },
      { status: 404, key: 'a', error: { code: 'key_not_found' } },
    ]);
  });

  it('on a disk with little room left does all but put', async () => {
    await batch([put('a', 'kept'), put('b', 'kept')]);
    const full = { type: 'disk_full', partition: localOrigin.partition, detail: 'too little room' } as const;
    front.node.answerNext(() => full);
    const answer = await batch([put('a', 'no'), del('a'), put('b', 'no'), del('none'), get('b'), put('b', 'no')]);
    const refused = { status: 507, error: { code: 'disk_full', outcome: 'not_applied', retryable: true } };
    const deleted = [
      { status: 200, key: 'a', deleted: true },
      { status: 404, key: 'none' },
    ];
    expect(resultsOf(answer, 'batch').slice(0, 5)).toMatchObject([
      { key: 'a', ...refused },
      deleted[0],
      { key: 'b', ...refused },
      deleted[1],
      { status: 200, key: 'b', value: 'kept' },
    ]);

    front.node.answerNext(() => full);
    expect(resultsOf(await batch([put('a', 'no'), put('b', 'no')]), 'batch')).toMatchObject([refused, refused]);
    front.node.answerNext(() => full);
    expect(resultsOf(await batch([del('b')]), 'batch')).toMatchObject([refused]);
  });

  it('takes and gives bytes that are no text as base64', async () => {
    const ops = [
      { op: 'put', keyBase64: '/w==', valueBase64: 'AP8=' },
      { op: 'get', keyBase64: '/w==' },
    ];
    expect(resultsOf(await batch(ops), 'batch')).toMatchObject([
      { status: 201, keyBase64: '/w==' },
      { status: 200, keyBase64: '/w==', valueBase64: 'AP8=' },
    ]);
  });

  it('checks conditions one by one', async () => {
    const [first] = resultsOf(await batch([put('c')]), 'batch');
    const ops = [
      put('c', 'y', { ifNoneMatch: '*' }),
      put('c', 'z', { ifMatch: first?.['etag'] }),
      del('c', { ifMatch: '"1-99999"' }),
      del('absent', { ifMatch: '*' }),
    ];
    const results = resultsOf(await batch(ops), 'batch');
    expect(results).toMatchObject([
      { status: 412, etag: first?.['etag'], revision: first?.['revision'], error: { code: 'precondition_failed' } },
      { status: 200 },
      { status: 412 },
      { status: 412 },
    ]);
    expect(results[3]).not.toHaveProperty('etag');
    expect(await valueOf('c')).toBe('z');
  });

  it('repeats operation by operation under one idempotency key', async () => {
    const headers = { 'Idempotency-Key': 'batch-1' };
    const first = resultsOf(await batch([put('r', '1'), put('s', '1')], headers), 'batch');
    await batch([put('r', '2')]);
    const again = resultsOf(await batch([put('r', '1'), put('s', 'other'), put('t', '1')], headers), 'batch');
    expect(again[0]).toEqual(first[0]);
    expect(again[1]).toMatchObject({ status: 422, error: { code: 'idempotency_key_reused' } });
    expect(again[2]).toMatchObject({ status: 201 });
    expect(await valueOf('r')).toBe('2');
  });

  it('goes in several commands when it is large', async () => {
    front.node.seen.length = 0;
    const results = resultsOf(
      await batch(Array.from({ length: 10 }, (_, i) => put(`big-${i}`, 'x'.repeat(1500)))),
      'batch',
    );
    expect(results.every(({ status }) => status === 201)).toBe(true);
    expect(front.node.seen.length).toBeGreaterThan(3);
    expect(front.node.seen.every(({ request }) => request.type === 'write' && request.body.length <= 4000)).toBe(true);
  });

  it('reads no more than fits into one answer', async () => {
    await batch([put('l1', 'x'.repeat(1600)), put('l2', 'x'.repeat(1600))]);
    expect(resultsOf(await batch([get('l1'), get('l2'), get('nobody')]), 'batch')).toMatchObject([
      { status: 200 },
      { status: 413, error: { code: 'value_too_large' } },
      { status: 404 },
    ]);
  });

  it('says of each operation what is known when a part of it fails', async () => {
    front.node.answerNext(() => ({ type: 'unknown', partition: localOrigin.partition, detail: 'lost' }));
    front.node.answerNext(() => ({ type: 'no_leader', partition: localOrigin.partition, detail: 'nobody' }));
    expect(resultsOf(await batch([put('f1'), put('f2'), get('f1'), put('f3')]), 'batch')).toMatchObject([
      { status: 504, error: { code: 'outcome_unknown', outcome: 'unknown' } },
      { status: 504 },
      { status: 503, error: { code: 'no_leader', outcome: 'not_applied' } },
      { status: 201 },
    ]);
  });

  it('is forwarded, never redirected', async () => {
    front.node.seen.length = 0;
    await batch([get('a')]);
    expect(front.node.seen[0]?.options.route).toBe('forward');
  });

  it('may be empty', async () => {
    expect(resultsOf(await batch([]), 'batch')).toEqual([]);
  });

  it.each<[string, unknown, Parameters<typeof expectProblem>[1], string]>([
    ['no ops', {}, 'invalid_request', 'ops'],
    ['ops that are none', { ops: 'put' }, 'invalid_request', 'ops'],
    ['an unknown op', { ops: [put('bad'), { op: 'swap', key: 'bad' }] }, 'invalid_request', 'ops[1]'],
    ['no key', { ops: [put('bad'), { op: 'get' }] }, 'invalid_request', 'key'],
    ['two keys', { ops: [put('bad'), { op: 'get', key: 'a', keyBase64: 'YQ==' }] }, 'invalid_request', 'ops[1]'],
    ['no value', { ops: [{ op: 'put', key: 'bad' }] }, 'invalid_request', 'value'],
    ['a value on a get', { ops: [{ op: 'get', key: 'bad', value: 'x' }] }, 'invalid_request', 'value'],
    ['a condition on a get', { ops: [{ op: 'get', key: 'bad', ifMatch: '*' }] }, 'invalid_request', 'ifMatch'],
    ['a lifetime on a delete', { ops: [del('bad', { ttl: 5 })] }, 'invalid_request', 'ttl'],
    ['an empty key', { ops: [put('bad'), put('')] }, 'invalid_key', 'ops[1]'],
    ['a key that is too long', { ops: [put('k'.repeat(1025))] }, 'invalid_key', '1025'],
    ['a value that is too long', { ops: [put('bad', 'x'.repeat(2001))] }, 'value_too_large', '2001'],
    ['a bad lifetime', { ops: [put('bad', 'x', { ttl: 'soon' })] }, 'invalid_ttl', '1h30m'],
    [
      'what is no base64',
      { ops: [put('bad'), { op: 'put', key: 'bad', valueBase64: 'x' }] },
      'invalid_request',
      'base64',
    ],
    ['what is no ETag', { ops: [put('bad', 'x', { ifMatch: '1-2' })] }, 'invalid_request', 'If-Match'],
    ['too many', { ops: Array.from({ length: 1001 }, () => put('bad')) }, 'invalid_request', '1000'],
    ['an unknown field', { ops: [], atomic: true }, 'invalid_request', 'atomic'],
  ])('refuses the whole for %s', async (_name, body, code, named) => {
    expect(expectProblem(await post('/v1/batch', body), code).detail).toContain(named);
    expect(await valueOf('bad')).toContain('key_not_found');
  });

  it('takes a thousand operations', async () => {
    const ops = Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? put(`k${i}`) : get(`k${i - 1}`)));
    expect(resultsOf(await batch(ops), 'batch').filter(({ status }) => status === 200)).toHaveLength(500);
  });

  it('refuses conditions in headers: they stand with each operation', async () => {
    const answer = await batch([put('bad')], { 'If-Match': '*' });
    expect(expectProblem(answer, 'invalid_request').detail).toContain('ifMatch');
  });
});

describe('transaction', () => {
  const run = (body: unknown, headers?: Headers) => post('/v1/txn', body, headers);

  it('does one thing or the other, whole', async () => {
    const body = { compare: [{ key: 'lock', exists: false }], then: [put('lock', 'me')], else: [get('lock')] };
    const first = await run(body);
    expect(expectJson(first, 'transaction')).toMatchObject({
      succeeded: true,
      results: [{ status: 201, key: 'lock' }],
    });
    expect(first.headers).toMatchObject({ 'flotilla-partition': '1', 'flotilla-term': '7' });
    expect(expectJson(await run(body), 'transaction')).toMatchObject({
      succeeded: false,
      results: [{ status: 200, value: 'me' }],
    });
  });

  it('compares by existence, revision, ETag and value', async () => {
    const [made] = resultsOf(await batch([put('t', 'v')]), 'batch');
    const { revision, etag } = made as { revision: number; etag: string };
    const succeeds = async (comparison: object) => {
      const answer = await run({ compare: [{ key: 't', ...comparison }], then: [], else: [] });
      return (expectJson(answer, 'transaction') as { succeeded: boolean }).succeeded;
    };
    for (const good of [{ exists: true }, { revision }, { etag }, { value: 'v' }, { valueBase64: 'dg==' }, {}]) {
      expect(await succeeds(good), JSON.stringify(good)).toBe(true);
    }
    for (const bad of [{ exists: false }, { revision: 1 }, { etag: '"1-1"' }, { value: 'w' }, { etag, value: '' }]) {
      expect(await succeeds(bad), JSON.stringify(bad)).toBe(false);
    }
  });

  it('is repeated whole under an idempotency key', async () => {
    const headers = { 'Idempotency-Key': 'txn-1' };
    const first = await run({ then: [put('once', '1'), get('once')] }, headers);
    await batch([put('once', '2')]);
    const again = await run({ then: [put('once', '1'), get('once')] }, headers);
    expect(again.body).toEqual(first.body);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expectProblem(await run({ then: [put('once', '3')] }, headers), 'idempotency_key_reused');
    expect(await valueOf('once')).toBe('2');
  });

  it('of nothing succeeds', async () => {
    expect(expectJson(await run({}), 'transaction')).toEqual({ succeeded: true, results: [] });
  });

  it('goes to the leader like a key', async () => {
    const hint = { nodeId: 'n2' as never, term: 7 as never };
    front.node.answerNext(() => ({ type: 'not_leader', partition: localOrigin.partition, hint, http: 'http://h:1' }));
    const answer = await run({ then: [put('a')] });
    expectProblem(answer, 'not_leader');
    expect(answer.headers.location).toBe('http://h:1/v1/txn');
  });

  it('over keys of several partitions is refused, with the way out', async () => {
    front.node.partitionOf = (key) => (key.toString().startsWith('far') ? 2 : 1);
    const problem = expectProblem(
      await run({ compare: [{ key: 'far', exists: true }], then: [put('a')] }),
      'cross_partition',
    );
    expect(problem.detail).toContain('{tag}');
    front.node.partitionOf = () => 1;
  });

  it.each<[string, unknown, Parameters<typeof expectProblem>[1], string]>([
    ['an unknown comparison', { compare: [{ key: 'a', lease: 1 }] }, 'invalid_request', 'lease'],
    ['two values', { compare: [{ key: 'a', value: '', valueBase64: '' }] }, 'invalid_request', 'compare[0]'],
    ['no ETag', { compare: [{ key: 'a', etag: '1-2' }] }, 'invalid_request', 'compare[0]'],
    ['a bad operation', { then: [put('a'), put('')] }, 'invalid_key', 'then[1]'],
    ['a bad alternative', { else: [put('a', 'x', { ttl: 'x' })] }, 'invalid_ttl', 'else[0]'],
    ['too much at once', { then: [1, 2, 3].map((i) => put(`a${i}`, 'x'.repeat(1900))) }, 'value_too_large', '4000'],
  ])('refuses %s', async (_name, body, code, named) => {
    expect(expectProblem(await run(body), code).detail).toContain(named);
  });
});
