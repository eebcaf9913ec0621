/** A node whose data directory can't be believed any more: until it has closed, nothing that it has stored decides anything. */
import { expect, test } from 'vitest';
import { encodeCommand } from '../../src/kv/command.ts';
import { unconditional } from '../../src/kv/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { Nodes } from './world.ts';

type Three = [NodeId, NodeId, NodeId];

const key = Buffer.from('key');
const options = { route: 'forward', hops: 0 } as const;

test('it leads no more, and the others go on', async () => {
  const nodes = await Nodes.start();
  const [leader] = nodes.members as Three;
  await nodes.lead(leader);
  const { term } = nodes.replica(leader).status();
  nodes.node(leader).halt();
  await nodes.until(() => nodes.leaders().some((name) => name !== leader));
  expect(nodes.replica(leader).status().term).toBe(term);
});

test('it neither votes nor acknowledges: with it alone nobody is elected', async () => {
  const nodes = await Nodes.start();
  const [leader, halted, other] = nodes.members as Three;
  await nodes.lead(leader);
  nodes.node(halted).halt();
  nodes.node(leader).kill();
  await nodes.run(5000);
  expect(nodes.leaders()).not.toContain(other);
  expect(nodes.leaders()).not.toContain(halted);
  nodes.node(leader).start();
  await nodes.until(() => nodes.leaders().length > 0);
});

test('it answers nothing, stale reads included, is not ready, and closes although somebody waits for it', async () => {
  const nodes = await Nodes.start();
  const [leader, asker, third] = nodes.members as Three;
  await nodes.lead(leader);
  const node = nodes.node(leader);
  const facade = node.facade();
  // Forwarded to the leader, and waiting for a majority's disks as it happens.
  for (const name of [asker, third]) nodes.slow.add(name);
  const body = encodeCommand({
    type: 'put',
    key,
    value: Buffer.from('value'),
    contentType: '',
    ttlMs: 0,
    conditions: unconditional,
  });
  const asked = nodes
    .node(asker)
    .facade()
    ?.execute({ type: 'write', key, body }, { ...options, deadlineAt: nodes.now() + 20_000 });
  await nodes.run(20);
  expect(nodes.asked).toContain(`${asker}>${leader} forward`);

  node.halt();
  const stale = { type: 'stale', key, stalenessMsMax: 60_000 } as const;
  expect(await facade?.execute(stale, { ...options, deadlineAt: nodes.now() + 1000 })).toEqual({
    type: 'shutting_down',
  });
  expect(facade?.readiness().ready).toBe(false);
  const from = nodes.now();
  node.shutDown();
  await nodes.until(() => node.state() === 'down');
  // What waits is not waited for, though it is told what it is: nobody knows whether it counts.
  expect(nodes.now() - from).toBeLessThan(nodes.world.config.limits.drainTimeoutMs / 2);
  const told: unknown[] = [];
  void asked?.then((outcome) => told.push(outcome));
  await nodes.until(() => told.length > 0);
  expect(told).toEqual([expect.objectContaining({ type: 'unknown' })]);
});
