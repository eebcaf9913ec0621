/** A table of LevelDB's is damaged while the node runs: the key is gone, or an older value is back, each with a good checksum. */
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { valueKey } from '../../src/storage/keys.ts';
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
  settled,
  value,
} from './building.ts';
import { open, temporaryDirectory } from './directories.ts';

const stored = valueKey(p1, 0, Buffer.from('key')).toString('latin1');

async function written(): Promise<{ storage: MemoryStorage; older: Buffer }> {
  const storage = await openMemoryStorage({ automatic: true });
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 3, 1) }));
  storage.stageState(p1, [put('key', 'older', 1)], machineState(1));
  await settled(storage);
  const older = Buffer.from(present(storage.records.state.get(stored)));
  storage.stageState(p1, [put('key', 'newer', 2)], machineState(2));
  await settled(storage);
  return { storage, older };
}

test('undamaged, the newest value is read', async () => {
  const { storage } = await written();
  expect(value(storage, p1, 'key')).toBe('newer');
});

test('a value that is not there any more is missed', async () => {
  const { storage } = await written();
  storage.records.state.delete(stored);
  expect(() => value(storage, p1, 'key')).toThrow(
    /partition 1: a value read is absent, and the newest written is of revision 2/,
  );
});

test('an older one in its place is not taken for it', async () => {
  const { storage, older } = await written();
  storage.records.state.set(stored, older);
  expect(() => value(storage, p1, 'key')).toThrow(
    /a value read is of revision 1, and the newest written is of revision 2/,
  );
});

/** In files; what is cut off reads as zeros, and LevelDB takes that for tables without records. With `headerCacheBytes` 0 nothing is known in memory. */
test('where a table is cut under an open storage, nothing is said to be absent, and nothing older comes back', async () => {
  const directory = temporaryDirectory();
  const names = Array.from({ length: 200 }, (_, number) => `key ${number}`);
  const remembered = { digest: Buffer.alloc(16), at: 5, result: { type: 'deleted', revision: 1 } as const };
  const name = bytes('a request');
  for (const index of [1, 2]) {
    const storage = await open(directory, { stateFlushDelayMs: 0 });
    await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(index, index, 1) }));
    const puts = names.map((key) => put(key, `${key} of ${index}`, index));
    const state = { ...machineState(index), remembered: 1 };
    storage.stageState(p1, [...puts, { type: 'remember', name, remembered }], state);
    await settled(storage);
    await storage.close();
  }
  // What was in LevelDB's log is in a table once it is opened again.
  const told: unknown[] = [];
  const storage = await open(directory, { headerCacheBytes: 0 }, (error) => told.push(error));
  const inState = path.join(directory, 'state');
  const newest = fs.readdirSync(inState).findLast((file) => file.endsWith('.ldb'));
  expect(value(storage, p1, 'key 7')).toBe('key 7 of 2');
  await new Promise(setImmediate);
  const file = path.join(inState, present(newest));
  fs.truncateSync(file, fs.statSync(file).size - 60);

  const reader = storage.state(p1);
  const message = /table file \d+\.ldb has \d+ of \d+ bytes/;
  for (const key of names) expect(() => value(storage, p1, key)).toThrow(message);
  expect(() => reader.header(Buffer.from('key 7'))).toThrow(message);
  expect(() => reader.remembered(name)).toThrow(message);
  const all = { from: Buffer.alloc(0), to: undefined, reverse: false, keysOnly: false, dueBy: 0, dueMax: 1 };
  for (const limit of [1, 1000]) {
    await expect(storage.values(p1, { ...all, limit, bytesMax: 1e6 })).rejects.toThrow(message);
  }
  expect(told).not.toEqual([]);
  await storage.close();
  fs.rmSync(directory, { recursive: true });
});
