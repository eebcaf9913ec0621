/**
 * One replica's records can't be believed, and the rest of its node's can: it says nothing more, its group goes on without it, and another one comes in
 * its place. `world.judge` sees to it that nobody speaks for a dead one, and `world.digests` that who comes is whole.
 */
import { expect, test } from 'vitest';
import { encodeCommand } from '../../src/kv/command.ts';
import { unconditional } from '../../src/kv/types.ts';
import { scrub, staleRead, startDamageable, turnBit } from './damaged-replicas.ts';
import { p1, type Nodes } from './world.ts';

const withinMs = 10_000;

const statusOf = (nodes: Nodes, name: string) => {
  const own = nodes.node(name).facade()?.readiness();
  return { ready: own?.ready, reasons: own?.reasons.join('; ') };
};
const inDoubt = (nodes: Nodes): string[] => nodes.differing.map(({ nodeId }) => nodeId);
const idOn = (nodes: Nodes, name: string): number | undefined => nodes.node(name).replica(p1)?.replicaId;
const isWhole = (nodes: Nodes, name: string): boolean => nodes.node(name).facade()?.readiness().ready === true;

async function put(nodes: Nodes, at: string, value: string): Promise<string> {
  nodes.world.scheduler.promisesMove();
  const key = Buffer.from('key');
  const operation = { type: 'put', key, value: Buffer.from(value), contentType: '', ttlMs: 0 } as const;
  const body = encodeCommand({ ...operation, conditions: unconditional });
  const asked = nodes
    .node(at)
    .execute({ type: 'write', key, body }, { route: 'forward', deadlineAt: nodes.now() + 1500, hops: 0 });
  let told = '';
  void asked.then(({ type }) => (told = type));
  await nodes.until(() => told !== '');
  return told;
}

test.each(['n3', 'n1'])('%s differs from a majority: its node stays, and has a whole replica again', async (name) => {
  const nodes = await startDamageable();
  const before = idOn(nodes, name) ?? 0;
  nodes.rot(name, 'key-7', () => undefined);
  await nodes.until(() => inDoubt(nodes).length > 0, withinMs);
  expect(idOn(nodes, name)).toBeUndefined();
  expect(statusOf(nodes, name)).toMatchObject({
    ready: false,
    reasons: expect.stringMatching(/partition 1: the replica here could not be believed .*is not that which/) as string,
  });
  await nodes.until(() => isWhole(nodes, name), withinMs);
  expect(idOn(nodes, name)).toBeGreaterThan(before);
  await nodes.until(() => nodes.leaders().length > 0);
  expect(await put(nodes, name, 'later')).toBe('done');
  await nodes.run(3 * scrub.everyMs);
  expect(inDoubt(nodes)).toEqual([name]);
  expect(nodes.node(name).starts).toBe(2);
});

test("a damaged record is its whole disk's matter while all others are whole", async () => {
  const nodes = await startDamageable();
  turnBit(nodes, 'n3');
  await expect(nodes.run(withinMs)).rejects.toThrow('value of key "key-7" is corrupt');
  expect(inDoubt(nodes)).toEqual([]);
});

test('it stays silent over any number of starts, and is replaced once a majority is there', async () => {
  const nodes = await startDamageable();
  const before = idOn(nodes, 'n3') ?? 0;
  nodes.node('n2').kill();
  await nodes.run(50);
  turnBit(nodes, 'n3', 'key-9');
  const told = nodes.until(() => inDoubt(nodes).length > 0, withinMs);
  // Whoever reads there meets it, and is told by another one what there is.
  expect(await staleRead(nodes, 'n3', 'key-9')).toBe('n1');
  await told;
  for (let start = 0; start < 3; start += 1) {
    nodes.node('n3').kill();
    nodes.node('n3').start();
    await nodes.run(3000);
    expect(idOn(nodes, 'n3')).toBeUndefined();
    expect(statusOf(nodes, 'n3').reasons).toMatch(/a majority of it is missing/);
  }
  expect(await staleRead(nodes, 'n3', 'key-1')).toBe('n1');
  // n1 alone is no majority of three, and n3 is none.
  expect(nodes.leaders()).not.toContain('n3');
  nodes.node('n2').start();
  await nodes.until(() => isWhole(nodes, 'n3'), 2 * withinMs);
  expect(idOn(nodes, 'n3')).toBeGreaterThan(before);
});

test('a majority in doubt stops that partition, and says so; the metadata group goes on', async () => {
  const nodes = await startDamageable();
  nodes.node('n1').kill();
  await nodes.run(50);
  for (const name of ['n2', 'n3']) {
    turnBit(nodes, name);
    await staleRead(nodes, name, 'key-7');
  }
  expect(inDoubt(nodes)).toEqual(['n2', 'n3']);
  nodes.node('n1').start();
  await nodes.run(5000);
  expect(nodes.leaders()).toEqual([]);
  expect(await put(nodes, 'n1', 'never')).toBe('no_leader');
  for (const name of ['n2', 'n3']) expect(statusOf(nodes, name).reasons).toMatch(/a majority of it is missing/);
  const operations = nodes
    .node('n1')
    .facade()
    ?.operations(nodes.now() + 1000);
  const found: string[] = [];
  void operations?.then(({ type }) => found.push(type));
  await nodes.until(() => found.length > 0);
  expect(found).toEqual(['operations']);
});
