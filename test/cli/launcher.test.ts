/** The launcher builds once, and only when there is something to build. Run on a tiny project of its own. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeFlags } from '../../src/testing/node-process.ts';
import { launcher, run, type Finished } from './program.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
let project: string;

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'flotilla-launcher-'));
  mkdirSync(join(project, 'src'));
  copyFileSync(launcher, join(project, 'src', 'flotilla.js'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  // The least of libraries: the browser's alone would take longer to check than all else here.
  const libraries = { lib: ['es2023'], types: [], skipLibCheck: true };
  const compilerOptions = { outDir: 'dist', rootDir: 'src', module: 'nodenext', target: 'es2023', ...libraries };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src/**/*.ts'] }));
  mkdirSync(join(project, 'node_modules', 'typescript', 'lib'), { recursive: true });
  writeFileSync(join(project, 'node_modules', 'typescript', 'lib', 'tsc.js'), compilerStandIn);
  source('main.ts', program('one'));
});
afterEach(() => {
  rmSync(project, { recursive: true });
});

/** Takes what the launcher gives to the real one, and "compiles" in a moment what is JavaScript already. */
const compilerStandIn = `
  const { cpSync, readFileSync } = require('node:fs');
  const [, , project, root, outDirectory, directory] = process.argv;
  if (project !== '-p' || outDirectory !== '--outDir') process.exit(9);
  if (readFileSync(root + '/src/main.ts', 'utf8').includes('broken')) {
    console.log('src/main.ts(1,7): error TS2322');
    process.exit(2);
  }
  cpSync(root + '/src/main.ts', directory + '/main.js');
`;

const program = (answer: string): string =>
  `process.stdout.write(${JSON.stringify(answer)} + process.argv.slice(2).join());\n`;

function source(name: string, content: string): void {
  writeFileSync(join(project, 'src', name), content);
}

function launch(): Promise<Finished> {
  return run(['a', 'b'], { script: join(project, 'src', 'flotilla.js') });
}

const built = (answer: string): Finished => ({ code: 0, stdout: `${answer}a,b`, stderr: 'building...\n' });
const notBuilt = (answer: string): Finished => ({ ...built(answer), stderr: '' });

describe('the launcher', () => {
  it('builds at the first start, not at the second, and again after a change', async () => {
    expect(await launch()).toEqual(built('one'));
    expect(await launch()).toEqual(notBuilt('one'));
    source('main.ts', program('two'));
    expect(await launch()).toEqual(built('two'));
    expect(readdirSync(project).toSorted()).toEqual(['dist', 'node_modules', 'package.json', 'src', 'tsconfig.json']);
  });

  it('builds with the real compiler', async () => {
    rmSync(join(project, 'node_modules'), { recursive: true });
    symlinkSync(join(repository, 'node_modules'), join(project, 'node_modules'));
    source('main.ts', `declare const process: any;\n${program('typed')}`);
    expect(await launch()).toEqual(built('typed'));
    expect(await launch()).toEqual(notBuilt('typed'));
    rmSync(join(project, 'node_modules'));
  });

  it('prefers what the bundler made of it, and makes it anew after a change of either', async () => {
    mkdirSync(join(project, 'config'));
    const bundler = join(project, 'config', 'bundle.js');
    const bundles = (prefix: string): string => `
      import { readFileSync, writeFileSync } from 'node:fs';
      const directory = process.argv[2];
      const program = readFileSync(directory + '/main.js', 'utf8');
      writeFileSync(directory + '/flotilla.js', \`process.stdout.write('${prefix}');\n\` + program);
    `;
    writeFileSync(bundler, bundles('bundled '));
    expect(await launch()).toEqual(built('bundled one'));
    expect(await launch()).toEqual(notBuilt('bundled one'));
    source('main.ts', program('two'));
    expect(await launch()).toEqual(built('bundled two'));
    writeFileSync(bundler, bundles('otherwise '));
    expect(await launch()).toEqual(built('otherwise two'));
    expect(await launch()).toEqual(notBuilt('otherwise two'));
    // Compiled by hand and not bundled: what is bundled is behind.
    const later = new Date(Date.now() + 5000);
    utimesSync(join(project, 'src', 'main.ts'), later, later);
    utimesSync(join(project, 'dist', 'main.js'), later, later);
    expect((await launch()).stderr).toBe('building...\n');
  });

  it('leaves the program that works when the next does not compile', async () => {
    await launch();
    source('main.ts', 'broken');
    const failed = await launch();
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toContain('src/main.ts(1,7): error TS2322');
    const past = new Date(0);
    utimesSync(join(project, 'src', 'main.ts'), past, past);
    expect(await launch()).toEqual(notBuilt('one'));
  });

  it('lets two starts at once both find a whole program', async () => {
    const both = await Promise.all([launch(), launch()]);
    expect(both.map(({ code, stdout }) => ({ code, stdout }))).toEqual([
      { code: 0, stdout: 'onea,b' },
      { code: 0, stdout: 'onea,b' },
    ]);
    expect(await launch()).toEqual(notBuilt('one'));
  });

  it('starts a published program, without sources or compiler', async () => {
    await launch();
    rmSync(join(project, 'src', 'main.ts'));
    expect(await launch()).toEqual(notBuilt('one'));
    source('main.ts', program('newer'));
    rmSync(join(project, 'node_modules'), { recursive: true });
    expect(await launch()).toEqual(notBuilt('one'));
  });

  it('says what to do when there is neither a program nor a compiler', async () => {
    rmSync(join(project, 'node_modules'), { recursive: true });
    expect(await launch()).toEqual({
      code: 1,
      stdout: '',
      stderr: 'flotilla: there is nothing built and no compiler to build it: run "npm ci" first\n',
    });
    expect(existsSync(join(project, 'dist'))).toBe(false);
  });
});

it('started by itself, it gives Node the flags with which nodes run', () => {
  chmodSync(join(project, 'src', 'flotilla.js'), 0o755);
  source('main.ts', 'process.stdout.write(process.execArgv.join(" "));\n');
  const { stdout, status } = spawnSync(join(project, 'src', 'flotilla.js'), { encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, nodeFlags.join(' ')]);
});
