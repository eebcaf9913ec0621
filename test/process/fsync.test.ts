/**
 * No write is answered before two of three nodes have fsynced it. Watched from outside, by strace: for each of a row of
 * writes on one connection, at least two nodes begin an fsync after it was sent and see it return before it is answered.
 * The same check must find fault with nodes that don't fsync, and with nodes that answer without waiting for it.
 */
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { startCluster, type TestCluster } from '../../src/testing/cluster.ts';
import { openConnection } from './support/one-connection.ts';
import { answersBeforeFsync, programWith } from './support/patched-program.ts';
import { straceMissing, watchSyncs } from './support/strace.ts';
import { answeredTooEarly } from './support/sync-calls.ts';
import { wallClock } from './support/wall-clock.ts';

const puts = 40;
const majority = 2;
const settings = {
  // Applied state rides with the next write: each fsync that is seen is one that a write waited for.
  storage: { stateFlushDelayMs: 10_000 },
  // A traced process is slow; that is no reason to elect another leader in the middle.
  raft: { electionTicksMin: 60, electionTicksMax: 120 },
};

beforeEach((context) => {
  const missing = straceMissing();
  if (missing !== undefined) context.skip(missing);
});

test('at least two of three nodes have fsynced each write before it is answered', async () => {
  const cluster = await startCluster({ partitions: 1, settings });
  try {
    expect(await putsAnsweredTooEarly(cluster)).toEqual([]);
  } finally {
    await cluster.close();
  }
});

test('the check finds fault with nodes that do not fsync', async () => {
  const storage = { ...settings.storage, sync: false };
  const cluster = await startCluster({ partitions: 1, settings: { ...settings, storage } });
  try {
    expect(await putsAnsweredTooEarly(cluster)).toHaveLength(puts);
  } finally {
    await cluster.close();
  }
});

test('the check finds fault with nodes that answer without waiting for their fsync', async () => {
  const program = await programWith(answersBeforeFsync);
  const cluster = await program.startCluster({ partitions: 1, settings });
  try {
    expect((await putsAnsweredTooEarly(cluster)).length).toBeGreaterThan(puts / 2);
  } finally {
    await cluster.close();
    program.remove();
  }
});

/** Writes in a row to the leader of the only partition, with strace on all three nodes. */
async function putsAnsweredTooEarly(cluster: TestCluster): Promise<string[]> {
  const leader = await cluster.leaderOf(1);
  if (leader === undefined) throw new Error('a cluster that is ready knows its leader');
  const watches = await Promise.all(
    cluster.nodes.map(({ pid, nodeId }) => watchSyncs(pid ?? 0, join(cluster.dataRoot, `${nodeId}.strace`))),
  );
  const connection = await openConnection(leader.url, wallClock());
  const answered = [];
  for (let index = 0; index < puts; index += 1) {
    const put = await connection.put(`/v1/kv/key-${index}`, 'value');
    expect(put.status).toBe(201);
    answered.push(put);
  }
  connection.close();
  return answeredTooEarly(answered, await Promise.all(watches.map((watch) => watch.stop())), majority);
}
