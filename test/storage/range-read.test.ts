/** Values in the order of their keys, over what is durable and what is staged beside it. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { StateWrite } from '../../src/kv/types.ts';
import type { ValuePage, ValueRange } from '../../src/replica/ports.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import { append, bytes, del, entries, hardState, logWrite, p1, p2, put, record, settled, stateOf } from './building.ts';

let storage: MemoryStorage;
const all: ValueRange = {
  from: bytes(''),
  to: undefined,
  reverse: false,
  limit: 1000,
  bytesMax: 1e9,
  keysOnly: false,
  dueBy: 0,
  dueMax: 100,
};

/** Durable: b, d, f. Staged: c put, d put anew, f deleted, g put. */
beforeEach(async () => {
  storage = await openMemoryStorage({ automatic: true });
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 9, 1) }));
  await append(storage, logWrite(p2, { hardState: hardState(1), entries: entries(1, 9, 1) }));
  const before = { b: 'b1', d: 'd1', f: 'f1' };
  const writes = Object.entries(before).map(([key, value]) => put(key, value));
  storage.stageState(p1, writes, stateOf(before, 1));
  storage.stageState(p2, [put('a', 'of another'), put('z', 'of another')], stateOf({ a: '', z: '' }, 1));
  await settled(storage);
  const staged = [put('g', 'g2'), put('d', 'd2'), del('f'), put('c', 'c2')];
  storage.stageState(p1, staged, stateOf({ b: 'b1', c: 'c2', d: 'd2', g: 'g2' }, 2));
});

function shown({ values, moreAfter }: ValuePage): string {
  const pairs = values.map(({ record }) => Buffer.from(record.value).toString());
  return `${pairs.join(' ')}${moreAfter === undefined ? '' : ' …'}`;
}

async function read(range: Partial<ValueRange> = {}): Promise<string> {
  return shown(await storage.values(p1, { ...all, ...range }));
}

describe('a range', () => {
  test('shows what is staged in the place of what is durable, in the order of the keys', async () => {
    expect(await read()).toBe('b1 c2 d2 g2');
    expect(await read({ reverse: true })).toBe('g2 d2 c2 b1');
    await settled(storage);
    expect(await read()).toBe('b1 c2 d2 g2');
    expect(await read({ reverse: true })).toBe('g2 d2 c2 b1');
  });

  test('takes its beginning in and its end not, whichever way it is read', async () => {
    for (const reverse of [false, true]) {
      const turned = (text: string): string => (reverse ? text.split(' ').reverse().join(' ') : text);
      expect(await read({ from: bytes('c'), to: bytes('g'), reverse })).toBe(turned('c2 d2'));
      expect(await read({ from: bytes('bb'), to: bytes('ga'), reverse })).toBe(turned('c2 d2 g2'));
      expect(await read({ from: bytes('e'), to: bytes('g'), reverse })).toBe('');
      expect(await read({ to: bytes('b'), reverse })).toBe('');
    }
  });

  test('ends with as many as were asked for, and says whether there are more', async () => {
    expect(await read({ limit: 2 })).toBe('b1 c2 …');
    expect(await read({ limit: 3, reverse: true })).toBe('g2 d2 c2 …');
    expect(await read({ limit: 4 })).toBe('b1 c2 d2 g2');
    // What comes behind the last one is deleted, so there is nothing.
    expect(await read({ limit: 2, to: bytes('d') })).toBe('b1 c2');
    expect(await read({ limit: 1, from: bytes('d'), to: bytes('g') })).toBe('d2');
  });

  test('ends before it grows too large, and has one value at least', async () => {
    expect(await read({ bytesMax: 6 })).toBe('b1 c2 …');
    expect(await read({ bytesMax: 8 })).toBe('b1 c2 …');
    expect(await read({ bytesMax: 9 })).toBe('b1 c2 d2 …');
    expect(await read({ bytesMax: 1 })).toBe('b1 …');
  });

  test('shows one moment, whatever is written while it is read', async () => {
    const page = storage.values(p1, all);
    storage.stageState(p1, [del('b'), put('a', 'later'), put('g', 'later')], stateOf({}, 3));
    await settled(storage);
    expect(shown(await page)).toBe('b1 c2 d2 g2');
    expect(await read()).toBe('later c2 d2 later');
  });

  test('is ordered by bytes', async () => {
    const keys = ['00', '0000', '7f', '80', 'c3a4', 'ff', 'ff00'].map((hex) => Buffer.from(hex, 'hex'));
    const writes = keys.map((key) => ({ ...put('', key.toString('hex')), key }));
    storage.stageState(p1, writes, stateOf({}, 3));
    const order = '00 0000 b1 c2 d2 g2 7f 80 c3a4 ff ff00';
    expect(await read()).toBe(order);
    await settled(storage);
    expect(await read()).toBe(order);
  });

  test('leaves values out, and counts none of their bytes, where only keys are wanted', async () => {
    const { values, moreAfter } = await storage.values(p1, { ...all, keysOnly: true, bytesMax: 3 });
    expect(values.map(({ key, record }) => `${String(key)}=${String(record.value)} ${record.value.length}`)).toEqual([
      'b= 0',
      'c= 0',
      'd= 0',
    ]);
    expect(String(moreAfter)).toBe('d');
  });

  test('names apart what is due, which counts as no value, and stops at so many of them', async () => {
    const due = (key: string, expiresAt: number): StateWrite => ({
      type: 'put',
      key: bytes(key),
      record: { ...record('with an end'), expiresAt },
      expiresBefore: 0,
    });
    storage.stageState(p1, [due('c', 100), due('d', 101), due('e', 99), due('h', 98)], stateOf({}, 3));
    const page = async (range: Partial<ValueRange>): Promise<string> => {
      const { values, due: named, moreAfter } = await storage.values(p1, { ...all, ...range });
      const keys = (list: readonly { readonly key: Uint8Array }[]): string =>
        list.map(({ key }) => String(key)).join('');
      return `${keys(values)} due ${keys(named)} ${moreAfter === undefined ? '' : `… ${String(moreAfter)}`}`.trim();
    };
    expect(await page({ dueBy: 0 })).toBe('bcdegh due');
    expect(await page({ dueBy: 100 })).toBe('bdg due ceh');
    expect(await page({ dueBy: 100, dueMax: 2 })).toBe('bdg due ce … g');
    expect(await page({ dueBy: 100, limit: 1 })).toBe('b due c … c');
    expect(await page({ dueBy: 100, dueMax: 1, reverse: true })).toBe('g due h … g');
    expect(await page({ dueBy: 1000, dueMax: 2, from: bytes('c'), to: bytes('i') })).toBe('due cd … d');
  });
});
