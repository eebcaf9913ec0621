import fs from 'node:fs';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';

export type DataDirectoryProblem = 'locked' | 'not_writable' | 'wrong_node' | 'wrong_cluster' | 'unsupported_format';

/** Why a node can't use its data directory. The message is one line for whoever started it; nothing in the directory was changed. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError';
  readonly code: DataDirectoryProblem;

  constructor(code: DataDirectoryProblem, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Makes the directory (0700: what is in it is nobody else's) durably, and makes sure that it can be written to. Fails with `not_writable`. */
export function prepareDirectory(directory: string): void {
  try {
    makeDirectory(path.resolve(directory));
    fs.accessSync(directory, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DataDirectoryError('not_writable', `data directory ${directory} can't be used: ${reason}`, {
      cause: error,
    });
  }
}

/** Parents first, one by one: Node's own `recursive` never returns where a file system answers ENOENT to every mkdir, as /proc does. */
function makeDirectory(directory: string): void {
  if (fs.existsSync(directory)) return;
  const parent = path.dirname(directory);
  makeDirectory(parent);
  fs.mkdirSync(directory, { mode: 0o700 });
  syncDirectory(parent);
}

/** Makes names in a directory durable: created, renamed and removed ones. */
export function syncDirectory(directory: string): void {
  const handle = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/**
 * Keeps a second process out of `directory` until the returned function is called or this process ends.
 *
 * The lock is an empty LevelDB database's: a kernel lock (fcntl) on a file, which is all of it that we want. Node itself offers no
 * file locks, and what can be made of it fails where it matters: a file with a process id is left behind by a
 * crash, names a process that another container can't see, and two that find it stale race for it. The kernel drops
 * its lock with the process, however that ends. It is taken before the identity is read, so it can't be the data's own database.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const file = path.join(directory, 'lock');
  const lock = new ClassicLevel(file, { writeBufferSize: 64 * 1024, cacheSize: 0 });
  try {
    await lock.open();
  } catch (error) {
    if (isLocked(error)) throw lockedError(directory, error);
    // The kernel's lock was had, and what is damaged holds nothing: only the file that was locked has to stay.
    for (const name of fs.readdirSync(file)) if (name !== 'LOCK') fs.rmSync(path.join(file, name), { force: true });
    await lock.open();
  }
  return () => lock.close();
}

export function lockedError(directory: string, cause: unknown): DataDirectoryError {
  return new DataDirectoryError('locked', `data directory ${directory} is in use by another process`, { cause });
}

/** classic-level says LEVEL_DATABASE_NOT_OPEN and keeps the reason in `cause`. */
export function isLocked(error: unknown): boolean {
  return (
    error instanceof Error &&
    error.cause instanceof Error &&
    'code' in error.cause &&
    error.cause.code === 'LEVEL_LOCKED'
  );
}
