/** A node that was asked to stop, among others that go on: what it says of itself, what it begins, and what is asked of it. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { Nodes } from './world.ts';

describe('a node that leaves', () => {
  test('is not ready from that moment on, while it still answers', async () => {
    const nodes = await Nodes.start();
    const node = nodes.node('n1');
    expect(node.facade()?.readiness()).toEqual({ ready: true, reasons: [] });
    node.shutDown();
    expect(node.facade()?.readiness()).toEqual({ ready: false, reasons: ['the node is shutting down'] });
    await nodes.until(() => node.state() === 'down');
  });

  test('leaves it to the others to lead, also when it would be the first to ask', async () => {
    const nodes = await Nodes.start({ nodes: 4, replicationFactor: 3 });
    const [leader, second, first] = names(nodes);
    await nodes.lead(leader);
    const [outsider] = ['n1', 'n2', 'n3', 'n4'].filter(
      (name) => !nodes.members.some(({ nodeId }) => nodeId === name),
    ) as [NodeId];
    // It waits for that one's answer for a while, and is not down at once.
    nodes.network.block(first, outsider, false);
    nodes.node(first).shutDown();
    await nodes.run(10);
    nodes.node(leader).kill();
    const led = new Set<string>();
    await nodes.until(() => {
      for (const name of nodes.leaders()) led.add(name);
      return nodes.node(first).state() === 'down';
    });
    expect([...led]).toEqual([second]);
  });
});

/** Where replicas live. When the first is gone, the third of them is the first to ask for votes. */
function names(nodes: Nodes): [NodeId, NodeId, NodeId] {
  const [one, two, three] = nodes.members.map(({ nodeId }) => nodeId);
  if (one === undefined || two === undefined || three === undefined) throw new Error('there are three');
  return [one, two, three];
}
