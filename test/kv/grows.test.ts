/** Which commands a disk that is nearly full still takes. */
import { expect, test } from 'vitest';
import { grows } from '../../src/kv/grows.ts';
import type { Command, Operation } from '../../src/kv/types.ts';
import { get, put, del } from './partition.ts';

const batch = (...operations: Operation[]): Command => ({
  type: 'batch',
  items: operations.map((operation) => ({ operation, dedup: undefined })),
});
const transaction = (then: readonly Operation[], otherwise: readonly Operation[]): Command => ({
  type: 'transaction',
  compare: [],
  then,
  otherwise,
});

test.each([
  ['a put', true, put('a', 'x')],
  ['a delete', false, del('a')],
  ['what takes out what is due', false, { type: 'sweep', expire: [], forget: [] } satisfies Command],
  ['a batch of deletes and reads', false, batch(del('a'), get('b'))],
  ['a batch with one put', true, batch(del('a'), put('b', 'x'), get('b'))],
  ['a transaction that only reads and deletes', false, transaction([get('a'), del('a')], [get('a')])],
  ['a transaction that puts if its comparisons hold', true, transaction([del('a'), put('a', 'x')], [])],
  ['a transaction that puts if they do not', true, transaction([del('a')], [put('a', 'x')])],
])('%s: %s', (_what, expected, command) => {
  expect(grows(command)).toBe(expected);
});
