/** What one committed entry does to a partition. */
import { beforeEach, describe, expect, test } from 'vitest';
import { CommandFormatError } from '../../src/kv/command.ts';
import { applyCommand, applyNoop, emptyMachineState, transactionReadBytesMax } from '../../src/kv/machine.ts';
import type { Comparison, Operation } from '../../src/kv/types.ts';
import { del, get, incarnation, match, named, Partition, put } from './partition.ts';

let partition: Partition;

beforeEach(() => {
  partition = new Partition();
});

const result = (...args: Parameters<Partition['apply']>) => partition.apply(...args).result;
const putAt = (revision: number, created: boolean, expiresAt = 0) => ({
  type: 'put',
  revision,
  incarnation,
  created,
  expiresAt,
});
const failed = (revision: number) => ({ type: 'condition_failed', current: { incarnation, revision } });
const absent = { type: 'condition_failed', current: undefined };

describe('put', () => {
  test('creates, then replaces; the revision is the index of the entry', () => {
    const key = Buffer.from('a');
    const record = { value: Buffer.from('one'), contentType: 'text/plain', revision: 1, incarnation, expiresAt: 0 };
    expect(partition.apply(put('a', 'one'))).toEqual({
      writes: [{ type: 'put', key, record, expiresBefore: 0 }],
      result: putAt(1, true),
      replayed: false,
      events: [{ type: 'put', key, record }],
      state: { ...emptyMachineState, appliedIndex: 1, appliedTerm: 2, logTime: 1000, keys: 1, bytes: 4 },
    });
    expect(result(put('a', 'four'))).toEqual(putAt(2, false));
    expect(partition.state).toMatchObject({ appliedIndex: 2, keys: 1, bytes: 5 });
  });

  test('a key that is deleted and made again has a new revision', () => {
    partition.apply(put('a', 'one'));
    partition.apply(del('a'));
    expect(result(put('a', 'one'))).toEqual(putAt(3, true));
  });
});

describe('delete', () => {
  test('removes what is there and says so', () => {
    partition.apply(put('a', 'one'));
    const key = Buffer.from('a');
    expect(partition.apply(del('a'))).toEqual({
      writes: [{ type: 'delete', key, expiresBefore: 0 }],
      result: { type: 'deleted', revision: 2 },
      replayed: false,
      events: [{ type: 'delete', key, revision: 2 }],
      state: { ...emptyMachineState, appliedIndex: 2, appliedTerm: 2, logTime: 1000 },
    });
  });

  test('finds nothing where nothing is, and changes nothing but the applied index', () => {
    expect(partition.apply(del('a'))).toEqual({
      writes: [],
      result: { type: 'not_found' },
      replayed: false,
      events: [],
      // That it did less than it says: a version, and not one change.
      kept: Buffer.from([1]),
      state: { ...emptyMachineState, appliedIndex: 1, appliedTerm: 2, logTime: 1000 },
    });
  });
});

describe('conditions', () => {
  const create = { match: undefined, noneMatch: 'any' as const };
  const change = { match: 'any' as const, noneMatch: undefined };

  test('If-None-Match: * creates only', () => {
    expect(result(put('a', 'one', { conditions: create }))).toEqual(putAt(1, true));
    expect(result(put('a', 'two', { conditions: create }))).toEqual(failed(1));
    expect(partition.value('a')).toBe('one');
  });

  test('If-Match: * changes only, and on an absent key fails for both', () => {
    expect(result(put('a', 'one', { conditions: change }))).toEqual(absent);
    expect(result(del('a', change))).toEqual(absent);
    partition.apply(put('a', 'one'));
    expect(result(put('a', 'two', { conditions: change }))).toEqual(putAt(4, false));
    expect(result(del('a', change))).toEqual({ type: 'deleted', revision: 5 });
  });

  test('If-Match with an ETag holds for that value alone, and one of several will do', () => {
    partition.apply(put('a', 'one'));
    expect(result(put('a', 'two', { conditions: match(9) }))).toEqual(failed(1));
    expect(result(put('a', 'two', { conditions: match(9, 1) }))).toEqual(putAt(3, false));
    expect(result(del('a', match(1)))).toEqual(failed(3));
    expect(result(del('a', match(3)))).toEqual({ type: 'deleted', revision: 5 });
    expect(result(del('a', match(3)))).toEqual(absent);
  });

  test('an ETag of another incarnation of the partition does not match', () => {
    partition.apply(put('a', 'one'));
    const conditions = { match: [{ incarnation: incarnation + 1, revision: 1 }], noneMatch: undefined };
    expect(result(put('a', 'two', { conditions }))).toEqual(failed(1));
  });

  test('what a partition writes once it was begun anew has a revision above all that it ever gave', () => {
    partition.apply(put('a', 'one'));
    const anew = result(put('b', 'two'), { incarnation: 2 });
    expect(anew).toEqual({ type: 'put', revision: 2 ** 44 + 2, incarnation: 2, created: true, expiresAt: 0 });
    expect(result(del('b', match(2)), { incarnation: 2 })).toMatchObject({ type: 'condition_failed' });
    // What was written before keeps its version.
    expect(result(del('a', match(1)), { incarnation: 2 })).toEqual({ type: 'deleted', revision: 2 ** 44 + 4 });
  });

  test('If-None-Match with an ETag holds unless the value is that one', () => {
    partition.apply(put('a', 'one'));
    const noneMatch = (revision: number) => ({ match: undefined, noneMatch: [{ incarnation, revision }] });
    expect(result(put('a', 'two', { conditions: noneMatch(1) }))).toEqual(failed(1));
    expect(result(put('a', 'two', { conditions: noneMatch(7) }))).toEqual(putAt(3, false));
  });

  test('an old ETag does not match the key made anew with the same value', () => {
    partition.apply(put('a', 'one'));
    partition.apply(del('a'));
    partition.apply(put('a', 'one'));
    expect(result(put('a', 'two', { conditions: match(1) }))).toEqual(failed(3));
  });
});

describe('time to live', () => {
  const live = (key: string, ttlMs: number) => put(key, 'x', { ttlMs });

  test('counts from the log time of the entry', () => {
    expect(result(live('a', 500), { logTime: 2000 })).toEqual(putAt(1, true, 2500));
    expect(partition.state.expiring).toBe(1);
  });

  test('counts from the newest log time when a leader stamps an older one', () => {
    partition.apply(put('b', ''), { logTime: 9000 });
    expect(result(live('a', 500), { logTime: 2000 })).toEqual(putAt(2, true, 9500));
  });

  test('a plain put clears it', () => {
    partition.apply(live('a', 500));
    const { writes, state } = partition.apply(put('a', 'y'));
    expect(writes).toMatchObject([{ type: 'put', expiresBefore: 1500, record: { expiresAt: 0 } }]);
    expect(state.expiring).toBe(0);
    expect(result(del('a'), { logTime: 99_000 })).toEqual({ type: 'deleted', revision: 3 });
  });

  test('one millisecond before it is due a key is there; once due it is taken out before anything else is done to it', () => {
    partition.apply(live('a', 500));
    expect(result(put('a', 'y', { ttlMs: 500 }), { logTime: 1499 })).toEqual(putAt(2, false, 1999));
    const again = partition.apply(put('a', 'z'), { logTime: 1999 });
    expect(again.result).toEqual(putAt(3, true));
    expect(again.events).toMatchObject([
      { type: 'expire', revision: 3 },
      { type: 'put', record: { revision: 3 } },
    ]);
    expect(again.state).toMatchObject({ keys: 1, bytes: 2, expiring: 0 });
  });

  test('a due key is absent to a delete, to conditions and to a get, and is gone after them', () => {
    for (const touch of [
      (): unknown => result(del('a'), { logTime: 1500 }),
      (): unknown => result(put('a', 'y', { conditions: match(1) }), { logTime: 1500 }),
      (): unknown => result({ type: 'batch', items: [{ operation: get('a'), dedup: undefined }] }, { logTime: 1500 }),
    ]) {
      partition = new Partition();
      partition.apply(live('a', 500));
      expect(touch()).toSatisfy((found) => JSON.stringify(found).match(/not_found|condition_failed/) !== null);
      expect(partition.records.size).toBe(0);
      expect(partition.state).toMatchObject({ keys: 0, bytes: 0, expiring: 0 });
    }
  });
});

describe('sweep', () => {
  const sweep = (key: string, revision: number, logTime: number) =>
    partition.apply(
      { type: 'sweep', expire: [{ key: Buffer.from(key), version: { incarnation, revision } }], forget: [] },
      { logTime },
    );

  test('takes out what is due, and tells watchers', () => {
    partition.apply(put('a', 'x', { ttlMs: 500 }));
    const swept = sweep('a', 1, 1500);
    expect(swept.result).toEqual({ type: 'swept', expired: 1, forgotten: 0 });
    expect(swept.writes).toEqual([{ type: 'delete', key: Buffer.from('a'), expiresBefore: 1500 }]);
    expect(swept.events).toEqual([{ type: 'expire', key: Buffer.from('a'), revision: 2 }]);
    expect(partition.state).toMatchObject({ keys: 0, bytes: 0, expiring: 0 });
  });

  test('leaves what is not due by the log, whatever its proposer thought', () => {
    partition.apply(put('a', 'x', { ttlMs: 500 }));
    expect(sweep('a', 1, 1499).result).toMatchObject({ expired: 0 });
    expect(partition.value('a')).toBe('x');
  });

  test('that comes late leaves a key that was renewed meanwhile', () => {
    partition.apply(put('a', 'x', { ttlMs: 500 }));
    partition.apply(put('a', 'y', { ttlMs: 5000 }), { logTime: 1400 });
    expect(sweep('a', 1, 1600).result).toMatchObject({ expired: 0 });
    expect(partition.value('a')).toBe('y');
    partition.apply(put('a', 'z'));
    expect(sweep('a', 2, 99_000).result).toMatchObject({ expired: 0 });
    expect(partition.value('a')).toBe('z');
  });

  test('forgets a result by its name and time, and not a later one of that name', () => {
    partition.apply(put('a', 'x'), { dedup: named('r') });
    const forget = (at: number) => result({ type: 'sweep', expire: [], forget: [{ name: Buffer.from('r'), at }] });
    expect(forget(999)).toMatchObject({ forgotten: 0 });
    expect(forget(1000)).toMatchObject({ forgotten: 1 });
    expect(forget(1000)).toMatchObject({ forgotten: 0 });
    expect(partition.state.remembered).toBe(0);
    expect(partition.apply(put('a', 'x'), { dedup: named('r') }).replayed).toBe(false);
  });
});

describe('repeats', () => {
  test('a repeat gets the first answer again and changes nothing', () => {
    const first = partition.apply(put('a', 'x'), { dedup: named('r') });
    partition.apply(put('a', 'y'));
    const repeat = partition.apply(put('a', 'x'), { dedup: named('r') });
    expect(repeat).toMatchObject({ result: first.result, replayed: true, writes: [], events: [] });
    expect(partition.value('a')).toBe('y');
    expect(partition.state).toMatchObject({ appliedIndex: 3, remembered: 1 });
  });

  test('the same name for another request changes nothing and says so', () => {
    partition.apply(put('a', 'x'), { dedup: named('r', 1) });
    expect(partition.apply(put('a', 'y'), { dedup: named('r', 2) })).toMatchObject({
      result: { type: 'key_reused' },
      replayed: false,
      writes: [],
    });
  });

  test('what found nothing or failed its condition is replayed as well', () => {
    partition.apply(del('a'), { dedup: named('r') });
    partition.apply(put('a', 'x', { conditions: match(7) }), { dedup: named('s') });
    partition.apply(put('a', 'x'));
    expect(partition.apply(del('a'), { dedup: named('r') })).toMatchObject({
      result: { type: 'not_found' },
      replayed: true,
    });
    expect(partition.apply(put('a', 'x', { conditions: match(7) }), { dedup: named('s') })).toMatchObject({
      result: absent,
      replayed: true,
    });
    expect(partition.value('a')).toBe('x');
  });

  test('a refusal is not kept: nothing was decided', () => {
    expect(result(put('a', 'x'), { rangeEpoch: 2, dedup: named('r') })).toEqual({ type: 'wrong_epoch', epoch: 1 });
    expect(partition.apply(put('a', 'x'), { dedup: named('r') })).toMatchObject({
      result: { type: 'put' },
      replayed: false,
    });
  });

  test('a repeat is answered although the range has moved on since', () => {
    partition.apply(put('a', 'x'), { dedup: named('r') });
    expect(partition.apply(put('a', 'x'), { rangeEpoch: 2, dedup: named('r') }).replayed).toBe(true);
  });

  test('each operation of a batch has a name of its own', () => {
    const items = [
      { operation: put('a', '1'), dedup: named('r/0') },
      { operation: put('b', '2'), dedup: named('r/1') },
    ];
    const first = partition.apply({ type: 'batch', items: items.slice(0, 1) });
    const both = partition.apply({ type: 'batch', items });
    expect(first.result).toEqual({ type: 'batch', results: [putAt(1, true)] });
    expect(both.result).toEqual({ type: 'batch', results: [putAt(1, true), putAt(2, true)] });
    expect(partition.state).toMatchObject({ keys: 2, remembered: 2 });
  });

  test('a transaction is replayed with all its results', () => {
    const transaction = { type: 'transaction' as const, compare: [], then: [put('a', '1'), get('a')], otherwise: [] };
    const first = partition.apply(transaction, { dedup: named('t') });
    partition.apply(put('a', '2'));
    const repeat = partition.apply(transaction, { dedup: named('t') });
    expect(repeat.replayed).toBe(true);
    expect(repeat.result).toEqual(first.result);
    expect(partition.value('a')).toBe('2');
  });
});

describe('batch', () => {
  const batch = (...operations: Operation[]) =>
    partition.apply({ type: 'batch', items: operations.map((operation) => ({ operation, dedup: undefined })) });

  test('runs in order, each operation seeing the ones before it; watchers hear of the end alone', () => {
    partition.apply(put('b', 'old'));
    const { result, events, writes } = batch(
      put('a', '1'),
      get('a'),
      put('a', '2'),
      get('a'),
      del('b'),
      get('b'),
      del('b'),
    );
    expect(result).toMatchObject({
      results: [
        { type: 'put', created: true },
        { type: 'value', record: { value: Buffer.from('1') } },
        { type: 'put', created: false },
        { type: 'value', record: { value: Buffer.from('2') } },
        { type: 'deleted' },
        { type: 'not_found' },
        { type: 'not_found' },
      ],
    });
    expect(events.map(({ type, key }) => `${type} ${Buffer.from(key).toString()}`)).toEqual(['put a', 'delete b']);
    expect(writes).toHaveLength(2);
    expect(partition.state).toMatchObject({ keys: 1, bytes: 2 });
  });

  test('what is made and deleted within it leaves no trace', () => {
    const { writes, events } = batch(put('a', '1'), del('a'));
    expect({ writes, events }).toEqual({ writes: [], events: [] });
    expect(partition.state).toMatchObject({ keys: 0, bytes: 0 });
  });

  test('one operation that fails its condition does not keep the others', () => {
    expect(batch(put('a', '1', { conditions: match(5) }), put('b', '2')).result).toMatchObject({
      results: [{ type: 'condition_failed' }, { type: 'put' }],
    });
  });
});

describe('transaction', () => {
  const key = Buffer.from('a');
  const open: Comparison = { key, exists: undefined, revision: undefined, version: undefined, value: undefined };
  const succeeds = (comparison: Partial<Comparison>) => {
    const done = result({ type: 'transaction', compare: [{ ...open, ...comparison }], then: [], otherwise: [] });
    return done.type === 'transaction' && done.succeeded;
  };

  test.each([
    ['exists', { exists: true }, { exists: false }],
    ['revision', { revision: 1 }, { revision: 2 }],
    ['version', { version: { incarnation, revision: 1 } }, { version: { incarnation: 9, revision: 1 } }],
    ['value', { value: Buffer.from('x') }, { value: Buffer.from('X') }],
    ['several', { exists: true, value: Buffer.from('x') }, { exists: true, value: Buffer.from('') }],
  ])('compares by %s', (_name, good, bad) => {
    partition.apply(put('a', 'x'));
    expect(succeeds(good)).toBe(true);
    expect(succeeds(bad)).toBe(false);
  });

  test('an absent key has revision 0 and no value, not even an empty one', () => {
    expect(succeeds({ exists: false })).toBe(true);
    expect(succeeds({ revision: 0 })).toBe(true);
    expect(succeeds({ value: Buffer.from('') })).toBe(false);
    expect(succeeds({ version: { incarnation, revision: 0 } })).toBe(false);
  });

  test('runs one branch or the other, whole', () => {
    const compare = [{ ...open, exists: true }];
    const transaction = {
      type: 'transaction' as const,
      compare,
      then: [del('a')],
      otherwise: [put('a', 'x'), put('b', 'y')],
    };
    expect(result(transaction)).toMatchObject({ succeeded: false, results: [{ type: 'put' }, { type: 'put' }] });
    expect(result(transaction)).toEqual({
      type: 'transaction',
      succeeded: true,
      results: [{ type: 'deleted', revision: 2 }],
    });
    expect([...partition.records.keys()]).toEqual(['b']);
  });
});

test('a transaction that would read too much changes nothing, and is not kept for repeats', () => {
  const half = 'x'.repeat(transactionReadBytesMax / 2);
  partition.apply(put('a', half));
  partition.apply(put('b', half));
  partition.apply(put('c', 'x'));
  const reading = (...keys: string[]) => {
    const then = [put('new', ''), del('c'), ...keys.map(get)];
    return partition.apply({ type: 'transaction', compare: [], then, otherwise: [] }, { dedup: named('t') });
  };
  expect(reading('a', 'b', 'a')).toMatchObject({ result: { type: 'result_too_large' }, writes: [], events: [] });
  expect(partition.value('c')).toBe('x');
  expect(partition.state).toMatchObject({ keys: 3, remembered: 0 });
  expect(reading('a', 'b')).toMatchObject({ result: { type: 'transaction' }, replayed: false });
});

test('a command routed under another epoch changes nothing', () => {
  partition.apply(put('a', 'one'));
  const before = new Map(partition.records);
  expect(result(put('a', 'two'), { rangeEpoch: 2 })).toEqual({ type: 'wrong_epoch', epoch: 1 });
  expect(result(del('a'), { rangeEpoch: 0 })).toEqual({ type: 'wrong_epoch', epoch: 1 });
  expect(partition.records).toEqual(before);
  expect(partition.state).toMatchObject({ appliedIndex: 3, keys: 1, bytes: 4 });
});

test('log time never goes back, whatever an entry carries', () => {
  partition.apply(put('a', ''), { logTime: 5000 });
  partition.apply(put('a', ''), { logTime: 3000 });
  expect(partition.state.logTime).toBe(5000);
});

test('a no-op moves only the applied index', () => {
  partition.apply(put('a', 'one'));
  const { state } = partition;
  expect(applyNoop(state, { index: 2, term: 3 })).toEqual({ ...state, appliedIndex: 2, appliedTerm: 3 });
});

test('`__proto__` is a key like any other', () => {
  partition.apply(put('__proto__', 'x'));
  expect(result(del('__proto__'))).toEqual({ type: 'deleted', revision: 2 });
});

test('a command of unknown version stops the replica', () => {
  const body = Buffer.from([9, 0, 0, 0]);
  const nothing = { get: () => undefined, header: () => undefined, remembered: () => undefined };
  const apply = () => applyCommand({ epoch: 1 }, nothing, emptyMachineState, { index: 1, term: 1, body });
  expect(apply).toThrow(CommandFormatError);
});
