/** Stale reads, as a client sees them: asked for, bounded, or in the place of a leader's answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem } from './expect-answer.ts';
import { send, type Answer } from './http-client.ts';
import { localOrigin, onePartition, otherOrigin } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeAll(async () => {
  front = await startFront();
  await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/a', body: 'one' });
});
afterAll(() => front.close());

const get = (query: string, more = {}): Promise<Answer> => send(front.baseUrl, { path: `/v1/kv/a${query}`, ...more });
const lastRequest = () => front.node.seen.at(-1);
const noLeader = { type: 'no_leader', partition: onePartition, detail: 'nobody' } as const;

describe('a stale read', () => {
  it('is labelled with its age, and names no leader', async () => {
    const answer = await get('?consistency=stale');
    expect([answer.status, answer.body.toString()]).toEqual([200, 'one']);
    expect(answer.headers).toMatchObject({
      'flotilla-consistency': 'stale',
      'flotilla-staleness-ms': '120',
      'flotilla-partition': String(onePartition),
      'flotilla-node': 'n1',
      etag: expect.stringMatching(/^"1-/) as string,
    });
    expect(answer.headers['flotilla-leader']).toBeUndefined();
    expect(lastRequest()?.request).toMatchObject({ type: 'stale', stalenessMsMax: Infinity });
    expect((await get('')).headers['flotilla-staleness-ms']).toBeUndefined();
  });

  it('of what is not there is 404, labelled as well; and is 304 for who has it', async () => {
    const absent = await send(front.baseUrl, { path: '/v1/kv/none?consistency=stale' });
    expectProblem(absent, 'key_not_found');
    expect(absent.headers).toMatchObject({ 'flotilla-consistency': 'stale', 'flotilla-staleness-ms': '120' });
    expect(absent.headers['flotilla-leader']).toBeUndefined();
    const { etag = '' } = (await get('')).headers;
    expect((await get('?consistency=stale', { headers: { 'If-None-Match': etag } })).status).toBe(304);
  });

  it('asks for no older a state than it is told to, and says when there is none', async () => {
    await get('?consistency=stale&max_staleness=500ms');
    expect(lastRequest()?.request).toMatchObject({ stalenessMsMax: 500 });
    await get('?consistency=stale&max_staleness=2s');
    expect(lastRequest()?.request).toMatchObject({ stalenessMsMax: 2000 });
    front.node.answerNext(() => ({ type: 'too_stale', partition: onePartition, detail: 'all are too old' }));
    const refused = await get('?consistency=stale&max_staleness=1ms');
    expect(expectProblem(refused, 'too_stale')).toMatchObject({ outcome: 'not_applied', retryable: true });
    expect(refused.headers['retry-after']).toBe('1');
  });

  it.each([
    ['?consistency=eventual', 'linearizable or stale'],
    ['?max_staleness=1s', 'goes with consistency=stale'],
    ['?consistency=stale&max_staleness=soon', 'no length of time'],
    ['?fallback=old', 'fallback must be stale'],
    ['?consistency=stale&fallback=stale', 'nothing to fall back to'],
  ])('refuses %s', async (query, detail) => {
    expect(expectProblem(await get(query), 'invalid_request').detail).toContain(detail);
  });

  it('is nothing that can be written', async () => {
    const put = await get('?consistency=stale', { method: 'PUT', body: 'x' });
    expect(expectProblem(put, 'invalid_request').detail).toContain('only reads may be stale');
    expectProblem(await get('?fallback=stale', { method: 'DELETE' }), 'invalid_request');
    expect((await get('')).body.toString()).toBe('one');
  });
});

describe('fallback=stale', () => {
  it('is a linearizable read while somebody leads, and leaves time for the other', async () => {
    const answer = await get('?fallback=stale', { headers: { 'Flotilla-Timeout-Ms': '1000' } });
    expect(answer.headers).toMatchObject({ 'flotilla-consistency': 'linearizable' });
    const { request, options, at } = lastRequest() as NonNullable<ReturnType<typeof lastRequest>>;
    expect([request.type, options.route]).toEqual(['read', 'forward']);
    expect(options.deadlineAt - at).toBeGreaterThan(400);
    expect(options.deadlineAt - at).toBeLessThanOrEqual(500);
  });

  it('answers stale where no leader answers', async () => {
    front.node.answerNext(() => noLeader);
    const answer = await get('?fallback=stale&max_staleness=10s');
    expect([answer.status, answer.body.toString()]).toEqual([200, 'one']);
    expect(answer.headers).toMatchObject({ 'flotilla-consistency': 'stale', 'flotilla-staleness-ms': '120' });
    expect(lastRequest()?.request).toMatchObject({ type: 'stale', stalenessMsMax: 10_000 });
  });

  it('says too_stale, or that nobody leads, where it cannot', async () => {
    front.node.answerNext(() => noLeader);
    front.node.answerNext(() => ({ type: 'too_stale', partition: onePartition, detail: 'too old' }));
    expectProblem(await get('?fallback=stale&max_staleness=1ms'), 'too_stale');
    front.node.answerNext(() => noLeader);
    front.node.answerNext(() => ({ ...noLeader, detail: 'no replica in reach' }));
    expect(expectProblem(await get('?fallback=stale'), 'no_leader').detail).toBe('nobody');
  });

  it('falls back for nothing else', async () => {
    front.node.answerNext(() => ({ type: 'overloaded', partition: onePartition, detail: 'too much', retryAfterMs: 0 }));
    expectProblem(await get('?fallback=stale'), 'overloaded');
    expect(localOrigin.nodeId).not.toBe(otherOrigin.nodeId);
  });
});
