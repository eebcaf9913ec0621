/** A table of LevelDB's is damaged while the node runs: the key is gone, or an older value is back, each with a good checksum. */
import { expect, test } from 'vitest';
import { valueKey } from '../../src/storage/keys.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import { append, entries, hardState, logWrite, machineState, p1, present, put, settled, value } from './building.ts';

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
