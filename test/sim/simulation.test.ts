/**
 * Simulated worlds: the same few seeds at each run, some that are new, bugs that are planted, and that a seed is the same run
 * wherever and however often it is run. By the built program, on all cores; `npm run sim` runs many more.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { isBusy, type Business } from '../../src/sim/busy.ts';
import { simulate } from '../../src/sim/simulation.ts';

/** While it is waited for nothing else runs in this process, not even what ends a test that takes too long. */
const programMsMax = 120_000;
vi.setConfig({ testTimeout: programMsMax + 10_000 });

const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

function flotilla(...words: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr, signal } = spawnSync(process.execPath, [program, ...words], {
    encoding: 'utf8',
    timeout: programMsMax,
    killSignal: 'SIGKILL',
  });
  return {
    status,
    output: `${stdout}${stderr}${signal === null ? '' : `\nkilled with ${signal} after ${programMsMax} ms`}`,
  };
}

describe('no promise is broken', () => {
  test('by the seeds from 1 on', () => {
    const { status, output } = flotilla('sim', '--from', '1', '--seeds', '5');
    expect(status, output).toBe(0);
    expect(output).toMatch(/^[3-5] runs /m);
  });

  test('by seeds that nobody has run before', () => {
    const { status, output } = flotilla('sim', '--from', String(randomInt(2 ** 40)), '--seeds', '3');
    expect(status, output).toBe(0);
  });

  test('by a world of 64 partitions', () => {
    const { status, output } = flotilla('sim', '--seed', '2', '--partitions', '64', '--seconds', '15');
    expect(status, output).toBe(0);
  });
});

test('a seed is the same run in two processes, to the last message, traced or not', () => {
  const traces = ['11', '12'].map((seed) =>
    [[], ['--trace']].map((more) => {
      const { output } = flotilla('sim', '--seed', seed, '--seconds', '12', ...more);
      return /^trace [0-9a-f]{16}$/m.exec(output)?.[0];
    }),
  );
  for (const [first, second] of traces) {
    expect(first).toBeDefined();
    expect(second).toBe(first);
  }
  expect(new Set(traces.flat()).size).toBe(2);
});

/** Those that are caught soonest, from the seed on that catches them: that all are is for `npm run mutants`. */
test.each([
  ['own-append-counted-early', '2'],
  ['vote-before-durable', '1'],
  ['vote-erased-on-step-down', '1'],
])('a seeded bug is caught: %s', (bug, seed) => {
  const { status, output } = flotilla('mutants', '--only', bug, '--from', seed, '--workers', '1');
  expect(output).toContain('1 of 1 caught');
  expect(status).toBe(0);
});

test('a failure names the judge, the commit and the command that repeats it', () => {
  const caught = flotilla('sim', '--seed', '1', '--bug', 'vote-before-durable', '--partitions', '2');
  expect(caught.status).toBe(1);
  expect(caught.output).toContain('VIOLATION (spoke too early)');
  const command = /^replay: npx flotilla (.*)$/m.exec(caught.output)?.[1] ?? '';
  expect(command).toBe('sim --seed 1 --bug vote-before-durable --partitions 2');
  const timeless = (output: string): string => output.replace(/^.* simulated s in .*$/m, '');
  expect(timeless(flotilla(...command.split(' ')).output)).toBe(timeless(caught.output));
});

test.each([
  [['sim', '--seed', 'x'], 'Expected a whole number'],
  [['sim', '--bug', 'none'], 'there is no bug "none"'],
  [['sim', '--faults', 'kill,flood'], '--faults takes kill, power cut'],
])('wrong usage ends in exit code 2: %j', (words, message) => {
  const { status, output } = flotilla(...words);
  expect(output).toContain(message);
  expect(status).toBe(2);
});

describe('a run counts', () => {
  const busy: Business = {
    simulatedMs: 66_000,
    operations: 1500,
    elections: 2,
    faults: new Map([
      ['kill', 1],
      ['pause', 1],
      ['split', 1],
    ]),
    swarm: { clients: 10, hotKeys: 20 },
    calm: { operations: 100, unknown: 5 },
  };

  test.each<readonly [string, Partial<Business>, boolean]>([
    ['when it is busy', {}, true],
    ['not when it is short', { simulatedMs: 59_000 }, false],
    ['not with few operations', { operations: 499 }, false],
    ['not with few operations a second', { simulatedMs: 200_000 }, false],
    ['not without an election', { elections: 0 }, false],
    ['not with two kinds of fault', { faults: new Map([['kill', 9]]) }, false],
    ['not with too many outcomes unknown away from faults', { calm: { operations: 100, unknown: 6 } }, false],
  ])('%s', (_what, change, counts) => {
    expect(isBusy({ ...busy, ...change })).toBe(counts);
  });
});

test('faults happen, and are counted', async () => {
  const { faults, starts, unknown } = await simulate({
    seed: 6,
    swarm: { seconds: 20, faults: ['kill', 'split'], nodes: 3 },
  });
  expect([...faults.keys()].toSorted()).toEqual(['kill', 'split']);
  expect(starts).toBeGreaterThan(3);
  expect(unknown).toBeGreaterThan(0);
});

test.each([
  [1, true],
  [0, false],
])('with quiesceTicks %i leaders of silent groups are cut off: %s', async (quiesceTicks, happens) => {
  const swarm = { seconds: 6, faults: ['isolate silent leader' as const], faultEveryMs: 500, nodes: 3, quiesceTicks };
  const { faults, violation } = await simulate({ seed: 6, swarm });
  expect([violation, (faults.get('isolate silent leader') ?? 0) > 0]).toEqual([undefined, happens]);
});

// The second one's transfer ends right before the five seconds do.
test.each([2000513, 2000729])(
  'a majority that waits for the state is given the time of its transfers: seed %i',
  async (seed) => {
    const { violation } = await simulate({ seed });
    expect(violation).toBeUndefined();
  },
);
