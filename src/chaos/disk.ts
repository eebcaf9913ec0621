/**
 * Real disks that can be made to misbehave: slow, standing still, failing, full, and cut off from power.
 *
 * SIGKILL alone loses nothing, as the page cache outlives the process. So nodes run with `disk.c` preloaded, which notes each file's
 * length as a sync of it returns: it believes the system calls, not the program. At a power cut, at its worst, what was synced is there
 * and nothing else. Not covered: names. A file's entry in its directory is taken to survive with the file (ext4 does that
 * when a new file is fsynced).
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The same place seen from `src/chaos` and from `dist/chaos`. */
const source = fileURLToPath(new URL('../../src/chaos/disk.c', import.meta.url));
const compileMsMax = 60_000;

export interface DiskConditions {
  /** What each fdatasync takes longer, ms. */
  readonly syncDelayMs: number;
  /** And for each KiB to be synced, ms: a disk that takes only so much in a second. */
  readonly syncMsPerKiB: number;
  /** Syncs do not return. */
  readonly stalled: boolean;
  /** Syncs return an I/O error. */
  readonly failing: boolean;
  /** Nothing more can be written. */
  readonly full: boolean;
  /** So much room is left, and less with all that is written, more with what is removed. Undefined: as much as there is. */
  readonly freeBytes: number | undefined;
  /** No fault of a disk, and made in the same way: the event loop stands still. */
  readonly loopBlocked: boolean;
}

const sound: DiskConditions = {
  syncDelayMs: 0,
  syncMsPerKiB: 0,
  stalled: false,
  failing: false,
  full: false,
  freeBytes: undefined,
  loopBlocked: false,
};

/** Where things stand in the control file, and how long that is: see `disk.c`. */
const freeBytesAt = 16;
const loopBlockedAt = 24;
const syncPerKiBAt = 28;
const controlBytes = 32;

/** The disks of all nodes of a cluster. */
export class FaultyDisks {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** What it needs is made in `directory`. A sentence when there is no C compiler. Throws when that fails. */
  static prepare(directory: string): FaultyDisks | string {
    const disks = new FaultyDisks(directory);
    const words = ['-O1', '-Wall', '-Werror', '-shared', '-fPIC', '-o', disks.#library(), source, '-ldl'];
    const { error, status, stderr } = spawnSync('cc', words, { timeout: compileMsMax });
    if (error !== undefined) return 'there is no C compiler (cc)';
    if (status !== 0) throw new Error(`cc failed: ${stderr.toString()}`);
    disks.forget();
    return disks;
  }

  /** What a node of this name must have in its environment. */
  environment(nodeId: string): Readonly<Record<string, string>> {
    this.set(nodeId, {});
    return {
      LD_PRELOAD: this.#library(),
      CHAOS_SYNC_NOTES: this.#notes(),
      CHAOS_DISK_CONTROL: this.#control(nodeId),
    };
  }

  /** From now on; what is left out is as in a sound disk. */
  set(nodeId: string, change: Partial<DiskConditions>): void {
    const { syncDelayMs, syncMsPerKiB, stalled, failing, full, freeBytes, loopBlocked } = { ...sound, ...change };
    const words = [syncDelayMs * 1000, stalled ? 1 : 0, failing ? constants.errno.EIO : 0, full ? 1 : 0];
    const control = Buffer.alloc(controlBytes);
    control.set(Buffer.from(Uint32Array.from(words).buffer));
    control.set(Buffer.from(BigInt64Array.of(BigInt(freeBytes ?? -1)).buffer), freeBytesAt);
    control.set(Buffer.from(Uint32Array.of(loopBlocked ? 1 : 0).buffer), loopBlockedAt);
    control.set(Buffer.from(Uint32Array.of(syncMsPerKiB * 1000).buffer), syncPerKiBAt);
    // In place: the nodes have it mapped.
    writeFileSync(this.#control(nodeId), control, { flag: openFlag(this.#control(nodeId)) });
  }

  /** What is left of the bytes that were said to be free. */
  freeBytes(nodeId: string): number | undefined {
    const left =
      new BigInt64Array(new Uint8Array(readFileSync(this.#control(nodeId))).buffer, freeBytesAt, 1)[0] ?? -1n;
    return left < 0n ? undefined : Number(left);
  }

  /** Cuts all files below `dataDir` back to what was synced, and those never synced to nothing. Returns bytes kept and cut. */
  cutPower(dataDir: string): { readonly kept: number; readonly cut: number } {
    const points = this.#syncPoints();
    let kept = 0;
    let cut = 0;
    for (const name of readdirSync(dataDir, { recursive: true, encoding: 'utf8' })) {
      const file = join(dataDir, name);
      const stats = statSync(file, { bigint: true });
      if (!stats.isFile()) continue;
      const size = Number(stats.size);
      const synced = Math.min(points.get(`${stats.ino} ${stats.birthtimeNs}`) ?? 0, size);
      kept += synced;
      cut += size - synced;
      truncateSync(file, synced);
    }
    return { kept, cut };
  }

  /** Of all files, what was noted so far. For an earlier cluster in the same directory. */
  forget(): void {
    rmSync(this.#notes(), { force: true });
  }

  /** Length in bytes of each file at its last sync, by inode and time of birth. */
  #syncPoints(): ReadonlyMap<string, number> {
    const points = new Map<string, number>();
    for (const line of readFileSync(this.#notes(), 'utf8').trimEnd().split('\n')) {
      const [inode = '', birthTime = '', size = ''] = line.split(' ');
      points.set(`${inode} ${birthTime}`, Number(size));
    }
    return points;
  }

  #library(): string {
    return join(this.#directory, 'disk.so');
  }

  #notes(): string {
    return join(this.#directory, 'synced');
  }

  #control(nodeId: string): string {
    return join(this.#directory, `${nodeId}.disk`);
  }
}

function openFlag(file: string): 'r+' | 'w' {
  return statSync(file, { throwIfNoEntry: false }) === undefined ? 'w' : 'r+';
}
