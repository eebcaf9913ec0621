/** Nodes that are let in: who may come, and that an emptied one is rid of all that it was before. */
import { beforeEach, describe, expect, test } from 'vitest';
import { incarnationOf } from '../../../src/cluster/metadata/records.ts';
import type { NodeId } from '../../../src/replica/ports.ts';
import { addition, AdmissionWorld } from './admission-world.ts';
import { clusterId, Joiner } from './metadata-world.ts';
import { id, moveRecord, nodeRecord, partitionRecord } from './samples.ts';

let world: AdmissionWorld;
beforeEach(async () => {
  world = await AdmissionWorld.start();
});

describe('a node is looked at before anything is changed', () => {
  test('one that waits may come in; it is spoken to at the address that was named', async () => {
    const { state } = world.join('n4');
    expect(await world.check(addition('n4'))).toEqual(state);
    // And let go of: from then on the map has it, or it is none of ours.
    expect([world.contacts, world.written]).toEqual([['n4 127.0.0.1:7104', 'n4'], []]);
  });

  test('it is waited for a while', async () => {
    world.clock.after(700, () => world.join('n4'));
    expect(await world.check(addition('n4'))).toMatchObject({ phase: 'joining' });
  });

  test('one that does not answer is refused, and let go of', async () => {
    expect(await world.check(addition('n4'))).toBe(
      'no node named n4 answers at 127.0.0.1:7104: start it with --join first, and check its peer address',
    );
    expect(world.contacts).toEqual(['n4 127.0.0.1:7104', 'n4']);
  });

  test('an address that another node has is refused before anybody is spoken to', async () => {
    world.join('n4');
    const { http, peer } = nodeRecord('n2');
    expect(await world.check(addition('n4', { peer }))).toBe(`n2 has the address ${peer} already`);
    expect(await world.check(addition('n4', { http }))).toBe(`n2 has the address ${http} already`);
    expect(world.contacts).toEqual([]);
  });

  test('the address of a node that was removed is free', async () => {
    await world.record({ type: 'node', record: nodeRecord('n2', { standing: 'removed' }) });
    world.join('n4');
    expect(await world.check(addition('n4', nodeRecord('n2', { nodeId: 'n4' as NodeId })))).toMatchObject({
      phase: 'joining',
    });
  });

  test('the name of a member that is there is taken, and its connection left alone', async () => {
    world.join('n2').state = { phase: 'member', clusterId, incarnation: 1 };
    expect(await world.check(addition('n2', { peer: 'elsewhere:1' }))).toBe(
      'the name n2 is taken by a node that is a member already',
    );
    expect(world.contacts).toEqual([]);
  });

  test('a member of another cluster is refused', async () => {
    world.join('n4').state = { phase: 'member', clusterId: 'd'.repeat(32), incarnation: 1 };
    expect(await world.check(addition('n4'))).toBe(
      `n4 at 127.0.0.1:7104 belongs to another cluster, ${'d'.repeat(32)}`,
    );
  });

  test('one that was started for a cluster of another name is refused', async () => {
    world.join('n4', new Joiner('x', 'shop'));
    expect(await world.check(addition('n4'))).toBe('n4 was started for the cluster shop, and this one is demo');
  });

  test('one that was let in and is not written down as a member yet may be asked for again', async () => {
    const joiner = await world.asked();
    joiner.state = { phase: 'member', clusterId, incarnation: 1 };
    expect(await world.check(addition('n4'))).toEqual(joiner.state);
    expect(await world.begin(addition('n4'), joiner)).toBe(true);
    expect(world.written).toEqual([]);
  });
});

describe('a node that is new', () => {
  test('is known by name first, then let in, and the cluster is to be evened out, in one transaction', async () => {
    const joiner = world.join('n4');
    await world.begin(addition('n4'), joiner);
    expect(world.known()).toEqual({ ...addition('n4'), standing: 'joining', stay: 0, nonce: 'nonce of n4' });
    await world.step();
    expect(joiner.admissions).toEqual([
      {
        nonce: 'nonce of n4',
        clusterId,
        founding: 'the founders',
        stay: 0,
        map: {
          nodes: [{ record: { ...addition('n4'), standing: 'joining', stay: 0, nonce: 'nonce of n4' }, revision: 1 }],
          partitions: [],
        },
        tombstones: [],
      },
    ]);
    expect(world.known()).toEqual({ ...addition('n4'), standing: 'up', stay: 0, nonce: '' });
    expect(world.written).toEqual(['put node/n4', 'put node/n4 + put balance/wanted']);
    await world.step();
    expect(joiner.admissions).toHaveLength(1);
  });

  test('asked for again, it is the same: nothing is written', async () => {
    const joiner = await world.asked();
    expect(await world.begin(addition('n4'), joiner)).toBe(true);
    expect(world.written).toEqual([]);
  });

  test('of which somebody else wrote first is not begun', async () => {
    const joiner = world.join('n4');
    world.onWrite = () => {
      world.onWrite = () => undefined;
      const record = { type: 'node', record: nodeRecord('n4', { standing: 'joining' }) } as const;
      void world.writer.write([{ type: 'put', record, revision: 0 }], Infinity);
    };
    expect(await world.begin(addition('n4'), joiner)).toBe(false);
    expect(world.known()?.nonce).toBe('');
  });

  test('of which it was asked before it was let in is not let in once more', async () => {
    const joiner = await world.asked();
    const found = { state: joiner.state, revision: world.state.nodes.get('n4' as NodeId)?.revision ?? 0 };
    await world.step();
    expect(world.known()?.standing).toBe('up');
    expect(await world.admission.begin(addition('n4'), found, Infinity)).toBe(false);
    expect(world.known()).toMatchObject({ standing: 'up', stay: 0 });
  });

  test('that is out of reach is waited for', async () => {
    await world.asked();
    world.up.delete('n4');
    await world.step();
    expect([world.known()?.standing, world.written]).toEqual(['joining', []]);
    world.up.add('n4');
    await world.step();
    expect(world.known()?.standing).toBe('up');
  });

  test('whose answer was lost is written down once it says that it is a member', async () => {
    const joiner = await world.asked();
    joiner.answersLost = true;
    await world.step();
    expect(world.known()?.standing).toBe('joining');
    await world.step();
    expect([world.known()?.standing, joiner.admissions.length]).toEqual(['up', 1]);
  });

  test('that says it is a member of another cluster by now, or in an earlier stay, is not written down', async () => {
    const joiner = await world.asked();
    for (const state of [
      { phase: 'member', clusterId: 'd'.repeat(32), incarnation: 9 },
      { phase: 'member', clusterId, incarnation: incarnationOf(0) },
    ] as const) {
      joiner.state = state;
      await world.step();
      expect(world.known()?.standing).toBe('joining');
    }
  });

  test('that starts again while it joins has another stay, with tombstones of every group', async () => {
    await world.asked();
    const second = world.join('n4', new Joiner('second'));
    await world.step();
    expect(world.known()).toMatchObject({ standing: 'joining', stay: 1, nonce: 'second' });
    expect(second.admissions, 'nobody knows what the first start was told').toEqual([]);
    await world.step();
    expect(second.admissions).toMatchObject([{ stay: 1, nonce: 'second' }]);
    const tombstones = second.admissions[0]?.tombstones ?? [];
    expect(tombstones.map(({ partition }) => partition)).toEqual([0, 1, 2]);
    for (const { partition, configuration } of tombstones) {
      expect(configuration).toEqual(world.group(partition).view().configuration);
    }
    expect(world.known()?.standing).toBe('up');
  });

  test('that starts again and is asked for again at once: the same', async () => {
    await world.asked();
    const second = world.join('n4', new Joiner('second'));
    expect(await world.begin(addition('n4'), second)).toBe(true);
    expect(world.known()).toMatchObject({ stay: 1, nonce: 'second' });
  });
});

describe('a node that was a member and comes with nothing', () => {
  test('is left out of every group before it is let in', async () => {
    const joiner = await world.asked('n3');
    expect(world.known('n3')).toMatchObject({ standing: 'joining', stay: 1 });
    await world.step();
    // As many at a time as may move.
    expect(world.written).toEqual(['put move/0', 'put move/1']);
    for (const [partition, { record }] of world.state.moves) {
      expect(record).toMatchObject({ reason: 'purge' });
      expect(record.target).toEqual(
        world.map
          .partition(partition)
          ?.replicas.map(({ nodeId }) => nodeId)
          .filter((holder) => holder !== 'n3'),
      );
    }
    await world.step();
    expect([world.written.length, joiner.admissions]).toEqual([2, []]);
    const [first] = world.state.moves.values();
    if (first !== undefined) {
      const { record, revision } = first;
      await world.writer.write([{ type: 'delete', record: { type: 'move', record }, revision }], Infinity);
      const staying = world.map.partition(record.partition)?.replicas.filter(({ nodeId }) => nodeId !== 'n3') ?? [];
      const at = staying.map(({ replicaId, nodeId }): [number, string] => [replicaId, nodeId]);
      await world.record({ type: 'partition', record: partitionRecord(record.partition, 2, at) });
    }
    await world.step();
    expect(world.state.moves.has(id(2)), 'the last one begins when there is room').toBe(true);
    await world.purge();
    await world.step();
    expect(joiner.admissions).toMatchObject([{ stay: 1, tombstones: [{}, {}, {}] }]);
    expect(world.known('n3')).toMatchObject({ standing: 'up', stay: 1 });
  });

  test('a move under way that leads to it is led elsewhere; any other is waited for', async () => {
    await world.purge();
    const other = moveRecord(1, ['n1', 'n4']);
    await world.record({ type: 'move', record: moveRecord(2, ['n1', 'n3']) }, { type: 'move', record: other });
    const joiner = await world.asked('n3');
    await world.step();
    expect(world.state.moves.get(id(2))?.record).toMatchObject({ target: ['n1', 'n2'], reason: 'purge' });
    expect(world.state.moves.get(id(1))?.record).toEqual(other);
    expect(joiner.admissions).toEqual([]);
  });

  test('who held a partition alone is not let in: there is nothing to go on from', async () => {
    await world.purge();
    await world.record({ type: 'partition', record: partitionRecord(1, 3, ['n3']) });
    const joiner = await world.asked('n3');
    await world.step();
    expect([joiner.admissions, world.state.moves.size]).toEqual([[], 0]);
  });

  test.each(['silent', 'uncommitted', 'hosting'] as const)(
    'a group that is %s keeps it out: its tombstone is not known',
    async (trouble) => {
      const joiner = await world.asked('n3');
      await world.purge();
      const group = world.group(2);
      if (trouble === 'silent') world.silent.add(id(2));
      if (trouble === 'uncommitted') group.committed = false;
      if (trouble === 'hosting') group.apply({ type: 'addLearner', host: 'n3' });
      await world.step();
      expect([joiner.admissions, world.known('n3')?.standing]).toEqual([[], 'joining']);
      world.silent.clear();
      group.committed = true;
      for (const replicaId of [...group.learners.keys()]) {
        group.apply({ type: 'removeLearner', replicaId: replicaId as never });
      }
      await world.step();
      expect(world.known('n3')?.standing).toBe('up');
    },
  );

  test('one that was removed and returns has another stay', async () => {
    await world.record({ type: 'node', record: nodeRecord('n4', { standing: 'removed', stay: 3 }) });
    await world.asked('n4');
    expect(world.known()).toMatchObject({ standing: 'joining', stay: 4 });
  });
});
