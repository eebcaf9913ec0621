/**
 * For tests that cut the power: how long each of LevelDB's log files was when its database's last fsync returned.
 *
 * After a power cut the disk holds, of what was written since the last fsync, anything or nothing. A test makes the worst of it:
 * stops the process, cuts each log file back to the length recorded here and each one not recorded to nothing, and
 * starts the node again. As one batch of a database is under way at a time, the length of a log file when its batch completes is the length
 * that was synced. Only what `storage.sync` made durable is recorded: without it the file says what opening left, and
 * a cut takes every acknowledged write. Table files and manifests need no cutting: LevelDB syncs them before it relies on them.
 * That `sync` does reach fdatasync is not for this file to show; a test watches the system calls.
 */
import fs from 'node:fs';
import path from 'node:path';
import { databaseNames } from './database.ts';

/** Lengths in bytes by file name, within the database's directory. */
export type SyncPoints = Readonly<Record<string, number>>;

/** Beside the database's directory. */
const syncPointsFile = (databaseDirectory: string): string => `${databaseDirectory}.syncpoints`;

/** Replaces the file whole, so that a killed process leaves the old one or the new one. */
export function recordSyncPoints(databaseDirectory: string): void {
  const points: Record<string, number> = {};
  for (const name of fs.readdirSync(databaseDirectory)) {
    if (name.endsWith('.log')) points[name] = fileBytes(path.join(databaseDirectory, name));
  }
  const file = syncPointsFile(databaseDirectory);
  fs.writeFileSync(`${file}.new`, JSON.stringify(points));
  fs.renameSync(`${file}.new`, file);
}

/** Does to the files of a stopped node what a power cut may do. Returns the bytes cut off. */
export function cutToSyncPoints(directory: string): number {
  return databaseNames.reduce((cut, name) => cut + cutDatabase(path.join(directory, name)), 0);
}

function cutDatabase(databaseDirectory: string): number {
  const points = JSON.parse(fs.readFileSync(syncPointsFile(databaseDirectory), 'utf8')) as SyncPoints;
  let cut = 0;
  for (const name of fs.readdirSync(databaseDirectory)) {
    if (!name.endsWith('.log')) continue;
    const file = path.join(databaseDirectory, name);
    const synced = Math.min(points[name] ?? 0, fileBytes(file));
    cut += fileBytes(file) - synced;
    fs.truncateSync(file, synced);
  }
  return cut;
}

/** LevelDB removes old log files at any time; one that is gone has no bytes. */
function fileBytes(file: string): number {
  return fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
