/** A node that was asked to stop, among others that go on: what it says of itself, what it begins, and what is asked of it. */
import { describe, expect, test } from 'vitest';
import type { ReplicaId } from '../../src/raft/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { Nodes } from './world.ts';

type Three = [NodeId, NodeId, NodeId];

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
    // In partition 1, with its first replica gone, the third one is the first in turn.
    const [leader, second, first] = nodes.members as Three;
    const [outsider = ''] = nodes.others;
    await nodes.lead(leader);
    await nodes.leaveSlowly(first, outsider);
    nodes.node(leader).kill();
    const led = new Set<string>();
    await nodes.until(() => {
      for (const name of nodes.leaders()) led.add(name);
      return nodes.node(first).state() === 'down';
    });
    expect([...led]).toEqual([second]);
  });

  test('is given no leadership: not by a leader that leaves as well, nor because someone wishes it', async () => {
    const nodes = await Nodes.start({ nodes: 4, replicationFactor: 3 });
    const [leader, leaving, heir] = nodes.members as Three;
    const [outsider = ''] = nodes.others;
    const { term } = (await nodes.lead(leader)).status();
    await nodes.leaveSlowly(leaving, outsider);
    const { outcome, tookMs } = await nodes.done(nodes.move(heir, leaving));
    expect(outcome).toEqual({ type: 'not_moved', partition: 1, detail: `${leaving} is about to stop` });
    expect(tookMs).toBeLessThanOrEqual(5);
    expect(nodes.leaders()).toEqual([leader]);
    nodes.node(leader).shutDown();
    expect(await nodes.until(() => nodes.leaders().includes(heir))).toBeLessThanOrEqual(50);
    expect(nodes.replica(heir).status().term).toBe(term + 1);
  });

  test('is sent no request any more, though it is connected and the hint still names it', async () => {
    const nodes = await Nodes.start({ nodes: 5, replicationFactor: 3 });
    const [leader] = nodes.members as Three;
    const [asker = '', outsider = ''] = nodes.others;
    await nodes.lead(leader);
    const before = await nodes.done(nodes.get(asker));
    expect(before.outcome).toMatchObject({ type: 'value', origin: { nodeId: leader } });
    await nodes.leaveSlowly(leader, outsider);
    nodes.asked.length = 0;
    const { outcome } = await nodes.done(nodes.get(asker));
    expect(outcome).toMatchObject({
      type: 'value',
      origin: { term: (before.outcome as Told).origin.term + 1 },
    });
    expect(nodes.node(leader).state()).toBe('up');
    expect(nodes.asked).not.toContain(`${asker}>${leader} forward`);
  });

  test('that comes back is asked again, and given what it is wished to lead', async () => {
    const nodes = await Nodes.start();
    await nodes.lead('n2');
    nodes.node('n1').shutDown();
    await nodes.until(() => nodes.node('n1').state() === 'down');
    nodes.node('n1').start();
    await nodes.until(() => nodes.node('n1').facade()?.readiness().ready === true);
    await nodes.run(500);
    expect((await nodes.done(nodes.move('n3', 'n1'))).outcome).toMatchObject({ type: 'done', leader: 'n1' });
  });
});

interface Told {
  readonly origin: { readonly term: number };
}

describe('a leader that leaves while its group changes its voters', () => {
  // Replicas 1, 2, 3 were founded; 1 leads, 4 is new.
  test.each([
    ['one of the others is replaced', [1, 3, 4], [3, 4]],
    ['it is itself replaced', [2, 3, 4], [2, 3, 4]],
    ['only the newcomer stays', [4], [4]],
  ])('%s: a voter to be takes over at once and ends the change', async (_what, next, heirs) => {
    const nodes = await Nodes.start({ nodes: 4, replicationFactor: 3 });
    const [leader] = nodes.members as Three;
    const [newcomer = ''] = nodes.others;
    const replica = await nodes.lead(leader);
    replica.changeConfiguration({ type: 'addLearner', host: newcomer });
    await nodes.run(500);
    const { term } = replica.status();
    const voters = next as ReplicaId[];
    expect(replica.changeConfiguration({ type: 'changeVoters', voters })).toMatchObject({ type: 'appended' });
    nodes.node(leader).shutDown();
    // Nothing of the change is known elsewhere yet.
    expect(replica.status()).toMatchObject({ role: 'leader', configuration: { votersOutgoing: [1, 2, 3] } });
    expect(await nodes.until(() => nodes.node(leader).state() === 'down')).toBeLessThanOrEqual(100);
    const hosts = [...nodes.members, newcomer];
    const [led = ''] = nodes.leaders();
    expect(heirs.map((id) => hosts[id - 1])).toContain(led);
    const now = () => nodes.replica(led).status();
    await nodes.until(() => now().configuration.votersOutgoing.length === 0 && now().commitIndex === now().lastIndex);
    expect(now()).toMatchObject({ role: 'leader', term: term + 1, configuration: { voters: next } });
    expect((await nodes.done(nodes.get(led))).outcome).toMatchObject({ type: 'value' });
  });
});
