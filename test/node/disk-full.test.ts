/** Whole nodes of which some have little room left on their disks: who refuses what, and what is moved where. */
import { describe, expect, test } from 'vitest';
import type { KvOutcome } from '../../src/cluster/types.ts';
import { encodeCommand } from '../../src/kv/command.ts';
import type { Command } from '../../src/kv/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { del, put } from '../kv/partition.ts';
import { p1, Nodes } from './world.ts';

const { diskFreeBytesMin, diskFreeBytesStop, diskCheckMs, diskToldMs } = (await Nodes.start()).world.config.storage;
const lowBytes = diskFreeBytesMin - 1;
/** A look at the disk, and the word of it on its way. */
const knownWithinMs = diskCheckMs + 50;

async function write(nodes: Nodes, at: string, command: Command): Promise<KvOutcome> {
  nodes.world.scheduler.promisesMove();
  const request = { type: 'write', key: Buffer.from('k'), body: encodeCommand(command) } as const;
  const options = { route: 'forward', deadlineAt: nodes.now() + 5000, hops: 0 } as const;
  return (await nodes.done(nodes.node(at).execute(request, options))).outcome;
}

async function outcomes(nodes: Nodes, command: Command): Promise<string[]> {
  const results: string[] = [];
  for (const node of nodes.all) results.push((await write(nodes, node.nodeId, command)).type);
  return results;
}

describe('little room on one voter', () => {
  test.each(['leader', 'follower'])(
    'the %s: through every node puts are refused, and deletes are not',
    async (role) => {
      const nodes = await Nodes.start();
      await nodes.lead('n1');
      expect(await outcomes(nodes, put('k', 'x'))).toEqual(['done', 'done', 'done']);
      const low = nodes.node(role === 'leader' ? 'n1' : 'n3');
      low.disk.setFreeBytes(lowBytes);
      await nodes.run(knownWithinMs);
      expect(await outcomes(nodes, put('k', 'y'))).toEqual(['disk_full', 'disk_full', 'disk_full']);
      expect((await nodes.done(nodes.get('n2'))).outcome).toMatchObject({ record: { value: Buffer.from('x') } });
      expect(await outcomes(nodes, del('k'))).toEqual(['done', 'done', 'done']);
      for (const node of nodes.all) {
        const { ready, warnings } = node.facade()?.readiness() ?? {};
        expect([ready, warnings]).toEqual([true, [expect.stringMatching(`^${low.nodeId} has 1023 MiB left`)]]);
      }
      low.disk.setFreeBytes();
      await nodes.run(knownWithinMs);
      expect(await outcomes(nodes, put('k', 'y'))).toEqual(['done', 'done', 'done']);
    },
  );

  test('a leader that has just begun to lead knows of it as well', async () => {
    const nodes = await Nodes.start();
    await nodes.lead('n1');
    nodes.node('n3').disk.setFreeBytes(lowBytes);
    await nodes.run(knownWithinMs);
    await nodes.lead('n2');
    expect(await write(nodes, 'n2', put('k', 'x'))).toMatchObject({ type: 'disk_full' });
  });

  test('a node that has just started hears of it with the next look', async () => {
    const nodes = await Nodes.start();
    nodes.node('n3').disk.setFreeBytes(lowBytes);
    nodes.node('n1').kill();
    nodes.node('n1').start();
    await nodes.until(() => nodes.node('n1').facade()?.readiness().warnings?.length === 1, 5000);
  });

  test('one that dies holds up nobody for long', async () => {
    const nodes = await Nodes.start();
    await nodes.lead('n1');
    nodes.node('n3').disk.setFreeBytes(lowBytes);
    await nodes.run(knownWithinMs);
    nodes.node('n3').kill();
    expect(await write(nodes, 'n1', put('k', 'x'))).toMatchObject({ type: 'disk_full' });
    await nodes.run(diskToldMs + diskCheckMs);
    expect(await write(nodes, 'n1', put('k', 'x'))).toMatchObject({ type: 'done' });
  });

  test('where it has no replica it holds up nobody', async () => {
    const nodes = await Nodes.start({ nodes: 4, replicationFactor: 3 });
    const [outsider = ''] = nodes.others;
    nodes.node(outsider).disk.setFreeBytes(lowBytes);
    await nodes.run(knownWithinMs);
    expect(await outcomes(nodes, put('k', 'x'))).toEqual(['done', 'done', 'done', 'done']);
  });
});

test('with hardly any room left a node says that it must stop', async () => {
  const nodes = await Nodes.start();
  nodes.node('n2').disk.setFreeBytes(diskFreeBytesStop - 1);
  await expect(nodes.run(knownWithinMs)).rejects.toThrow('a node needs 256 MiB to run at all');
});

/** Asks `at` to let a node go. */
async function drain(nodes: Nodes, at: string, nodeId: string): Promise<unknown> {
  const node = nodes.node(at);
  const change = { type: 'remove_node', nodeId: nodeId as NodeId } as const;
  const options = { dryRun: false, deadlineAt: nodes.now() + 5000 };
  const asked = node.counted(node.facade()?.changeCluster(change, options) ?? Promise.reject(new Error('it is down')));
  nodes.world.scheduler.promisesMove();
  return (await nodes.done(asked)).outcome;
}

test('with little room everywhere the cluster can still be changed: what helps is not refused', async () => {
  const nodes = await Nodes.start({ nodes: 4, replicationFactor: 3 });
  for (const node of nodes.all) node.disk.setFreeBytes(lowBytes);
  await nodes.run(knownWithinMs);
  expect(await drain(nodes, 'n1', 'n2')).toMatchObject({ type: 'accepted' });
});

test('a node with little room is given no replica; with room again it is', async () => {
  const nodes = await Nodes.start({ nodes: 4, replicationFactor: 3 });
  const [leaving = ''] = nodes.members;
  const [outsider = ''] = nodes.others;
  const holders = (): readonly string[] => {
    const leader = nodes.leaders()[0];
    return leader === undefined ? [] : [...nodes.replica(leader).status().configuration.hosts.values()];
  };
  nodes.node(outsider).disk.setFreeBytes(lowBytes);
  await nodes.run(knownWithinMs);
  expect(await drain(nodes, outsider, leaving)).toMatchObject({ type: 'accepted' });
  await nodes.run(20_000);
  expect(holders()).toContain(leaving);
  expect(holders()).not.toContain(outsider);
  nodes.node(outsider).disk.setFreeBytes();
  await nodes.until(() => holders().includes(outsider) && !holders().includes(leaving), 60_000);
  expect(nodes.node(outsider).replica(p1)).toBeDefined();
});
