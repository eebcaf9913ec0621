/** What the history of single keys can't tell: commands on several keys are one, and the log's time goes with true time. */
import { describe, expect, test } from 'vitest';
import type { Operation } from '../../src/history/types.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import type { Told } from '../../src/sim/answers.ts';
import { LogClockJudge } from '../../src/sim/log-clock-judge.ts';
import type { Asked } from '../../src/sim/requests.ts';
import { TransactionJudge } from '../../src/sim/transaction-judge.ts';

const p1 = 1 as PartitionId;

function asked(what: Asked['what']): Asked {
  const encode = (): never => {
    throw new Error('nobody sends it');
  };
  return { what, parts: [], otherwise: [], named: false, encode };
}

function read(key: string, value: string | null, revision = 1): Told {
  const output = value === null ? null : { value, revision };
  return { part: { op: 'get', key, input: null }, output, outcome: 'ok' };
}

function counted(number: number, outcome: Operation['outcome'] = 'ok'): Told {
  return { part: { op: 'put', key: 'count', input: `${number} by v1` }, output: null, outcome };
}

describe('a pair that is always written together', () => {
  test.each([
    ['is found together', [read('left', 'v1'), read('right', 'v1')], false],
    ['is not there at all', [read('left', null), read('right', null)], false],
    ['is found apart', [read('left', 'v1'), read('right', 'v2')], true],
    ['is found half', [read('left', 'v1'), read('right', null)], true],
    ['is found to be of two commands', [read('left', 'v1', 1), read('right', 'v1', 2)], true],
  ])('%s', (_what, told, isViolation) => {
    const judged = (): void => new TransactionJudge().settled(asked('pair'), told);
    if (isViolation) expect(judged).toThrow('found apart');
    else expect(judged).not.toThrow();
  });
});

describe('a counter', () => {
  test.each([
    ['ends where it was counted up to', [counted(1), counted(2)], '2 by v9', undefined],
    ['may have been counted by who never heard', [counted(1), counted(2, 'unknown')], '2 by v9', undefined],
    ['may not have been', [counted(1), counted(2, 'unknown')], '1 by v9', undefined],
    ['has lost a count', [counted(1), counted(2)], '1 by v9', 'counted up to 1'],
    ['was lost', [counted(1)], undefined, 'counted up to 0'],
    ['has a count too many', [counted(1), counted(2, 'failed')], '2 by v9', 'counted up to 2'],
    ['became one number twice', [counted(1), counted(1)], '1 by v9', 'became 1 twice'],
  ])('%s', (_what, told, ended, problem) => {
    const judge = new TransactionJudge();
    const judged = (): void => {
      for (const one of told) judge.settled(asked('count'), [one]);
      judge.ended('count', ended);
    };
    if (problem === undefined) expect(judged).not.toThrow();
    else expect(judged).toThrow(problem);
  });
});

describe("the log's time", () => {
  const written = true;
  const term = 1;
  const oneWayMs = (): number => 500;
  const first = { logTime: 1000, term, from: 0, to: 10, written };

  test.each([
    ['goes with true time', 0, false, 11_000, undefined],
    ['went ahead', 0, false, 3_600_000, 'went ahead'],
    ['fell behind', 0, false, 9_000, 'fell behind'],
    ['fell behind as a node was started anew', 0, true, 9_000, undefined],
    ['went ahead no more than clocks may', 0.1, false, 13_000, undefined],
    ['went further', 0.1, false, 15_000, 'went ahead'],
  ])('%s', (_what, drift, restarted, logTime, problem) => {
    const judge = new LogClockJudge(drift, oneWayMs, () => restarted);
    judge.told(p1, first);
    const judged = (): void => judge.told(p1, { logTime, term, from: 10_000, to: 10_010, written });
    if (problem === undefined) expect(judged).not.toThrow();
    else expect(judged).toThrow(problem);
  });

  test('never makes up for what it has lost: that keys were given their ends by', () => {
    const judge = new LogClockJudge(0, oneWayMs, () => true);
    judge.told(p1, first);
    judge.told(p1, { logTime: 2000, term, from: 10_000, to: 10_010, written });
    judge.told(p1, { logTime: 3000, term, from: 11_000, to: 11_010, written });
    const madeUp = (): void => judge.told(p1, { logTime: 12_500, term, from: 11_500, to: 11_510, written });
    expect(madeUp).toThrow('went ahead');
  });

  test('may lose at each change of leader what a message takes, and no more', () => {
    const judge = new LogClockJudge(0, oneWayMs, () => false);
    judge.told(p1, first);
    const told = (logTime: number) => (): void =>
      judge.told(p1, { logTime, term: term + 2, from: 10_000, to: 10_010, written });
    expect(told(9_800)).not.toThrow();
    expect(told(9_600)).toThrow('fell behind');
  });

  test('begins with the first write: a read before it says nothing', () => {
    const judge = new LogClockJudge(0, oneWayMs, () => false);
    judge.told(p1, { ...first, logTime: 5_000_000, written: false });
    judge.told(p1, first);
    expect(() => judge.told(p1, { logTime: 11_000, term, from: 10_000, to: 10_010, written })).not.toThrow();
  });
});
