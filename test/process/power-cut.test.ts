/**
 * The power of all three nodes is cut at once, in the middle of writes: what was not yet fsynced is gone. Every acknowledged
 * write must be there when they start again. With nodes that do not fsync, or answer before it is done, the same test must
 * find some missing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startCluster, type TestCluster } from '../../src/testing/cluster.ts';
import { violations, type History } from './support/history.ts';
import { startLoad } from './support/load.ts';
import { answersBeforeFsync, programWith } from './support/patched-program.ts';
import { cutPower, readSyncPoints, syncPointsEnvironment } from './support/power-cut.ts';

/** Writes acknowledged before the power is cut: a second or two's worth with so slow a disk. */
const acknowledgedMin = 600;

const partitions = 6;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-power-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const notesFile = (): string => join(directory, 'syncpoints');
const environmentBefore = { ...process.env };
const restoreEnvironment = (): void => {
  process.env = { ...environmentBefore };
};

beforeEach((context) => {
  rmSync(notesFile(), { force: true });
  const environment = syncPointsEnvironment(directory, notesFile());
  if (typeof environment === 'string') return context.skip(environment);
  // Nodes inherit it.
  Object.assign(process.env, environment);
  return restoreEnvironment;
});

test('every acknowledged write survives a power cut of all nodes', async () => {
  const cluster = await startCluster({ partitions });
  try {
    const { history, kept } = await writeAndCutPower(cluster);
    // The nodes' syncs were noted: what was written is there, on each of them.
    for (const bytes of kept) expect(bytes).toBeGreaterThan(acknowledgedMin * 20);
    expect(violations(history)).toEqual([]);
  } finally {
    await cluster.close();
  }
});

test('the test finds the loss when nodes do not fsync', async () => {
  await expectLoss(await startCluster({ partitions, settings: { storage: { sync: false } } }));
});

test('the test finds the loss when nodes answer before their fsync is done', async () => {
  const program = await programWith(answersBeforeFsync);
  try {
    await expectLoss(await program.startCluster({ partitions }));
  } finally {
    program.remove();
  }
});

async function expectLoss(cluster: TestCluster): Promise<void> {
  try {
    const outcome = await writeAndCutPower(cluster).catch((error: unknown) => error);
    // Nodes that find out that something is missing, or break an invariant over it, stop, now or later; else they serve without it.
    const stopped = /exited with code (1|70|74) before it was ready|stopped by itself/;
    if (outcome instanceof Error) expect(outcome.message).toMatch(stopped);
    else expect(violations((outcome as PowerCut).history).length).toBeGreaterThan(0);
  } finally {
    await cluster.close();
  }
}

interface PowerCut {
  readonly history: History;
  /** Bytes of each node that survived. */
  readonly kept: readonly number[];
}

async function writeAndCutPower(cluster: TestCluster): Promise<PowerCut> {
  const load = await startLoad({
    cluster,
    writersPerPartition: 8,
    writesPerSecond: 100_000,
    readsPerSecond: 0,
    timeoutMs: 5000,
  });
  while (load.writes.filter(({ outcome }) => outcome === 'acknowledged').length < acknowledgedMin) {
    await load.writesInFlight(10);
  }
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  await load.stop();
  const points = readSyncPoints(notesFile());
  const kept = cluster.nodes.map((node) => cutPower(node.dataDir, points).kept);
  restoreEnvironment();
  // All at once: one alone is not ready.
  await Promise.all(cluster.nodes.map((node) => node.restart()));
  return { history: await load.readBack(), kept };
}
