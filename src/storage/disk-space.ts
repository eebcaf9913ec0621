/** How much room there is where a node's data lie. */
import { existsSync, statfs } from 'node:fs';
import path from 'node:path';
import type { DiskSpace } from '../replica/ports.ts';

/** So little is left that a write might fail: then nobody knows what the disk holds. The node stops before, in order. */
export class DiskFullError extends Error {
  override readonly name = 'DiskFullError';

  constructor({ directory, freeBytes, freeBytesStop }: Shortage) {
    super(
      `the disk of data directory ${directory} has ${inMiB(freeBytes)} left, and a node needs ${inMiB(freeBytesStop)} ` +
        'to run at all (storage.diskFreeBytesStop): make room there, then start it again',
    );
  }
}

export interface Shortage {
  readonly directory: string;
  readonly freeBytes: number;
  readonly freeBytesStop: number;
}

/** Of the file system in which `directory` lies, or will once it is made. */
export function diskSpaceOf(directory: string): DiskSpace {
  return {
    measure: (then) =>
      statfs(existing(path.resolve(directory)), (error, stats) =>
        // What is kept back for the superuser is not counted. One that has no blocks at all does not count in them.
        then(error === null && stats.blocks > 0 ? stats.bavail * stats.bsize : undefined),
      ),
  };
}

/** Rejects when so little is left that a node that starts would have to stop: opening its databases writes, too. */
export async function roomToStart(
  disk: DiskSpace,
  { directory, freeBytesStop }: Omit<Shortage, 'freeBytes'>,
): Promise<void> {
  const freeBytes = await new Promise<number | undefined>((resolve) => disk.measure(resolve));
  if (freeBytes !== undefined && freeBytes < freeBytesStop)
    throw new DiskFullError({ directory, freeBytes, freeBytesStop });
}

export function inMiB(bytes: number): string {
  return `${Math.floor(bytes / (1024 * 1024))} MiB`;
}

function existing(directory: string): string {
  const parent = path.dirname(directory);
  return existsSync(directory) || parent === directory ? directory : existing(parent);
}
