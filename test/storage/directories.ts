/** Data directories of small nodes, with a known content, as files to be damaged. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import { defaults, type StorageConfig } from '../../src/config.ts';
import type { Storage } from '../../src/replica/ports.ts';
import { openLevelStorage, type LevelStorage } from '../../src/storage/level-storage.ts';
import {
  append,
  bodies,
  del,
  entries,
  hardState,
  logWrite,
  machineState,
  p1,
  p2,
  put,
  read,
  settled,
  value,
} from './building.ts';

export type Files = ReadonlyMap<string, Buffer>;

/** In memory where there is such a file system: hundreds of directories are opened, and none needs to survive. */
export function temporaryDirectory(): string {
  return fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'flotilla-storage-'));
}

export function open(
  directory: string,
  overrides: Partial<StorageConfig> = {},
  onFailure: (error: unknown) => void = rethrow,
): Promise<LevelStorage> {
  return openLevelStorage({ directory, config: { ...defaults.storage, ...overrides }, incarnation: 1, onFailure });
}

function rethrow(error: unknown): never {
  throw error;
}

/** All but lock files: closing a second handle on one would drop the lock, by the rules of fcntl. */
export function readFiles(directory: string): Files {
  const files = new Map<string, Buffer>();
  for (const name of fs.readdirSync(directory, { recursive: true }) as string[]) {
    const file = path.join(directory, name);
    if (path.basename(name) !== 'LOCK' && fs.statSync(file).isFile()) files.set(name, fs.readFileSync(file));
  }
  return files;
}

/**
 * The files of a node that runs, as one moment: LevelDB's own thread may write out a table meanwhile, so it is read again until
 * names and manifest stayed the same from beginning to end.
 */
export function readLiveFiles(directory: string): Files {
  const fingerprint = (files: Files): string =>
    JSON.stringify(
      [...files].map(([name, content]) => [name, /MANIFEST|CURRENT/.test(name) ? content.toString('hex') : '']),
    );
  for (;;) {
    try {
      const files = readFiles(directory);
      if (fingerprint(files) === fingerprint(readFiles(directory))) return files;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
}

export function writeFiles(directory: string, files: Files): void {
  for (const [name, content] of files) {
    fs.mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
    fs.writeFileSync(path.join(directory, name), content);
  }
}

const rounds = 12;

/** Two groups, with a truncated tail, overwritten and deleted keys; of each database the first half is in a table file, the second in a log file. */
export async function smallDatabase(): Promise<Files> {
  const directory = temporaryDirectory();
  const eager = { stateFlushDelayMs: 0 };
  let storage = await open(directory, eager);
  for (let round = 1; round <= rounds; round += 1) {
    await append(
      storage,
      logWrite(p1, { hardState: hardState(round), entries: entries(2 * round - 1, 2 * round + 1, round) }),
    );
    storage.stageState(
      p1,
      [put(`key ${round}`, `one ${round}`, round), put('same', `one ${round}`), del(`key ${round - 3}`)],
      machineState(2 * round - 1, round),
    );
    storage.stageState(p2, [put('same', `two ${round}`)], machineState(round));
    await append(storage, logWrite(p1, { hardState: hardState(round, 2), truncate: 2 * round + 1 }));
    await append(
      storage,
      logWrite(p2, { hardState: hardState(1), entries: entries(round === 1 ? 1 : round + 1, round + 1, 1) }),
    );
    await settled(storage);
    if (round === rounds / 2) {
      await storage.close();
      storage = await open(directory, eager);
    }
  }
  await storage.close();
  const files = readFiles(directory);
  fs.rmSync(directory, { recursive: true });
  return files;
}

/** Everything that `smallDatabase` was acknowledged. */
export function contentOf(storage: Storage): unknown {
  return {
    hardStates: [p1, p2].map((partition) => storage.group(partition).hardState),
    machineStates: [p1, p2].map((partition) => storage.group(partition).machineState),
    logs: [p1, p2].map((partition) => read(storage, partition, 1, 99)),
    values: [p1, p2].map((partition) =>
      ['same', ...Array.from({ length: rounds }, (_, round) => `key ${round + 1}`)].map((key) =>
        value(storage, partition, key),
      ),
    ),
  };
}

/** With the state of an earlier round, from 0, for each of the two groups. */
function acknowledged(stateRounds: readonly [number, number]): unknown {
  const [one, two] = stateRounds;
  const logs = [
    Array.from({ length: rounds }, (_, round) => entries(2 * round + 1, 2 * round + 2, round + 1)).flat(),
    entries(1, rounds + 1, 1),
  ];
  const keys = Array.from({ length: rounds }, (_, round) =>
    round + 1 > one - 3 && round + 1 <= one ? `one ${round + 1}` : undefined,
  );
  return {
    hardStates: [hardState(rounds, 2), hardState(1)],
    machineStates: [
      one === 0 ? nothingApplied : machineState(2 * one - 1, one),
      two === 0 ? nothingApplied : machineState(two),
    ],
    logs: logs.map(bodies),
    values: [
      [one === 0 ? undefined : `one ${one}`, ...keys],
      [two === 0 ? undefined : `two ${two}`, ...keys.map(() => undefined)],
    ],
  };
}

const nothingApplied = { appliedIndex: 0, appliedTerm: 0, logTime: 0, keys: 0, bytes: 0 };

/**
 * Opens these files and reads everything: 'right'; 'older state' when the log is complete and each group's state is
 * what it was a while before, which the log makes good; or the message of the damage found. Anything else fails the test.
 */
export async function judge(files: Files): Promise<string> {
  const directory = temporaryDirectory();
  let storage: Storage | undefined;
  try {
    writeFiles(directory, files);
    storage = await open(directory);
    const [one, two] = [p1, p2].map((partition) => storage?.group(partition).machineState.appliedIndex ?? 0);
    const stateRounds = [Math.ceil((one ?? 0) / 2), two ?? 0] as const;
    expect(contentOf(storage)).toEqual(acknowledged(stateRounds));
    return Math.min(...stateRounds) === rounds ? 'right' : 'older state';
  } catch (error) {
    if (error instanceof Error && error.name === 'StorageDamage') return error.message;
    throw error;
  } finally {
    await storage?.close();
    fs.rmSync(directory, { recursive: true });
  }
}
