/** What the front makes of what a request came to. The store behind it is told how to answer. */
import assert from 'node:assert/strict';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { KvOutcome } from '../../src/cluster/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { decodeCommand } from '../../src/kv/command.ts';
import { expectJson, expectProblem } from './expect-answer.ts';
import { RawConnection, send } from './http-client.ts';
import { onePartition, oneTerm, otherOrigin } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';

const partition = onePartition;
const elsewhere: KvOutcome = {
  type: 'not_leader',
  partition,
  hint: { nodeId: 'n2' as NodeId, term: oneTerm },
  http: 'http://127.0.0.1:7002',
};

describe.each([
  ['the fast path', true],
  ['Express alone', false],
])('%s', (_name, fastPath) => {
  let front: Front;
  beforeAll(async () => {
    front = await startFront({ limits: { fastPath } });
  });
  beforeEach(() => {
    front.node.seen.length = 0;
  });
  afterAll(() => front.close());

  const methods = ['GET', 'HEAD', 'PUT', 'DELETE'];

  it.each(methods)('redirects %s to the leader: 307, same path and query, never cached', async (method) => {
    front.node.answerNext(() => elsewhere);
    const path = '/v1/kv/a/../b%2Fc%20d+e?route=redirect&consistency=linearizable';
    const answer = await send(front.baseUrl, { method, path });
    expect(answer.status).toBe(307);
    expect(answer.headers).toMatchObject({
      location: `http://127.0.0.1:7002${path}`,
      'flotilla-leader': 'n2',
      'flotilla-node': 'n1',
      'flotilla-partition': '1',
      'flotilla-term': '7',
      'cache-control': 'no-store',
      'content-type': 'application/problem+json',
    });
    expect(front.node.seen[0]?.options.route).toBe('redirect');
    if (method === 'HEAD') return;
    expect(expectProblem(answer, 'not_leader')).toEqual({
      type: 'urn:flotilla:problem:not_leader',
      title: 'Another node leads this key',
      status: 307,
      detail: 'This key is led by n2. Add -L to curl, or ?route=forward.',
      code: 'not_leader',
      outcome: 'not_applied',
      retryable: true,
      partition: 1,
      leader: 'n2',
      requestId: answer.headers['x-request-id'],
    });
  });

  it('redirects a target in absolute form to its path', async () => {
    front.node.answerNext(() => elsewhere);
    const answer = await send(front.baseUrl, { path: 'http://elsewhere/v1/kv64/YQ?route=redirect' });
    expect(answer.headers.location).toBe('http://127.0.0.1:7002/v1/kv64/YQ?route=redirect');
  });

  it('names the leader whose answer it fetched', async () => {
    const record = { value: Buffer.from('far'), contentType: 'text/plain', revision: 9, incarnation: 2, expiresAt: 0 };
    front.node.answerNext(() => ({ type: 'value', origin: otherOrigin, record, logTime: 0 }));
    const got = await send(front.baseUrl, { path: '/v1/kv/far' });
    expect(got.body.toString()).toBe('far');
    expect(got.headers).toMatchObject({ 'flotilla-node': 'n1', 'flotilla-leader': 'n2', etag: '"2-9"' });

    front.node.answerNext(() => ({ type: 'value', origin: otherOrigin, record: undefined, logTime: 0 }));
    const absent = await send(front.baseUrl, { path: '/v1/kv/far' });
    expectProblem(absent, 'key_not_found');
    expect(absent.headers['flotilla-leader']).toBe('n2');

    const result = { type: 'put', revision: 10, incarnation: 2, created: true, expiresAt: 0 } as const;
    front.node.answerNext(() => ({ type: 'done', origin: otherOrigin, result, logTime: 0, replayed: false }));
    const put = await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/far', body: 'x' });
    expectJson(put, 'putResult');
    expect(put.headers['flotilla-leader']).toBe('n2');
    const own = await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/own', body: 'x' });
    expect(own.headers['flotilla-leader']).toBeUndefined();
  });

  const refusals = [
    ['no_leader', { type: 'no_leader', partition, detail: 'nobody leads' }, 'no_leader'],
    ['partition_stopped', { type: 'partition_stopped', partition, detail: 'stopped' }, 'partition_stopped'],
    ['overloaded', { type: 'overloaded', partition, detail: 'too much', retryAfterMs: 0 }, 'overloaded'],
    ['disk_full', { type: 'disk_full', partition, detail: 'too little room' }, 'disk_full'],
    ['shutting_down', { type: 'shutting_down' }, 'shutting_down'],
  ] as const satisfies readonly (readonly [string, KvOutcome, string])[];
  it.each(refusals)('answers %s: certainly not applied, try again soon', async (_what, outcome, code) => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      front.node.answerNext(() => outcome);
      const answer = await send(front.baseUrl, { method, path: '/v1/kv/a' });
      const problem = expectProblem(answer, code);
      expect(problem).toMatchObject({ outcome: 'not_applied', retryable: true });
      expect(answer.headers['retry-after']).toBe('1');
      expect(problem.partition).toBe('partition' in outcome ? 1 : undefined);
      expect(answer.headers['flotilla-partition']).toBe('partition' in outcome ? '1' : undefined);
    }
  });

  it('says how long a queue takes, in whole seconds and no less', async () => {
    for (const [retryAfterMs, seconds] of [
      [1, '1'],
      [1000, '1'],
      [1001, '2'],
      [6400, '7'],
    ] as const) {
      front.node.answerNext(() => ({ type: 'overloaded', partition, detail: 'too much', retryAfterMs }));
      const answer = await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/a' });
      expect(answer.headers['retry-after']).toBe(seconds);
    }
  });

  it('refuses a write that the node is too busy for before its body is read', async () => {
    front.node.refusal = () => ({ type: 'overloaded', partition, detail: 'too much', retryAfterMs: 1500 });
    const connection = await RawConnection.open(front.baseUrl);
    try {
      connection.write('PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n');
      const answer = await connection.answer();
      assert(answer !== undefined);
      expectProblem(answer, 'overloaded');
      expect(answer.headers['retry-after']).toBe('2');
      // What will never be taken is not to be sent again later.
      const huge = { 'Content-Length': String(2 ** 40), Expect: '100-continue' };
      expectProblem(await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/a', headers: huge }), 'value_too_large');
      expect(front.node.seen).toEqual([]);
    } finally {
      connection.destroy();
      front.node.refusal = () => undefined;
    }
    expect((await send(front.baseUrl, { path: '/v1/kv/a' })).status).toBe(404);
  });

  it('calls a write that may have been applied unknown, and a read never', async () => {
    const unknown: KvOutcome = { type: 'unknown', partition, detail: 'the deadline passed' };
    for (const method of ['PUT', 'DELETE']) {
      front.node.answerNext(() => unknown);
      const problem = expectProblem(await send(front.baseUrl, { method, path: '/v1/kv/a' }), 'outcome_unknown');
      expect(problem).toMatchObject({ outcome: 'unknown', retryable: false, partition: 1 });
    }
    front.node.answerNext(() => unknown);
    expectProblem(await send(front.baseUrl, { path: '/v1/kv/a' }), 'no_leader');
  });

  it('survives a fault below it, and calls what a write came to unknown', async () => {
    const fault = (): Promise<KvOutcome> => Promise.reject(new Error('broken below'));
    for (const [method, outcome] of [
      ['GET', 'not_applied'],
      ['PUT', 'unknown'],
      ['DELETE', 'unknown'],
    ] as const) {
      front.node.answerNext(fault);
      const problem = expectProblem(await send(front.baseUrl, { method, path: '/v1/kv/a' }), 'internal_error');
      expect(problem.outcome).toBe(outcome);
      expect(problem.detail).not.toContain('broken below');
    }
    expect((await send(front.baseUrl, { path: '/livez' })).status).toBe(200);
  });

  const routes: readonly [string, string, Record<string, string>, 'redirect' | 'forward'][] = [
    ['by default', '', {}, 'redirect'],
    ['by query', '?route=forward', {}, 'forward'],
    ['by header', '', { 'Flotilla-Route': 'forward' }, 'forward'],
    ['by query over header', '?route=redirect', { 'Flotilla-Route': 'forward' }, 'redirect'],
    ['with credentials', '', { Authorization: 'Bearer x' }, 'forward'],
    ['with a cookie', '', { Cookie: 'a=b' }, 'forward'],
    ['with credentials, whatever is asked', '?route=redirect', { Authorization: 'Bearer x' }, 'forward'],
  ];
  it.each(routes)('chooses the route %s', async (_why, query, headers, route) => {
    await send(front.baseUrl, { path: `/v1/kv/a${query}`, headers });
    expect(front.node.seen[0]?.options).toMatchObject({ route, hops: 0 });
  });

  it('hands on the hops made and the deadline asked for', async () => {
    const ask = async (headers: Record<string, string>): Promise<{ hops: number; timeoutMs: number }> => {
      front.node.seen.length = 0;
      await send(front.baseUrl, { path: '/v1/kv/a', headers });
      const [seen] = front.node.seen;
      assert(seen !== undefined, 'the request reached the store');
      const { options, at } = seen;
      return { hops: options.hops, timeoutMs: options.deadlineAt - at };
    };
    const plain = await ask({});
    expect(plain.hops).toBe(0);
    expect(plain.timeoutMs).toBeGreaterThan(4500);
    expect(plain.timeoutMs).toBeLessThanOrEqual(5000);
    const asked = await ask({ 'Flotilla-Hops': '1', 'Flotilla-Timeout-Ms': '60000' });
    expect(asked.hops).toBe(1);
    expect(asked.timeoutMs).toBeGreaterThan(59_000);
    expect(asked.timeoutMs).toBeLessThanOrEqual(60_000);
  });

  it('hands on the command, encoded, with the key it is routed by', async () => {
    const headers = { 'Content-Type': 'text/plain' };
    await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/%F0%9F%9A%A2', body: 'ahoy', headers });
    await send(front.baseUrl, { method: 'DELETE', path: '/v1/kv64/_w' });
    const commands = front.node.seen.map(({ request }) => {
      assert(request.type === 'write', 'it writes');
      const { command } = decodeCommand(request.body);
      assert(command.type === 'put' || command.type === 'delete', 'one key is written');
      expect(Buffer.from(command.key).equals(Buffer.from(request.key))).toBe(true);
      return command.type === 'put'
        ? [Buffer.from(command.key).toString(), Buffer.from(command.value).toString(), command.contentType]
        : [Buffer.from(command.key).toString('hex')];
    });
    expect(commands).toEqual([['🚢', 'ahoy', 'text/plain'], ['ff']]);
  });

  it('says why it is not ready', async () => {
    front.node.readiness = () => ({ ready: false, reasons: ['partition 3 has no leader'] });
    const answer = await send(front.baseUrl, { path: '/readyz' });
    expect(answer.status).toBe(503);
    expect(expectJson(answer, 'readyz')).toEqual({
      status: 'not_ready',
      nodeId: 'n1',
      reasons: ['partition 3 has no leader'],
    });
    expect((await send(front.baseUrl, { path: '/livez' })).status).toBe(200);
  });

  it('is ready and says what does not go well', async () => {
    front.node.readiness = () => ({ ready: true, reasons: [], warnings: ['n2 has little room left'] });
    const answer = await send(front.baseUrl, { path: '/readyz' });
    expect(answer.status).toBe(200);
    expect(expectJson(answer, 'readyz')).toMatchObject({ status: 'ready', warnings: ['n2 has little room left'] });
  });
});

it('forwards by default where the configuration says so', async () => {
  const front = await startFront({ config: { routing: 'forward' } });
  await send(front.baseUrl, { path: '/v1/kv/a' });
  await send(front.baseUrl, { path: '/v1/kv/a?route=redirect' });
  expect(front.node.seen.map(({ options }) => options.route)).toEqual(['forward', 'redirect']);
  await front.close();
});
