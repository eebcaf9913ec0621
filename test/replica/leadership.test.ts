/** Leadership handed over on purpose, and given up by a node that stood still. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { World, type Sent } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const nobody = new Set<NodeId>();

describe('a leadership', () => {
  test('moves to the node that is named, without an election timeout, and nobody waits for an answer', async () => {
    const world = await World.start();
    await world.elect('n1');
    const before = world.put('n1', 'a', '1');
    expect(world.node('n1').transferLeadership(n3)).toEqual({ type: 'started' });
    const meanwhile = world.put('n1', 'b', '2');
    await world.settle();
    expect(world.leaders.get(n1)).toEqual({ nodeId: n3, term: 2 });
    expect(world.leaders.get(n3)).toEqual({ nodeId: n3, term: 2 });
    for (const { outcomes } of [before, meanwhile]) expect(outcomes).toHaveLength(1);
    // Refused means: certainly not applied.
    expect(meanwhile.outcomes).toEqual([{ type: 'not_leader' }]);
    const get = world.get('n3', 'b');
    await world.settle();
    expect(get.outcomes).toMatchObject([{ type: 'value', term: 2, record: undefined }]);
  });

  test('moves with all that was written before it, once that is committed', async () => {
    const world = await World.start();
    await world.elect('n1');
    const put = world.put('n1', 'a', '1');
    world.node('n1').drive();
    world.node('n1').transferLeadership(n2);
    await world.settle();
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result', term: 1 })]);
    const get = world.get('n2', 'a');
    await world.settle();
    expect(get.outcomes).toEqual([expect.objectContaining({ type: 'value', record: expect.anything() as unknown })]);
  });

  test('stays where it is when it is handed to itself', async () => {
    const world = await World.start();
    await world.elect('n1');
    expect(world.node('n1').transferLeadership(n1)).toEqual({ type: 'done' });
    await world.settle();
    expect(world.leaders.get(n1)).toEqual({ nodeId: n1, term: 1 });
  });

  test('is not handed to a node without a replica, nor by one that does not lead', async () => {
    const world = await World.start();
    await world.elect('n1');
    expect(world.node('n1').transferLeadership('n9' as NodeId)).toEqual({
      type: 'refused',
      reason: 'n9 has no replica of partition 1',
    });
    expect(world.node('n2').transferLeadership(n3)).toEqual({ type: 'not_leader', leader: 1 });
  });

  test('to one that lags is under way until it is given up; then certainly nothing comes of it', async () => {
    const world = await World.start();
    const leader = await world.elect('n1');
    world.cut.add(n3);
    world.put('n1', 'a', '1');
    await world.settle();
    leader.transferLeadership(n3);
    const { term } = leader.status();
    await world.ticks(11);
    expect(leader.transferStanding(n3, term)).toBe('under_way');
    await world.ticks(1);
    expect(leader.transferStanding(n3, term)).toBe('given_up');
    world.cut.clear();
    await world.ticks(40);
    expect(leader.status()).toMatchObject({ role: 'leader', term });
  });

  test('to one that was told to take over is in doubt once it is given up: the word may come late', async () => {
    const world = await World.start();
    const leader = await world.elect('n1');
    await world.settle();
    const { term } = leader.status();
    const late: Sent[] = [];
    world.isLost = (sent) => sent.message.type === 'TimeoutNow' && late.push(sent) > 0;
    leader.transferLeadership(n3);
    await world.ticks(12);
    expect(leader.transferStanding(n3, term)).toBe('in_doubt');
    expect(leader.transferStanding(n2, term)).toBe('given_up');
    world.isLost = () => false;
    world.mail.push(...late);
    await world.settle();
    expect(world.leaders.get(n3)).toEqual({ nodeId: n3, term: term + 1 });
    expect(leader.transferStanding(n3, term)).toBe('in_doubt');
  });

  test('that another wish takes the place of comes to nothing', async () => {
    const world = await World.start();
    const leader = await world.elect('n1');
    world.cut.add(n2).add(n3);
    world.put('n1', 'a', '1');
    await world.settle();
    const { term } = leader.status();
    leader.transferLeadership(n2);
    leader.transferLeadership(n3);
    expect([n2, n3].map((to) => leader.transferStanding(to, term))).toEqual(['given_up', 'under_way']);
  });

  test('that nobody takes stays, and writes go on', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.cut.add(n3);
    world.node('n1').transferLeadership(n3);
    await world.ticks(2);
    const refused = world.put('n1', 'a', '1');
    await world.settle();
    expect(refused.outcomes).toEqual([{ type: 'not_leader' }]);
    await world.ticks(12);
    const put = world.put('n1', 'a', '1');
    await world.settle();
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result', term: 1 })]);
  });
});

describe('the best heir', () => {
  test('is the voter that lacks least', async () => {
    const world = await World.start();
    const leader = await world.elect('n1');
    await world.settle();
    world.stalled.add(n2);
    world.put('n1', 'a', '1');
    await world.settle();
    expect(leader.heir(nobody)).toEqual({ type: 'heir', nodeId: n3 });
    world.stalled.delete(n2);
    world.stalled.add(n3);
    world.put('n1', 'a', '2');
    await world.settle();
    expect(leader.heir(nobody)).toEqual({ type: 'heir', nodeId: n2 });
  });

  test('is on none of the nodes that are left out', async () => {
    const world = await World.start();
    const leader = await world.elect('n1');
    await world.settle();
    expect(leader.heir(new Set([n2]))).toEqual({ type: 'heir', nodeId: n3 });
    expect(leader.heir(new Set([n2, n3]))).toEqual({ type: 'nobody' });
  });

  test('is found at any time while it answers, however often the leader begins to listen anew', async () => {
    const world = await World.start(undefined, { quiesceTicks: 0 });
    const leader = await world.elect('n1');
    for (let tick = 0; tick < 30; tick += 1) {
      await world.ticks(1);
      expect(leader.heir(new Set([n2]))).toEqual({ type: 'heir', nodeId: n3 });
    }
  });

  test('is nobody for now when those who are left do not answer', async () => {
    const world = await World.start();
    const leader = await world.elect('n1');
    world.cut.add(n3);
    await world.ticks(26);
    expect(leader.heir(nobody)).toEqual({ type: 'heir', nodeId: n2 });
    expect(leader.heir(new Set([n2]))).toEqual({ type: 'nobody_now' });
  });

  test('is nobody at a replica that does not lead', async () => {
    const world = await World.start();
    await world.elect('n1');
    expect(world.node('n2').heir(nobody)).toEqual({ type: 'nobody' });
  });
});

describe('a leader that stood still for an election timeout', () => {
  test('leads no more: what is asked of it is refused, and its write under way is told when it is known', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.stalled.add(n2).add(n3);
    const put = world.put('n1', 'a', '1', 60_000);
    await world.settle();
    const get = world.get('n1', 'a', 60_000);
    world.node('n1').stalled();
    await world.settle();
    expect(world.node('n1').status().role).toBe('follower');
    expect(world.leaders.get(n1)).toBeUndefined();
    expect(get.outcomes).toEqual([{ type: 'not_leader' }]);
    expect(world.put('n1', 'b', '1').outcomes).toEqual([{ type: 'not_leader' }]);
    expect(put.outcomes).toEqual([]);
    world.stalled.clear();
    await world.ticks(40);
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result' })]);
  });

  test('hears first what has come meanwhile: a read does not overtake the word of a new leader', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.cut.add(n1);
    await world.elect('n2');
    world.put('n2', 'a', 'new');
    await world.settle();
    const get = world.get('n1', 'a');
    world.node('n1').stalled();
    world.cut.clear();
    await world.settle();
    expect(get.outcomes).toEqual([{ type: 'not_leader' }]);
  });
});
