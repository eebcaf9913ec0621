/** A node that was asked to stop, among others that go on: what it says of itself, what it begins, and what is asked of it. */
import { describe, expect, test } from 'vitest';
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
});
