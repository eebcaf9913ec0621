/** The call that moves a leadership: what is asked of the node, and what the front makes of its outcome. */
import assert from 'node:assert/strict';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import type { TransferOutcome } from '../../src/cluster/types.ts';
import { expectJson, expectProblem } from './expect-answer.ts';
import { RawConnection, send, type Answer } from './http-client.ts';
import { onePartition } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';

const partition = onePartition;
const path = '/v1/cluster/partitions/1/leader';
const json = { 'Content-Type': 'application/json' };
const jsonBytesMax = 1000;

describe.each([
  ['with the fast path on', true],
  ['with Express alone', false],
])('%s', (_name, fastPath) => {
  let front: Front;
  beforeAll(async () => {
    front = await startFront({ limits: { fastPath, jsonBytesMax } });
  });
  beforeEach(() => {
    front.node.seenTransfers.length = 0;
  });
  afterAll(() => front.close());

  const post = (
    body: string | Uint8Array,
    headers: Record<string, string> = {},
    target: string = path,
  ): Promise<Answer> => send(front.baseUrl, { method: 'POST', path: target, body, headers: { ...json, ...headers } });

  it('asks the node, with the deadline that was asked for, and tells who leads in which term', async () => {
    const answer = await post('{"nodeId":"n2"}', { 'Flotilla-Timeout-Ms': '60000' });
    expect(answer.status).toBe(200);
    expect(expectJson(answer, 'leader')).toEqual({ id: 1, leader: 'n2', term: 8 });
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'flotilla-node': 'n1',
      'flotilla-partition': '1',
      'flotilla-term': '8',
      'flotilla-leader': 'n2',
    });
    await post(' { "nodeId" : "n1" } ', { 'Content-Type': 'Application/JSON; charset=utf-8' });
    const [asked, plain] = front.node.seenTransfers;
    assert(asked !== undefined && plain !== undefined, 'both reached the node');
    expect(asked).toMatchObject({ partition: 1, to: 'n2' });
    expect(plain).toMatchObject({ partition: 1, to: 'n1' });
    expect(asked.timeoutMs).toBeGreaterThan(59_000);
    expect(asked.timeoutMs).toBeLessThanOrEqual(60_000);
    expect(plain.timeoutMs).toBeGreaterThan(4500);
    expect(plain.timeoutMs).toBeLessThanOrEqual(5000);
  });

  const refusals: readonly [TransferOutcome, ErrorCode, object][] = [
    [{ type: 'not_found', detail: 'no node n9' }, 'not_found', { outcome: 'not_applied', retryable: false }],
    [
      { type: 'refused', partition, detail: 'n4 holds no replica' },
      'invalid_request',
      { partition: 1, outcome: 'not_applied', retryable: false },
    ],
    [
      { type: 'no_leader', partition, detail: 'nobody leads' },
      'no_leader',
      { partition: 1, outcome: 'not_applied', retryable: true },
    ],
    [
      { type: 'not_moved', partition, detail: 'n2 lags' },
      'leader_not_moved',
      { status: 503, partition: 1, outcome: 'not_applied', retryable: true },
    ],
    [
      { type: 'unknown', partition, detail: 'not seen in time' },
      'outcome_unknown',
      { partition: 1, outcome: 'unknown', retryable: false },
    ],
  ];
  it.each(refusals)('tells what came of it: %j', async (outcome, code, expected) => {
    front.node.answerNextTransfer(() => outcome);
    const answer = await post('{"nodeId":"n2"}');
    const problem = expectProblem(answer, code);
    expect(problem).toMatchObject({ ...expected, detail: 'detail' in outcome ? outcome.detail : '' });
    expect(answer.headers['retry-after']).toBe(problem.status === 503 ? '1' : undefined);
    expect(answer.headers['flotilla-partition']).toBe(outcome.type === 'not_found' ? undefined : '1');
  });

  it('survives a fault below it, and calls what came of it unknown', async () => {
    front.node.answerNextTransfer(() => Promise.reject(new Error('broken below')));
    const problem = expectProblem(await post('{"nodeId":"n2"}'), 'internal_error');
    expect(problem.outcome).toBe('unknown');
    expect(problem.detail).not.toContain('broken below');
  });

  const wrongBodies: readonly [string, string | Uint8Array, string][] = [
    ['nothing', '', 'empty'],
    ['no JSON', '{"nodeId":', 'not JSON'],
    ['a form', 'nodeId=n2', 'not JSON'],
    ['no UTF-8', Buffer.from('{"nodeId":"\xff"}', 'latin1'), 'not JSON'],
    ['too many brackets', '['.repeat(jsonBytesMax), 'not JSON'],
    ['a list', '["n2"]', 'The body must be object'],
    ['null', 'null', 'The body must be object'],
    ['no field', '{}', 'lacks nodeId'],
    ['another field besides', '{"nodeId":"n2","force":true}', 'known here: force'],
    ['a prototype besides', '{"nodeId":"n2","__proto__":{}}', 'known here: __proto__'],
    ['a prototype alone', '{"__proto__":{"nodeId":"n2"}}', 'lacks nodeId'],
    ['a number', '{"nodeId":2}', 'nodeId must be string'],
    ['an empty name', '{"nodeId":""}', 'nodeId must NOT have fewer than 1 characters'],
  ];
  it.each(wrongBodies)('refuses a body that is %s, and names what is wrong', async (_what, body, named) => {
    const { detail } = expectProblem(await post(body), 'invalid_request');
    expect(detail).toContain(named);
    expect(front.node.seenTransfers).toEqual([]);
  });

  it('does not repeat a made-up name at length', async () => {
    const body = JSON.stringify({ nodeId: 'n2', ['x'.repeat(900)]: 1 });
    expect(expectProblem(await post(body), 'invalid_request').detail.length).toBeLessThan(200);
  });

  const wrongHeaders: readonly [string, string, ErrorCode][] = [
    ['Content-Type', 'text/plain', 'unsupported_media_type'],
    ['Content-Type', 'application/x-www-form-urlencoded', 'unsupported_media_type'],
    ['Content-Type', 'application/jsonp', 'unsupported_media_type'],
    ['Content-Encoding', 'gzip', 'unsupported_media_type'],
    ['Flotilla-Timeout-Ms', '0', 'invalid_request'],
    ['Flotilla-Timeout-Ms', '60001', 'invalid_request'],
    ['Flotilla-Timeout-Ms', 'soon', 'invalid_request'],
    ['Sec-Fetch-Site', 'cross-site', 'cross_site_refused'],
  ];
  it.each(wrongHeaders)('refuses it with %s: %s', async (name, value, code) => {
    expectProblem(await post('{"nodeId":"n2"}', { [name]: value }), code);
    expect(front.node.seenTransfers).toEqual([]);
  });

  it('refuses a body that does not say what it is', async () => {
    expectProblem(
      await send(front.baseUrl, { method: 'POST', path, body: '{"nodeId":"n2"}' }),
      'unsupported_media_type',
    );
    expect(front.node.seenTransfers).toEqual([]);
  });

  it('lets a page of the same site and other tools through', async () => {
    for (const site of ['same-origin', 'same-site', 'none']) {
      expect((await post('{"nodeId":"n1"}', { 'Sec-Fetch-Site': site })).status).toBe(200);
    }
  });

  it.each([
    ['?dry_run=true', 'dry_run'],
    ['?route=forward', 'route'],
    ['?a=%zz', 'percent'],
  ])('takes no parameters: %s', async (query, named) => {
    const problem = expectProblem(await post('{"nodeId":"n2"}', {}, `${path}${query}`), 'invalid_request');
    expect(problem.detail).toContain(named);
    expect(front.node.seenTransfers).toEqual([]);
  });

  it('reads no more of a body than is allowed, declared or not', async () => {
    const body = JSON.stringify({ nodeId: 'n'.repeat(jsonBytesMax) });
    expectProblem(await post(body), 'value_too_large');
    expectProblem(await post(body, { 'Transfer-Encoding': 'chunked' }), 'value_too_large');
    expect(front.node.seenTransfers).toEqual([]);
    expect((await post('{"nodeId":"n1"}', { 'Transfer-Encoding': 'chunked' })).status).toBe(200);
  });

  it('does nothing for a client that goes away within its body', async () => {
    const gone = await RawConnection.open(front.baseUrl);
    const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\n`;
    gone.write(`${head}Expect: 100-continue\r\n\r\n{"nodeId":"n2"}`);
    expect((await gone.answer())?.status).toBe(100);
    gone.destroy();
    await expect.poll(() => front.server.connections()).toBe(0);
    expect(front.node.seenTransfers).toEqual([]);
  });

  it('asks only for an id in its one spelling, and leaves it to the node whether there is such a partition', async () => {
    for (const id of ['', '01', '1.0', '-1', '+1', '%31', 'one', '99999999999', '1e0']) {
      expectProblem(await post('{"nodeId":"n2"}', {}, `/v1/cluster/partitions/${id}/leader`), 'not_found');
    }
    expect(front.node.seenTransfers).toEqual([]);
    expectProblem(await post('{"nodeId":"n2"}', {}, '/v1/cluster/partitions/77/leader'), 'not_found');
    expect(front.node.seenTransfers).toMatchObject([{ partition: 77, to: 'n2' }]);
  });

  it('is found in absolute form too, and is no other path', async () => {
    expect((await post('{"nodeId":"n1"}', {}, `http://elsewhere${path}`)).status).toBe(200);
    for (const other of [
      `${path}/`,
      `${path}/x`,
      '/v1/cluster/partitions/1/2/leader',
      '/v1/cluster/partitions/leader',
    ]) {
      const answer = await post('{"nodeId":"n2"}', {}, other);
      expectProblem(answer, 'method_not_allowed');
      expect(answer.headers.allow).toBe('GET, HEAD');
    }
  });
});
