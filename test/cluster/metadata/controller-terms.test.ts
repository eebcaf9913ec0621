/** A controller decides only where it leads, in a term in which it has read its group, and only on what it had read. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../src/replica/ports.ts';
import { hint } from '../router-world.ts';
import type { ControllerWorld } from './controller-world.ts';
import { fourNodes } from './controller-world.ts';
import { moveRecord, nodeRecord } from './samples.ts';

describe('where it does not lead', () => {
  /** There are a node to drain, a move and a node to be let in, and the controller was deposed before it could look. */
  async function busy(): Promise<ControllerWorld> {
    const world = await fourNodes();
    world.join('n5');
    await world.record(
      { type: 'node', record: nodeRecord('n5', { standing: 'joining', nonce: 'nonce of n5' }) },
      { type: 'node', record: nodeRecord('n3', { standing: 'draining' }) },
      { type: 'move', record: moveRecord(1, ['n1', 'n2', 'n4']) },
    );
    world.leader = hint('n2', 2);
    return world;
  }

  test('it answers nothing and does nothing; once it leads again, it sees to all of it', async () => {
    const world = await busy();
    const before = world.loads();
    expect(await world.remove('n2')).toBeUndefined();
    world.controller.wake();
    await world.rest();
    expect([world.written, world.lost, world.loads()]).toEqual([[], [], before]);
    world.controller.wake();
    expect(world.clock.pendingTimers(), 'it does not even look').toBe(0);
    world.leader = hint('n1', 3);
    world.controller.wake();
    await world.rest();
    expect([world.standing('n3'), world.standing('n5'), world.astray()]).toEqual(['removed', 'up', []]);
  });

  test('deposed within a step, it writes nothing more and changes no group', async () => {
    const world = await busy();
    world.leader = hint('n1', 3);
    const before = world.loads();
    world.onWrite = () => (world.leader = hint('n2', 4));
    world.controller.wake();
    await world.rest();
    expect([world.written, world.loads()]).toEqual([[], before]);
    expect([...world.groups.values()].every(({ learners }) => learners.size === 0)).toBe(true);
  });

  test('in a term in which it has not read its group, it decides nothing', async () => {
    const world = await fourNodes();
    world.leader = hint('n1', 5);
    // Deposed before its leadership could be confirmed, and told of it only later.
    let reads = 0;
    world.onConfirm = () => {
      reads += 1;
      world.leader = hint('n2', 6);
    };
    expect(await world.remove('n3')).toBeUndefined();
    await world.rest();
    expect([reads, world.written]).toEqual([1, []]);
    world.onConfirm = () => undefined;
    world.leader = hint('n1', 7);
    expect(await world.remove('n3')).toMatchObject({ type: 'accepted' });
  });

  test('a write that meets a successor’s is lost: it says that nobody knows, and the record stays the successor’s', async () => {
    const world = await fourNodes();
    world.onWrite = () => {
      world.onWrite = () => undefined;
      const record = { type: 'node', record: nodeRecord('n3', { weight: 3 }) } as const;
      void world.writer.write([{ type: 'put', record, revision: world.revisionOf(record) }], Infinity);
    };
    expect(await world.remove('n3')).toMatchObject({ type: 'unknown' });
    expect(world.map.node('n3' as NodeId)).toMatchObject({ standing: 'up', weight: 3 });
  });

  test('stopped, it does nothing more', async () => {
    const world = await busy();
    world.leader = hint('n1', 3);
    world.controller.wake();
    world.controller.stop();
    world.controller.wake();
    await world.rest();
    expect([world.written, world.clock.pendingTimers()]).toEqual([[], 0]);
  });
});

test('a step that fails is told of, and the next one is taken', async () => {
  const world = await fourNodes();
  const { replicas } = world;
  const execute = replicas.execute.bind(replicas);
  replicas.execute = () => {
    replicas.execute = execute;
    return Promise.reject(new Error('a bug'));
  };
  world.leader = hint('n1', 2);
  world.controller.wake();
  await world.clock.advance(0);
  expect(world.failures).toEqual([new Error('a bug')]);
  expect(await world.remove('n3')).toMatchObject({ type: 'accepted' });
  await world.rest();
  expect(world.standing('n3')).toBe('removed');
});
