/** Ranges read from a replica: linearizable, in order, and without what is due. */
import { describe, expect, test } from 'vitest';
import { del, put } from '../kv/partition.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { World, type Asked } from './world.ts';

async function ledByN1(limits: Parameters<typeof World.start>[1] = {}): Promise<World> {
  const world = await World.start(['n1', 'n2', 'n3'], limits);
  await world.elect('n1');
  return world;
}

function shown({ outcomes }: Asked): string {
  const [outcome] = outcomes;
  if (outcome?.type !== 'values') return outcome?.type ?? 'nothing yet';
  const { values, moreAfter } = outcome.page;
  const pairs = values.map(({ key, record }) => `${String(key)}=${Buffer.from(record.value).toString()}`);
  return `${pairs.join(' ')}${moreAfter === undefined ? '' : ` … ${String(moreAfter)}`}`;
}

/** Also lets the storage read, which takes turns of the loop and no time of this world. */
async function settled(world: World, asked: Asked): Promise<Asked> {
  for (let turns = 0; turns < 20 && asked.outcomes.length === 0; turns += 1) {
    await world.settle();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return asked;
}

async function rangeOf(world: World, name = 'n1', range?: Parameters<World['range']>[1]): Promise<string> {
  return shown(await settled(world, world.range(name, range)));
}

describe('a range', () => {
  test('shows what was written before it was asked for, in order and up to its limit', async () => {
    const world = await ledByN1();
    for (const key of ['c', 'a', 'b']) world.put('n1', key, `of ${key}`);
    await world.settle();
    expect(await rangeOf(world)).toBe('a=of a b=of b c=of c');
    expect(await rangeOf(world, 'n1', { limit: 2 })).toBe('a=of a b=of b … b');
    expect(await rangeOf(world, 'n1', { from: Buffer.from('b'), reverse: true, limit: 1 })).toBe('c=of c … c');
    expect(await rangeOf(world, 'n2')).toBe('not_leader');
  });

  test('waits until a quorum confirms that nobody else leads', async () => {
    const world = await ledByN1();
    world.put('n1', 'a', 'old');
    await world.settle();
    world.cut.add('n1' as NodeId);
    const asked = world.range('n1', {}, 500);
    await settled(world, asked);
    expect(shown(asked)).toBe('nothing yet');
    await world.ticks(12);
    expect(shown(asked)).toBe('not_leader');
  });

  test('does not show what is due, and takes it out before it says so', async () => {
    const world = await ledByN1();
    world.propose('n1', put('b', 'soon', { ttlMs: 1000 }));
    world.put('n1', 'a', 'stays');
    world.propose('n1', put('c', 'late', { ttlMs: 60_000 }));
    await world.settle();
    expect(await rangeOf(world)).toBe('a=stays b=soon c=late');
    await world.advance(1000);
    expect(world.node('n1').machineState()).toMatchObject({ keys: 3, expiring: 2 });
    expect(await rangeOf(world)).toBe('a=stays c=late');
    // No leader whose clock is behind can show it again.
    expect(world.node('n1').machineState()).toMatchObject({ keys: 2, expiring: 1 });
  });

  test('does not say so while it is not certain that it was taken out', async () => {
    const world = await ledByN1();
    world.propose('n1', put('b', 'soon', { ttlMs: 1000 }));
    await world.settle();
    await world.advance(1000);
    const asked = world.range('n1', {}, 500);
    // The quorum confirms the read, and from then on nobody answers.
    world.isLost = ({ message }) => message.type === 'AppendEntriesRequest';
    await settled(world, asked);
    expect(shown(asked)).toBe('nothing yet');
    world.isLost = () => false;
    await world.ticks(4);
    expect(shown(await settled(world, asked))).toBe('');
  });

  test('is read anew when what was due was put anew before it was taken out', async () => {
    const world = await ledByN1();
    world.propose('n1', put('b', 'old', { ttlMs: 1000 }));
    world.put('n1', 'c', 'of c');
    await world.settle();
    await world.advance(1000);
    const asked = world.range('n1');
    // In the log before the entry that takes it out.
    world.put('n1', 'b', 'new');
    expect(shown(await settled(world, asked))).toBe('b=new c=of c');
    world.propose('n1', del('b'));
    await world.settle();
    expect(await rangeOf(world)).toBe('c=of c');
  });

  test('passes over more that is due than one entry takes out', async () => {
    const world = await ledByN1({ sweepItemsMax: 2 });
    for (const key of ['a', 'b', 'c', 'd', 'e']) world.propose('n1', put(key, 'soon', { ttlMs: 1000 }));
    world.put('n1', 'f', 'stays');
    await world.settle();
    await world.advance(1000);
    // Each piece says how far it got.
    expect(await rangeOf(world)).toBe(' … b');
    expect(await rangeOf(world, 'n1', { from: Buffer.from('c') })).toBe(' … d');
    expect(await rangeOf(world, 'n1', { from: Buffer.from('e') })).toBe('f=stays');
  });

  test('is refused when too many are being read', async () => {
    const world = await ledByN1({ rangeReadsMax: 2 });
    world.put('n1', 'a', 'x');
    await world.settle();
    const asked = [world.range('n1'), world.range('n1'), world.range('n1')];
    for (const one of asked) await settled(world, one);
    expect(asked.map(shown).sort()).toEqual(['a=x', 'a=x', 'overloaded']);
    expect(await rangeOf(world)).toBe('a=x');
  });
});
