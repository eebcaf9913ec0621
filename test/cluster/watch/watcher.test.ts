/** What one watcher is told of what happens, and from where it can go on. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCursor, type Positions, type WatchTarget } from '../../../src/cluster/watch/cursor.ts';
import { Watcher } from '../../../src/cluster/watch/watcher.ts';
import type { Change } from '../../../src/kv/changes.ts';
import type { EntryChanges } from '../../../src/replica/change-log.ts';
import type { PartitionId } from '../../../src/replica/ports.ts';

const [one, two] = [1, 2] as PartitionId[] as [PartitionId, PartitionId];
const incarnation = 1;
const everything: WatchTarget = { type: 'prefix', bytes: Buffer.alloc(0) };
const at = (index: number, done = 0): { incarnation: number; index: number; done: number } => ({
  incarnation,
  index,
  done,
});

interface Told {
  readonly what: string;
  readonly cursor: string;
}

function watch(target: WatchTarget, positions: Positions): { readonly watcher: Watcher; readonly told: Told[] } {
  const told: Told[] = [];
  const sink = {
    event: (change: Change, partition: PartitionId, cursor: string): void => {
      const key = Buffer.from(change.key).toString();
      told.push({ what: `${partition}: ${change.type} ${key} @${change.revision}`, cursor });
    },
    bookmark: (): void => undefined,
    end: (): void => undefined,
    queuedBytes: (): number => 0,
    drained: (): Promise<void> => Promise.resolve(),
  };
  return { watcher: new Watcher({ target, positions, cluster: 7, sink, nowMs: 0 }), told };
}

function entry(index: number, ...keys: string[]): EntryChanges {
  const version = { revision: index, incarnation };
  return { index, changes: keys.map((key) => ({ type: 'delete', key: Buffer.from(key), ...version })) };
}

const through = (index: number): { incarnation: number; index: number } => ({ incarnation, index });
const whats = (told: readonly Told[]): string[] => told.map(({ what }) => what);

describe('a watcher', () => {
  const entries = [entry(3, 'a', 'ab', 'b'), entry(4, 'abc'), entry(6, 'A', '', 'ab')];

  test.each<[WatchTarget['type'], string, string[]]>([
    ['prefix', '', ['a@3', 'ab@3', 'b@3', 'abc@4', 'A@6', '@6', 'ab@6']],
    ['prefix', 'ab', ['ab@3', 'abc@4', 'ab@6']],
    ['prefix', 'abcd', []],
    ['key', 'ab', ['ab@3', 'ab@6']],
    ['key', 'b', ['b@3']],
    ['key', 'c', []],
  ])('of the %s %j hears of what concerns it, and is further on whatever it was', (type, text, expected) => {
    const { watcher, told } = watch({ type, bytes: Buffer.from(text) }, new Map([[one, at(2)]]));
    watcher.tell(one, entries, through(9));
    expect(whats(told)).toEqual(expected.map((what) => `1: delete ${what.replace('@', ' @')}`));
    expect(watcher.at(one)).toMatchObject(through(9));
  });

  test('compares bytes, not characters', () => {
    const { watcher, told } = watch({ type: 'prefix', bytes: Buffer.from([0xc3]) }, new Map([[one, at(0)]]));
    watcher.tell(one, [entry(1, 'ü', 'u', 'ó', '🚢')], through(1));
    expect(whats(told)).toEqual(['1: delete ü @1', '1: delete ó @1']);
  });

  test('has a cursor behind each change of an entry, and behind the last one nothing of it is left', () => {
    const { watcher, told } = watch(everything, new Map([[one, at(2)], [two, at(7)]])); // prettier-ignore
    watcher.tell(one, [entry(3, 'a', 'b', 'c'), entry(5, 'd')], through(5));
    const places = told.map(({ cursor }) => placesOf(everything, cursor));
    expect(places).toEqual([at(2, 1), at(2, 2), at(3), at(5)].map((place) => new Map([[one, place], [two, at(7)]]))); // prettier-ignore
  });

  test('that looks for one key of an entry goes on behind it, not behind the entry', () => {
    const target: WatchTarget = { type: 'key', bytes: Buffer.from('b') };
    const { watcher, told } = watch(target, new Map([[one, at(2)]]));
    watcher.tell(one, [entry(3, 'a', 'b', 'c')], through(3));
    expect(told.map(({ cursor }) => placesOf(target, cursor))).toEqual([new Map([[one, at(2, 2)]])]);
    expect(placesOf(target, watcher.cursor())).toEqual(new Map([[one, at(3)]]));
  });

  test('is told nothing twice, and never goes back', () => {
    const { watcher, told } = watch(everything, new Map([[one, at(4)]]));
    watcher.tell(one, entries, through(6));
    watcher.tell(one, entries, through(6));
    watcher.tell(one, [], through(5));
    expect(whats(told)).toEqual(['1: delete A @6', '1: delete  @6', '1: delete ab @6']);
    expect(watcher.at(one)).toMatchObject(through(6));
  });

  test('ends once', () => {
    const ends: string[] = [];
    const sink = { ...watch(everything, new Map()).watcher.sink, end: ({ type }: { type: string }) => ends.push(type) };
    const watcher = new Watcher({ target: everything, positions: new Map(), cluster: 7, sink, nowMs: 0 });
    watcher.end({ type: 'shutting_down' });
    watcher.end({ type: 'too_old', detail: 'late' });
    expect([ends, watcher.ended]).toEqual([['shutting_down'], true]);
  });
});

/** Entries of two partitions, and how they were read: some entries at a time, now of one and now of the other. */
const history = fc
  .array(
    fc.record({
      partition: fc.constantFrom(one, two),
      gap: fc.nat(2),
      keys: fc.array(fc.constantFrom('a', 'ab', 'b', 'ba'), { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((steps) => {
    const last = new Map<PartitionId, number>();
    return steps.map(({ partition, gap, keys }) => {
      const index = (last.get(partition) ?? 0) + 1 + gap;
      last.set(partition, index);
      return { partition, entries: keys.length === 0 ? [] : [entry(index, ...keys)], through: through(index) };
    });
  });
const targets = fc.constantFrom<WatchTarget>(
  everything,
  { type: 'prefix', bytes: Buffer.from('a') },
  { type: 'key', bytes: Buffer.from('b') },
);

test('whoever is cut off behind any change, and goes on from its cursor, has heard everything once', () => {
  fc.assert(
    fc.property(history, targets, (pages, target) => {
      const beginning = new Map([[one, at(0)], [two, at(0)]]); // prettier-ignore
      const tellAll = (from: Positions): Told[] => {
        const { watcher, told } = watch(target, from);
        for (const page of pages) watcher.tell(page.partition, page.entries, page.through);
        return told;
      };
      const whole = tellAll(beginning);
      const expected = pages.flatMap(({ partition, entries }) =>
        entries.flatMap(({ index, changes }) =>
          changes
            .map(({ key }) => Buffer.from(key).toString())
            .filter((key) => key.startsWith(target.bytes.toString()) && (target.type === 'prefix' || key === 'b'))
            .map((key) => `${partition}: delete ${key} @${index}`),
        ),
      );
      expect(whats(whole)).toEqual(expected);
      for (const [cut, { cursor }] of whole.entries()) {
        const from = placesOf(target, cursor);
        expect([...whats(whole.slice(0, cut + 1)), ...whats(tellAll(from))]).toEqual(expected);
      }
    }),
  );
});

function placesOf(target: WatchTarget, cursor: string): Positions {
  const parsed = parseCursor(target, cursor);
  if (typeof parsed === 'string') throw new Error(`${cursor} is ${parsed}`);
  expect(parsed.cluster).toBe(7);
  return parsed.positions;
}
