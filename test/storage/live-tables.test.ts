/** Tables that somebody changes under an open LevelDB: it notices nothing, and answers that keys are absent. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { defaults } from '../../src/config.ts';
import { StorageDamage } from '../../src/storage/damage.ts';
import { openLevelDatabase, type LevelDatabase } from '../../src/storage/level-database.ts';
import { liveTables } from '../../src/storage/manifest.ts';
import { present } from './building.ts';
import { temporaryDirectory } from './directories.ts';

const pageBytes = 4096;
const keys = 400;

let directory: string;
let database: LevelDatabase;
let found: unknown[];

beforeEach(async () => {
  directory = temporaryDirectory();
  await open(3_600_000);
});

afterEach(async () => {
  await database.close();
  fs.rmSync(directory, { recursive: true });
});

async function open(tableCheckMs: number): Promise<void> {
  found = [];
  const config = { ...defaults.storage, writeBufferBytes: 1024 * 1024, tableBytesMax: 1024 * 1024, tableCheckMs };
  database = await openLevelDatabase({
    directory,
    config,
    mayCreate: true,
    blockCacheBytes: 0,
    after: (ms, callback) => {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
    onFailure: (error) => found.push(error),
  });
}

const keyOf = (number: number): Buffer => Buffer.from(`key ${String(number).padStart(7, '0')}`);
const [first, last] = [keyOf(0), keyOf(9_999_999)];

async function write(numbers: Iterable<number>, value: Buffer): Promise<void> {
  const batch = database.batch();
  for (const number of numbers) batch.put(keyOf(number), value);
  await batch.write();
}

/** Its one table, freshly merged, and seen. */
async function oneTable(): Promise<string> {
  await write(Array(keys).keys(), Buffer.alloc(50, 'v'));
  await database.mergeRange(first, last);
  const tables = liveTables(directory);
  expect(tables).toHaveLength(1);
  database.expectWhole(first, last);
  await new Promise(setImmediate);
  return present(tables[0]).file;
}

/** What stands in the last page reads as zeros, the index and the footer with it. */
function cutWithinLastPage(table: string): void {
  const { size } = fs.statSync(table);
  fs.truncateSync(table, size - (size % pageBytes) + 1);
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const taken: Item[] = [];
  for await (const item of items) taken.push(item);
  return taken;
}

/** As storage reads what it knows nothing of. */
function get(key: Buffer): Buffer | undefined {
  const value = database.get(key);
  database.expectWhole(key, key);
  return value;
}

test('undisturbed, what is there is found and what is not there is absent', async () => {
  await oneTable();
  expect(get(keyOf(7))).toEqual(Buffer.alloc(50, 'v'));
  expect(get(keyOf(keys))).toBeUndefined();
});

describe('a table cut within its last page', () => {
  test('makes keys absent in LevelDB, and that is not believed', async () => {
    const table = await oneTable();
    expect(database.get(keyOf(keys - 1))).toBeDefined();
    cutWithinLastPage(table);
    const absent = [...Array(keys).keys()].filter((number) => database.get(keyOf(number)) === undefined);
    expect(absent.length, 'what this is about').toBeGreaterThan(0);
    for (const number of absent) {
      expect(() => get(keyOf(number))).toThrow(
        /table file \d+\.ldb has \d+ of \d+ bytes; it was changed while it was in use/,
      );
    }
  });

  test('ends a scan of what it holds, and none of what it does not hold', async () => {
    const table = await oneTable();
    await write([5_000_000], Buffer.from('elsewhere'));
    cutWithinLastPage(table);
    await expect(all(database.scan({ from: keyOf(4_000_000), to: last }))).resolves.toHaveLength(1);
    await expect(all(database.scan({ from: first, to: last }))).rejects.toThrow(StorageDamage);
    const snapshot = database.snapshot();
    await expect(all(snapshot.scan({ from: first, to: last, reverse: true }))).rejects.toThrow(StorageDamage);
    await snapshot.close();
  });

  test('is found once it was merged into others', async () => {
    cutWithinLastPage(await oneTable());
    await write([1], Buffer.from('newer'));
    await database.mergeRange(first, last);
    expect(liveTables(directory).every(({ bytes, file }) => fs.statSync(file).size === bytes)).toBe(true);
    expect(() => get(keyOf(5_000_000))).toThrow(/has \d+ of \d+ bytes/);
  });
});

test('a bit that is turned by a write to the file is found, whatever it did', async () => {
  const table = await oneTable();
  const file = fs.openSync(table, 'r+');
  const byte = Buffer.alloc(1);
  fs.readSync(file, byte, 0, 1, 100);
  byte.writeUInt8(byte.readUInt8() ^ 4);
  fs.writeSync(file, byte, 0, 1, 100);
  fs.closeSync(file);
  expect(() => get(keyOf(keys - 1))).toThrow(/table file \d+\.ldb is corrupt: block at 0 does not match its checksum/);
});

test('a table that is removed is missed', async () => {
  fs.rmSync(await oneTable());
  expect(() => get(keyOf(7))).toThrow(/table file \d+\.ldb is missing/);
});

test('a table that was only touched is whole', async () => {
  const table = await oneTable();
  fs.utimesSync(table, new Date(), new Date());
  expect(get(keyOf(7))).toBeDefined();
  expect(get(keyOf(7))).toBeDefined();
  cutWithinLastPage(table);
  expect(() => get(keyOf(7))).not.toThrow();
  await new Promise(setImmediate);
  expect(() => get(keyOf(7))).toThrow(StorageDamage);
});

test('a manifest that is cut short is found', async () => {
  await oneTable();
  get(keyOf(7));
  const manifest = present(fs.readdirSync(directory).find((name) => name.startsWith('MANIFEST')));
  fs.truncateSync(path.join(directory, manifest), 20);
  expect(() => get(keyOf(7))).toThrow(/MANIFEST-\d+ is cut short/);
});

test('what nobody reads is found as well, and told once', async () => {
  const table = await oneTable();
  await database.close();
  await open(5);
  const { length } = liveTables(directory);
  expect(length).toBe(1);
  cutWithinLastPage(present(liveTables(directory)[0]?.file ?? table));
  await expect.poll(() => found.length).toBe(1);
  await delay(30);
  expect(found).toHaveLength(1);
  expect(found[0]).toBeInstanceOf(StorageDamage);
});

test('tables that are merged away while they are being looked at are not taken for those that came in their place', async () => {
  await oneTable();
  await write([5_000_000], Buffer.alloc(50, 'v'));
  await database.mergeRange(keyOf(5_000_000), last);
  await new Promise(setImmediate);
  get(keyOf(7));
  const before = liveTables(directory);
  expect(before).toHaveLength(2);
  await write([0, 5_000_000], Buffer.alloc(200, 'newer'));
  await new Promise(setImmediate);
  const { fstatSync } = fs;
  let merged: Promise<void> | undefined;
  const spy = vi.spyOn(fs, 'fstatSync').mockImplementation((handle: number) => {
    const { size } = fstatSync(handle);
    if (merged === undefined && size === present(before[0]).bytes) {
      merged = database.mergeRange(first, last);
      // LevelDB merges on a thread of its own.
      while (before.some(({ file }) => fs.existsSync(file)));
    }
    return fstatSync(handle);
  });
  try {
    expect(() => database.expectWhole(first, last)).not.toThrow();
  } finally {
    spy.mockRestore();
  }
  expect(merged, 'what this is about').toBeDefined();
  await merged;
  expect(get(keyOf(0))).toEqual(Buffer.alloc(200, 'newer'));
});

test('while tables come and go, nothing is found damaged', { timeout: 30_000 }, async () => {
  await database.close();
  await open(1);
  const value = Buffer.alloc(1000, 'x');
  const writing = async (): Promise<void> => {
    for (let round = 0; round < 60; round += 1) {
      await write(
        Array.from({ length: 200 }, (_, position) => (round * 7919 + position * 104_729) % 10_000),
        value,
      );
    }
  };
  const seen = new Set<number>();
  let written = false;
  const end = writing().finally(() => (written = true));
  const isWritten = (): boolean => written;
  while (!isWritten()) {
    for (let number = 0; number < 20_000; number += 1999) get(keyOf(number));
    for (const { number } of liveTables(directory)) seen.add(number);
    await new Promise(setImmediate);
  }
  await end;
  expect(seen.size).toBeGreaterThan(5);
  expect(found).toEqual([]);
});
