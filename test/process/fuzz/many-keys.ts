/** Moves on many keys: batches with conditions, transactions with all kinds of comparisons. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Call } from '../../http/http-client.ts';
import { inJson, spelling, type Spelling } from './keys.ts';
import { conditionsOf, expectedStatus, type ConditionChoice, type Stored } from './model.ts';
import { condition, index, keyAt } from './single-key.ts';
import { expectBody, expectBytes, expectKey, pick, type Move, type Stream } from './stream.ts';
import { contentType, longTtl, value, type TypeChoice } from './values.ts';

interface OperationChoice {
  readonly kind: 'put' | 'get' | 'delete';
  readonly at: number;
  readonly spelling: Spelling;
  readonly value: Buffer;
  readonly type: TypeChoice;
  readonly ttl: string | number | undefined;
  readonly condition: ConditionChoice;
}

const operation: fc.Arbitrary<OperationChoice> = fc.record({
  kind: fc.constantFrom('put', 'put', 'put', 'get', 'get', 'delete'),
  at: index,
  spelling,
  value,
  type: contentType,
  ttl: fc.option(fc.oneof(longTtl, fc.constant(86400)), { freq: 4, nil: undefined }),
  condition,
});

type Result = Record<string, unknown>;

/** An operation on its key, once both are known. */
interface Chosen {
  readonly key: Buffer;
  readonly choice: OperationChoice;
  readonly condition: ConditionChoice;
}

function operationInJson(stream: Stream, { key, choice, condition: chosen }: Chosen): Result {
  const named = { op: choice.kind, ...inJson('key', key, choice.spelling) };
  if (choice.kind === 'get') return named;
  const conditions = conditionsOf(chosen, stream.model.get(key));
  if (choice.kind === 'delete') return { ...named, ...conditions };
  return {
    ...named,
    ...inJson('value', choice.value, choice.spelling),
    ...conditions,
    ...(choice.ttl === undefined ? {} : { ttl: choice.ttl }),
    ...(choice.type.sent === undefined ? {} : { contentType: choice.type.sent }),
  };
}

/** One result against what is stored by then; notes what it has changed. */
function judgeResult({ model }: Stream, { key, choice, condition: chosen }: Chosen, result: Result): void {
  const current = model.get(key);
  const status = expectedStatus(choice.kind, chosen, current);
  assert.equal(result['status'], status, JSON.stringify(result).slice(0, 500));
  expectKey(result, key);
  if (status >= 400) return judgeRefused(result, status, current);
  if (choice.kind === 'delete') return model.delete(key);
  const etag = result['etag'] as string;
  if (choice.kind === 'put') {
    assert.equal(result['created'], status === 201);
    const expires = choice.ttl !== undefined;
    assert.equal(result['expiresAt'] !== undefined, expires);
    const revision = result['revision'] as number;
    return model.put(key, { value: choice.value, contentType: choice.type.stored, etag, revision, expires });
  }
  assert(current !== undefined);
  const text = result['value'];
  expectBytes(
    typeof text === 'string' ? Buffer.from(text) : Buffer.from(result['valueBase64'] as string, 'base64'),
    current.value,
  );
  assert.equal(result['contentType'] ?? 'application/octet-stream', current.contentType);
  assert.equal(result['revision'], current.revision);
  assert.equal(result['expiresAt'] !== undefined, current.expires);
  if (current.etag !== undefined) assert.equal(etag, current.etag);
}

function judgeRefused(result: Result, status: number, current: Stored | undefined): void {
  const { code } = result['error'] as { readonly code: string };
  assert.equal(code, status === 404 ? 'key_not_found' : 'precondition_failed');
  if (status === 404) return;
  assert.equal(result['revision'], current?.revision);
  if (current?.etag !== undefined) assert.equal(result['etag'], current.etag);
}

function post(path: string, body: object, name: string | undefined): Call {
  return {
    method: 'POST',
    path,
    headers: { 'Content-Type': 'application/json', ...(name === undefined ? {} : { 'Idempotency-Key': name }) },
    body: Buffer.from(JSON.stringify(body)),
  };
}

const batch: fc.Arbitrary<Move> = fc
  .record({ choices: fc.array(operation, { maxLength: 10 }), named: fc.boolean() })
  .map((drawn): Move => (stream) => {
    // What is read is read anew at each repeat.
    const choices = drawn.choices.filter(({ kind }) => !drawn.named || kind !== 'get');
    const written = new Set<string>();
    const chosen = choices.map((choice): Chosen => {
      const key = keyAt(stream, choice.at);
      const again = written.has(key.toString('hex'));
      written.add(key.toString('hex'));
      if (choice.kind === 'get') return { key, choice, condition: 'none' };
      // The ETag of what the batch itself writes is not known yet.
      const unknown = again && !['none', 'create', 'match another'].includes(choice.condition);
      return { key, choice, condition: unknown ? 'match any' : choice.condition };
    });
    const ops = chosen.map((one) => operationInJson(stream, one));
    const request = post('/v1/batch', { ops }, drawn.named ? stream.newName() : undefined);
    return {
      request,
      neverRedirected: true,
      judge: (answer) => {
        const results = expectBody(answer, 200, 'batch')['results'] as Result[];
        assert.equal(results.length, chosen.length);
        for (const [i, one] of chosen.entries()) judgeResult(stream, one, results[i] ?? {});
        if (drawn.named) stream.named = { request, answer, each: true };
      },
    };
  });

type ComparisonKind = 'exists' | 'revision' | 'etag' | 'value' | 'all';
interface ComparisonChoice {
  readonly kind: ComparisonKind;
  readonly at: number;
  readonly spelling: Spelling;
  /** Drawn so that it holds, as far as the key is there. */
  readonly right: boolean;
}

const comparison: fc.Arbitrary<ComparisonChoice> = fc.record({
  kind: fc.constantFrom('exists', 'revision', 'etag', 'value', 'all'),
  at: index,
  spelling,
  right: fc.nat({ max: 3 }).map((n) => n > 0),
});

/** What is compared, and whether it holds. */
function comparisonInJson(
  stream: Stream,
  choice: ComparisonChoice,
): { readonly fields: Result; readonly holds: boolean } {
  const key = pick(stream.pool.tagged, choice.at);
  const current = stream.model.get(key);
  const { kind, right } = choice;
  const present = current !== undefined;
  const fields: Result = inJson('key', key, choice.spelling);
  if (kind === 'exists' || kind === 'all') fields['exists'] = right ? present : !present;
  if (kind === 'revision' || kind === 'all') fields['revision'] = right && present ? current.revision : 1;
  if ((kind === 'etag' || kind === 'all') && (current?.etag !== undefined || !right)) {
    fields['etag'] = right ? current?.etag : '"another"';
  }
  if (kind === 'value' || kind === 'all') {
    Object.assign(fields, inJson('value', right && present ? current.value : Buffer.from('not this'), choice.spelling));
  }
  const onlyKey = Object.keys(fields).length === 1;
  return { fields, holds: onlyKey || (kind === 'exists' ? right : right && present) };
}

const transaction: fc.Arbitrary<Move> = fc
  .record({
    compare: fc.array(comparison, { maxLength: 3 }),
    then: fc.array(operation, { maxLength: 5 }),
    otherwise: fc.array(operation, { maxLength: 3 }),
    named: fc.boolean(),
    forwarded: fc.boolean(),
  })
  .map((drawn): Move => (stream) => {
    const compared = drawn.compare.map((choice) => comparisonInJson(stream, choice));
    const chosenOf = (choices: readonly OperationChoice[]): Chosen[] =>
      choices.map((choice) => ({ key: pick(stream.pool.tagged, choice.at), choice, condition: 'none' }));
    const [then, otherwise] = [chosenOf(drawn.then), chosenOf(drawn.otherwise)];
    const fields = (chosen: Chosen[]): Result[] => chosen.map((one) => operationInJson(stream, one));
    const body = { compare: compared.map((one) => one.fields), then: fields(then), else: fields(otherwise) };
    // One without any key is nothing that could be repeated.
    const named = drawn.named && drawn.compare.length + then.length + otherwise.length > 0;
    const call = post('/v1/txn', body, named ? stream.newName() : undefined);
    const request = drawn.forwarded ? { ...call, headers: { ...call.headers, 'Flotilla-Route': 'forward' } } : call;
    const succeeded = compared.every(({ holds }) => holds);
    return {
      request,
      judge: (answer) => {
        const told = expectBody(answer, 200, 'transaction');
        assert.equal(told['succeeded'], succeeded);
        const results = told['results'] as Result[];
        const chosen = succeeded ? then : otherwise;
        assert.equal(results.length, chosen.length);
        for (const [i, one] of chosen.entries()) judgeResult(stream, one, results[i] ?? {});
        if (named) stream.named = { request, answer, each: false };
      },
    };
  });

export const manyKeysMoves: readonly fc.WeightedArbitrary<Move>[] = [
  { weight: 8, arbitrary: batch },
  { weight: 8, arbitrary: transaction },
];
