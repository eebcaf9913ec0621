/**
 * A node whose files were damaged while it was stopped either serves what was written or says in one line what is damaged
 * and does not start. The others go on. Nobody is ever given a wrong value.
 */
import { closeSync, cpSync, openSync, readdirSync, readSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';

const keys = Array.from({ length: 300 }, (_, index) => `key-${index}`);
const valueOf = (key: string): string => `${key} `.repeat(20);

let cluster: TestCluster;
let victim: TestNode;
let pristine: string;

beforeAll(async () => {
  cluster = await startCluster({ partitions: 3 });
  const puts = keys.map((key) => cluster.request('PUT', `/v1/kv/${key}`, { body: valueOf(key), redirectsMax: 1 }));
  for (const { status } of await Promise.all(puts)) expect(status).toBe(201);
  victim = cluster.nodes[2] as TestNode;
  pristine = join(cluster.dataRoot, 'pristine');
  await stopVictim();
});
afterAll(() => cluster.close());

test.each([
  { what: 'a bit near the beginning of the log', at: 0.05 },
  { what: 'a bit in the middle of the log', at: 0.5 },
  { what: 'a bit near the end of the log', at: 0.98 },
])('$what is flipped', async ({ at }) => {
  restorePristine();
  const log = newestLog();
  flipBit(log, Math.floor(statSync(log).size * at));
  await startsWellOrSaysWhy(/missing|corrupt|checksum|does not follow|batches end at|damaged|can't open/);
});

test('the end of the log is missing', async () => {
  restorePristine();
  const log = newestLog();
  truncateSync(log, Math.floor(statSync(log).size * 0.7));
  // Acknowledged batches are gone: this one must be noticed.
  expect(await startsWellOrSaysWhy(/batches end at \d+, and \d+ was acknowledged/)).toBe('refused');
});

test('the identity is corrupt', async () => {
  restorePristine();
  const identity = join(victim.dataDir, 'identity.json');
  flipBit(identity, Math.floor(statSync(identity).size / 2));
  expect(await startsWellOrSaysWhy(/identity\.json is corrupt/)).toBe('refused');
});

test('undamaged, it starts and serves what was written', async () => {
  restorePristine();
  expect(await startsWellOrSaysWhy(/never/)).toBe('started');
});

async function startsWellOrSaysWhy(reason: RegExp): Promise<'started' | 'refused'> {
  const logged = victim.stderr().length;
  const refusal = await victim.restart().then(
    () => undefined,
    (error: unknown) => String(error),
  );
  await servesEverything(cluster.nodes.filter((node) => node.state === 'running'));
  if (refusal === undefined) {
    // With one of the others gone no majority is found without it, and it leads where its log is needed.
    const other = cluster.nodes[0] as TestNode;
    await other.kill();
    await cluster.waitReady();
    await servesEverything([victim]);
    await other.restart();
    await stopVictim();
    return 'started';
  }
  expect(refusal).toMatch(/exited with code 1 before it was ready/);
  const complaints = victim
    .stderr()
    .slice(logged)
    .trimEnd()
    .split('\n')
    .filter((line) => line.startsWith('flotilla: '));
  expect(complaints).toHaveLength(1);
  expect(complaints[0]).toMatch(reason);
  return 'refused';
}

async function servesEverything(nodes: readonly TestNode[]): Promise<void> {
  for (const node of nodes) {
    const gets = keys.map(async (key) =>
      (await cluster.request('GET', `/v1/kv/${key}?route=forward`, { node })).text(),
    );
    expect(await Promise.all(gets)).toEqual(keys.map(valueOf));
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
