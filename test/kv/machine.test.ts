/** What one committed entry does to a partition. */
import { beforeEach, describe, expect, test } from 'vitest';
import { CommandFormatError, encodeCommand, stampCommand } from '../../src/kv/command.ts';
import { applyCommand, applyNoop, emptyMachineState, type Applied } from '../../src/kv/machine.ts';
import type { Command, MachineState, ValueRecord } from '../../src/kv/types.ts';

let records: Map<string, ValueRecord>;
let state: MachineState;
let index: number;

beforeEach(() => {
  records = new Map();
  state = emptyMachineState;
  index = 0;
});

function apply(command: Command, stamp: { logTime?: number; rangeEpoch?: number } = {}): Applied {
  index += 1;
  const body = encodeCommand(command);
  stampCommand(body, { logTime: stamp.logTime ?? 1000, rangeEpoch: stamp.rangeEpoch ?? 1, incarnation: 4 });
  const get = (key: Uint8Array) => records.get(Buffer.from(key).toString('latin1'));
  const header = (key: Uint8Array) => {
    const record = get(key);
    return record && { ...record, valueBytes: record.value.length };
  };
  const reader = { get, header };
  const applied = applyCommand({ epoch: 1 }, reader, state, { index, term: 2, body });
  for (const write of applied.writes) {
    const key = Buffer.from(write.key).toString('latin1');
    if (write.type === 'put') records.set(key, write.record);
    else records.delete(key);
  }
  state = applied.state;
  return applied;
}

const put = (key: string, value: string): Command => ({
  type: 'put',
  key: Buffer.from(key),
  value: Buffer.from(value),
  contentType: 'text/plain',
});
const del = (key: string): Command => ({ type: 'delete', key: Buffer.from(key) });

describe('put', () => {
  test('creates, then replaces; the revision is the index of the entry', () => {
    const record = { value: Buffer.from('one'), contentType: 'text/plain', revision: 1, incarnation: 4, expiresAt: 0 };
    expect(apply(put('a', 'one'))).toEqual({
      writes: [{ type: 'put', key: Buffer.from('a'), record }],
      result: { type: 'put', revision: 1, incarnation: 4, created: true },
      events: [{ type: 'put', key: Buffer.from('a'), record }],
      state: { appliedIndex: 1, appliedTerm: 2, logTime: 1000, keys: 1, bytes: 4 },
    });
    expect(apply(put('a', 'four')).result).toEqual({ type: 'put', revision: 2, incarnation: 4, created: false });
    expect(state).toEqual({ appliedIndex: 2, appliedTerm: 2, logTime: 1000, keys: 1, bytes: 5 });
  });

  test('a key that is deleted and made again has a new revision', () => {
    apply(put('a', 'one'));
    apply(del('a'));
    expect(apply(put('a', 'one')).result).toEqual({ type: 'put', revision: 3, incarnation: 4, created: true });
  });
});

describe('delete', () => {
  test('removes what is there and says so', () => {
    apply(put('a', 'one'));
    expect(apply(del('a'))).toEqual({
      writes: [{ type: 'delete', key: Buffer.from('a') }],
      result: { type: 'deleted', revision: 2 },
      events: [{ type: 'delete', key: Buffer.from('a'), revision: 2 }],
      state: { appliedIndex: 2, appliedTerm: 2, logTime: 1000, keys: 0, bytes: 0 },
    });
  });

  test('finds nothing where nothing is, and changes nothing but the applied index', () => {
    expect(apply(del('a'))).toEqual({
      writes: [],
      result: { type: 'not_found' },
      events: [],
      state: { appliedIndex: 1, appliedTerm: 2, logTime: 1000, keys: 0, bytes: 0 },
    });
  });
});

test('a command routed under another epoch changes nothing', () => {
  apply(put('a', 'one'));
  const before = new Map(records);
  expect(apply(put('a', 'two'), { rangeEpoch: 2 }).result).toEqual({ type: 'wrong_epoch', epoch: 1 });
  expect(apply(del('a'), { rangeEpoch: 0 }).result).toEqual({ type: 'wrong_epoch', epoch: 1 });
  expect(records).toEqual(before);
  expect(state).toEqual({ appliedIndex: 3, appliedTerm: 2, logTime: 1000, keys: 1, bytes: 4 });
});

test('log time never goes back, whatever an entry carries', () => {
  apply(put('a', ''), { logTime: 5000 });
  apply(put('a', ''), { logTime: 3000 });
  expect(state.logTime).toBe(5000);
});

test('a no-op moves only the applied index', () => {
  apply(put('a', 'one'));
  expect(applyNoop(state, { index: 2, term: 3 })).toEqual({ ...state, appliedIndex: 2, appliedTerm: 3 });
});

test('`__proto__` is a key like any other', () => {
  apply(put('__proto__', 'x'));
  expect(apply(del('__proto__')).result).toEqual({ type: 'deleted', revision: 2 });
});

test('a command of unknown version stops the replica', () => {
  const body = Buffer.from([9, 0, 0, 0]);
  const apply = () =>
    applyCommand({ epoch: 1 }, { get: () => undefined, header: () => undefined }, state, { index: 1, term: 1, body });
  expect(apply).toThrow(CommandFormatError);
});
