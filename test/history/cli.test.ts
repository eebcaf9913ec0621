/** `flotilla check`, the built program: what it says, and the code with which it ends. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatOperation } from '../../src/history/jsonl.ts';
import type { Operation } from '../../src/history/types.ts';
import { launcher, run, type Finished } from '../cli/program.ts';
import { get, put } from './build.ts';
import { linearizableHistory, seeded } from './generator.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-check-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const lines = (operations: readonly Operation[]): string => operations.map(formatOperation).join('');

function file(content: string): string {
  writeFileSync(join(directory, 'history.jsonl'), content);
  return 'history.jsonl';
}

function check(...words: readonly string[]): Promise<Finished> {
  return run(['check', ...words], { cwd: directory });
}

const stale = [put('one', [0, 1]), put('two', [2, 3]), get('two', [4, 5]), get('one', [6, 7])];

test('a linearizable history ends with 0 and a summary', async () => {
  const shape = { operations: 1500, clients: 5, keys: 3, unknownShare: 0.05, deleteShare: 0.1 };
  const finished = await check(file(lines(linearizableHistory(shape, seeded(1)))));
  expect(finished).toMatchObject({ code: 0, stderr: '' });
  expect(finished.stdout).toMatch(/^history\.jsonl: linearizable: 1,500 operations on 3 keys, checked in [0-9]+ ms\n$/);
});

test('a violation ends with 1, the key and the operations', async () => {
  expect(await check(file(lines(stale)))).toEqual({
    code: 1,
    stderr: '',
    stdout: [
      'history.jsonl: not linearizable',
      'key "k" is not linearizable: it read a value that was overwritten or deleted before',
      '  [6, 7] 1 get -> "one"',
      'against:',
      '  [2, 3] 1 put "two" -> done',
      'until then all is explained by this order:',
      '  [0, 1] 1 put "one" -> done',
      '  [2, 3] 1 put "two" -> done',
      '  [4, 5] 1 get -> "two"',
      '',
    ].join('\n'),
  });
});

test('running out of time ends with 1, and is said not to be a pass', async () => {
  const shape = { operations: 20_000, clients: 10, keys: 1, unknownShare: 0.05, deleteShare: 0.1 };
  const finished = await check('--seconds', '0', file(lines(linearizableHistory(shape, seeded(1)))));
  expect(finished).toMatchObject({ code: 1, stderr: '' });
  expect(finished.stdout).toMatch(
    /^history\.jsonl: undecided after .*: neither shown nor refuted for the keys "k0"\n$/,
  );
});

test('- reads standard input', async () => {
  const child = spawn(process.execPath, [launcher, 'check', '-'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stdin.end(lines(stale.slice(0, 3)));
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect(stdout).toMatch(/^standard input: linearizable: 3 operations on 1 key, checked in [0-9]+ ms\n$/);
  expect(code).toBe(0);
});

test.each([
  ['no file named', [], "flotilla: missing required argument 'history'\n"],
  ['a file that is not there', ['absent.jsonl'], 'flotilla: absent.jsonl: there is no such file\n'],
  ['a directory', ['.'], 'flotilla: .: EISDIR: illegal operation on a directory, read\n'],
  [
    'a time that is none',
    ['--seconds', 'soon', 'x'],
    "flotilla: option '--seconds <seconds>' argument 'soon' is invalid. Expected a number of seconds.\n",
  ],
])('%s is wrong usage: 2', async (_, words, stderr) => {
  expect(await check(...words)).toEqual({ code: 2, stdout: '', stderr });
});

test.each([
  ['a malformed line', `${lines(stale)}{"op":\n`, 'flotilla: history.jsonl, line 5: not JSON\n'],
  ['an empty file', '\n', 'flotilla: history.jsonl: there is no operation in it\n'],
])('%s is no history: 2', async (_, content, stderr) => {
  expect(await check(file(content))).toEqual({ code: 2, stdout: '', stderr });
});
