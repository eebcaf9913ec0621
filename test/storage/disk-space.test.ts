/** How much room there is where a node's data lie, or will, and whether that is enough to start on. */
import { existsSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DiskFullError, diskSpaceOf, roomToStart } from '../../src/storage/disk-space.ts';

const MiB = 1024 * 1024;

function measured(directory: string): Promise<number | undefined> {
  return new Promise((resolve) => diskSpaceOf(directory).measure(resolve));
}

test('it is that of the file system, also before the directory is made', async () => {
  const { blocks, bsize } = statfsSync(tmpdir());
  for (const directory of [tmpdir(), join(tmpdir(), 'not', 'made', 'yet'), 'not-made-yet']) {
    expect(await measured(directory), directory).toBeGreaterThan(0);
  }
  expect(await measured(tmpdir())).toBeLessThanOrEqual(blocks * bsize);
});

test.skipIf(!existsSync('/proc/self'))('is unknown where a file system does not say', async () => {
  expect(await measured('/proc')).toBeUndefined();
});

test('a node starts with what it needs at least, or where nobody knows', async () => {
  const bound = { directory: '/data/n1', freeBytesStop: 100 * MiB };
  const disk = (freeBytes: number | undefined) => ({
    measure: (then: (bytes: typeof freeBytes) => void) => then(freeBytes),
  });
  await roomToStart(disk(100 * MiB), bound);
  await roomToStart(disk(undefined), bound);
  const refusal = roomToStart(disk(100 * MiB - 1), bound);
  await expect(refusal).rejects.toThrow(DiskFullError);
  await expect(refusal).rejects.toThrow(
    'the disk of data directory /data/n1 has 99 MiB left, and a node needs 100 MiB to run at all (storage.diskFreeBytesStop)',
  );
});
