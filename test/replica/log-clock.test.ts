/** Log time goes on by monotonic time from what was heard, applied or stored; a wall clock counts only where nobody knows anything. */
import { describe, expect, test } from 'vitest';
import { encodeCommand, stampCommand } from '../../src/kv/command.ts';
import { unconditional } from '../../src/kv/types.ts';
import { EntryKind, type Entry, type LogIndex, type Term } from '../../src/raft/types.ts';
import type { Clock } from '../../src/replica/ports.ts';
import { LogClock, type TermTime } from '../../src/replica/log-clock.ts';

const wall = 9_000_000;

function at(timeTerm: number, logTime: number): TermTime {
  return { timeTerm: timeTerm as Term, logTime };
}

interface Time {
  now: number;
}

function clockWith(known: TermTime, time: Time = { now: 5 }): LogClock {
  const clock: Clock = { monotonicMs: () => time.now, wallMs: () => wall, after: () => () => undefined };
  return new LogClock(clock, known);
}

const unknown = at(0, 0);

function entry(term: number, logTime: number, kind: Entry['kind'] = EntryKind.command): Entry {
  const key = Buffer.from('a');
  const body = encodeCommand({ type: 'delete', key, conditions: unconditional });
  stampCommand(body, { logTime, rangeEpoch: 1, incarnation: 1 });
  return { index: 1 as LogIndex, term: term as Term, kind, body };
}

describe('a replica that knows nothing', () => {
  test('begins at wall time if it leads, and goes on by monotonic time', () => {
    const time = { now: 5 };
    const clock = clockWith(unknown, time);
    expect(clock.reading()).toEqual(at(0, 0));
    expect(clock.now()).toBe(wall);
    time.now = 15;
    expect(clock.now()).toBe(wall + 10);
  });

  test('takes over what it hears first, though its wall clock is hours ahead', () => {
    const time = { now: 5 };
    const clock = clockWith(unknown, time);
    clock.follow(at(0, 0));
    clock.follow(at(3, 1000));
    time.now = 25;
    expect(clock.reading()).toEqual(at(3, 1020));
  });

  test('learns it from what is stored and not applied; a no-op does not tell it', () => {
    const clock = clockWith(unknown);
    clock.stored([entry(2, 7777, EntryKind.noop), entry(2, 1000), entry(2, 1200), entry(2, 1100)]);
    expect(clock.reading()).toEqual(at(2, 1200));
  });
});

describe('what is heard', () => {
  test('counts within a term when it is later', () => {
    const clock = clockWith(at(2, 2000));
    clock.follow(at(2, 1000));
    expect(clock.now()).toBe(2000);
    clock.follow(at(2, 2500));
    expect(clock.now()).toBe(2500);
  });

  test('counts of a later term though it is earlier: keys were given their ends by it', () => {
    const clock = clockWith(at(2, 1000));
    clock.follow(at(2, 5000));
    clock.follow(at(3, 3000));
    expect(clock.reading()).toEqual(at(3, 3000));
    clock.follow(at(2, 9000));
    expect(clock.now()).toBe(3000);
    clock.stored([entry(2, 9000), entry(4, 2000)]);
    expect(clock.reading()).toEqual(at(4, 2000));
  });

  test('never goes below what was applied', () => {
    const clock = clockWith(at(2, 1000));
    clock.applied(at(2, 4000));
    clock.follow(at(3, 3000));
    expect(clock.reading()).toEqual(at(3, 4000));
    clock.applied(at(2, 4500));
    expect(clock.reading()).toEqual(at(3, 4500));
  });

  test('is of no weight to who leads in a later term', () => {
    const clock = clockWith(at(2, 1000));
    clock.lead(5 as Term);
    clock.follow(at(4, 8000));
    expect(clock.reading()).toEqual(at(5, 1000));
  });
});
