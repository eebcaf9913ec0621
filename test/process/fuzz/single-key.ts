/** Moves on single keys: PUT, GET, HEAD, DELETE, repeats under an idempotency key, and keys that pass. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Answer, Call } from '../../http/http-client.ts';
import { pathOf, spelling } from './keys.ts';
import { conditionsOf, expectedStatus, type ConditionChoice, type Conditions, type Stored } from './model.ts';
import { expectBody, expectBytes, expectKey, expectRefusal, pick, type Move, type Stream } from './stream.ts';
import { contentType, largestValue, longTtl, shortTtl, value } from './values.ts';

export const condition: fc.Arbitrary<ConditionChoice> = fc.oneof(
  { weight: 7, arbitrary: fc.constant<ConditionChoice>('none') },
  { weight: 2, arbitrary: fc.constantFrom<ConditionChoice>('match current', 'match several', 'match any') },
  { weight: 1, arbitrary: fc.constantFrom<ConditionChoice>('create', 'match another', 'none match current') },
);
export const index = fc.nat({ max: 1000 });
const forwarded = fc.constantFrom('header', 'query', 'credentials', 'no');
const timeout = fc.constantFrom(undefined, '10000', '60000');

function headersOf(conditions: Conditions): Record<string, string> {
  return {
    ...(conditions.ifMatch === undefined ? {} : { 'If-Match': conditions.ifMatch }),
    ...(conditions.ifNoneMatch === undefined ? {} : { 'If-None-Match': conditions.ifNoneMatch }),
  };
}

interface Journey {
  readonly forwarded: string;
  readonly timeout: string | undefined;
}
const journey: fc.Arbitrary<Journey> = fc.record({ forwarded, timeout });

/** How the request is to find its leader, in every form there is. */
function sent(call: Call, how: Journey): Call {
  const headers = {
    ...(how.timeout === undefined ? {} : { 'Flotilla-Timeout-Ms': how.timeout }),
    ...(how.forwarded === 'header' ? { 'Flotilla-Route': 'forward' } : {}),
    ...(how.forwarded === 'credentials' ? { Authorization: 'Bearer none', Cookie: 'a=b' } : {}),
    ...call.headers,
  };
  const mark = call.path.includes('?') ? '&' : '?';
  return { ...call, headers, path: how.forwarded === 'query' ? `${call.path}${mark}route=forward` : call.path };
}

/** All keys but those that pass. */
export function keyAt(stream: Stream, at: number): Buffer {
  return pick([...stream.pool.lasting, ...stream.pool.tagged], at);
}

const put: fc.Arbitrary<Move> = fc
  .record({
    at: index,
    spelling,
    value: fc.oneof({ weight: 400, arbitrary: value }, { weight: 1, arbitrary: largestValue }),
    type: contentType,
    ttl: fc.option(longTtl, { freq: 3, nil: undefined }),
    condition,
    named: fc.boolean(),
    chunked: fc.boolean(),
    journey,
  })
  .map((drawn): Move => (stream) => {
    const key = keyAt(stream, drawn.at);
    const current = stream.model.get(key);
    const query = drawn.ttl === undefined ? '' : `?ttl=${drawn.ttl}`;
    const request = sent(
      {
        method: 'PUT',
        path: pathOf(key, drawn.spelling) + query,
        headers: {
          ...(drawn.type.sent === undefined ? {} : { 'Content-Type': drawn.type.sent }),
          ...(drawn.chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(drawn.value.length) }),
          ...(drawn.named ? { 'Idempotency-Key': stream.newName() } : {}),
          ...headersOf(conditionsOf(drawn.condition, current)),
        },
        body: drawn.value,
      },
      drawn.journey,
    );
    const status = expectedStatus('put', drawn.condition, current);
    return {
      request,
      judge: (answer) => {
        if (drawn.named) stream.named = { request, answer, each: false };
        if (status === 412) return expectConditionFailed(answer, current);
        const body = expectBody(answer, status, 'putResult');
        expectKey(body, key);
        assert.equal(body['created'], status === 201);
        assert.equal(body['expiresAt'] !== undefined, drawn.ttl !== undefined);
        const { etag } = answer.headers;
        assert(etag !== undefined && etag !== current?.etag, 'a write makes a new ETag');
        const revision = body['revision'] as number;
        stream.model.put(key, {
          value: drawn.value,
          contentType: drawn.type.stored,
          etag,
          revision,
          expires: drawn.ttl !== undefined,
        });
      },
    };
  });

function expectConditionFailed(answer: Answer, current: Stored | undefined): void {
  expectRefusal(answer, ['precondition_failed']);
  if (current?.etag !== undefined) assert.equal(answer.headers.etag, current.etag);
  const { revision } = JSON.parse(answer.body.toString()) as { readonly revision?: number };
  assert.equal(revision, current?.revision);
}

const read: fc.Arbitrary<Move> = fc
  .record({ at: index, spelling, condition, head: fc.nat({ max: 4 }), journey })
  .map((drawn): Move => (stream) => {
    const key = keyAt(stream, drawn.at);
    const current = stream.model.get(key);
    const method = drawn.head === 0 ? 'HEAD' : 'GET';
    const headers = headersOf(conditionsOf(drawn.condition, current));
    const request = sent({ method, path: pathOf(key, drawn.spelling), headers }, drawn.journey);
    const status = expectedStatus('get', drawn.condition, current);
    return {
      request,
      judge: (answer) => {
        assert.equal(answer.status, status, answer.body.toString('utf8', 0, 500));
        if (status === 404) return expectRefusal(answer, ['key_not_found'], method === 'HEAD');
        if (status === 412) return expectRefusal(answer, ['precondition_failed'], method === 'HEAD');
        assert(current !== undefined);
        stream.model.put(key, { ...current, etag: expectVersion(answer, current) });
        if (status === 304) return assert.equal(answer.body.length, 0);
        assert.equal(answer.headers['content-type'], current.contentType);
        assert.equal(answer.headers['content-length'], String(current.value.length));
        expectBytes(answer.body, method === 'HEAD' ? Buffer.alloc(0) : current.value);
      },
    };
  });

/** Its ETag. */
function expectVersion({ headers }: Answer, current: Stored): string {
  const { etag } = headers;
  assert(etag !== undefined);
  if (current.etag !== undefined) assert.equal(etag, current.etag);
  assert.equal(headers['flotilla-revision'], String(current.revision));
  assert.equal(headers['flotilla-expires-at'] !== undefined, current.expires);
  return etag;
}

const remove: fc.Arbitrary<Move> = fc
  .record({ at: index, spelling, condition, named: fc.boolean(), journey })
  .map((drawn): Move => (stream) => {
    const key = keyAt(stream, drawn.at);
    const current = stream.model.get(key);
    const headers = {
      ...(drawn.named ? { 'Idempotency-Key': stream.newName() } : {}),
      ...headersOf(conditionsOf(drawn.condition, current)),
    };
    const request = sent({ method: 'DELETE', path: pathOf(key, drawn.spelling), headers }, drawn.journey);
    const status = expectedStatus('delete', drawn.condition, current);
    return {
      request,
      judge: (answer) => {
        if (drawn.named) stream.named = { request, answer, each: false };
        if (status === 412) return expectConditionFailed(answer, current);
        if (status === 404) return expectRefusal(answer, ['key_not_found']);
        expectKey(expectBody(answer, 200, 'deleteResult'), key);
        stream.model.delete(key);
      },
    };
  });

const live: Move = () => ({ request: { path: '/livez' }, judge: (answer) => void expectBody(answer, 200, 'livez') });

/** The last write that had a name, once more: the same answer, and nothing is done. */
const repeat: fc.Arbitrary<Move> = fc.constant((stream) => {
  const { named } = stream;
  if (named === undefined) return live(stream);
  return {
    request: named.request,
    judge: (answer) => {
      assert.equal(answer.status, named.answer.status);
      assert.equal(withoutTimes(answer), withoutTimes(named.answer));
      if (!named.each) assert.equal(answer.headers['idempotency-replayed'], 'true');
      assert.equal(answer.headers.etag, named.answer.headers.etag);
    },
  };
});

/** The time of day of a due time moves with the wall clock; each request has an id of its own. */
function withoutTimes({ body }: Answer): string {
  const known: unknown = JSON.parse(body.toString());
  return JSON.stringify(known, (name, one: unknown) =>
    name === 'expiresAt' || name === 'requestId' ? undefined : one,
  );
}

/** The name of the last write for another one. */
const reuse: fc.Arbitrary<Move> = fc.constant((stream) => {
  const { named } = stream;
  if (named?.request.method !== 'PUT') return live(stream);
  const { 'Content-Length': _length, ...headers } = named.request.headers as Record<string, string>;
  const body = Buffer.concat([named.request.body as Buffer, Buffer.from('!')]);
  // One byte more than the largest value is another refusal.
  const codes = ['idempotency_key_reused', ...(body.length > 1024 * 1024 ? ['value_too_large' as const] : [])] as const;
  return { request: { ...named.request, headers, body }, judge: (answer) => expectRefusal(answer, codes) };
});

const mortalPut: fc.Arbitrary<Move> = fc
  .record({ at: index, spelling, value, ttl: shortTtl, journey })
  .map((drawn): Move => (stream) => {
    const key = pick(stream.pool.mortal, drawn.at);
    const dueAt = performance.now() + drawn.ttl.ms;
    const path = `${pathOf(key, drawn.spelling)}?ttl=${drawn.ttl.sent}`;
    return {
      request: sent({ method: 'PUT', path, body: drawn.value }, drawn.journey),
      judge: (answer) => {
        assert.notEqual(expectBody(answer, answer.status === 201 ? 201 : 200, 'putResult')['expiresAt'], undefined);
        stream.mortals.set(key.toString('hex'), { value: drawn.value, dueAt });
      },
    };
  });

/** Never gone early; present, it is what was stored. */
const mortalRead: fc.Arbitrary<Move> = fc.record({ at: index, spelling, journey }).map((drawn): Move => (stream) => {
  const key = pick(stream.pool.mortal, drawn.at);
  const stored = stream.mortals.get(key.toString('hex'));
  return {
    request: sent({ path: pathOf(key, drawn.spelling) }, drawn.journey),
    judge: (answer) => {
      if (answer.status === 404) {
        assert(stored === undefined || performance.now() >= stored.dueAt, 'the key is gone before its time');
        return expectRefusal(answer, ['key_not_found']);
      }
      assert.equal(answer.status, 200);
      assert(stored !== undefined, 'nothing was stored there');
      expectBytes(answer.body, stored.value);
    },
  };
});

export const singleKeyMoves: readonly fc.WeightedArbitrary<Move>[] = [
  { weight: 26, arbitrary: put },
  { weight: 22, arbitrary: read },
  { weight: 3, arbitrary: remove },
  { weight: 3, arbitrary: repeat },
  { weight: 1, arbitrary: reuse },
  { weight: 2, arbitrary: mortalPut },
  { weight: 2, arbitrary: mortalRead },
];
