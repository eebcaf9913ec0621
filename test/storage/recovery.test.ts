/** A disk that lost or changed single records: opening, or reading, names what is wrong. */
import { beforeEach, describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import type { LogIndex } from '../../src/raft/types.ts';
import { groupKey, indexKey, nodePartition, RecordKind, valueKey } from '../../src/storage/keys.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import {
  append,
  bytes,
  entries,
  hardState,
  logWrite,
  machineState,
  p1,
  present,
  put,
  read,
  value,
} from './building.ts';

const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
let storage: MemoryStorage;
const name = (key: Buffer): string => key.toString('latin1');
const entryKey = (index: number): string => name(indexKey(p1, RecordKind.logEntry, index));
const sequenceKey = (sequence: number): string => name(indexKey(nodePartition, RecordKind.batchSequence, sequence));
const sequences = (of: MemoryStorage): number[] =>
  [...of.records.keys()]
    .filter((key) => key.startsWith(name(groupKey(nodePartition, RecordKind.batchSequence))))
    .map((key) => Number(Buffer.from(key, 'latin1').readBigUInt64BE(5)))
    .sort((one, other) => one - other);

/** Six batches: ten entries, the last two of term 2 in place of others, applied up to 8. */
beforeEach(async () => {
  storage = await openMemoryStorage({ automatic: true });
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
  await append(storage, logWrite(p1, { entries: entries(5, 10, 1) }));
  storage.stageState(p1, [put('a', 'one')], machineState(8));
  await append(storage, logWrite(p1, { hardState: hardState(2), truncate: 9 }));
  await append(storage, logWrite(p1, { entries: entries(9, 10, 2) }));
  storage.stageState(p1, [put('b', 'two')], machineState(8));
  await append(storage, logWrite(p1, {}));
  await append(storage, logWrite(p1, { hardState: hardState(2, 2) }));
});

function drop(...keys: string[]): void {
  for (const key of keys) expect(storage.records.delete(key)).toBe(true);
}

/** Puts in place of the record under `key` the one that another disk holds. */
function putFrom(key: string, older: MemoryStorage): void {
  const record = present(older.records.get(key));
  expect(record.equals(present(storage.records.get(key)))).toBe(false);
  storage.records.set(key, record);
}

async function storageAtTerm1(): Promise<MemoryStorage> {
  const older = await openMemoryStorage({ automatic: true });
  await append(older, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
  await append(older, logWrite(p1, { entries: entries(5, 10, 1) }));
  return older;
}

describe('the batch sequence', () => {
  test.each([
    ['one batch lost', [3], /^batches 3 to 3 are missing$/],
    ['a run of batches lost', [3, 4, 5], /^batches 3 to 5 are missing$/],
    ['the first lost', [1], /^batches begin at 2, and batch 6 says at 1$/],
    ['the last lost', [6], /^batches end at 5, and 6 was acknowledged$/],
    ['all lost', [1, 2, 3, 4, 5, 6], /^batches end at 0, and 6 was acknowledged$/],
  ])('%s', async (_what, lost, message) => {
    drop(...lost.map(sequenceKey));
    await expect(storage.crash()).rejects.toMatchObject({
      name: 'StorageDamage',
      message: matching(message),
    });
  });

  test('a batch of another history in the place of one', async () => {
    const other = await openMemoryStorage({ automatic: true });
    for (let round = 1; round <= 4; round += 1) await append(other, logWrite(p1, { hardState: hardState(7) }));
    putFrom(sequenceKey(4), other);
    await expect(storage.crash()).rejects.toThrow('batch 4 does not follow the batch 3 that is stored');
  });

  test('a last batch that is not the acknowledged one', async () => {
    const other = await storage.openCopy();
    await append(storage, logWrite(p1, { hardState: hardState(3) }));
    await append(other, logWrite(p1, { hardState: hardState(3), entries: entries(11, 11, 3) }));
    putFrom(sequenceKey(7), other);
    await expect(storage.crash()).rejects.toThrow('batch 7 is not the one that was acknowledged');
  });

  test('an identity older than the data it finds', async () => {
    const later = await storage.crash({ incarnation: 5 });
    await append(later, logWrite(p1, { hardState: hardState(3) }));
    await expect(later.crash({ incarnation: 4 })).rejects.toThrow(
      'written by start 5 of this node, and this is start 4',
    );
  });

  test('old records go once what they cover is long out of the log files, and never the last thousand', async () => {
    const config = { ...defaults.storage, writeBufferBytes: 1000, batchBytesMax: 1000 };
    const kept = await openMemoryStorage({ automatic: true, config });
    for (let round = 1; round <= 1500; round += 1) await append(kept, logWrite(p1, { hardState: hardState(round) }));
    expect(sequences(kept)).toEqual(Array.from({ length: 1001 }, (_, offset) => 500 + offset));
    const reopened = await kept.crash();
    await append(reopened, logWrite(p1, { hardState: hardState(1501) }));
    expect(sequences(reopened)).toEqual(Array.from({ length: 1001 }, (_, offset) => 501 + offset));
    await reopened.crash();
  });

  test('large write buffers keep more of them', async () => {
    const config = { ...defaults.storage, writeBufferBytes: 20_000, batchBytesMax: 1000 };
    const kept = await openMemoryStorage({ automatic: true, config });
    // A hard state is 26 bytes: 1500 are not yet 4 x 20,000 bytes.
    for (let round = 1; round <= 1500; round += 1) await append(kept, logWrite(p1, { hardState: hardState(round) }));
    expect(sequences(kept)).toHaveLength(1500);
  });
});

describe('a group', () => {
  test.each([
    ['hard state', RecordKind.hardState],
    ['log start', RecordKind.logStart],
    ['machine state', RecordKind.machineState],
  ])('without its %s', async (what, kind) => {
    drop(name(groupKey(p1, kind)));
    await expect(storage.crash()).rejects.toMatchObject({ partition: p1, message: `partition 1: ${what} is missing` });
  });

  test('with an older vote than its log speaks of', async () => {
    putFrom(name(groupKey(p1, RecordKind.hardState)), await storageAtTerm1());
    await expect(storage.crash()).rejects.toThrow(
      'partition 1: hard state is of term 1, and the last log entry of term 2',
    );
  });

  test('with entries lost in the middle, found at open', async () => {
    drop(entryKey(9));
    await expect(storage.crash()).rejects.toThrow('partition 1: log entries 9 to 9 are missing');
  });

  test('with its log cut short of what was applied', async () => {
    drop(entryKey(8), entryKey(9), entryKey(10));
    await expect(storage.crash()).rejects.toThrow('partition 1: applied up to 8, and the log holds 1 to 7');
  });

  test('with a truncated entry back in place of its replacement: good by itself, wrong in its chain', async () => {
    putFrom(entryKey(9), await storageAtTerm1());
    await expect(storage.crash()).rejects.toThrow(
      'partition 1: log entry 10 does not follow the entry 9 that is stored',
    );
  });

  test('with an entry lost while it runs, found when it is read', async () => {
    drop(entryKey(3));
    expect(() => read(storage, p1, 1, 5)).toThrow('partition 1: log entry 3 is missing');
    expect(() => storage.log(p1).term(3 as LogIndex)).toThrow('partition 1: log entry 3 is missing');
  });

  test('with an entry of its past while it runs, found when it is read', async () => {
    putFrom(entryKey(9), await storageAtTerm1());
    expect(() => read(storage, p1, 8, 10)).toThrow(
      'partition 1: log entry 10 does not follow the entry 9 that is stored',
    );
  });

  test('with a value turned by a bit: the key is named, the others are served', async () => {
    const key = name(valueKey(p1, bytes('a')));
    const turned = Buffer.from(present(storage.records.get(key)));
    turned[20] = present(turned[20]) ^ 4;
    storage.records.set(key, turned);
    const opened = await storage.crash();
    expect(() => value(opened, p1, 'a')).toThrow(
      /^partition 1: value of key "a" is corrupt: checksum [0-9a-f]{8}, stored [0-9a-f]{8}$/,
    );
    expect(value(opened, p1, 'b')).toBe('two');
  });

  test("with another key's value under its own", async () => {
    storage.records.set(name(valueKey(p1, bytes('a'))), present(storage.records.get(name(valueKey(p1, bytes('b'))))));
    const opened = await storage.crash();
    expect(() => value(opened, p1, 'a')).toThrow(/value of key "a" is corrupt/);
  });
});
