/**
 * The built program with a fault put in: shows that a test finds what it is there to find. A copy, started by the copy's
 * own `startCluster`, so nothing that other tests run is touched.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { startCluster } from '../../../src/testing/cluster.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface Fault {
  /** Within `dist`. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly original: string;
  readonly broken: string;
}

/** What waits for a batch goes on as soon as the batch is handed to LevelDB. */
export const answersBeforeFsync: Fault = {
  file: 'storage/commit-queue.js',
  original: 'void batch.write().then(() => {',
  broken: 'void batch.write(); void Promise.resolve().then(() => {',
};

export interface PatchedProgram {
  readonly startCluster: typeof startCluster;
  remove(): void;
}

/** Throws when the fault no longer fits the program: then it must be put in anew, or it would show nothing. */
export async function programWith(fault: Fault): Promise<PatchedProgram> {
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-fault-'));
  // The sources, too, because source maps name them.
  for (const part of ['dist', 'src', 'package.json'])
    cpSync(join(root, part), join(directory, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  const file = join(directory, 'dist', fault.file);
  const parts = readFileSync(file, 'utf8').split(fault.original);
  if (parts.length !== 2) throw new Error(`"${fault.original}" stands ${parts.length - 1} times in dist/${fault.file}`);
  writeFileSync(file, parts.join(fault.broken));
  // What was bundled before has the code without the fault.
  rmSync(join(directory, 'dist', 'flotilla.js'));
  const testing = pathToFileURL(join(directory, 'dist/testing/cluster.js')).href;
  const module = (await import(/* @vite-ignore */ testing)) as { readonly startCluster: typeof startCluster };
  return {
    startCluster: module.startCluster,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
