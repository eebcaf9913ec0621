/** A node that waits to be let in: what it is told is durable before it says so, and only its own start is let in. */
import { describe, expect, test } from 'vitest';
import { encodeAdmission } from '../../src/cluster/metadata/join-messages.ts';
import { incarnationOf } from '../../src/cluster/metadata/records.ts';
import { decodeConfiguration } from '../../src/raft/configuration.ts';
import type { ReplicaId } from '../../src/raft/types.ts';
import { settle } from '../cluster/virtual-clock.ts';
import { admission, clusterId, founding, JoinWorld, p1, p2, without } from './join-world.ts';

describe('while it waits', () => {
  test('it says who it is, as a node of no cluster, and does nothing else', async () => {
    const world = await JoinWorld.start();
    expect(world.ended).toEqual(['listening']);
    expect(world.binding()?.self).toEqual({ nodeId: 'n4', incarnation: 1, nonce: 'first', clusterId: undefined });
    expect(await world.ask('join.state', null)).toEqual({ phase: 'joining', nonce: 'first', clusterName: 'demo' });
    for (const kind of ['forward', 'formation.state', 'group.view']) {
      await expect(world.ask(kind, {})).rejects.toThrow('waits to be let into the cluster');
    }
    expect([world.stored.formation.phase, world.ended]).toEqual(['unformed', ['listening']]);
  });
});

describe('refused', () => {
  test('while it waits, it waits no longer', async () => {
    const world = await JoinWorld.start();
    world.refuse(new Error('the name n4 is taken'));
    await settle();
    expect(world.ended).toEqual(['listening', 'closed', 'Error: the name n4 is taken']);
  });

  test('just after it was let in, as its name is taken, by itself, it is a member all the same', async () => {
    const world = await JoinWorld.start();
    expect(await world.admit()).toEqual({ type: 'admitted' });
    world.refuse(new Error('the name n4 is taken'));
    await world.clock.advance(1000);
    expect(world.ended).toEqual(['listening', 'closed', 'member']);
  });
});

describe('let in', () => {
  test('it has the cluster, the map, the dead and a new incarnation, and its connections end behind the answer', async () => {
    const world = await JoinWorld.start();
    expect(await world.admit()).toEqual({ type: 'admitted' });
    expect(world.dead()).toEqual([5, 3]);
    const { configuration } = world.storage.dead(p1);
    expect(configuration && decodeConfiguration(configuration)).toEqual(without(5));
    expect(world.identity.map()).toEqual(admission.map);
    expect(world.identity.identity()).toMatchObject({
      incarnation: incarnationOf(2) + 1,
      formation: { phase: 'formed', clusterId, founding },
    });
    expect(world.ended, 'the answer is on its way').toEqual(['listening']);
    expect(await world.ask('join.state', null), 'it waits no more').toEqual({
      phase: 'member',
      clusterId,
      incarnation: incarnationOf(2) + 1,
    });
    await world.clock.advance(1000);
    expect(world.ended).toEqual(['listening', 'closed', 'member']);
  });

  test('for the first time there are no dead', async () => {
    const world = await JoinWorld.start();
    expect(await world.admit({ stay: 0, tombstones: [] })).toEqual({ type: 'admitted' });
    expect(world.identity.identity().incarnation).toBe(1);
    expect(world.dead()).toEqual([0, 0]);
  });

  test('the dead are durable before it counts as formed, and before it is said', async () => {
    const world = await JoinWorld.start({ automatic: false });
    let answered: unknown;
    const asked = world.admit().then((answer) => (answered = answer));
    for (const expected of [
      [5, 0],
      [5, 3],
    ]) {
      await settle();
      const crashed = await world.storage.openCopy({ automatic: true });
      expect(crashed.dead(p1).through === expected[0] && crashed.dead(p2).through === expected[1]).toBe(false);
      expect([world.durable, answered]).toEqual([[], undefined]);
      await world.storage.completeBatch('log');
      await settle();
      while (world.storage.batchUnderWay('state')) {
        await world.storage.completeBatch('state');
        await settle();
      }
    }
    await asked;
    expect(answered).toEqual({ type: 'admitted' });
    expect(world.durable).toEqual(['map', 'formed']);
    const crashed = await world.storage.crash({ automatic: true });
    expect([p1, p2].map((partition) => crashed.dead(partition).through)).toEqual([5, 3]);
  });

  test('no id that was given out before ever comes into being there; the next one may', async () => {
    const world = await JoinWorld.start();
    await world.admit();
    const storage = await world.storage.crash({ automatic: true });
    for (const id of [1, 5]) expect(() => storage.foundGroup(p1, id as ReplicaId)).toThrow('dead here');
    expect(() => storage.foundGroup(p1, 6 as ReplicaId)).not.toThrow();
    expect(() => storage.foundGroup(p2, 4 as ReplicaId)).not.toThrow();
  });

  test('the dead of an admission that a crash broke off are not buried twice', async () => {
    const world = await JoinWorld.start();
    const buried: number[] = [];
    await world.storage.destroyGroup(p1, { replicaId: 7 as ReplicaId, configuration: Buffer.from('more') });
    const destroyGroup = world.storage.destroyGroup.bind(world.storage);
    world.storage.destroyGroup = (partition, dead) => {
      buried.push(partition);
      return destroyGroup(partition, dead);
    };
    expect(await world.admit()).toEqual({ type: 'admitted' });
    expect([buried, world.dead()]).toEqual([[p2], [7, 3]]);
  });

  test('asked again, at once or later, it gives the same answer and does nothing twice', async () => {
    const world = await JoinWorld.start();
    const answers = await Promise.all([world.admit(), world.admit(), world.admit()]);
    answers.push(await world.admit());
    expect(answers).toEqual(Array(4).fill({ type: 'admitted' }));
    expect(world.durable).toEqual(['map', 'formed']);
    await world.clock.advance(1000);
    expect(world.ended).toEqual(['listening', 'closed', 'member']);
  });
});

describe('what is not for it is refused, and it goes on to wait', () => {
  async function refused(world: JoinWorld, asked: Promise<unknown>): Promise<unknown> {
    const answer = await asked;
    await world.clock.advance(1000);
    expect([world.durable, world.dead(), world.ended]).toEqual([[], [0, 0], ['listening']]);
    return answer;
  }

  test('an admission of an earlier start', async () => {
    const world = await JoinWorld.start({ nonce: 'second' });
    expect(await refused(world, world.admit())).toEqual({
      type: 'refused',
      reason: 'meant for an earlier start of this node',
    });
    expect(await world.admit({ nonce: 'second' })).toEqual({ type: 'admitted' });
  });

  test('a founders’ list that it can’t read', async () => {
    const world = await JoinWorld.start();
    expect(await refused(world, world.admit({ founding: '{}' }))).toEqual({
      type: 'refused',
      reason: expect.stringMatching(/^the founders' list can't be used: .+/) as string,
    });
  });

  const encoded = encodeAdmission(admission);
  const malformed: readonly unknown[] = [
    null,
    {},
    { ...encoded, nonce: 1 },
    { ...encoded, clusterId: null },
    { ...encoded, founding: undefined },
    { ...encoded, stay: -1 },
    { ...encoded, map: {} },
    { ...encoded, map: { nodes: [{ record: {}, revision: 1 }], partitions: [] } },
    { ...encoded, tombstones: {} },
    { ...encoded, tombstones: [{ partition: 1 }] },
    { ...encoded, tombstones: [{ partition: 1, configuration: Buffer.from([9]) }] },
    { ...encoded, tombstones: [{ partition: -1, configuration: Buffer.from([1, 0, 0, 0, 5, 0, 0]) }] },
  ];
  test.each(malformed)('%# what is malformed', async (payload) => {
    const world = await JoinWorld.start();
    const answer = await refused(world, world.ask('join.admit', payload));
    expect(answer).toEqual({ type: 'refused', reason: 'the admission is malformed' });
  });
});

test('a disk that fails ends the wait: nobody is told that it was let in', async () => {
  const world = await JoinWorld.start();
  world.broken = true;
  await expect(world.admit()).rejects.toThrow('the disk failed');
  await settle();
  expect(world.ended).toEqual(['listening', 'closed', 'Error: the disk failed']);
});
