/** `flotilla recover` before it touches anything: what it takes, and the name that has to be typed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { confirm, type Terminal } from '../../src/cli/recover-run.ts';
import { run } from './program.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-recover-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A person at a terminal who types this, and what is said to them. */
function person(typed: string, isTTY = true): Terminal & { readonly heard: () => string } {
  const input = Object.assign(new PassThrough(), { isTTY });
  const output = new PassThrough();
  let heard = '';
  output.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  input.end(typed);
  return { input, output, heard: () => heard };
}

describe('the name of the cluster', () => {
  it('is asked for, and typed', async () => {
    const terminal = person('prod\n');
    expect(await confirm('prod', undefined, terminal)).toEqual({ how: 'typed' });
    expect(terminal.heard()).toContain("Type the cluster's name to go on: ");
  });

  it.each(['dev\n', 'yes\n', '\n', 'PROD\n', ''])('is no other than this cluster has: %j is refused', async (typed) => {
    expect(await confirm('prod', undefined, person(typed))).toEqual({
      refused: `${JSON.stringify(typed.trim())} is not the name of this cluster`,
    });
  });

  it('is not read from what is no terminal: a script says it on the command line', async () => {
    const refused = { refused: "this wants the cluster's name typed at a terminal, or --cluster-name-is <name>" };
    expect(await confirm('prod', undefined, person('prod\n', false))).toEqual(refused);
    expect(await confirm('prod', 'prod', person('', false))).toEqual({ how: 'option' });
    expect(await confirm('prod', 'dev', person('prod\n'))).toEqual({
      refused: '"dev" is not the name of this cluster',
    });
  });
});

describe('on the command line', () => {
  it.each([
    [['--lost', 'n2'], "required option '--data <directory>' not specified"],
    [['--data', 'x'], "required option '--lost <nodeIds>' not specified"],
    [['--data', 'x', '--lost', 'n2,,n3'], 'Expected names like n2,n3.'],
  ])('%j is wrong usage', async (words, problem) => {
    const ran = await run(['recover', ...words]);
    expect(ran).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(problem) as string });
  });

  it('a plan that is none is named, before the directory is opened', async () => {
    const file = join(directory, 'plan.json');
    writeFileSync(file, '{}');
    const missing = join(directory, 'missing.json');
    const ran = await run(['recover', '--data', directory, '--lost', 'n2', '--plans', file, missing]);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr.trim().split('\n')).toEqual([
      `flotilla: ${file} is no plan that flotilla recover --plan has written`,
      expect.stringContaining(`flotilla: ${missing} can't be read: ENOENT`),
    ]);
  });

  it('a directory without a node is refused', async () => {
    const ran = await run(['recover', '--data', directory, '--lost', 'n2', '--unsafe']);
    expect(ran).toEqual({ code: 1, stdout: '', stderr: `flotilla: ${directory} holds no node's data\n` });
  });
});
