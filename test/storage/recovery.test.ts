/** A disk that lost or changed single records: opening, or reading, names what is wrong. */
import { beforeEach, describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import type { LogIndex } from '../../src/raft/types.ts';
import { groupKey, indexKey, nodePartition, RecordKind, valueKey } from '../../src/storage/keys.ts';
import type { DatabaseName } from '../../src/storage/database.ts';
import { openMemoryStorage, type MemoryStorage, type MemoryStorageOptions } from '../../src/storage/memory-storage.ts';
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
  settled,
  value,
} from './building.ts';

const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
let storage: MemoryStorage;
const name = (key: Buffer): string => key.toString('latin1');
const entryKey = (index: number): string => name(indexKey(p1, RecordKind.logEntry, index));
const sequenceKey = (sequence: number): string => name(indexKey(nodePartition, RecordKind.batchSequence, sequence));
const sequences = (of: MemoryStorage): number[] =>
  [...of.records.log.keys()]
    .filter((key) => key.startsWith(name(groupKey(nodePartition, RecordKind.batchSequence))))
    .map((key) => Number(Buffer.from(key, 'latin1').readBigUInt64BE(5)))
    .sort((one, other) => one - other);

const options: MemoryStorageOptions = { automatic: true, config: { ...defaults.storage, stateFlushDelayMs: 0 } };

/** Six batches of the log, three of the state: ten entries, the last two of term 2 in place of others, applied up to 8. */
beforeEach(async () => {
  storage = await openMemoryStorage(options);
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
  await append(storage, logWrite(p1, { entries: entries(5, 10, 1) }));
  storage.stageState(p1, [put('a', 'one')], machineState(8));
  await settled(storage);
  await append(storage, logWrite(p1, { hardState: hardState(2), truncate: 9 }));
  await append(storage, logWrite(p1, { entries: entries(9, 10, 2) }));
  storage.stageState(p1, [put('b', 'two')], machineState(8));
  await settled(storage);
  await append(storage, logWrite(p1, {}));
  storage.stageState(p1, [put('c', 'three')], machineState(8));
  await settled(storage);
  await append(storage, logWrite(p1, { hardState: hardState(2, 2) }));
});

function drop(database: DatabaseName, ...keys: string[]): void {
  for (const key of keys) expect(storage.records[database].delete(key)).toBe(true);
}

/** Puts in place of the log's record under `key` the one that another disk holds. */
function putFrom(key: string, older: MemoryStorage): void {
  const record = present(older.records.log.get(key));
  expect(record.equals(present(storage.records.log.get(key)))).toBe(false);
  storage.records.log.set(key, record);
}

async function storageAtTerm1(): Promise<MemoryStorage> {
  const older = await openMemoryStorage({ automatic: true });
  await append(older, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
  await append(older, logWrite(p1, { entries: entries(5, 10, 1) }));
  return older;
}

describe('the batch sequence', () => {
  test.each([
    ['one batch lost', 'log', [3], /^log batches 3 to 3 are missing$/],
    ['a run of batches lost', 'log', [3, 4, 5], /^log batches 3 to 5 are missing$/],
    ['the first lost', 'log', [1], /^log batches begin at 2, and batch 6 says at 1$/],
    ['the last lost', 'log', [6], /^log batches end at 5, and 6 was acknowledged$/],
    ['all lost', 'log', [1, 2, 3, 4, 5, 6], /^log batches end at 0, and 6 was acknowledged$/],
    ["one of the state's lost", 'state', [2], /^state batches 2 to 2 are missing$/],
    ["the state's first lost", 'state', [1], /^state batches begin at 2, and batch 3 says at 1$/],
  ] as const)('%s', async (_what, database, lost, message) => {
    drop(database, ...lost.map(sequenceKey));
    await expect(storage.crash()).rejects.toMatchObject({
      name: 'StorageDamage',
      message: matching(message),
    });
  });

  test('a batch of another history in the place of one', async () => {
    const other = await openMemoryStorage({ automatic: true });
    for (let round = 1; round <= 4; round += 1) await append(other, logWrite(p1, { hardState: hardState(7) }));
    putFrom(sequenceKey(4), other);
    await expect(storage.crash()).rejects.toThrow('log batch 5 does not follow the batch 4 that is stored');
  });

  test('a last batch that is not the acknowledged one', async () => {
    const other = await storage.openCopy();
    await append(storage, logWrite(p1, { hardState: hardState(3) }));
    await append(other, logWrite(p1, { hardState: hardState(3), entries: entries(11, 11, 3) }));
    putFrom(sequenceKey(7), other);
    await expect(storage.crash()).rejects.toThrow('log batch 7 is not the one that was acknowledged');
  });

  test('a batch that was lost is missed at every start, however many came behind it', async () => {
    for (let round = 1; round <= 500; round += 1)
      await append(storage, logWrite(p1, { hardState: hardState(2 + round) }));
    drop('log', sequenceKey(20));
    const lost = 'log batches 20 to 20 are missing';
    for (let start = 1; start <= 3; start += 1) await expect(storage.crash()).rejects.toThrow(lost);
  });

  test('an identity older than the data it finds', async () => {
    const later = await storage.crash({ incarnation: 5 });
    await append(later, logWrite(p1, { hardState: hardState(3) }));
    await expect(later.crash({ incarnation: 4 })).rejects.toThrow(
      'log batches were written by start 5 of this node, and this is start 4',
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
    ['hard state', 'log', RecordKind.hardState],
    ['log start', 'log', RecordKind.logStart],
    ['machine state', 'state', RecordKind.machineState],
  ] as const)('without its %s', async (what, database, kind) => {
    drop(database, name(groupKey(p1, kind)));
    await expect(storage.crash()).rejects.toMatchObject({ partition: p1, message: `partition 1: ${what} is missing` });
  });

  test('with state and no log', async () => {
    storage.records.log.clear();
    await expect(storage.crash()).rejects.toMatchObject({ name: 'StorageDamage' });
    const unmarked = await openMemoryStorage(options);
    for (const [key, record] of storage.records.state) unmarked.records.state.set(key, record);
    await expect(unmarked.crash()).rejects.toThrow('partition 1: there is state and no log');
  });

  test('whose state lost its newest batches, or all, applies them again from its log', async () => {
    const older = await storage.openCopy();
    older.records.state.delete(sequenceKey(3));
    older.records.state.delete(name(valueKey(p1, 0, bytes('c'))));
    const opened = await older.crash();
    expect([value(opened, p1, 'b'), value(opened, p1, 'c')]).toEqual(['two', undefined]);
    older.records.state.clear();
    expect((await older.crash()).group(p1).machineState.appliedIndex).toBe(0);
  });

  test('with an older vote than its log speaks of', async () => {
    putFrom(name(groupKey(p1, RecordKind.hardState)), await storageAtTerm1());
    await expect(storage.crash()).rejects.toThrow(
      'partition 1: hard state is of term 1, and the last log entry of term 2',
    );
  });

  test('with entries lost in the middle, found at open', async () => {
    drop('log', entryKey(9));
    await expect(storage.crash()).rejects.toThrow('partition 1: log entries 9 to 9 are missing');
  });

  test('with its log cut short of what was applied', async () => {
    drop('log', entryKey(8), entryKey(9), entryKey(10));
    await expect(storage.crash()).rejects.toThrow('partition 1: applied up to 8, and the log holds 1 to 7');
  });

  test('with a truncated entry back in place of its replacement: good by itself, wrong in its chain', async () => {
    putFrom(entryKey(9), await storageAtTerm1());
    await expect(storage.crash()).rejects.toThrow(
      'partition 1: log entry 10 does not follow the entry 9 that is stored',
    );
  });

  test('with an entry lost while it runs, found when it is read', async () => {
    drop('log', entryKey(3));
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
    const key = name(valueKey(p1, 0, bytes('a')));
    const turned = Buffer.from(present(storage.records.state.get(key)));
    turned[20] = present(turned[20]) ^ 4;
    storage.records.state.set(key, turned);
    const opened = await storage.crash();
    expect(() => value(opened, p1, 'a')).toThrow(
      /^partition 1: value of key "a" is corrupt: checksum [0-9a-f]{8}, stored [0-9a-f]{8}$/,
    );
    expect(value(opened, p1, 'b')).toBe('two');
  });

  test("with another key's value under its own", async () => {
    const other = present(storage.records.state.get(name(valueKey(p1, 0, bytes('b')))));
    storage.records.state.set(name(valueKey(p1, 0, bytes('a'))), other);
    const opened = await storage.crash();
    expect(() => value(opened, p1, 'a')).toThrow(/value of key "a" is corrupt/);
  });
});
