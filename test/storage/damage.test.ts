/**
 * Real files, damaged: opening and reading them gives exactly what was acknowledged, or says what is wrong. Never a wrong,
 * an older or a missing value. LevelDB itself opens most of these without a word.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { present } from './building.ts';
import { judge, smallDatabase, type Files } from './directories.ts';

let files: Files;
beforeAll(async () => {
  files = await smallDatabase();
});

function nameOf(ending: RegExp): string {
  const names = [...files.keys()].filter((name) => ending.test(name) && present(files.get(name)).length > 0);
  expect(names).toHaveLength(1);
  return present(names[0]);
}

function withFile(name: string, content: Buffer | undefined): Files {
  const changed = new Map(files);
  if (content === undefined) changed.delete(name);
  else changed.set(name, content);
  return changed;
}

function flipped(name: string, position: number): Files {
  const content = Buffer.from(present(files.get(name)));
  content[position] = present(content[position]) ^ (1 << (position % 8));
  return withFile(name, content);
}

/** Positions from 0 in steps, up to the end of a file. */
function positions(name: string, step: number): number[] {
  return Array.from({ length: Math.ceil(present(files.get(name)).length / step) }, (_, count) => count * step);
}

/** Judges many directories, some at a time: each waits for LevelDB's threads, mostly. */
async function judgeEach(positions: readonly number[], damaged: (position: number) => Files): Promise<string[]> {
  const verdicts: string[] = [];
  for (let first = 0; first < positions.length; first += judgedAtOnce) {
    const some = positions.slice(first, first + judgedAtOnce);
    verdicts.push(...(await Promise.all(some.map((position) => judge(damaged(position))))));
  }
  return verdicts;
}

const judgedAtOnce = 4;

test('undamaged, everything acknowledged is there', async () => {
  expect(await judge(files)).toBe('right');
});

describe('a flipped bit', () => {
  test.each([
    ["the log's log file", /^log.*\.log$/, 11],
    ["the log's table file", /^log.*\.ldb$/, 5],
    ["the log's manifest", /^log.*MANIFEST-\d+$/, 1],
    ["the state's table file", /^state.*\.ldb$/, 5],
    ["the state's manifest", /^state.*MANIFEST-\d+$/, 1],
  ])('in %s is found wherever it is', async (_what, ending, step) => {
    const name = nameOf(ending);
    const verdicts = await judgeEach(positions(name, step), (position) => flipped(name, position));
    expect(verdicts.length).toBeGreaterThan(50);
    expect(verdicts.filter((verdict) => /^(right|older state)$/.test(verdict))).toEqual([]);
  });

  test("in the state's log file leaves an older state, which the log makes good", async () => {
    const name = nameOf(/^state.*\.log$/);
    const verdicts = await judgeEach(positions(name, 7), (position) => flipped(name, position));
    expect([...new Set(verdicts)]).toEqual(['older state']);
  });

  test('in the high-water mark is nothing: it only ever proves, never accuses', async () => {
    const verdicts = await judgeEach(positions('HIGHWATER', 31), (position) => flipped('HIGHWATER', position));
    expect([...new Set(verdicts)]).toEqual(['right']);
  });
});

describe("the log's log file", () => {
  test('with a run of records lost in the middle: the gap is named', async () => {
    const name = nameOf(/^log.*\.log$/);
    const content = present(files.get(name));
    const damaged = Buffer.from(content);
    damaged.fill(0xff, Math.floor(content.length * 0.4), Math.floor(content.length * 0.5));
    expect(await judge(withFile(name, damaged))).toMatch(
      /^log batches (\d+ to \d+ are missing|end at \d+, and 36 was acknowledged)$/,
    );
  });

  test('cut short of the mark anywhere: what was acknowledged is missed', async () => {
    const name = nameOf(/^log.*\.log$/);
    const content = present(files.get(name));
    const verdicts = await judgeEach(positions(name, 97), (length) => withFile(name, content.subarray(0, length)));
    expect(verdicts.length).toBeGreaterThan(10);
    for (const verdict of verdicts) expect(verdict).toMatch(/^log batches end at \d+, and 36 was acknowledged$/);
  });

  test('gone altogether: what was acknowledged is missed', async () => {
    expect(await judge(withFile(nameOf(/^log.*\.log$/), undefined))).toMatch(/was acknowledged|can't open/);
  });
});

describe('files', () => {
  test('without a high-water mark the rest is believed', async () => {
    expect(await judge(withFile('HIGHWATER', undefined))).toBe('right');
    expect(await judge(withFile('HIGHWATER', Buffer.from('FHW1 torn')))).toBe('right');
  });

  test('with the database gone, no empty one takes its place', async () => {
    const mark = new Map([...files].filter(([name]) => name === 'HIGHWATER'));
    expect(await judge(mark)).toMatch(/held a database and holds none now/);
    expect(await judge(withFile('log/CURRENT', undefined))).toMatch(/held a database and holds none now/);
    expect(await judge(withFile('state/CURRENT', undefined))).toMatch(/held a database and holds none now/);
  });

  test('with a table cut or gone', async () => {
    const name = nameOf(/^log.*\.ldb$/);
    const content = present(files.get(name));
    expect(await judge(withFile(name, content.subarray(0, 100)))).toMatch(/has 100 of \d+ bytes/);
    expect(await judge(withFile(name, undefined))).toMatch(/is missing/);
  });
});
