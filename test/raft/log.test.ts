/** The log: newest entries in memory, older ones from the disk, and no way to tell from outside. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RaftLog } from '../../src/raft/log.ts';
import { at, command, entriesOfTerms, inTerm, MemoryDisk } from './member.ts';

const terms = [1, 1, 2, 2, 2, 5];

/** The same log, with everything up to `stored` on disk and the rest in memory. */
function logOf(stored: number, cacheBytesMax = 1 << 20): { log: RaftLog; disk: MemoryDisk } {
  const entries = entriesOfTerms(terms);
  const disk = new MemoryDisk({ entries: entries.slice(0, stored) });
  const log = new RaftLog(disk, cacheBytesMax);
  for (const entry of entries.slice(stored)) log.append(entry);
  return { log, disk };
}

describe.each([0, 3, 6])('with %i of six entries on disk', (stored) => {
  test('it knows its end and every term', () => {
    const { log } = logOf(stored);
    expect([log.firstIndex, log.lastIndex, log.lastTerm]).toEqual([1, 6, 5]);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((index) => log.term(at(index)))).toEqual([0, ...terms, undefined]);
  });

  test('it reads any range, in as many pieces as it takes', () => {
    const { log } = logOf(stored);
    for (let from = 1; from <= 6; from++) {
      const read = [];
      for (let next = from; next <= 6; next = from + read.length) {
        read.push(...log.entries(at(next), at(6), Infinity));
      }
      expect(read).toEqual(entriesOfTerms(terms).slice(from - 1));
    }
  });

  test('a bound on bytes is kept, but one entry always comes', () => {
    const { log } = logOf(stored);
    expect(log.entries(at(4), at(6), 8)).toEqual(entriesOfTerms(terms).slice(3, 5));
    expect(log.entries(at(4), at(6), 7)).toEqual(entriesOfTerms(terms).slice(3, 4));
    expect(log.entries(at(4), at(6), 0)).toEqual(entriesOfTerms(terms).slice(3, 4));
  });

  test('truncated and appended to, it shows the new entries and not what the disk still has', () => {
    const { log } = logOf(stored);
    log.truncateFrom(at(3));
    expect([log.lastIndex, log.lastTerm, log.term(at(3))]).toEqual([2, 1, undefined]);
    log.append(command({ index: 3, term: 7 }));
    expect(log.entries(at(3), at(3), Infinity)).toEqual([command({ index: 3, term: 7 })]);
    expect([log.lastIndex, log.lastTerm]).toEqual([3, 7]);
  });

  test('another log is up to date by the term of its last entry first, then by its length (5.4.1)', () => {
    const { log } = logOf(stored);
    const isUpToDate = (index: number, term: number) => log.isUpToDate({ index: at(index), term: inTerm(term) });
    expect([isUpToDate(1, 6), isUpToDate(6, 5), isUpToDate(7, 5)]).toEqual([true, true, true]);
    expect([isUpToDate(5, 5), isUpToDate(100, 4)]).toEqual([false, false]);
  });
});

test('gaps and falling terms are bugs', () => {
  const { log } = logOf(3);
  expect(() => log.append(command({ index: 8, term: 9 }))).toThrow('without a gap');
  expect(() => log.append(command({ index: 7, term: 4 }))).toThrow('terms never fall');
  expect(() => log.truncateFrom(at(7))).toThrow('no entry 7');
});

describe('eviction', () => {
  test('lets go of the oldest named entries only above the bound, and reads them from disk afterwards', () => {
    const entries = entriesOfTerms(terms);
    const disk = new MemoryDisk();
    const log = new RaftLog(disk, 400);
    for (const entry of entries) log.append(entry);
    disk.write({
      sequence: 1,
      hardState: undefined,
      install: undefined,
      compactThrough: undefined,
      truncateFrom: undefined,
      entries,
      messagesAfterPersist: [],
    });
    log.evict(at(4));
    expect(() => log.bodyBytes(at(4), at(4))).toThrow('in memory');
    expect(log.bodyBytes(at(5), at(6))).toBe(8);
    expect(log.entries(at(2), at(6), Infinity)).toEqual(entries.slice(1, 4));
    expect(log.term(at(2))).toBe(1);
  });

  test('does nothing within the bound, nor to what it may not touch', () => {
    const roomy = new RaftLog(new MemoryDisk(), 1 << 20);
    const tight = new RaftLog(new MemoryDisk(), 0);
    for (const entry of entriesOfTerms(terms)) {
      roomy.append(entry);
      tight.append(entry);
    }
    roomy.evict(at(6));
    tight.evict(at(0));
    expect([roomy.bodyBytes(at(1), at(6)), tight.bodyBytes(at(1), at(6))]).toEqual([24, 24]);
  });
});

test('a compacted log still knows the term before its first entry, and nothing below', () => {
  const disk = new MemoryDisk({ entries: entriesOfTerms(terms) });
  disk.compactTo(4);
  const log = new RaftLog(disk, 0);
  expect([log.firstIndex, log.term(at(3)), log.term(at(4)), log.term(at(5))]).toEqual([5, undefined, 2, 2]);
});

test('a log compacted to its very end goes on from there', () => {
  const disk = new MemoryDisk({ entries: entriesOfTerms(terms) });
  disk.compactTo(6);
  const log = new RaftLog(disk, 0);
  expect([log.lastIndex, log.lastTerm]).toEqual([6, 5]);
  log.append(command({ index: 7, term: 5 }));
  expect(log.lastIndex).toBe(7);
});

test('fast back-up finds the last place within bounds whose term is not above the one asked for', () => {
  const ascending = fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }).map((steps) => {
    let term = 1;
    return steps.map((step) => (term += step));
  });
  fc.assert(
    fc.property(ascending, fc.nat(22), fc.nat(70), fc.nat(20), fc.nat(20), (logTerms, high, term, low, stored) => {
      const entries = entriesOfTerms(logTerms);
      const log = new RaftLog(new MemoryDisk({ entries: entries.slice(0, stored) }), 0);
      for (const entry of entries.slice(stored)) log.append(entry);
      const floor = Math.min(low, logTerms.length);
      let expected = Math.max(floor, Math.min(high, logTerms.length));
      while (expected > floor && (logTerms[expected - 1] as number) > term) expected--;
      expect(log.lastIndexUpToTerm(at(high), inTerm(term), at(floor))).toBe(expected);
    }),
  );
});
