/** A checker that accepts everything would make every test that uses it worthless: here are histories that it must refuse. */
import { expect, test } from 'vitest';
import { violations, type Read, type Write, type WriteOutcome } from '../../src/chaos/versions.ts';

function write(version: number, [startedAt, endedAt]: readonly [number, number], outcome: WriteOutcome): Write {
  return { key: 'k', version, startedAt, endedAt, outcome };
}

function read(version: number, [startedAt, endedAt]: readonly [number, number]): Read {
  return { key: 'k', version, startedAt, endedAt };
}

const first = write(1, [0, 10], 'acknowledged');
const second = write(2, [20, 30], 'acknowledged');

test('a history in which everyone sees the newest version is accepted', () => {
  const reads = [read(0, [-2, -1]), read(1, [11, 12]), read(1, [21, 22]), read(2, [25, 26]), read(2, [31, 32])];
  expect(violations({ writes: [first, second], reads })).toEqual([]);
});

test('a read that overlaps a write may see the version before it or the new one', () => {
  expect(violations({ writes: [first], reads: [read(0, [1, 2]), read(1, [9, 11])] })).toEqual([]);
});

test('a read begun after an acknowledgement and seeing less is a lost or stale write', () => {
  expect(violations({ writes: [first, second], reads: [read(1, [31, 32])] }).slice(0, 2)).toEqual([
    'key "k" is not linearizable: it read a value that was overwritten or deleted before',
    '  [31, 32] reader get -> "1", revision 1',
  ]);
  expect(violations({ writes: [first], reads: [read(0, [11, 12])] })).not.toEqual([]);
});

test('a read begun after another read and seeing less went back in time, whatever became of the write', () => {
  const reads = [read(2, [22, 23]), read(1, [24, 25])];
  expect(violations({ writes: [first, write(2, [20, 90], 'unknown')], reads }).slice(0, 2)).toEqual([
    'key "k" is not linearizable: no order of what came before explains its answer',
    '  [24, 25] reader get -> "1", revision 1',
  ]);
});

test('reads that overlap may disagree', () => {
  expect(violations({ writes: [first, second], reads: [read(2, [22, 25]), read(1, [24, 26])] })).toEqual([]);
});

test('an unknown write may be seen or not, and once seen it stays', () => {
  const writes = [first, write(2, [20, 30], 'unknown')];
  expect(violations({ writes, reads: [read(1, [31, 32])] })).toEqual([]);
  expect(violations({ writes, reads: [read(1, [31, 32]), read(2, [33, 34])] })).toEqual([]);
  expect(violations({ writes, reads: [read(2, [31, 32]), read(1, [33, 34])] })).not.toEqual([]);
});

test('a write answered "not applied" is never seen', () => {
  const refused = { ...write(2, [20, 30], 'not_applied'), answer: '503' };
  expect(violations({ writes: [first, refused], reads: [read(2, [90, 91])] }).slice(0, 2)).toEqual([
    'key "k" is not linearizable: it read a value that no put can have written',
    '  [90, 91] reader get -> "2", revision 2',
  ]);
});

test('a version from nowhere, or from the future, is refused', () => {
  expect(violations({ writes: [first], reads: [read(7, [11, 12])] })).not.toEqual([]);
  expect(violations({ writes: [first, second], reads: [read(2, [15, 19])] })).not.toEqual([]);
});

test('keys are judged each by itself', () => {
  const other: Write = { ...second, key: 'other' };
  expect(violations({ writes: [first, other], reads: [read(1, [31, 32])] })).toEqual([]);
});

test('a version that does not grow is refused: the writer or the store made it up', () => {
  expect(violations({ writes: [second, write(1, [40, 50], 'acknowledged')], reads: [] })).not.toEqual([]);
});

test('the answer that a write got is told with it', () => {
  const answered = { ...first, answer: '201 through n1' };
  expect(violations({ writes: [answered], reads: [read(0, [11, 12])] })).toContain(
    '  [0, 10] writer (201 through n1) put "1" -> done, revision 1',
  );
});
