/** What is said of a partition's log time by the judge, on histories made by hand: without drift, and with whoever was started anew. */
import { describe, expect, test } from 'vitest';
import type { PartitionId } from '../../src/replica/ports.ts';
import { LogClockJudge } from '../../src/sim/log-clock-judge.ts';
import { Violation } from '../../src/sim/violation.ts';

const partition = 1 as PartitionId;
const wentAhead = /went ahead/;
const fellBehind = /fell behind/;

/** `ahead`: of true time, ms. */
function reading(at: number, term: number, ahead: number, kind: 'read' | 'write') {
  return { logTime: at + ahead, term, from: at, to: at, written: kind === 'write' };
}

function judged(
  readings: readonly ReturnType<typeof reading>[],
  { restarted = true }: { readonly restarted?: boolean } = {},
): void {
  const judge = new LogClockJudge(
    0,
    () => 0,
    () => restarted,
  );
  for (const one of readings) judge.told(partition, one);
}

describe('time that goes as fast as the clocks', () => {
  test('is right, whoever leads', () => {
    judged([reading(0, 1, 5000, 'write'), reading(900, 1, 5000, 'read'), reading(9000, 2, 5000, 'read')]);
  });

  test('is not said to be wrong before the first write', () => {
    judged([reading(0, 1, 0, 'read'), reading(100, 2, 90_000, 'read'), reading(200, 2, 90_000, 'write')]);
  });
});

describe('time that goes ahead', () => {
  test('of a write is wrong, in its term and in later ones', () => {
    const first = reading(0, 1, 0, 'write');
    for (const term of [1, 2]) {
      for (const kind of ['read', 'write'] as const) {
        expect(() => judged([first, reading(1000, term, 2000, kind)])).toThrow(wentAhead);
      }
    }
  });

  test('of a read is wrong in its term', () => {
    const [written, lost] = [reading(0, 1, 0, 'write'), reading(5000, 2, -3000, 'read')];
    expect(() => judged([written, lost, reading(6000, 2, -1000, 'read')])).toThrow(Violation);
    expect(() => judged([written, lost, reading(6000, 2, -1000, 'write')])).toThrow(wentAhead);
  });

  test('of what only reads of an earlier term were told was lost and is found again', () => {
    judged([reading(0, 1, 0, 'write'), reading(5000, 2, -3000, 'read'), reading(6000, 3, -1000, 'write')]);
  });

  test('is wrong where a write held on to the loss', () => {
    const readings = [
      reading(0, 1, 0, 'write'),
      reading(5000, 2, -3000, 'write'),
      reading(5500, 2, -3000, 'read'),
      reading(6000, 3, -1000, 'read'),
    ];
    expect(() => judged(readings)).toThrow(wentAhead);
  });

  test('is wrong after an answer of an earlier term that came late', () => {
    const readings = [
      reading(0, 1, 0, 'write'),
      reading(5000, 2, -3000, 'read'),
      reading(5100, 1, 0, 'read'),
      reading(6000, 2, -1000, 'read'),
    ];
    expect(() => judged(readings)).toThrow(wentAhead);
  });
});

test('time that falls behind is wrong unless somebody was started anew', () => {
  const readings = [reading(0, 1, 0, 'write'), reading(5000, 2, -3000, 'read')];
  expect(() => judged(readings, { restarted: false })).toThrow(fellBehind);
  judged(readings);
});
