/** Moves as they are carried out: each step on what the group is then, and the directory behind it. */
import { describe, expect, test } from 'vitest';
import { Moves } from '../../../src/cluster/metadata/moves.ts';
import type { MetadataRecord } from '../../../src/cluster/metadata/records.ts';
import { MetadataWorld } from './metadata-world.ts';
import { id, moveRecord, partitionRecord } from './samples.ts';

/** Partition 1 is to go from n3 to n4. */
class World extends MetadataWorld {
  confirmed = true;
  /** Runs while it is asked whether this node still leads. */
  onAsked: () => void | Promise<void> = () => undefined;
  readonly moves = new Moves({
    ...this.ports(),
    confirm: async () => {
      await this.onAsked();
      return this.confirmed;
    },
  });

  static async start(...target: readonly string[]): Promise<World> {
    const world = new World();
    await world.moveTo(...target);
    return world;
  }

  moveTo(...target: readonly string[]): Promise<void> {
    return this.record({ type: 'move', record: moveRecord(1, target, { reason: 'drain', sinceMs: 77 }) });
  }

  step() {
    return this.clock.until(this.moves.step(), 10_000);
  }

  learners(): string[] {
    return [...this.group(1).learners.values()];
  }

  status(): unknown {
    const [status, ...others] = this.moves.status();
    expect(others).toEqual([]);
    return status;
  }
}

describe('a move goes its way', () => {
  test('learner, wait, voters, directory: one step at a time, each told to people', async () => {
    const world = await World.start('n1', 'n2', 'n4');
    const common = { partition: 1, reason: 'drain', to: ['n1', 'n2', 'n4'], lag: 0, sinceMs: 77, blockedBy: undefined };
    const from = world.map.partition(id(1))?.replicas.map(({ nodeId }) => nodeId);
    expect(world.status()).toEqual({ ...common, from, step: 'waiting', progress: 0 });
    await world.step();
    expect(world.learners()).toEqual(['n4']);
    expect(world.status()).toEqual({ ...common, from, step: 'learner', progress: 0 });
    await world.step();
    expect(world.status()).toEqual({
      ...common,
      from,
      step: 'catch_up',
      progress: 0,
      lag: 1000,
      blockedBy: 'the newcomer lacks 1000 entries',
    });
    world.group(1).caughtUp.add(4);
    for (let steps = 0; world.group(1).learners.size > 0; steps++) {
      expect(steps).toBeLessThan(3);
      await world.step();
    }
    expect(world.group(1).hosts()).toEqual(['n1', 'n2', 'n4']);
    expect(world.status()).toMatchObject({ step: 'voters', progress: 1 });
    expect(world.written, 'the directory follows').toEqual([]);
    await world.step();
    expect(world.written).toEqual(['put partition/1 + delete move/1 + put balance/wanted']);
    expect(world.moves.status()).toEqual([]);
    const { voters, leader } = world.group(1);
    expect(world.map.partition(id(1))).toMatchObject({
      epoch: 2,
      replicas: [...voters].map(([replicaId, nodeId]) => ({ replicaId, nodeId })),
      preferredLeader: voters.get(leader),
    });
  });

  test('a leader that is left out hands over first, and only then the voters change', async () => {
    const world = new World();
    const group = world.group(1);
    const [first = '', ...staying] = [...group.voters.values()];
    await world.moveTo(...staying);
    await world.step();
    expect(world.transferred).toEqual([`1>${staying[0]}`]);
    expect(group.hosts()).toEqual([first, ...staying].toSorted());
    await world.step();
    expect(group.hosts()).toEqual(staying.toSorted());
    expect(world.transferred).toHaveLength(1);
  });

  test('a heir that does not take over is told of, and nothing changes until it does', async () => {
    const world = new World();
    world.transfersWork = false;
    const group = world.group(1);
    const [, ...staying] = [...group.voters.values()];
    await world.moveTo(...staying);
    await world.step();
    await world.step();
    expect([group.voters.size, world.transferred.length]).toEqual([3, 2]);
    expect(world.status()).toMatchObject({ blockedBy: `${staying[0]} does not take over the leadership` });
  });

  test('all moves go on at once, and one that is stuck holds up no other', async () => {
    const world = await World.start('n1', 'n2', 'n4');
    await world.record({ type: 'move', record: moveRecord(2, ['n1', 'n2', 'n4']) });
    world.silent.add(id(1));
    const { tookMs } = await world.step();
    expect(tookMs).toBeGreaterThanOrEqual(world.ports().limits.stepTimeoutMs);
    expect([...world.group(2).learners.values()]).toEqual(['n4']);
    expect(world.moves.status()[0]).toMatchObject({
      step: 'waiting',
      blockedBy: 'the partition has no leader that answers',
    });
  });
});

describe('a step is not taken', () => {
  test('when this node turns out to lead no more', async () => {
    const world = await World.start('n1', 'n2', 'n4');
    world.confirmed = false;
    await world.step();
    expect([world.learners(), world.written]).toEqual([[], []]);
  });

  test('when the move was changed or taken back since the group was looked at', async () => {
    for (const change of ['changed', 'deleted'] as const) {
      const world = await World.start('n1', 'n2', 'n4');
      world.onAsked = async () => {
        const move: MetadataRecord = { type: 'move', record: moveRecord(1, ['n1', 'n2', 'n5']) };
        const type = change === 'changed' ? 'put' : 'delete';
        await world.writer.write([{ type, record: move, revision: world.revisionOf(move) }], 5000);
      };
      await world.step();
      expect(world.learners(), change).toEqual([]);
    }
  });

  test('on a group that has changed since it was looked at', async () => {
    const world = await World.start('n1', 'n2', 'n4');
    world.onAsked = () => world.group(1).apply({ type: 'addLearner', host: 'n9' });
    await world.step();
    expect(world.learners()).toEqual(['n9']);
    expect(world.status()).toMatchObject({ step: 'learner', blockedBy: 'the members have changed since' });
    world.onAsked = () => undefined;
    await world.step();
    expect(world.learners(), 'the stray one goes first').toEqual([]);
  });

  test('while the last change is not committed', async () => {
    const world = await World.start('n1', 'n2', 'n3');
    world.group(1).committed = false;
    await world.step();
    expect(world.written, 'not done either').toEqual([]);
    world.group(1).committed = true;
    await world.step();
    expect(world.written).toEqual(['put partition/1 + delete move/1 + put balance/wanted']);
  });
});

describe('the directory', () => {
  test('is not written when the move has another target by then; the move goes on to that', async () => {
    const world = await World.start('n1', 'n2', 'n3');
    world.onWrite = () => {
      world.onWrite = () => undefined;
      const move: MetadataRecord = { type: 'move', record: moveRecord(1, ['n1', 'n2', 'n4']) };
      void world.writer.write([{ type: 'put', record: move, revision: world.revisionOf(move) }], 5000);
    };
    await world.step();
    expect([world.written, world.lost]).toEqual([
      ['put move/1'],
      ['put partition/1 + delete move/1 + put balance/wanted'],
    ]);
    expect(world.map.partition(id(1))?.epoch).toBe(1);
    await world.step();
    expect(world.learners()).toEqual(['n4']);
  });

  test('goes on from the record that there is: its epoch grows by one', async () => {
    const world = new World();
    await world.record({ type: 'partition', record: partitionRecord(1, 8, ['n1', 'n2', 'n3']) });
    await world.moveTo('n1', 'n2', 'n3');
    await world.step();
    expect(world.map.partition(id(1))?.epoch).toBe(9);
  });
});

test('what was seen of a move that is over is not told of the next one of the same partition', async () => {
  const world = await World.start('n1', 'n2', 'n3');
  await world.step();
  await world.step();
  await world.moveTo('n1', 'n2', 'n4');
  expect(world.status()).toMatchObject({ step: 'waiting', progress: 0, blockedBy: undefined });
});
