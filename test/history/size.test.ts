/** Large histories are checked in no time, good ones and bad ones; what is too hard is never a pass. */
import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { checkHistory, type CheckResult } from '../../src/history/check.ts';
import type { Operation } from '../../src/history/types.ts';
import { linearizableHistory, seeded, type HistoryShape } from './generator.ts';

/** Many times what it takes: on a busy machine too this tells a slip into exponential search. */
const msMax = 5000;

const typical: HistoryShape = { operations: 60_000, clients: 10, keys: 40, unknownShare: 0.03, deleteShare: 0.1 };
const shapes: readonly (readonly [string, HistoryShape])[] = [
  ['60,000 operations on 40 keys', typical],
  ['a quarter of them unknown', { ...typical, operations: 20_000, unknownShare: 0.25 }],
  ['10,000 operations on one key', { ...typical, operations: 10_000, keys: 1 }],
  ['the same without revisions', { ...typical, operations: 10_000, keys: 1, revisionShare: 0 }],
  [
    '20,000 operations with five values and no revisions',
    { ...typical, operations: 20_000, revisionShare: 0, values: 5 },
  ],
  ['fifty clients on one key', { ...typical, operations: 10_000, clients: 50, keys: 1 }],
];

test.each(shapes)('%s', (_, shape) => {
  const operations = linearizableHistory(shape, seeded(1));
  const accepted = timed(operations);
  expect(accepted.result).toMatchObject({ type: 'linearizable', keys: shape.keys, operations: shape.operations });
  const last = operations.findLastIndex(({ op, output }) => op === 'get' && output !== null);
  const stale = operations.find(
    ({ op, output, key }) => op === 'put' && output !== null && key === operations[last]!.key,
  )!;
  // Of few values an old one may well be there again.
  for (const value of shape.values === undefined ? ['never put', stale.input!] : ['never put']) {
    const refused = timed(operations.with(last, { ...operations[last]!, output: { value } }));
    expect(refused.result.type).toBe('violation');
    expect(refused.tookMs).toBeLessThan(msMax);
  }
  expect(accepted.tookMs).toBeLessThan(msMax);
});

test('too few steps are undecided, never a pass, and name the keys', () => {
  const operations = linearizableHistory({ ...typical, operations: 2000, keys: 2 }, seeded(1));
  const result = checkHistory(operations, { stepsMax: 10 });
  expect(result).toEqual({ type: 'undecided', keys: expect.arrayContaining(['k0', 'k1']) as unknown, steps: 20 });
});

test('too little time is undecided, by the clock given', () => {
  const operations = linearizableHistory({ ...typical, operations: 2000, keys: 1 }, seeded(1));
  let nowMs = 0;
  const nextMs = (): number => nowMs++;
  expect(checkHistory(operations, { time: { nowMs: nextMs, msMax: 1 } }).type).toBe('undecided');
  expect(checkHistory(operations, { time: { nowMs: nextMs, msMax: 1000 } }).type).toBe('linearizable');
});

test('a violation is one even where the steps do not suffice to find its smallest prefix', () => {
  const hard = linearizableHistory({ ...typical, operations: 2000, keys: 1 }, seeded(1));
  const wrong = { ...hard.find(({ op }) => op === 'get')!, call: 1e6, return: 1e6, output: { value: 'never put' } };
  expect(checkHistory([...hard, wrong], { stepsMax: 10 })).toMatchObject({ type: 'violation', unplaced: [wrong] });
});

test('one key that is refused counts for more than another that is undecided', () => {
  const hard = linearizableHistory({ ...typical, operations: 2000, keys: 1 }, seeded(1));
  const wrong = { ...hard.find(({ op }) => op === 'get')!, key: 'wrong', output: { value: 'never put' } };
  expect(checkHistory([...hard, wrong], { stepsMax: 10 })).toMatchObject({ type: 'violation', key: 'wrong' });
});

function timed(operations: readonly Operation[]): { readonly result: CheckResult; readonly tookMs: number } {
  const startedAt = performance.now();
  const result = checkHistory(operations);
  return { result, tookMs: performance.now() - startedAt };
}
