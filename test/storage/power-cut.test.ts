/** The power goes while writes are under way: log files are cut back to what the last fsync covered, and all that was acknowledged must be there. */
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StorageConfig } from '../../src/config.ts';
import type { Storage } from '../../src/replica/ports.ts';
import { cutToSyncPoints } from '../../src/storage/sync-points.ts';
import { entry, hardState, logWrite, p1, put } from './building.ts';
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
