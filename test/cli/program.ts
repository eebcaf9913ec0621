/** Runs the built program, as a user would. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const launcher = fileURLToPath(new URL('../../src/flotilla.js', import.meta.url));
const program = fileURLToPath(new URL('../../dist/flotilla.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  stdout(): string;
  stderr(): string;
  /** Resolves with the match once what was printed to stdout has one; rejects when the program ends without. */
  prints(pattern: RegExp): Promise<RegExpExecArray>;
}

export interface StartOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Default: the built program. */
  readonly script?: string;
  readonly cwd?: string;
}

export function start(words: readonly string[], options: StartOptions = {}): Running {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('FLOTILLA_'));
  const child = spawn(process.execPath, [options.script ?? program, ...words], {
    env: { ...Object.fromEntries(own), ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const finished = new Promise<Finished>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  const prints = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(stdout);
        if (match !== null) resolve(match);
      };
      look();
      child.stdout.on('data', look);
      void finished.then(() => reject(new Error(`ended without printing ${String(pattern)}:\n${stdout}\n${stderr}`)));
    });
  return { child, finished, stdout: () => stdout, stderr: () => stderr, prints };
}

export function run(words: readonly string[], options: StartOptions = {}): Promise<Finished> {
  return start(words, options).finished;
}

/** What the program says to a person, without the logs. */
export function said(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
}
