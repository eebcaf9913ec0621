import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { setAside } from '../../src/storage/set-aside.ts';

let root: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-aside-'));
  fs.mkdirSync(path.join(root, 'data'));
  fs.writeFileSync(path.join(root, 'data', 'identity.json'), 'old');
});
afterEach(() => fs.rmSync(root, { recursive: true }));

const when = { reason: 'n2 has seen start 6', wallMs: Date.UTC(2026, 11, 1, 18) };

test('the directory is kept whole beside its place, under a name that says when', () => {
  const to = setAside(path.join(root, 'data'), when);
  expect(to).toBe(path.join(root, 'data.old-2026-12-01T18-00-00.000Z'));
  expect(fs.readFileSync(path.join(to, 'identity.json'), 'utf8')).toBe('old');
  expect(fs.readdirSync(root)).toEqual([path.basename(to)]);
});

test('nothing is replaced: where that name is taken, or there is nothing to rename, it says what to do', () => {
  fs.mkdirSync(path.join(root, 'data.old-2026-12-01T18-00-00.000Z'));
  expect(() => setAside(path.join(root, 'data'), when)).toThrow(/n2 has seen start 6.*is there already; move it away/);
  expect(fs.readFileSync(path.join(root, 'data', 'identity.json'), 'utf8')).toBe('old');
  expect(() => setAside(path.join(root, 'none'), when)).toThrow(/can't be set aside: ENOENT/);
});
