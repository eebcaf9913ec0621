/** The library that stands between a node and its disk: what it says is free, what it refuses, and what it gives back. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FaultyDisks } from '../../src/chaos/disk.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-disk-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let disks: FaultyDisks;
beforeEach((context) => {
  const prepared = FaultyDisks.prepare(directory);
  if (typeof prepared === 'string') return context.skip(`${prepared}: the library was NOT tried`);
  disks = prepared;
  return undefined;
});

const KiB = 1024;
const prelude = `
  const fs = require('node:fs');
  const say = (what) => console.log(JSON.stringify(what));
  const free = () => { const { bavail, bsize } = fs.statfsSync('.'); return bavail * bsize; };
  const codeOf = (work) => { try { work(); return 'done'; } catch (error) { return error.code; } };
`;

/** ms that each fdatasync of a file took to which so many KiB were added before. */
function syncs(change: Parameters<FaultyDisks['set']>[1], addedKiB: readonly number[]): readonly number[] {
  const environment = disks.environment('n1');
  disks.set('n1', change);
  const script = `
    const file = fs.openSync('a', 'w');
    say(${JSON.stringify(addedKiB)}.map((more) => {
      fs.writeSync(file, Buffer.alloc(more * 1024));
      const from = performance.now();
      fs.fdatasyncSync(file);
      return performance.now() - from;
    }));`;
  const { stdout } = spawnSync(process.execPath, ['-e', prelude + script], {
    cwd: mkdtempSync(join(directory, 'work-')),
    env: { ...process.env, ...environment },
    encoding: 'utf8',
  });
  return JSON.parse(stdout) as number[];
}

/** What a program says that runs on a disk with so much room, and what is left of that. */
function run(freeBytes: number | undefined, script: string): { readonly said: unknown[]; readonly left: unknown } {
  const environment = disks.environment('n1');
  disks.set('n1', { freeBytes });
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', prelude + script], {
    cwd: mkdtempSync(join(directory, 'work-')),
    env: { ...process.env, ...environment, NODE_PATH: join(process.cwd(), 'node_modules') },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  const said = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  return { said, left: disks.freeBytes('n1') };
}

test('statfs says what is free; what is written is taken off, what does not fit is refused, what is removed is given back', () => {
  const story = run(
    100 * KiB,
    `say(free());
     fs.writeFileSync('a', Buffer.alloc(60 * 1024));
     say(free());
     say(codeOf(() => fs.writeFileSync('b', Buffer.alloc(50 * 1024))));
     say(free());
     const file = fs.openSync('a', 'r+');
     say(codeOf(() => fs.writeSync(file, Buffer.alloc(60 * 1024), 0, 60 * 1024, 0)));
     say(free());
     fs.unlinkSync('a');
     say(free());`,
  );
  expect(story.said).toEqual([100 * KiB, 40 * KiB, 'ENOSPC', 40 * KiB, 'done', 40 * KiB, 100 * KiB]);
  expect(story.left).toBe(100 * KiB);
});

test('a slow disk takes its time for each sync, and for what is to be synced, but for nothing twice', () => {
  const took = syncs({ syncDelayMs: 20, syncMsPerKiB: 10 }, [0, 10, 0]);
  // A busy machine adds to each of them, and takes nothing away.
  for (const [index, leastMs] of [20, 120, 20].entries()) expect(took[index]).toBeGreaterThanOrEqual(leastMs);
  expect(took[2]).toBeLessThan(took[1] ?? 0);
});

test('without a bound all is as it is', () => {
  const story = run(undefined, `fs.writeFileSync('a', 'x'); fs.unlinkSync('a'); say(free() > 0);`);
  expect(story).toEqual({ said: [true], left: undefined });
});

test('LevelDB meets it as any program does', () => {
  const story = run(
    200 * KiB,
    `const { ClassicLevel } = require('classic-level');
     (async () => {
       const level = new ClassicLevel('db', { valueEncoding: 'buffer' });
       await level.open();
       const put = (key, bytes) => level.put(key, Buffer.alloc(bytes), { sync: true }).then(() => 'done', (error) => error.cause?.message ?? error.message);
       say(await put('a', 100 * 1024));
       say(await put('b', 150 * 1024));
     })();`,
  );
  expect(story.said).toEqual(['done', expect.stringMatching(/No space left on device/)]);
  expect(story.left).toBeLessThan(100 * KiB);
});
