/** `flotilla check`: whether a recorded history is linearizable. */
import { createReadStream } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { checkHistory, type CheckResult } from '../history/check.ts';
import { describeViolation } from '../history/describe.ts';
import { readHistory } from '../history/jsonl.ts';
import { shortPath, usageExitCode } from './report.ts';

export interface CheckOptions {
  /** `-` for standard input. */
  readonly file: string;
  readonly seconds: number;
}

/** For the memory, some hundred MB: it grows with them. */
const stepsMax = 10_000_000;

/** Not linearizable, or not shown to be in the time given. */
const refusedExitCode = 1;

export async function runCheck({ file, seconds }: CheckOptions): Promise<void> {
  const name = file === '-' ? 'standard input' : shortPath(file);
  const operations = await operationsOf(file, name);
  if (operations === undefined) return;
  const startedAtMs = performance.now();
  const result = checkHistory(operations, {
    stepsMax,
    time: { nowMs: () => performance.now(), msMax: seconds * 1000 },
  });
  process.stdout.write(`${summary(name, result, performance.now() - startedAtMs).join('\n')}\n`);
  if (result.type !== 'linearizable') process.exitCode = refusedExitCode;
}

async function operationsOf(file: string, name: string): ReturnType<typeof readOperations> {
  try {
    return await readOperations(file, name);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return refuse(code === 'ENOENT' ? `${name}: there is no such file` : `${name}: ${message}`);
  }
}

async function readOperations(file: string, name: string): Promise<Parameters<typeof checkHistory>[0] | undefined> {
  const text = file === '-' ? process.stdin.setEncoding('utf8') : createReadStream(file, 'utf8');
  const read = await readHistory(text as AsyncIterable<string>);
  if (read.type === 'malformed') return refuse(`${name}, line ${read.line}: ${read.problem}`);
  // Taken for a pass, a recorder that recorded nothing would never be noticed.
  if (read.operations.length === 0) return refuse(`${name}: there is no operation in it`);
  return read.operations;
}

function refuse(problem: string): undefined {
  process.stderr.write(`flotilla: ${problem}\n`);
  process.exitCode = usageExitCode;
}

function summary(name: string, result: CheckResult, tookMs: number): string[] {
  switch (result.type) {
    case 'linearizable': {
      const [operations, keys] = [count(result.operations, 'operation'), count(result.keys, 'key')];
      return [`${name}: linearizable: ${operations} on ${keys}, checked in ${Math.ceil(tookMs)} ms`];
    }
    case 'violation':
      return [`${name}: not linearizable`, ...describeViolation(result)];
    case 'undecided': {
      const keys = result.keys.map((key) => JSON.stringify(key)).join(', ');
      return [
        `${name}: undecided after ${count(result.steps, 'step')}: neither shown nor refuted for the keys ${keys}`,
      ];
    }
  }
}

function count(many: number, what: string): string {
  return `${many.toLocaleString('en')} ${what}${many === 1 ? '' : 's'}`;
}
