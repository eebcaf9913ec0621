/** Where a log is compacted, and what is known of its bytes, against a model that knows the size of each entry. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EntryKind, type Entry, type LogIndex, type Term } from '../../src/raft/types.ts';
import { compactionPoint, type CompactionView } from '../../src/replica/compaction.ts';
import { entryOverheadBytes, LogSizes } from '../../src/replica/log-sizes.ts';

const at = (index: number) => index as LogIndex;

function entry(index: number, bodyBytes: number): Entry {
  return { index: at(index), term: 1 as Term, kind: EntryKind.command, body: new Uint8Array(bodyBytes) };
}

const nothing = { install: undefined, truncateFrom: undefined, entries: [], compactThrough: undefined };

/** A log of entries from 1 on, each with a record of `bytes`. */
function logOf(entries: number, bytes = 100): LogSizes {
  const log = new LogSizes({ firstIndex: at(1), lastIndex: at(0), bytes: 0 });
  log.written({
    ...nothing,
    entries: Array.from({ length: entries }, (_, i) => entry(i + 1, bytes - entryOverheadBytes)),
  });
  return log;
}

const KiB = 1024;
/** No question is answered further off than the bytes between two marks, and the entry that crosses. */
const markBytes = 64 * KiB;

type Step =
  | { readonly type: 'append'; readonly bodies: readonly number[] }
  | { readonly type: 'truncate' | 'compact'; readonly part: number }
  | { readonly type: 'install'; readonly ahead: number };

const bodies = fc.oneof(
  fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 600, size: 'max' }),
  fc.array(fc.integer({ min: 0, max: 20 * KiB }), { maxLength: 30 }),
  fc.array(fc.integer({ min: 60 * KiB, max: 200 * KiB }), { maxLength: 3 }),
);
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('append' as const), bodies }) },
  fc.record({
    type: fc.constantFrom('truncate' as const, 'compact' as const),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('install' as const), ahead: fc.integer({ min: 0, max: 500 }) }),
  },
);

/** Knows every entry's bytes. */
class SlowLog {
  firstIndex = 1;
  sizes: number[] = [];

  get lastIndex(): number {
    return this.firstIndex + this.sizes.length - 1;
  }

  bytesThrough(index: number): number {
    return this.sizes.slice(0, Math.max(0, index - this.firstIndex + 1)).reduce((a, b) => a + b, 0);
  }

  bytesFrom(index: number): number {
    return this.bytesThrough(this.lastIndex) - this.bytesThrough(index - 1);
  }

  /** Does the step here and there. */
  take(step: Step, log: LogSizes): void {
    const within = (part: number) => this.firstIndex + Math.floor(part * this.sizes.length);
    switch (step.type) {
      case 'append': {
        const entries = step.bodies.map((bytes, i) => entry(this.lastIndex + 1 + i, bytes));
        this.sizes.push(...step.bodies.map((bytes) => bytes + entryOverheadBytes));
        return log.written({ ...nothing, entries });
      }
      case 'truncate': {
        const truncateFrom = at(within(step.part));
        this.sizes.length = truncateFrom - this.firstIndex;
        return log.written({ ...nothing, truncateFrom });
      }
      case 'compact': {
        const compactThrough = at(Math.min(within(step.part), this.lastIndex));
        this.sizes.splice(0, compactThrough - this.firstIndex + 1);
        this.firstIndex = compactThrough + 1;
        return log.written({ ...nothing, compactThrough });
      }
      case 'install': {
        const index = at(this.lastIndex + step.ahead);
        this.sizes = [];
        this.firstIndex = index + 1;
        return log.written({ ...nothing, install: { index, term: 1 as Term } });
      }
    }
  }
}

describe('the sizes of a log', () => {
  it('are known to within the bytes between two marks, whatever was appended, truncated, compacted and installed', () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 25 }), fc.double({ min: 0, max: 1.2, noNaN: true }), (script, part) => {
        const log = new LogSizes({ firstIndex: at(1), lastIndex: at(0), bytes: 0 });
        const slow = new SlowLog();
        // Each truncation and compaction may cut between two marks, and so be off by as much once.
        let slack = 2 * markBytes;
        for (const step of script) {
          slow.take(step, log);
          if (step.type === 'truncate' || step.type === 'compact') slack += 2 * markBytes;
          expect([log.firstIndex(), log.lastIndex()]).toEqual([slow.firstIndex, slow.lastIndex]);
          expect(Math.abs(log.bytes() - slow.bytesFrom(slow.firstIndex))).toBeLessThanOrEqual(slack);
          const bytesMax = Math.floor(log.bytes() * part);
          const first = log.firstOfNewest(bytesMax);
          expect(first).toBeGreaterThanOrEqual(slow.firstIndex);
          expect(first).toBeLessThanOrEqual(slow.lastIndex + 1);
          expect(slow.bytesFrom(first)).toBeLessThanOrEqual(bytesMax + slack);
          if (first > slow.firstIndex) expect(slow.bytesFrom(first - 1)).toBeGreaterThan(bytesMax - slack);
          // By its own account it is exact.
          const own = (from: number) => log.bytes() - log.bytesThrough(at(from - 1));
          expect(own(first)).toBeLessThanOrEqual(bytesMax + 1e-3);
          if (first > slow.firstIndex) expect(own(first - 1)).toBeGreaterThan(bytesMax - 1e-3);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('tell large entries from small ones, wherever they stand', () => {
    const log = logOf(1000);
    log.written({ ...nothing, entries: Array.from({ length: 1000 }, (_, i) => entry(1001 + i, 10 * KiB)) });
    expect(Math.abs(log.bytesThrough(at(1000)) - 100_000)).toBeLessThan(markBytes);
    expect(Math.abs(log.firstOfNewest(1000 * (10 * KiB + entryOverheadBytes)) - 1001)).toBeLessThan(256);
  });

  it('do not smear a large entry over small ones', () => {
    const log = logOf(100);
    log.written({ ...nothing, entries: [entry(101, 1024 * KiB)] });
    expect(log.bytesThrough(at(50))).toBe(5000);
    expect(log.firstOfNewest(1100 * KiB)).toBe(1);
    expect(log.firstOfNewest(1024 * KiB + entryOverheadBytes)).toBe(101);
    expect(log.firstOfNewest(1024 * KiB)).toBe(102);
  });

  it('that were found at start are spread evenly, and never nothing', () => {
    const found = new LogSizes({ firstIndex: at(11), lastIndex: at(110), bytes: 10_000 });
    expect([found.bytes(), found.bytesThrough(at(60)), found.firstOfNewest(2500)]).toEqual([10_000, 5000, 86]);
    expect(new LogSizes({ firstIndex: at(1), lastIndex: at(100), bytes: 0 }).bytes()).toBe(100 * entryOverheadBytes);
    expect(new LogSizes({ firstIndex: at(5), lastIndex: at(4), bytes: 77 }).bytes()).toBe(0);
  });

  it('truncate, append and compact within one write, in that order', () => {
    const log = logOf(10);
    const written = { truncateFrom: at(8), entries: [entry(8, 68), entry(9, 968)], compactThrough: at(8) };
    log.written({ install: undefined, ...written });
    expect([log.firstIndex(), log.lastIndex()]).toEqual([9, 9]);
    log.written({ ...nothing, install: { index: at(50), term: 2 as Term }, entries: [entry(51, 68)] });
    expect([log.firstIndex(), log.lastIndex(), log.bytes()]).toEqual([51, 51, 100]);
  });
});

const limits = { logKeepEntries: 100, logKeepBytes: 20_000, logBytesMax: 80_000, compactEntriesMin: 10 };
const alone = (log: LogSizes): CompactionView => ({
  log,
  durableAppliedIndex: log.lastIndex(),
  followers: [],
  pinnedIndex: undefined,
});
const follower = (matchIndex: number, change: object = {}) => ({
  matchIndex: at(matchIndex),
  recentlyActive: true,
  state: 'replicate' as const,
  ...change,
});

describe('a log is compacted', () => {
  it('to the newest entries that are kept, in steps', () => {
    expect(compactionPoint(alone(logOf(109)), limits)).toBeUndefined();
    expect(compactionPoint(alone(logOf(110)), limits)).toBe(10);
  });

  it('to the newest bytes that are kept, in steps of an eighth', () => {
    const few = { ...limits, compactEntriesMin: 1000 };
    expect(compactionPoint(alone(logOf(22, 1000)), few)).toBeUndefined();
    expect(compactionPoint(alone(logOf(23, 1000)), few)).toBe(3);
  });

  it('never beyond what is durable in the state, nor the last entry', () => {
    const log = logOf(300);
    expect(compactionPoint({ ...alone(log), durableAppliedIndex: at(50) }, limits)).toBe(50);
    expect(compactionPoint({ ...alone(log), durableAppliedIndex: at(0) }, limits)).toBeUndefined();
    expect(compactionPoint(alone(logOf(2, 100_000)), { ...limits, logKeepEntries: 1, compactEntriesMin: 1 })).toBe(1);
    expect(compactionPoint(alone(logOf(1, 100_000)), { ...limits, compactEntriesMin: 1 })).toBeUndefined();
  });

  it('later for a follower that is there and lags, and for a snapshot under way, but only so far', () => {
    const view = alone(logOf(500));
    expect(compactionPoint({ ...view, followers: [follower(499), follower(30)] }, limits)).toBe(30);
    expect(compactionPoint({ ...view, followers: [follower(30, { recentlyActive: false })] }, limits)).toBe(400);
    expect(compactionPoint({ ...view, followers: [follower(30, { state: 'snapshot' })] }, limits)).toBe(400);
    expect(compactionPoint({ ...view, pinnedIndex: at(40) }, limits)).toBe(40);
    expect(compactionPoint({ ...view, followers: [follower(30)], pinnedIndex: at(20) }, limits)).toBe(20);
    const long = alone(logOf(1000));
    expect(compactionPoint({ ...long, followers: [follower(0, { state: 'probe' })] }, limits)).toBe(200);
    expect(compactionPoint({ ...long, pinnedIndex: at(40) }, limits)).toBe(200);
  });

  it('as its rules say, for any log', () => {
    const scene = fc.record({
      bodies: fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 0, maxLength: 120, size: 'max' }),
      durable: fc.integer({ min: 0, max: 120 }),
      match: fc.array(
        fc.record({ at: fc.integer({ min: 0, max: 120 }), active: fc.boolean(), snapshot: fc.boolean() }),
      ),
      pinned: fc.option(fc.integer({ min: 0, max: 120 }), { nil: undefined }),
      limits: fc.record({
        logKeepEntries: fc.integer({ min: 1, max: 120 }),
        logKeepBytes: fc.integer({ min: 1, max: 120_000 }),
        logBytesMax: fc.integer({ min: 1, max: 200_000 }),
        compactEntriesMin: fc.integer({ min: 1, max: 60 }),
      }),
    });
    fc.assert(
      fc.property(scene, ({ bodies: sizes, durable, match, pinned, limits: some }) => {
        const log = new LogSizes({ firstIndex: at(1), lastIndex: at(0), bytes: 0 });
        log.written({ ...nothing, entries: sizes.map((bytes, i) => entry(i + 1, bytes)) });
        const last = sizes.length;
        const followers = match.map(({ at: index, active, snapshot }) => ({
          matchIndex: at(Math.min(index, last)),
          recentlyActive: active,
          state: snapshot ? ('snapshot' as const) : ('replicate' as const),
        }));
        const durableAppliedIndex = at(Math.min(durable, last));
        const pinnedIndex = pinned === undefined ? undefined : at(Math.min(pinned, last));
        const through = compactionPoint({ log, durableAppliedIndex, followers, pinnedIndex }, some);
        // Slowly: an entry may go when nothing keeps it; the front goes as long as each entry may.
        const newest = (index: number) => log.bytes() - log.bytesThrough(at(index - 1));
        const wanted = (index: number) =>
          (pinnedIndex !== undefined && index > pinnedIndex) ||
          followers.some((one) => one.recentlyActive && one.state !== 'snapshot' && index > one.matchIndex);
        const kept = (index: number) =>
          index > durableAppliedIndex ||
          index === last ||
          (index > last - some.logKeepEntries && newest(index) <= some.logKeepBytes) ||
          (wanted(index) && newest(index) <= some.logBytesMax);
        let possible = 0;
        while (possible < last && !kept(possible + 1)) possible += 1;
        if (through !== undefined) expect(through).toBe(possible);
        else {
          expect(possible).toBeLessThan(some.compactEntriesMin);
          const bytesMax = Math.max(some.logBytesMax, some.logKeepBytes);
          expect(log.bytesThrough(at(possible))).toBeLessThan(Math.max(1, bytesMax / 8));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
