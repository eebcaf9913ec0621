/** How the command line speaks to a person. */
import { relative, resolve } from 'node:path';

/** Wrong usage and wrong configuration. */
export const usageExitCode = 2;

/** Prints one line each and makes the process end with the code for wrong usage. */
export function reportProblems(problems: readonly string[]): void {
  for (const problem of problems) process.stderr.write(`flotilla: bad configuration: ${problem}\n`);
  process.exitCode = usageExitCode;
}

/** A path as one would type it here. */
export function shortPath(path: string): string {
  const fromHere = relative('', path);
  return fromHere.startsWith('..') ? resolve(path) : fromHere || '.';
}
