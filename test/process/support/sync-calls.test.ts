import { expect, test } from 'vitest';
import { answeredTooEarly, parseSyncCalls } from './sync-calls.ts';

const request = { sentAt: 10, answeredAt: 20 };
const inTime = { startedAt: 11, endedAt: 19, result: 0 };

test('a request is in order when two of three nodes fsynced between it and its answer', () => {
  expect(answeredTooEarly([request], [[inTime], [], [inTime]], 2)).toEqual([]);
});

test('an fsync that began before the request, returned after the answer, or failed does not count', () => {
  const before = { startedAt: 9, endedAt: 19, result: 0 };
  const after = { startedAt: 11, endedAt: 21, result: 0 };
  const failed = { startedAt: 11, endedAt: 19, result: -1 };
  for (const call of [before, after, failed]) {
    expect(answeredTooEarly([request], [[inTime], [call], []], 2)).toEqual([
      'request 0 was answered after 10.00 ms, fsynced by 1',
    ]);
  }
});

test('two fsyncs of one node are no majority', () => {
  expect(answeredTooEarly([request], [[inTime, { ...inTime, startedAt: 12 }], [], []], 2)).toHaveLength(1);
});

test('strace output is read: whole calls, calls interrupted by others, failed and unfinished ones', () => {
  const output = [
    '4711  1700000000.000100 fdatasync(23)     = 0 <0.000500>',
    '4712  1700000000.001000 fdatasync(24 <unfinished ...>',
    '4711  1700000000.001500 fsync(25)         = -1 EIO (Input/output error) <0.000100>',
    '4712  1700000000.003000 <... fdatasync resumed>) = 0 <0.002000>',
    '4713  1700000000.003500 fdatasync(23)     = 0 (DELAYED) <0.005000>',
    '4711  1700000000.004000 fdatasync(23 <unfinished ...>',
    '4711  1700000000.005000 +++ killed by SIGKILL +++',
  ].join('\n');
  const start = 1_700_000_000_000;
  const calls = parseSyncCalls(output).map(({ startedAt, endedAt, result }) => ({
    startedAt: Number((startedAt - start).toFixed(3)),
    endedAt: Number((endedAt - start).toFixed(3)),
    result,
  }));
  expect(calls).toEqual([
    { startedAt: 0.1, endedAt: 0.6, result: 0 },
    { startedAt: 1.5, endedAt: 1.6, result: -1 },
    { startedAt: 1, endedAt: 3, result: 0 },
    { startedAt: 3.5, endedAt: 8.5, result: 0 },
  ]);
});
