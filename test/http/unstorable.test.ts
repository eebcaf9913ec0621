/** What JSON can say and the store could not give back, or could not even read again: refused, never bent, never a broken node. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import { writeU64 } from '../../src/bytes.ts';
import { expectProblem } from './expect-answer.ts';
import { send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeAll(async () => {
  front = await startFront();
});
afterAll(() => front.close());

const put = (fields: string): string => `{"ops":[{"op":"put",${fields}}]}`;
const deep = '['.repeat(100_000) + ']'.repeat(100_000);

it.each<[string, string, string, ErrorCode]>([
  ['half of a character pair in a key', '/v1/batch', put('"key":"a\\ud800","value":""'), 'invalid_key'],
  ['half of a character pair in a value', '/v1/batch', put('"key":"a","value":"\\udc00"'), 'invalid_request'],
  ['half of a pair in what is compared', '/v1/txn', '{"compare":[{"key":"a","value":"\\ud800"}]}', 'invalid_request'],
  ['half of a pair in a simple key', '/set', '{"key":"\\ud800","value":"x"}', 'invalid_key'],
  ['half of a pair in a simple value', '/set', '{"key":"a","value":"\\ud800"}', 'invalid_request'],
  ['a type with a line break', '/v1/batch', put('"key":"a","value":"","contentType":"a\\r\\nX: y"'), 'invalid_request'],
  ['a type beyond Latin-1', '/v1/batch', put('"key":"a","value":"","contentType":"\u{1f6a2}"'), 'invalid_request'],
  ['a revision of 2^53', '/v1/txn', '{"compare":[{"key":"a","revision":9007199254740992}]}', 'invalid_request'],
  ['a revision that no field holds', '/v1/txn', '{"compare":[{"key":"a","revision":1e300}]}', 'invalid_request'],
  ['a value nested without end', '/set', `{"key":"a","value":${deep}}`, 'invalid_request'],
])('refuses %s', async (_what, path, body, code) => {
  front.node.seen.length = 0;
  const headers = { 'Content-Type': 'application/json' };
  expectProblem(await send(front.baseUrl, { method: 'POST', path, headers, body }), code);
  expect(front.node.seen).toEqual([]);
});

it('keeps whole character pairs, and halves in JSON that is stored as its text', async () => {
  const headers = { 'Content-Type': 'application/json' };
  const body = '{"key":"\\ud83d\\udea2","value":["\\ud800"]}';
  expect((await send(front.baseUrl, { method: 'POST', path: '/set', headers, body })).status).toBe(200);
  expect((await send(front.baseUrl, { path: '/v1/kv/%F0%9F%9A%A2' })).body.toString()).toBe('["\\ud800"]');
});

it('writes no number that cannot be read back', () => {
  for (const value of [2 ** 53, 2 ** 63, 1e300, Infinity, NaN]) {
    expect(() => writeU64(Buffer.alloc(8), value, 0)).toThrow(RangeError);
  }
  expect(() => writeU64(Buffer.alloc(8), Number.MAX_SAFE_INTEGER, 0)).not.toThrow();
});
