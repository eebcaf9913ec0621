/** A data directory that must not be used is kept, beside the place where a new one goes. */
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory } from './data-directory.ts';

/** Durably renames a closed data directory; returns where it is now. `reason` goes into the error when that can't be done. */
export function setAside(directory: string, { reason, wallMs }: { reason: string; wallMs: number }): string {
  const from = path.resolve(directory);
  const to = `${from}.old-${new Date(wallMs).toISOString().replaceAll(':', '-')}`;
  try {
    // A rename replaces an empty directory without a word.
    if (fs.existsSync(to)) throw new Error(`${to} is there already`);
    fs.renameSync(from, to);
    syncDirectory(path.dirname(from));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `data directory ${directory} is an old copy (${reason}) and can't be set aside: ${why}; move it away and start again`,
      { cause: error },
    );
  }
  return to;
}
