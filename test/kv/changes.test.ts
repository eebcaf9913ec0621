/** What entries changed is told again from their bytes and what was kept of them: the same as when they were applied, whatever they were. */
import { describe, expect, test } from 'vitest';
import { changesOf, changesToKeep, type Change } from '../../src/kv/changes.ts';
import { encodeCommand, stampCommand } from '../../src/kv/command.ts';
import { unconditional, type Command, type Conditions, type Operation, type StateEvent } from '../../src/kv/types.ts';
import { Random } from '../../src/sim/random.ts';
import { named, Partition } from './partition.ts';

const bytes = (text: string): Buffer => Buffer.from(text);
const put = (key: string, value: string, conditions = unconditional, ttlMs = 0) =>
  ({ type: 'put', key: bytes(key), value: bytes(value), contentType: '', ttlMs, conditions }) as const;
const remove = (key: string, conditions = unconditional) => ({ type: 'delete', key: bytes(key), conditions }) as const;
const absent: Conditions = { match: undefined, noneMatch: 'any' };

/** As the watcher of the first moment heard them. */
function asChanges(events: readonly StateEvent[], incarnation: number, revision: number): string[] {
  return events.map((event) =>
    event.type === 'put'
      ? words({ ...event, ...event.record })
      : words({ type: event.type, key: event.key, revision, incarnation }),
  );
}

function words(change: Change): string {
  const { type, key, revision, incarnation } = change;
  const what = change.type === 'put' ? ` ${Buffer.from(change.value).toString()} (${change.contentType})` : '';
  return `${type} ${Buffer.from(key).toString()}${what} at ${incarnation}-${revision}`;
}

interface Told {
  readonly kept: Uint8Array | undefined;
  readonly before: readonly string[];
  readonly again: readonly string[];
}

function apply(partition: Partition, command: Command, when: Parameters<Partition['apply']>[1] = {}): Told {
  const { events, state } = partition.apply(command, when);
  const kept = changesToKeep(command, events);
  const body = encodeCommand(command, when.dedup);
  const { logTime = 1000, rangeEpoch = 1, incarnation = 1 } = when;
  stampCommand(body, { logTime, rangeEpoch, incarnation });
  const index = state.appliedIndex;
  const again = changesOf({ index, body }, kept);
  const [first] = again;
  return { kept, before: asChanges(events, incarnation, first?.revision ?? 0), again: again.map(words) };
}

describe('nothing is kept of an entry that did all that it says', () => {
  const partition = new Partition();
  test.each<[string, Command]>([
    ['a put', put('a', 'one')],
    ['a put on a condition', put('b', 'one', absent)],
    ['a delete', remove('a')],
    [
      'a batch',
      {
        type: 'batch',
        items: [put('c', '1'), put('d', '2'), put('c', '3')].map((operation) => ({ operation, dedup: undefined })),
      },
    ],
    [
      'a transaction',
      { type: 'transaction', compare: [], then: [put('e', '1'), remove('d')], otherwise: [put('e', '2')] },
    ],
  ])('%s', (_, command) => {
    const { kept, before, again } = apply(partition, command);
    expect(kept).toBeUndefined();
    expect(again).toEqual(before);
    expect(again.length).toBeGreaterThan(0);
  });
});

describe('what an entry did not do is kept', () => {
  test.each<[string, Command, readonly string[]]>([
    ['a condition that does not hold', put('a', 'two', absent), []],
    ['a key that is not there', remove('none'), []],
    [
      'a transaction that goes the other way',
      {
        type: 'transaction',
        compare: [{ key: bytes('a'), exists: false, revision: undefined, version: undefined, value: undefined }],
        then: [put('a', '1')],
        otherwise: [put('b', '2')],
      },
      ['put b 2 () at 1-2'],
    ],
    [
      'half of a batch',
      {
        type: 'batch',
        items: [put('a', 'x', absent), put('z', 'y')].map((operation) => ({ operation, dedup: undefined })),
      },
      ['put z y () at 1-2'],
    ],
  ])('%s', (_, command, changes) => {
    const partition = new Partition();
    apply(partition, put('a', 'one'));
    const { kept, before, again } = apply(partition, command);
    expect(kept).toBeDefined();
    expect(again).toEqual(changes);
    expect(before.length).toBe(changes.length);
  });

  test('a key that was due when it was touched, and comes again', () => {
    const partition = new Partition();
    apply(partition, put('a', 'one', unconditional, 10));
    const { again } = apply(partition, put('a', 'two', absent), { logTime: 2000 });
    expect(again).toEqual(['expire a at 1-2', 'put a two () at 1-2']);
  });

  test('a repeat, and a command for another range', () => {
    const partition = new Partition();
    const dedup = named('one');
    expect(apply(partition, put('a', 'one'), { dedup }).again).toHaveLength(1);
    expect(apply(partition, put('a', 'one'), { dedup }).again).toEqual([]);
    expect(apply(partition, put('a', 'two'), { rangeEpoch: 7 }).again).toEqual([]);
  });
});

test('any entries at all: told again as they were told first', () => {
  const random = new Random(1, 'changes');
  const partition = new Partition();
  let logTime = 1000;
  let kept = 0;
  const key = (): string => random.pick(['a', 'b', 'c', 'd']);
  const operation = (): Operation => {
    const conditions = random.chance(0.3)
      ? random.pick<Conditions>([absent, { match: 'any', noneMatch: undefined }])
      : unconditional;
    if (random.chance(0.2)) return { type: 'get', key: bytes(key()) };
    if (random.chance(0.3)) return remove(key(), conditions);
    return {
      ...put(key(), `${random.whole(1, 3)}`, conditions, random.chance(0.4) ? random.whole(1, 50) : 0),
      contentType: random.pick(['', 'text/plain']),
    };
  };
  const operations = (): Operation[] => Array.from({ length: random.whole(1, 5) }, operation);
  const command = (): Command => {
    if (random.chance(0.2))
      return {
        type: 'batch',
        items: operations().map((one, at) => ({
          operation: one,
          dedup: random.chance(0.3) ? named(`item-${at}-${random.whole(1, 20)}`) : undefined,
        })),
      };
    if (random.chance(0.3)) {
      const compare = [
        { key: bytes(key()), exists: random.chance(0.5), revision: undefined, version: undefined, value: undefined },
      ];
      return { type: 'transaction', compare, then: operations(), otherwise: operations() };
    }
    if (random.chance(0.2)) {
      const expire = [...partition.records].map(([name, { revision, incarnation }]) => ({
        key: bytes(name),
        version: { revision, incarnation },
      }));
      return { type: 'sweep', expire, forget: [] };
    }
    for (;;) {
      const one = operation();
      if (one.type !== 'get') return one;
    }
  };
  for (let step = 0; step < 5000; step += 1) {
    logTime += random.whole(0, 10);
    const told = apply(partition, command(), { logTime, incarnation: step < 2500 ? 1 : 2 });
    expect(told.again).toEqual(told.before);
    if (told.kept !== undefined) kept += 1;
  }
  expect(kept).toBeGreaterThan(1000);
  expect(kept).toBeLessThan(4500);
});
