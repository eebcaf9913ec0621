/** Deleted entries and values stay in LevelDB's tables for a while: nobody walks over them, whatever was deleted and however often it is opened. */
import { beforeEach, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import type { ReplicaId } from '../../src/raft/types.ts';
import type { Storage } from '../../src/replica/ports.ts';
import { openGroupCommit } from '../../src/storage/group-commit.ts';
import type { Mark } from '../../src/storage/high-water.ts';
import { areaEnd, indexKey, RecordKind, valueKey } from '../../src/storage/keys.ts';
import {
  append,
  bodies,
  bytes,
  del,
  entries,
  hardState,
  installOf,
  logWrite,
  p1,
  p2,
  put,
  read,
  settled,
  stage,
  stateOf,
  transferFrom,
} from './building.ts';
import { openMemoryStorage } from '../../src/storage/memory-storage.ts';
import { TombstoneDatabase } from './tombstone-database.ts';

let databases: { log: TombstoneDatabase; state: TombstoneDatabase };
let mark: Mark | undefined;
let storage: Storage;

async function open(): Promise<Storage> {
  return openGroupCommit({
    databases,
    highWater: {
      read: () => mark,
      write: (written) => {
        mark = written;
      },
      close: () => undefined,
    },
    config: { ...defaults.storage, stateFlushDelayMs: 0 },
    incarnation: 1,
    after: (_delayMs, callback) => {
      const waiting = setImmediate(callback);
      return () => clearImmediate(waiting);
    },
    onFailure: (error) => {
      throw error;
    },
  });
}

async function reopen(): Promise<number> {
  await storage.close();
  const before = databases.log.steppedOver + databases.state.steppedOver;
  storage = await open();
  return databases.log.steppedOver + databases.state.steppedOver - before;
}

/** 3,000 entries applied, 1,000 keys; and a group behind it whose records come next. */
beforeEach(async () => {
  databases = { log: new TombstoneDatabase(), state: new TombstoneDatabase() };
  mark = undefined;
  storage = await open();
  await append(storage, logWrite(p2, { hardState: hardState(1), entries: entries(1, 3, 1) }));
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 3000, 1) }));
  const values = Object.fromEntries(Array.from({ length: 1000 }, (_, key) => [`key ${key}`, 'v']));
  const writes = Object.entries(values).map(([key, text]) => put(key, text));
  storage.stageState(p1, writes, stateOf(values, 3000));
  await settled(storage);
});

async function walkedBy(database: TombstoneDatabase, range: Parameters<TombstoneDatabase['scan']>[0]): Promise<number> {
  const before = database.steppedOver;
  for await (const record of database.scan(range)) expect(record).toBeDefined();
  return database.steppedOver - before;
}

const wholeLog = {
  from: indexKey(p1, RecordKind.logEntry, 0),
  to: indexKey(p1, RecordKind.logEntry, Number.MAX_SAFE_INTEGER),
};

/** A snapshot of entry `index`, with three keys. */
async function transferOf(index: number): ReturnType<typeof transferFrom> {
  const source = await openMemoryStorage({ automatic: true });
  await append(source, logWrite(p1, { hardState: hardState(2), entries: entries(1, index, 2) }));
  source.stageState(
    p1,
    ['a', 'b', 'c'].map((key) => put(key, 'v')),
    stateOf({ a: 'v', b: 'v', c: 'v' }, index, 2),
  );
  await settled(source);
  return transferFrom(source, p1);
}

test('a compacted log is opened without stepping over what was deleted', async () => {
  await append(storage, logWrite(p1, { compact: 2990 }));
  expect(await reopen()).toBe(0);
  expect(read(storage, p1, 2991, 9999)).toEqual(bodies(entries(2991, 3000, 1)));
  // So it would be otherwise.
  expect(await walkedBy(databases.log, wholeLog)).toBe(2990);
  expect(await walkedBy(databases.log, { ...wholeLog, reverse: true })).toBe(2990);
});

test('a log compacted to nothing is opened without stepping over what was deleted', async () => {
  await append(storage, logWrite(p1, { compact: 3000 }));
  expect(await reopen()).toBe(0);
  expect(storage.log(p1).lastIndex()).toBe(3000);
  expect(await walkedBy(databases.log, { ...wholeLog, reverse: true, limit: 1 })).toBe(3000);
});

test('of a truncated log only the truncated end is stepped over', async () => {
  await append(storage, logWrite(p1, { entries: entries(3001, 3007, 1) }));
  await append(storage, logWrite(p1, { hardState: hardState(2), truncate: 3001 }));
  await append(storage, logWrite(p1, { compact: 2999 }));
  expect(await reopen()).toBe(7);
});

test('a log that a snapshot took the place of is opened without stepping over what was deleted', async () => {
  const transfer = await transferOf(4000);
  await stage(storage, p1, transfer);
  await append(storage, installOf(p1, transfer));
  await settled(storage);
  expect(await reopen()).toBe(0);
  expect([storage.log(p1).firstIndex(), storage.log(p1).lastIndex()]).toEqual([4001, 4000]);
});

test('sweeping never steps over what it deleted, in one start or over several, and a transfer behind it does not either', async () => {
  const transfer = await transferOf(4000);
  await stage(storage, p1, transfer);
  const before = databases.state.steppedOver;
  await append(storage, installOf(p1, transfer));
  while (databases.state.get(valueKey(p1, 0, bytes('key 0'))) !== undefined) await new Promise(setImmediate);
  expect(databases.state.get(valueKey(p1, 0, bytes('key 999')))).toBeDefined();
  expect(await reopen()).toBe(0);
  while (databases.state.get(valueKey(p1, 0, bytes('key 999'))) !== undefined) await new Promise(setImmediate);
  await settled(storage);
  // The record of the staged snapshot lies behind the area, and that of a configuration.
  expect(databases.state.steppedOver - before).toBeLessThan(5);
  const area = { from: valueKey(p1, 0, bytes('')), to: areaEnd(p1, 0) };
  expect(await walkedBy(databases.state, area)).toBeGreaterThanOrEqual(1000);
});

test('one start that swept an area does not look through it again to begin a transfer', async () => {
  const transfer = await transferOf(4000);
  await stage(storage, p1, transfer);
  await append(storage, installOf(p1, transfer));
  await storage.beginSnapshot(p1);
  await storage.beginSnapshot(p1);
  expect(databases.state.steppedOver).toBeLessThan(5);
});

test('values deleted one by one are stepped over only by who reads through all of them', async () => {
  storage.stageState(
    p1,
    Array.from({ length: 1000 }, (_, key) => del(`key ${key}`)),
    stateOf({}, 3000),
  );
  await settled(storage);
  expect(await reopen()).toBe(0);
});

test('a destroyed group is opened without stepping over what was deleted, and so is one that lives in its place', async () => {
  const removed = { replicaId: 1 as ReplicaId, configuration: bytes('') };
  const before = databases.state.steppedOver + databases.log.steppedOver;
  await storage.destroyGroup(p1, removed);
  expect(databases.state.steppedOver + databases.log.steppedOver - before).toBeLessThan(5);
  expect(await reopen()).toBe(0);
  const transfer = await transferOf(4000);
  storage.foundGroup(p1, 2 as ReplicaId);
  await stage(storage, p1, transfer);
  await append(storage, installOf(p1, transfer));
  await settled(storage);
  expect(await reopen()).toBe(0);
  expect(storage.log(p1).firstIndex()).toBe(4001);
});
