/** Watches a running process's fsyncs from outside: the kernel's word, not the program's. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseSyncCalls, type SyncCall } from './sync-calls.ts';

export interface SyncWatch {
  /** Lets the process go on unwatched; returns all calls that have returned. */
  stop(): Promise<readonly SyncCall[]>;
}

/** Why fsyncs can't be watched on this machine; undefined when they can. */
export function straceMissing(): string | undefined {
  const tried = spawnSync('strace', ['-qq', '-o', '/dev/null', '-e', 'trace=fsync', 'true'], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (tried.error !== undefined) return 'strace is not installed: whether fsync precedes each answer was NOT checked';
  return tried.status === 0 ? undefined : `strace may not trace here (${tried.stderr.trim()}): fsyncs were NOT checked`;
}

/** What a disk without a cache takes. Whoever answers without waiting for it is then early by ms, not by chance. */
const addedDelayUs = 5000;

/** Makes each fsync take a little longer. Resolves once every call of every thread is seen. Rejects when strace can't attach. */
export async function watchSyncs(pid: number, file: string): Promise<SyncWatch> {
  const slower = `inject=fdatasync,fsync:delay_enter=${addedDelayUs}`;
  const words = ['-f', '-ttt', '-T', '-e', 'trace=fdatasync,fsync', '-e', slower, '-o', file, '-p', String(pid)];
  const strace = spawn('strace', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise<void>((resolve) => strace.once('exit', () => resolve()));
  let said = '';
  await new Promise<void>((resolve, reject) => {
    strace.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('attached')) resolve();
    });
    strace.once('error', reject);
    void exited.then(() => reject(new Error(`strace ended: ${said.trim()}`)));
  });
  return {
    async stop() {
      strace.kill('SIGINT');
      await exited;
      return parseSyncCalls(readFileSync(file, 'utf8'));
    },
  };
}
