/** The power goes while writes are under way: log files are cut back to what the last fsync covered, and all that was acknowledged must be there. */
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StorageConfig } from '../../src/config.ts';
import type { ReplicaId } from '../../src/raft/types.ts';
import type { Storage } from '../../src/replica/ports.ts';
import { cutToSyncPoints } from '../../src/storage/sync-points.ts';
import { append, entries, entry, hardState, logWrite, p1, put, settled, stateOf, value } from './building.ts';
import { open, readLiveFiles, temporaryDirectory, writeFiles, type Files } from './directories.ts';

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

interface Moment {
  readonly acknowledged: number;
  readonly files: Files;
}

/** Writes through several log files, and takes pictures of the disk while a batch is under way. */
async function moments(config: Partial<StorageConfig>): Promise<Moment[]> {
  const live = path.join(directory, 'live');
  const storage = await open(live, { ...config, recordSyncPoints: true, writeBufferBytes: 64 * 1024 });
  const taken: Moment[] = [];
  let acknowledged = 0;
  for (let index = 1; index <= 60; index += 1) {
    const write = logWrite(p1, {
      hardState: hardState(1),
      entries: [{ ...entry(index, 1), body: Buffer.alloc(5000, index) }],
    });
    const durable = new Promise<void>((resolve) => storage.appendLog(write, resolve));
    storage.stageState(p1, [put(`key ${index}`, 'v'.repeat(500))], {
      appliedIndex: index - 1,
      appliedTerm: index > 1 ? 1 : 0,
      logTime: 0,
      keys: 0,
      bytes: 0,
      expiring: 0,
      remembered: 0,
    });
    storage.flush();
    if (index % 7 === 0) taken.push({ acknowledged, files: readLiveFiles(live) });
    await durable;
    acknowledged = index;
    if (index % 10 === 0) taken.push({ acknowledged, files: readLiveFiles(live) });
  }
  await storage.close();
  return taken;
}

/** What a node finds after the cut; undefined when it refuses to start. */
async function lastIndexAfterCut(moment: Moment, options: { readonly withMark: boolean }): Promise<number | undefined> {
  const copy = fs.mkdtempSync(path.join(directory, 'copy-'));
  writeFiles(copy, moment.files);
  cutToSyncPoints(copy);
  if (!options.withMark) fs.rmSync(path.join(copy, 'HIGHWATER'));
  let storage: Storage | undefined;
  try {
    storage = await open(copy);
    return storage.log(p1).lastIndex();
  } catch (error) {
    if (error instanceof Error && error.name === 'StorageDamage') return undefined;
    throw error;
  } finally {
    await storage?.close();
  }
}

test('nothing acknowledged is lost, at any moment', async () => {
  const taken = await moments({});
  expect(taken.length).toBeGreaterThan(10);
  for (const moment of taken) {
    expect(await lastIndexAfterCut(moment, { withMark: true })).toBeGreaterThanOrEqual(moment.acknowledged);
    expect(await lastIndexAfterCut(moment, { withMark: false })).toBeGreaterThanOrEqual(moment.acknowledged);
  }
});

test('without sync acknowledged writes are lost, so this test can fail; with its mark the node notices', async () => {
  const taken = await moments({ sync: false });
  const lost: number[] = [];
  for (const moment of taken) {
    const found = await lastIndexAfterCut(moment, { withMark: false });
    lost.push(moment.acknowledged - (found ?? 0));
    if (found === undefined || found < moment.acknowledged) {
      expect(await lastIndexAfterCut(moment, { withMark: true })).toBeUndefined();
    }
  }
  expect(Math.max(...lost)).toBeGreaterThan(0);
});

test('a destroyed replica is there whole or dead, and what is left of it goes at the next start', async () => {
  const live = path.join(directory, 'live');
  const storage = await open(live, { recordSyncPoints: true, writeBufferBytes: 64 * 1024, stateFlushDelayMs: 0 });
  const values = Object.fromEntries(Array.from({ length: 300 }, (_, key) => [`key ${key}`, 'old']));
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 1100, 1) }));
  storage.stageState(
    p1,
    Object.keys(values).map((key) => put(key, 'old')),
    stateOf(values, 1100),
  );
  await settled(storage);
  const taken: { readonly acknowledged: boolean; readonly files: Files }[] = [];
  const sizes = new Set<number>();
  const progress = { gone: false };
  void storage.destroyGroup(p1, { replicaId: 1 as ReplicaId, configuration: Buffer.alloc(0) }).then(() => {
    progress.gone = true;
  });
  for (let last = false; !last; await new Promise(setImmediate)) {
    last = progress.gone;
    const files = readLiveFiles(live);
    const bytes = [...files.values()].reduce((sum, { length }) => sum + length, 0);
    // One picture of each batch: written, and not fsynced yet.
    if (last || !sizes.has(bytes)) taken.push({ acknowledged: last, files });
    sizes.add(bytes);
  }
  await storage.close();

  for (const { acknowledged, files } of taken) {
    const copy = fs.mkdtempSync(path.join(directory, 'copy-'));
    writeFiles(copy, files);
    cutToSyncPoints(copy);
    const found = await open(copy, { stateFlushDelayMs: 0 });
    const { through, remains } = found.dead(p1);
    if (acknowledged) expect({ through, remains }).toEqual({ through: 1, remains: false });
    if (through === 0) {
      expect([found.log(p1).lastIndex(), value(found, p1, 'key 299')]).toEqual([1100, 'old']);
    } else {
      while (found.dead(p1).remains) await new Promise(setImmediate);
      found.foundGroup(p1, 2 as ReplicaId);
      expect([found.log(p1).lastIndex(), value(found, p1, 'key 299')]).toEqual([0, undefined]);
    }
    await found.close();
  }
});
