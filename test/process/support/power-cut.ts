/**
 * A power cut, at its worst: of each file, what was synced is on the disk and nothing else.
 *
 * SIGKILL alone shows nothing, as the page cache outlives the process. So nodes run with `syncpoints.c` preloaded, which notes
 * each file's length as an fsync of it returns; it believes the system calls, not the program. Not covered: names.
 * A file's entry in its directory is taken to survive with the file (ext4 does that when a new file is fsynced).
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('syncpoints.c', import.meta.url));

/** Length in bytes of each file at its last sync, by `identity`. */
export type SyncPoints = ReadonlyMap<string, number>;

/** A slow disk's. Long enough that what is answered too early is still unsynced when this process gets to cut the power. */
const syncDelayUs = 40_000;

/** Environment for nodes whose syncs are to be noted in `notesFile`; a sentence when there is no C compiler to make it so. */
export function syncPointsEnvironment(directory: string, notesFile: string): Readonly<Record<string, string>> | string {
  const library = join(directory, 'syncpoints.so');
  const compiled = spawnSync('cc', ['-O1', '-Wall', '-Werror', '-shared', '-fPIC', '-o', library, source, '-ldl'], {
    timeout: 60_000,
  });
  if (compiled.error !== undefined) return 'there is no C compiler: surviving a power cut was NOT checked';
  if (compiled.status !== 0) throw new Error(`cc failed: ${compiled.stderr.toString()}`);
  return { LD_PRELOAD: library, SYNCPOINTS_FILE: notesFile, SYNCPOINTS_DELAY_US: String(syncDelayUs) };
}

export function readSyncPoints(notesFile: string): SyncPoints {
  const points = new Map<string, number>();
  for (const line of readFileSync(notesFile, 'utf8').trimEnd().split('\n')) {
    const [inode = '', birthTime = '', size = ''] = line.split(' ');
    points.set(`${inode} ${birthTime}`, Number(size));
  }
  return points;
}

/** Cuts all files below `directory` back to what was synced, and those never synced to nothing. Returns bytes kept and cut. */
export function cutPower(directory: string, points: SyncPoints): { readonly kept: number; readonly cut: number } {
  let kept = 0;
  let cut = 0;
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const file = join(directory, name);
    const { ino, birthtimeNs, size, isFile } = facts(file);
    if (!isFile) continue;
    const synced = Math.min(points.get(`${ino} ${birthtimeNs}`) ?? 0, size);
    kept += synced;
    cut += size - synced;
    truncateSync(file, synced);
  }
  return { kept, cut };
}

function facts(file: string): { ino: bigint; birthtimeNs: bigint; size: number; isFile: boolean } {
  const stats = statSync(file, { bigint: true });
  return { ino: stats.ino, birthtimeNs: stats.birthtimeNs, size: Number(stats.size), isFile: stats.isFile() };
}
