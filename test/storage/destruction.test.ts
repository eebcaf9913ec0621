/**
 * What a removed replica had stored goes in many batches over two databases, and the power may go between any two: the group is there as it was,
 * or its id is dead, for good; what is left goes at the next start. A later replica of the partition sees none of it.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { plant } from '../../src/seeded-bugs.ts';
import type { ReplicaId } from '../../src/raft/types.ts';
import type { RemovedReplica } from '../../src/replica/ports.ts';
import type { DatabaseName } from '../../src/storage/database.ts';
import { groupKey, RecordKind } from '../../src/storage/keys.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import {
  append,
  bodies,
  bytes,
  configurationOf,
  entries,
  hardState,
  installOf,
  logWrite,
  p1,
  p2,
  present,
  put,
  read,
  settled,
  stage,
  stateOf,
  transferFrom,
  value,
} from './building.ts';

const config = { ...defaults.storage, stateFlushDelayMs: 0 };
const manual = { automatic: false, after: atOnce };
const automatic = { automatic: true };
const keys = Array.from({ length: 300 }, (_, number) => `key ${number}`);
const values = Object.fromEntries(keys.map((key) => [key, 'old']));

afterEach(() => plant(undefined));

function atOnce(_delayMs: number, callback: () => void): () => void {
  const waiting = setImmediate(callback);
  return () => clearImmediate(waiting);
}

async function rest(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function removed(replicaId: number): RemovedReplica {
  return { replicaId: replicaId as ReplicaId, configuration: bytes(`left out ${replicaId}`) };
}

/** 1,500 entries, 300 keys, and beside them a snapshot whose transfer broke off; another group that nothing happens to. */
async function livingGroup(): Promise<MemoryStorage> {
  const storage = await openMemoryStorage({ automatic: true, config });
  await append(storage, logWrite(p2, { hardState: hardState(1), entries: entries(1, 3, 1) }));
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 1500, 1) }));
  storage.stageState(
    p1,
    keys.map((key) => put(key, 'old')),
    stateOf(values, 1500),
    configurationOf(2),
  );
  await settled(storage);
  const transfer = await transferFrom(storage, p1, 500);
  const living = await storage.crash(manual);
  await completing(living, living.beginSnapshot(p1));
  for (const chunk of transfer.chunks.slice(0, 2)) await completing(living, living.stageSnapshotChunk(p1, chunk));
  return living;
}

/** Batches of the state become durable until `work` is done. */
async function completing(storage: MemoryStorage, work: Promise<void>): Promise<void> {
  const progress = { done: false };
  void work.then(() => {
    progress.done = true;
  });
  for (; !progress.done; await rest()) if (storage.batchUnderWay('state')) await storage.completeBatch('state');
}

/** Kinds of record that are stored of the partition, each once. */
function kindsOf(storage: MemoryStorage, name: DatabaseName): number[] {
  const found = [...storage.records[name].keys()].map((key) => Buffer.from(key, 'latin1'));
  const kinds = found.filter((key) => key.readUInt32BE(0) === p1).map((key) => key.readUInt8(4));
  return [...new Set(kinds)].toSorted((a, b) => a - b);
}

interface Moment {
  readonly batch: string;
  readonly disk: MemoryStorage;
}

/** After each batch, and before the first, a picture of the disk; `gone` says whether the destruction was through. */
async function destroyStepByStep(
  storage: MemoryStorage,
): Promise<{ readonly moments: Moment[]; readonly gone: boolean }> {
  const moments: Moment[] = [{ batch: 'none', disk: await storage.openCopy() }];
  let gone = false;
  void storage.destroyGroup(p1, removed(1)).then(() => {
    gone = true;
  });
  for (;;) {
    await rest();
    const next = (['state', 'log'] as const).find((name) => storage.batchUnderWay(name));
    if (next === undefined) return { moments, gone };
    await storage.completeBatch(next);
    await rest();
    moments.push({ batch: next, disk: await storage.openCopy() });
  }
}

/** Lets a storage whose batches are durable by themselves come to rest. */
async function untilGone(storage: MemoryStorage): Promise<void> {
  while (storage.dead(p1).remains) await rest();
}

describe('a crash while a replica is destroyed', () => {
  test('leaves all of it, or a dead id and nothing that is read; each step is bounded', async () => {
    const { moments, gone } = await destroyStepByStep(await livingGroup());
    expect(gone).toBe(true);
    const told = moments.map(
      ({ disk }) => `${disk.dead(p1).through} ${disk.log(p1).lastIndex()} ${disk.partitions().join()}`,
    );
    expect(told).toEqual(told.map((_, at) => (at === 0 ? '0 1500 1,2' : '1 0 1,2')));
    // The tombstone, two steps of entries; then the staging area, the turn, and the 300 keys in two steps.
    const batches = moments.map(({ batch }) => batch).join(' ');
    expect(batches).toBe('none log log log state state state state state');
    expect(moments.map(({ disk }) => disk.dead(p1).remains)).toEqual(
      moments.map((_, at) => at > 0 && at < moments.length - 1),
    );
  });

  test('is made up for at the next start, from each moment and cut off again, and a later replica sees none of it', async () => {
    const { moments } = await destroyStepByStep(await livingGroup());
    for (const { disk } of moments.slice(1)) {
      // Once more cut off, after the first batch of the next start.
      const interrupted = await disk.crash(manual);
      for (const name of ['log', 'state'] as const)
        if (interrupted.batchUnderWay(name)) await interrupted.completeBatch(name);
      const storage = await interrupted.crash(automatic);
      await untilGone(storage);
      expect([kindsOf(storage, 'log'), kindsOf(storage, 'state')]).toEqual([
        [RecordKind.dead],
        [RecordKind.machineState],
      ]);
      expect(Buffer.from(present(storage.dead(p1).configuration)).toString()).toBe('left out 1');

      storage.foundGroup(p1, 5 as ReplicaId);
      expect(storage.group(p1)).toMatchObject({ hardState: hardState(0, 0), configuration: undefined, logBytes: 0 });
      expect(storage.group(p1).machineState).toEqual({
        appliedIndex: 0,
        appliedTerm: 0,
        logTime: 0,
        keys: 0,
        bytes: 0,
        expiring: 0,
        remembered: 0,
      });
      expect([storage.log(p1).firstIndex(), storage.log(p1).lastIndex()]).toEqual([1, 0]);
      await append(storage, logWrite(p1, { hardState: hardState(7), entries: entries(1, 2, 7) }));
      storage.stageState(p1, [put('key 1', 'new')], stateOf({ 'key 1': 'new' }, 2, 7));
      await settled(storage);
      const reopened = await storage.crash();
      expect(reopened.group(p1)).toMatchObject({ replicaId: 5, configuration: undefined });
      expect(reopened.dead(p1)).toMatchObject({ through: 1, remains: false });
      expect(read(reopened, p1, 1, 9999)).toEqual(bodies(entries(1, 2, 7)));
      expect(keys.map((key) => value(reopened, p1, key)).filter((found) => found !== undefined)).toEqual(['new']);
      expect((await transferFrom(reopened, p1)).machineState.keys).toBe(1);
    }
  });

  test('before anything of it is durable has done nothing', async () => {
    const storage = await livingGroup();
    void storage.destroyGroup(p1, removed(1));
    const reopened = await storage.crash(automatic);
    expect(reopened.dead(p1)).toEqual({ through: 0, configuration: undefined, remains: false });
    expect(value(reopened, p1, 'key 299')).toBe('old');
    expect(reopened.log(p1).lastIndex()).toBe(1500);
  });
});

test('what was handed over before it is out of the way first: entries, applied changes and an install', async () => {
  const storage = await (await livingGroup()).crash(automatic);
  const source = await openMemoryStorage({ automatic: true, config });
  await append(source, logWrite(p1, { hardState: hardState(2), entries: entries(1, 2000, 2) }));
  source.stageState(p1, [put('key 1', 'newer')], stateOf({ 'key 1': 'newer' }, 2000, 2));
  await settled(source);
  const transfer = await transferFrom(source, p1);
  await stage(storage, p1, transfer);
  storage.appendLog(installOf(p1, transfer, entries(2001, 2002, 2)), () => undefined);
  storage.stageState(p1, [put('late', 'late')], stateOf({ 'key 1': 'newer', late: 'late' }, 2001, 2));
  await storage.destroyGroup(p1, removed(1));
  expect([kindsOf(storage, 'log'), kindsOf(storage, 'state')]).toEqual([[RecordKind.dead], [RecordKind.machineState]]);
  expect(read(storage, p2, 1, 9)).toEqual(bodies(entries(1, 3, 1)));
});

test('one destroyed after the other, the highest dead id stays, and no id up to it comes into being again', async () => {
  const storage = await (await livingGroup()).crash(automatic);
  await storage.destroyGroup(p1, removed(1));
  storage.foundGroup(p1, 4 as ReplicaId);
  await append(storage, logWrite(p1, { hardState: hardState(2), entries: entries(1, 3, 2) }));
  await storage.destroyGroup(p1, removed(4));
  expect(kindsOf(storage, 'log')).toEqual([RecordKind.dead]);
  storage.foundGroup(p1, 6 as ReplicaId);
  // It never came to store anything of its own.
  await storage.destroyGroup(p1, removed(6));
  const reopened = await storage.crash();
  expect(reopened.dead(p1)).toMatchObject({ through: 6, remains: false });
  for (const id of [1, 3, 4, 6]) expect(() => reopened.foundGroup(p1, id as ReplicaId)).toThrow('dead here');
  reopened.foundGroup(p1, 7 as ReplicaId);
});

test('nobody comes into being while something is left', async () => {
  const storage = await livingGroup();
  void storage.destroyGroup(p1, removed(1));
  expect(storage.dead(p1)).toMatchObject({ through: 1, remains: true });
  expect(() => storage.foundGroup(p1, 5 as ReplicaId)).toThrow();
});

test('a storage that is closed meanwhile goes on at its next opening', async () => {
  const storage = await livingGroup();
  const destroyed = storage.destroyGroup(p1, removed(1)).catch((error: unknown) => (error as Error).message);
  const closed = storage.close();
  await storage.completeBatch('log');
  await closed;
  expect(await destroyed).toMatch('closing');
  const reopened = await storage.openCopy(automatic);
  expect(reopened.dead(p1)).toMatchObject({ through: 1, remains: true });
  await untilGone(reopened);
  expect(kindsOf(reopened, 'state')).toEqual([RecordKind.machineState]);
});

test('a disk that fails meanwhile fails the storage, and whoever waits is told', async () => {
  const failures: unknown[] = [];
  const storage = await (await livingGroup()).crash({ ...manual, onFailure: (error) => failures.push(error) });
  const destroyed = storage.destroyGroup(p1, removed(1));
  const error = new Error('input/output error');
  await storage.failBatch('log', error);
  await expect(destroyed).rejects.toBe(error);
  expect(failures).toEqual([error]);
});

describe('a tombstone is taken as seriously as a log', () => {
  async function destroyed(): Promise<{ storage: MemoryStorage; before: Map<string, Buffer> }> {
    const storage = await (await livingGroup()).crash(automatic);
    const before = new Map(storage.records.log);
    await storage.destroyGroup(p1, removed(1));
    return { storage, before };
  }
  const at = (kind: RecordKind): string => groupKey(p1, kind).toString('latin1');

  test.each([RecordKind.hardState, RecordKind.logStart])('record %i of the dead replica is back', async (kind) => {
    const { storage, before } = await destroyed();
    storage.records.log.set(at(kind), present(before.get(at(kind))));
    await expect(storage.crash()).rejects.toThrow('partition 1: replica 1 is dead, and there is a log');
  });

  test('the tombstone is gone', async () => {
    const { storage } = await destroyed();
    storage.records.log.delete(at(RecordKind.dead));
    await expect(storage.crash()).rejects.toThrow('partition 1: there is state and no log');
  });

  test('a later replica lost its id, or its log', async () => {
    for (const kind of [RecordKind.replica, RecordKind.hardState, RecordKind.logStart]) {
      const { storage } = await destroyed();
      storage.foundGroup(p1, 5 as ReplicaId);
      await append(storage, logWrite(p1, { hardState: hardState(7), entries: entries(1, 2, 7) }));
      storage.records.log.delete(at(kind));
      await expect(storage.crash()).rejects.toThrow(/replica 1 is dead|is missing/);
    }
  });
});
