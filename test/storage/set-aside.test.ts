import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { lockDirectory } from '../../src/storage/data-directory.ts';
import {
  forgetRebuild,
  markedDoubt,
  markInDoubt,
  noteEmpty,
  rebuildNote,
  setAside,
  type SetAsideOptions,
} from '../../src/storage/set-aside.ts';

let root: string;
let data: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-aside-'));
  data = path.join(root, 'data');
  fs.mkdirSync(data);
  fs.writeFileSync(path.join(data, 'identity.json'), 'old');
});
afterEach(() => fs.rmSync(root, { recursive: true }));

const when: SetAsideOptions = {
  doubt: { kind: 'old copy', reason: 'n2 has seen start 6' },
  wallMs: Date.UTC(2026, 11, 1, 18),
  setAsideMax: 2,
};
const damaged = { ...when, doubt: { kind: 'damaged', reason: 'table file 000005.ldb is corrupt' } as const };

test('the directory is kept whole beside its place, under a name that says when, and a new one says why it is there', async () => {
  const note = await setAside(data, when);
  expect(note).toEqual({
    kind: 'old copy',
    reason: 'n2 has seen start 6',
    movedTo: path.join(root, 'data.old-2026-12-01T18-00-00.000Z'),
    sinceMs: when.wallMs,
  });
  expect(fs.readFileSync(path.join(note.movedTo, 'identity.json'), 'utf8')).toBe('old');
  expect(fs.readdirSync(root).toSorted()).toEqual(['data', path.basename(note.movedTo)]);
  expect(rebuildNote(data)).toEqual(note);
  forgetRebuild(data);
  expect(fs.readdirSync(data)).toEqual([]);
});

test('a damaged one is named so', async () => {
  const { movedTo } = await setAside(data, damaged);
  expect(path.basename(movedTo)).toBe('data.damaged-2026-12-01T18-00-00.000Z');
});

test('nothing is replaced: where that name is taken it says what to do', async () => {
  fs.mkdirSync(path.join(root, 'data.old-2026-12-01T18-00-00.000Z'));
  await expect(setAside(data, when)).rejects.toThrow(/n2 has seen start 6.*is there already; move it away/);
  expect(fs.readFileSync(path.join(data, 'identity.json'), 'utf8')).toBe('old');
});

test('one that another process has is left alone', async () => {
  const unlock = await lockDirectory(data);
  await expect(setAside(data, when)).rejects.toThrow(/is in use by another process/);
  await unlock();
  expect(fs.existsSync(path.join(data, 'identity.json'))).toBe(true);
});

test('after so many it is the disk that has to be looked after', async () => {
  await setAside(data, when);
  await setAside(data, damaged);
  const once = { ...when, wallMs: when.wallMs + 1 };
  await expect(setAside(data, once)).rejects.toThrow(
    /2 were set aside before: look after the disk, then move data\.damaged-.*, data\.old-.* away/,
  );
  expect(fs.existsSync(data)).toBe(true);
});

test('what was found in a running node is there at its next start, whatever became of the file that says it', () => {
  expect(markedDoubt(data)).toBeUndefined();
  markInDoubt(data, damaged.doubt);
  expect(markedDoubt(data)).toEqual(damaged.doubt);
  fs.truncateSync(path.join(data, 'in-doubt.json'), 7);
  expect(markedDoubt(data)).toMatchObject({ kind: 'damaged', reason: expect.stringContaining('is corrupt') as string });
});

test('a damaged lock holds up nobody, and is still a lock', async () => {
  await (
    await lockDirectory(data)
  )();
  for (const name of [
    'CURRENT',
    ...fs.readdirSync(path.join(data, 'lock')).filter((file) => file.startsWith('MANIFEST')),
  ])
    fs.writeFileSync(path.join(data, 'lock', name), 'nonsense');
  const unlock = await lockDirectory(data);
  await expect(lockDirectory(data)).rejects.toThrow(/is in use/);
  await unlock();
});

describe('a directory that can not be renamed, as a mount point can not', () => {
  const renameReal = fs.renameSync;
  /** Of the others, so many are done before the machine dies. */
  let renamesLeft = Infinity;
  beforeEach(() => {
    renamesLeft = Infinity;
    vi.spyOn(fs, 'renameSync').mockImplementation((from, to) => {
      if (from === data) throw new Error('EBUSY: resource busy or locked');
      // Files that are written whole are none of these.
      if (!String(from).endsWith('.new') && (renamesLeft -= 1) < 0) throw new Error('EIO: the machine died');
      renameReal(from, to);
    });
    for (const name of ['log', 'state']) fs.mkdirSync(path.join(data, name));
    fs.writeFileSync(path.join(data, 'log', 'CURRENT'), 'what it says');
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test('keeps what it held in a directory within it', async () => {
    const { movedTo } = await setAside(data, damaged);
    expect(movedTo).toBe(path.join(data, 'set-aside.damaged-2026-12-01T18-00-00.000Z'));
    expect(fs.readFileSync(path.join(movedTo, 'identity.json'), 'utf8')).toBe('old');
    expect(fs.readFileSync(path.join(movedTo, 'log', 'CURRENT'), 'utf8')).toBe('what it says');
    expect(fs.readdirSync(data).toSorted()).toEqual(['lock', 'rebuilding.json', path.basename(movedTo)]);
    expect(markedDoubt(data)).toBeUndefined();
    expect(rebuildNote(data)?.movedTo).toBe(movedTo);
  });

  test('is in doubt until all of it is moved, wherever that ends', async () => {
    for (renamesLeft = 0; ;) {
      const some = renamesLeft;
      const outcome = await setAside(data, { ...damaged, wallMs: when.wallMs + some, setAsideMax: 10 }).catch(
        (error: unknown) => error as Error,
      );
      if (!(outcome instanceof Error)) break;
      expect(outcome.message).toMatch(/EBUSY.*EIO.*move what is in it to another place, and start again/);
      expect(markedDoubt(data)).toEqual(damaged.doubt);
      renamesLeft = some + 1;
    }
    expect(markedDoubt(data)).toBeUndefined();
    expect(fs.existsSync(path.join(data, 'identity.json'))).toBe(false);
  });

  test('counts what was set aside before, like any', async () => {
    await setAside(data, when);
    await setAside(data, damaged);
    await expect(setAside(data, { ...when, wallMs: when.wallMs + 1 })).rejects.toThrow(
      /2 were set aside before: look after the disk, then move set-aside\.damaged-.*, set-aside\.old-.* away/,
    );
  });
});

test('a directory that is filled from nothing says so, unless it says more already', () => {
  fs.rmSync(data, { recursive: true, force: true });
  fs.mkdirSync(data);
  expect(rebuildNote(data)).toBeUndefined();
  noteEmpty(data, 7);
  const note = { kind: 'empty', reason: 'it came with an empty data directory', sinceMs: 7 };
  expect(rebuildNote(data)).toEqual(note);
  // As often as it starts while it is filled.
  noteEmpty(data, 8);
  expect(rebuildNote(data)).toEqual(note);
  forgetRebuild(data);
  expect(rebuildNote(data)).toBeUndefined();
});
