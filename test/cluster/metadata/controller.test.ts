/** The controller: what it is asked for and what it sees to by itself. */
import { describe, expect, test } from 'vitest';
import { defaults } from '../../../src/config.ts';
import type { NodeId } from '../../../src/replica/ports.ts';
import { ControllerWorld, fourNodes } from './controller-world.ts';
import { Joiner } from './metadata-world.ts';
import { id, moveRecord, nodeRecord, partitionRecord } from './samples.ts';

describe('a node is added', () => {
  test('it is let in and given its share, replicas and leaderships; then nothing is left to do', async () => {
    const world = new ControllerWorld();
    world.join('n4');
    const outcome = await world.add('n4');
    expect(outcome).toMatchObject({ type: 'accepted', plan: { replicas: 3, bytes: 300, fraction: 0.2, risks: [] } });
    await world.rest();
    expect(world.standing('n4')).toBe('up');
    expect(Object.values(world.loads()).toSorted()).toEqual([3, 4, 4, 4]);
    expect(world.astray()).toEqual([]);
    expect(world.mostMoves).toBe(defaults.placement.movesMax);
    const leaders = [...world.groups].slice(1).map(([, { voters, leader }]) => voters.get(leader));
    expect(new Set(leaders).size, 'each node leads one').toBe(4);
    expect([world.state.moves.size, world.state.balance, world.failures]).toEqual([0, undefined, []]);
    expect(world.written.at(-1)).toBe('delete balance/wanted');
    const quiet = world.written.length;
    await world.rest();
    expect(world.written).toHaveLength(quiet);
  });

  test('asked for again while it joins, it is taken for the same', async () => {
    const world = new ControllerWorld();
    world.join('n4');
    await world.add('n4');
    world.written.length = 0;
    const joining = world.state.nodes.get('n4' as NodeId);
    expect(joining?.record.standing).toBe('joining');
    expect(await world.add('n4')).toMatchObject({ type: 'accepted' });
    expect(world.state.nodes.get('n4' as NodeId)).toEqual(joining);
    expect(world.written).toEqual([]);
  });

  test('tried only: the plan is told, nothing is written, and it is let go of', async () => {
    const world = new ControllerWorld();
    world.join('n4');
    expect(await world.add('n4', true)).toMatchObject({ type: 'accepted', plan: { replicas: 3 } });
    await world.rest();
    expect([world.written, world.contacts]).toEqual([[], ['n4 127.0.0.1:7104', 'n4']]);
  });

  test('that may not come in is refused with the reason', async () => {
    const world = new ControllerWorld();
    world.join('n4', new Joiner('x', 'shop'));
    expect(await world.add('n4')).toEqual({
      type: 'refused',
      detail: 'n4 was started for the cluster shop, and this one is demo',
    });
    expect(world.written).toEqual([]);
  });

  test('that was a member and comes with nothing is purged, let in and gets its replicas back under new ids', async () => {
    const world = await fourNodes();
    const before = new Map([...world.groups].map(([partition, group]) => [partition, [...group.voters.keys()]]));
    const joiner = world.join('n3', new Joiner('emptied'));
    await world.add('n3');
    await world.rest();
    expect([world.standing('n3'), world.astray(), world.failures]).toEqual(['up', [], []]);
    expect(joiner.admissions).toMatchObject([{ stay: 1 }]);
    expect(Object.values(world.loads()).toSorted()).toEqual([3, 4, 4, 4]);
    const tombstones = new Map(joiner.admissions[0]?.tombstones.map((one) => [one.partition, one.configuration]));
    for (const [partition, group] of world.groups) {
      const [back] = [...group.voters].filter(([, host]) => host === 'n3').map(([replicaId]) => replicaId);
      if (back === undefined) continue;
      expect(back, 'above every id of its tombstone').toBeGreaterThan(
        tombstones.get(partition)?.replicaIdMax ?? Infinity,
      );
      expect(before.get(partition)).not.toContain(back);
    }
  });
});

describe('a node is removed', () => {
  test('it gives up all that it has, and is no member once it says itself that nothing is left', async () => {
    const world = await fourNodes();
    world.clinging.add('n3');
    expect(await world.remove('n3')).toMatchObject({ type: 'accepted' });
    expect(world.standing('n3')).toBe('draining');
    await world.rest();
    expect(world.loads()).toEqual({ n1: 5, n2: 5, n4: 5 });
    expect([world.standing('n3'), world.astray()]).toEqual(['draining', []]);
    world.clinging.clear();
    world.mute.add('n3');
    await world.rest();
    expect(world.standing('n3'), 'no word is no word').toBe('draining');
    world.mute.clear();
    await world.rest();
    expect([world.standing('n3'), world.failures]).toEqual(['removed', []]);
  });

  test('one that is lost meanwhile is not waited for', async () => {
    const world = await fourNodes();
    await world.remove('n3');
    world.clinging.add('n3');
    await world.rest();
    world.up.delete('n3');
    await world.rest(defaults.placement.replaceDownAfterMs - 10_000);
    expect(world.standing('n3')).toBe('draining');
    await world.rest();
    expect(world.standing('n3')).toBe('removed');
  });

  test('asked for again, it is the same; tried only, nothing is written', async () => {
    const world = await fourNodes();
    expect(await world.remove('n3', true)).toMatchObject({ type: 'accepted' });
    expect([world.standing('n3'), world.written]).toEqual(['up', []]);
    await world.remove('n3');
    const { revision } = world.state.nodes.get('n3' as NodeId) ?? {};
    expect(await world.remove('n3')).toMatchObject({ type: 'accepted' });
    expect(world.state.nodes.get('n3' as NodeId)?.revision).toBe(revision);
  });

  test('two at a time, of which only one can be spared: the other is refused', async () => {
    const world = await fourNodes();
    world.writeMs = 20;
    const both = await Promise.all([world.remove('n3'), world.remove('n4')]);
    expect(both.map((outcome) => outcome?.type).toSorted()).toEqual(['accepted', 'refused']);
  });

  test('that can’t be spared is refused; one that is not there is not found', async () => {
    const world = new ControllerWorld();
    expect(await world.remove('n3')).toMatchObject({
      type: 'refused',
      detail: expect.stringMatching('add a node first') as string,
    });
    expect(await world.remove('n9')).toMatchObject({ type: 'not_found' });
    await world.record({ type: 'node', record: nodeRecord('n4', { standing: 'removed' }) });
    expect(await world.remove('n4')).toMatchObject({ type: 'not_found' });
    expect(world.written).toEqual([]);
  });

  test('while it joins: it is not let in any more', async () => {
    const world = new ControllerWorld();
    const joiner = world.join('n4');
    await world.add('n4');
    expect(await world.remove('n4')).toMatchObject({ type: 'accepted' });
    await world.rest();
    expect([world.standing('n4'), joiner.admissions]).toEqual(['removed', []]);
  });

  test('while it joins, emptied: what it was named for is made good elsewhere at once, though it is still in reach', async () => {
    const world = await fourNodes();
    const joiner = world.join('n3', new Joiner('emptied'));
    await world.add('n3');
    expect(await world.remove('n3')).toMatchObject({ type: 'accepted' });
    await world.rest();
    expect(world.loads()).toEqual({ n1: 5, n2: 5, n4: 5 });
    expect([world.standing('n3'), world.astray(), joiner.admissions]).toEqual(['removed', [], []]);
  });
});

describe('by itself', () => {
  test('a node that is down for long enough is replaced, and no sooner', async () => {
    const world = await fourNodes();
    world.up.delete('n2');
    await world.rest(defaults.placement.replaceDownAfterMs - 2000);
    expect(world.written).toEqual([]);
    await world.rest();
    expect(world.loads()).toEqual({ n1: 5, n3: 5, n4: 5 });
    expect([world.astray(), world.standing('n2')]).toEqual([[], 'up']);
  });

  test('one that comes back in time is not, however often it goes', async () => {
    const world = await fourNodes();
    for (let times = 0; times < 3; times++) {
      world.up.delete('n2');
      await world.rest(defaults.placement.replaceDownAfterMs - 10_000);
      world.up.add('n2');
      await world.rest(2000);
    }
    expect(world.written).toEqual([]);
  });

  test('a partition that lacks a replica is mended', async () => {
    const world = await fourNodes();
    const group = world.group(1);
    const [gone = 0] = [...group.voters.keys()].filter((replicaId) => replicaId !== group.leader);
    group.voters.delete(gone);
    await world.record({ type: 'partition', record: partitionRecord(1, 9, [...group.voters]) });
    await world.rest();
    expect([world.group(1).voters.size, world.astray()]).toEqual([3, []]);
  });
});

describe('evening out', () => {
  test('is asked for once, and tried without being begun', async () => {
    const world = await fourNodes();
    expect(await world.ask({ type: 'rebalance' }, true)).toMatchObject({ type: 'accepted', plan: { replicas: 0 } });
    expect(world.written).toEqual([]);
    await world.ask({ type: 'rebalance' });
    expect(await world.ask({ type: 'rebalance' })).toMatchObject({ type: 'accepted' });
    expect([world.written, world.lost]).toEqual([['put balance/wanted'], []]);
    await world.rest();
    expect(world.written).toEqual(['put balance/wanted', 'delete balance/wanted']);
  });

  test('a leadership that does not move keeps it open, without hurry', async () => {
    const world = await fourNodes();
    const [, group] = [...world.groups].at(-1) ?? [];
    if (group === undefined) throw new Error('there are groups');
    for (const one of world.groups.values()) {
      one.leader = [...one.voters].find(([, host]) => host === 'n1')?.[0] ?? one.leader;
    }
    world.transfersWork = false;
    world.transferred.length = 0;
    await world.ask({ type: 'rebalance' });
    await world.rest(10_000);
    expect(world.state.balance).toBeDefined();
    expect(world.transferred.length).toBeGreaterThan(1);
    expect(world.transferred.length).toBeLessThanOrEqual(10_000 / defaults.placement.idleStepMs + 1);
    world.transfersWork = true;
    await world.rest();
    expect(world.state.balance).toBeUndefined();
  });
});

test('moves under way are told of', async () => {
  const world = new ControllerWorld();
  world.silent.add(id(1));
  await world.record({ type: 'move', record: moveRecord(1, ['n1', 'n2']) });
  await world.rest(3000);
  expect(world.controller.operations()).toMatchObject([
    { partition: 1, step: 'waiting', blockedBy: 'the partition has no leader that answers' },
  ]);
});
