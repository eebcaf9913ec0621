/**
 * A node whose files were damaged either serves what was written, or says what is damaged, sets its directory aside and is filled again by
 * the others. These go on meanwhile. Nobody is ever given a wrong value, and afterwards it counts in each majority as before.
 */
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { defaults } from '../../src/config.ts';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

const keys = Array.from({ length: 300 }, (_, index) => `key-${index}`);
const valueOf = (key: string): string => `${key} `.repeat(20);

const { setAsideMax } = defaults.storage;
const electionMsMax = 10_000;

let cluster: TestCluster;
let victim: TestNode;
let pristine: string;

beforeAll(async () => {
  cluster = await startCluster({ partitions: 3, settings: { placement: { idleStepMs: 100 } } });
  // So many at a time that a node takes them all on, however long one flush of its disk may take.
  const putsAtOnce = 100;
  for (let from = 0; from < keys.length; from += putsAtOnce) {
    const some = keys.slice(from, from + putsAtOnce);
    const puts = some.map((key) => cluster.request('PUT', `/v1/kv/${key}`, { body: valueOf(key), redirectsMax: 1 }));
    for (const answer of await Promise.all(puts)) expect(answer.status, answer.text()).toBe(201);
  }
  victim = cluster.nodes[2] as TestNode;
  pristine = join(cluster.dataRoot, 'pristine');
  await stopVictim();
});
// What a test that failed set aside is not counted against the next one.
afterEach(() => {
  for (const name of setAside()) rmSync(join(cluster.dataRoot, name), { recursive: true });
});
afterAll(() => cluster.close());

test('a bit in the middle of the log is flipped', async () => {
  restorePristine();
  const log = newestLog();
  flipBit(log, Math.floor(statSync(log).size / 2));
  await startsWellOrIsRebuilt(/missing|corrupt|checksum|does not follow|batches end at|damaged|can't open/);
});

test('the end of the log is missing', async () => {
  restorePristine();
  const log = newestLog();
  truncateSync(log, Math.floor(statSync(log).size * 0.7));
  // Acknowledged batches are gone: this one must be noticed.
  expect(await startsWellOrIsRebuilt(/batches end at \d+, and \d+ was acknowledged/)).toBe('rebuilt');
});

test('the identity is corrupt', async () => {
  restorePristine();
  const identity = join(victim.dataDir, 'identity.json');
  flipBit(identity, Math.floor(statSync(identity).size / 2));
  expect(await startsWellOrIsRebuilt(/identity\.json is corrupt/)).toBe('rebuilt');
});

test('a table is damaged while the node runs: it goes on as one that was emptied, without being started again', async () => {
  restorePristine();
  // Its state is merged into a table as it starts.
  await victim.restart();
  await cluster.waitReady();
  await stopVictim();
  await victim.restart();
  await cluster.waitReady();
  const { pid } = victim;
  const state = join(victim.dataDir, 'state');
  const tables = readdirSync(state).filter((name) => name.endsWith('.ldb'));
  expect(tables).not.toEqual([]);
  for (const table of tables) {
    const { size } = statSync(join(state, table));
    for (let at = 0; at < size - 4096; at += 64) flipBit(join(state, table), at);
  }
  const logged = victim.stderr().length;
  let abortedTimes = 0;
  // Its own replicas are asked for what they hold.
  await vi.waitUntil(
    async () => {
      // LevelDB's own asserts abort the process on tables so damaged: then the next start finds them.
      if (victim.state === 'exited') {
        expect(['SIGABRT', 'SIGBUS', 'SIGSEGV']).toContain((await victim.exited())?.signal);
        abortedTimes += 1;
        await victim.restart();
      }
      const stale = keys.map((key) =>
        cluster.request('GET', `/v1/kv/${key}?consistency=stale`, { node: victim }).catch(() => undefined),
      );
      for (const [index, answer] of (await Promise.all(stale)).entries()) {
        if (answer?.status === 200) expect(answer.text()).toBe(valueOf(keys[index] ?? ''));
      }
      return victim.stderr().slice(logged).includes('the data directory is damaged and was set aside');
    },
    { timeout: 20_000, interval: 100 },
  );
  await isWholeAgain(logged);
  if (abortedTimes === 0) expect(victim.pid).toBe(pid);
  await stopVictim();
});

test('undamaged, it starts and serves what was written', async () => {
  restorePristine();
  expect(await startsWellOrIsRebuilt(/never/)).toBe('started');
});

test('a disk that damages one directory after the other is not given another', async () => {
  for (let at = 1; at <= setAsideMax; at += 1) mkdirSync(`${victim.dataDir}.damaged-${at}`);
  restorePristine();
  rmSync(join(victim.dataDir, 'identity.json'));
  await expect(victim.restart()).rejects.toThrow(
    /identity\.json is missing.*were set aside before: look after the disk/,
  );
  expect(existsSync(join(victim.dataDir, 'log', 'CURRENT'))).toBe(true);
});

async function startsWellOrIsRebuilt(reason: RegExp): Promise<'started' | 'rebuilt'> {
  const logged = victim.stderr().length;
  await victim.restart();
  await servesEverything(cluster.nodes);
  const isRebuilt = victim.stderr().slice(logged).includes('was set aside');
  if (isRebuilt) {
    expect(victim.stderr().slice(logged)).toMatch(reason);
    await isWholeAgain(logged);
  }
  await cluster.waitReady();
  // With one of the others gone no majority is found without it, and it leads where its log is needed.
  const other = cluster.nodes[0] as TestNode;
  await other.kill();
  await servesEverything([victim]);
  await other.restart();
  await stopVictim();
  return isRebuilt ? 'rebuilt' : 'started';
}

/** It says so, and is ready only then; nobody needs what was set aside. */
async function isWholeAgain(logged: number): Promise<void> {
  const says = (): string => victim.stderr().slice(logged);
  await vi.waitUntil(() => says().includes('the node is whole again'), { timeout: 20_000, interval: 50 });
  await cluster.waitReady();
  const aside = setAside();
  expect(aside).toHaveLength(1);
  expect(says()).toContain(aside[0]);
  rmSync(join(cluster.dataRoot, aside[0] ?? ''), { recursive: true });
}

function setAside(): readonly string[] {
  return readdirSync(cluster.dataRoot).filter((name) => name.startsWith(`${basename(victim.dataDir)}.damaged-`));
}

async function servesEverything(nodes: readonly TestNode[]): Promise<void> {
  for (const node of nodes) {
    expect(await Promise.all(keys.map((key) => get(key, node)))).toEqual(keys.map(valueOf));
  }
}

/** Asks again while nobody leads, as every client does: on a busy machine an election outlasts the wait for its leader. */
async function get(key: string, node: TestNode): Promise<string> {
  const until = performance.now() + electionMsMax;
  for (;;) {
    const answer = await cluster.request('GET', `/v1/kv/${key}?route=forward`, { node });
    if (answer.status !== 503 || performance.now() > until) return answer.text();
  }
}

/** Keeps a copy of what it has then: an older one would be damage of another kind, a node that forgot what it promised. */
async function stopVictim(): Promise<void> {
  await victim.kill('SIGTERM');
  rmSync(pristine, { recursive: true, force: true });
  cpSync(victim.dataDir, pristine, { recursive: true });
}

function restorePristine(): void {
  rmSync(victim.dataDir, { recursive: true });
  cpSync(pristine, victim.dataDir, { recursive: true });
}

/** LevelDB's log with everything since the last table was written; a small database has nothing else. */
function newestLog(): string {
  const directory = join(victim.dataDir, 'log');
  const logs = readdirSync(directory).filter((name) => name.endsWith('.log'));
  return join(directory, logs.toSorted().at(-1) ?? '');
}

function flipBit(file: string, at: number): void {
  const descriptor = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  writeSync(descriptor, byte, 0, 1, at);
  closeSync(descriptor);
}
