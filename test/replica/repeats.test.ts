/** Requests with idempotency keys: what their repeats are told, while the first is under way and afterwards, and when there is no more room. */
import { describe, expect, test } from 'vitest';
import type { CommandResult } from '../../src/kv/types.ts';
import type { ReplicaOutcome } from '../../src/replica/options.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { named, put } from '../kv/partition.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const increments = { dedup: named('increment') };

async function ledByN1(limits: Parameters<typeof World.start>[1] = {}): Promise<World> {
  const world = await World.start(['n1', 'n2', 'n3'], limits);
  await world.elect('n1');
  return world;
}

function resultOf([outcome, ...more]: readonly ReplicaOutcome[]): { result: CommandResult; replayed: boolean } {
  if (outcome?.type !== 'result' || more.length > 0)
    throw new Error(`no result: ${JSON.stringify([outcome, ...more])}`);
  return { result: outcome.result, replayed: outcome.replayed };
}

describe('a repeat', () => {
  test('gets the first answer again, and changes nothing', async () => {
    const world = await ledByN1();
    const first = world.propose('n1', put('a', 'one'), increments);
    await world.settle();
    const other = world.put('n1', 'a', 'two');
    await world.settle();
    const repeat = world.propose('n1', put('a', 'one'), increments);
    await world.settle();
    const { result } = resultOf(first.outcomes);
    expect(result).toMatchObject({ type: 'put', created: true });
    expect(resultOf(other.outcomes).result).toMatchObject({ type: 'put', created: false });
    expect(resultOf(repeat.outcomes)).toEqual({ result, replayed: true });
    const get = world.get('n1', 'a');
    await world.settle();
    expect(get.outcomes).toMatchObject([{ type: 'value', record: { value: Buffer.from('two') } }]);
  });

  test('gets it from another leader as well', async () => {
    const world = await ledByN1();
    const first = world.propose('n1', put('a', 'one'), increments);
    await world.settle();
    world.cut.add(n1);
    await world.ticks(60);
    const next = world.leaders.get(n2)?.nodeId;
    expect([n2, n3]).toContain(next);
    const repeat = world.propose(next as NodeId, put('a', 'one'), increments);
    await world.settle();
    expect(resultOf(repeat.outcomes)).toEqual({ result: resultOf(first.outcomes).result, replayed: true });
  });

  test('of a request that is under way waits for it', async () => {
    const world = await ledByN1();
    world.stalled.add(n2).add(n3);
    const asked = [1, 2, 3].map(() => world.propose('n1', put('a', 'one'), increments));
    await world.settle();
    expect(asked.map(({ outcomes }) => outcomes)).toEqual([[], [], []]);
    world.stalled.clear();
    await world.settle();
    const [first, ...repeats] = asked.map(({ outcomes }) => resultOf(outcomes));
    expect(first?.replayed).toBe(false);
    for (const repeat of repeats) expect(repeat).toEqual({ result: first?.result, replayed: true });
  });

  test('that runs out of time hears, before its deadline, that the first is still under way', async () => {
    const world = await ledByN1();
    world.stalled.add(n2).add(n3);
    const first = world.propose('n1', put('a', 'one'), { ...increments, timeoutMs: 2000 });
    const repeat = world.propose('n1', put('a', 'one'), { ...increments, timeoutMs: 500 });
    const other = world.propose('n1', put('b', 'one'), { dedup: named('another'), timeoutMs: 500 });
    await world.ticks(9);
    expect(repeat.outcomes).toMatchObject([{ type: 'in_progress' }]);
    expect(other.outcomes).toEqual([]);
    await world.ticks(2);
    expect(other.outcomes).toMatchObject([{ type: 'unknown' }]);
    expect(first.outcomes).toEqual([]);
    // It waits no more: whoever comes now repeats only what is still waited for.
    await world.ticks(40);
    expect(first.outcomes).toMatchObject([{ type: 'unknown' }]);
    const late = world.propose('n1', put('a', 'one'), { ...increments, timeoutMs: 100 });
    await world.ticks(4);
    expect(late.outcomes).toMatchObject([{ type: 'unknown' }]);
  });

  test('with another content is refused', async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one'), increments);
    const other = world.propose('n1', put('a', 'two'), { dedup: named('increment', 2) });
    await world.settle();
    expect(resultOf(other.outcomes).result).toEqual({ type: 'key_reused' });
  });
});

describe('when as many results are kept as may be', () => {
  const limits = { idempotencyEntriesMax: 3, idempotencyRetentionMs: 1000 };

  test('new requests with a name are refused, repeats and all others are taken', async () => {
    const world = await ledByN1(limits);
    for (const name of ['1', '2']) world.propose('n1', put('a', name), { dedup: named(name) });
    await world.settle();
    // One more is under way: it counts, too.
    world.stalled.add(n2).add(n3);
    world.propose('n1', put('a', '3'), { dedup: named('3') });
    const refused = world.propose('n1', put('a', '4'), { dedup: named('4') });
    expect(refused.outcomes).toMatchObject([{ type: 'overloaded' }]);
    world.stalled.clear();
    const repeats = ['1', '3'].map((name) => world.propose('n1', put('a', name), { dedup: named(name) }));
    const plain = world.put('n1', 'b', 'plain');
    await world.settle();
    expect(repeats.map(({ outcomes }) => resultOf(outcomes).replayed)).toEqual([true, true]);
    expect(resultOf(plain.outcomes).result.type).toBe('put');
  });

  test('there is room again once the first were kept long enough', async () => {
    const world = await ledByN1(limits);
    for (const name of ['1', '2', '3']) world.propose('n1', put('a', name), { dedup: named(name) });
    await world.settle();
    await world.ticks(10);
    expect(world.propose('n1', put('a', '4'), { dedup: named('4') }).outcomes).toHaveLength(1);
    await world.ticks(20);
    expect(world.node('n1').machineState().remembered).toBe(0);
    const taken = world.propose('n1', put('a', '4'), { dedup: named('4') });
    await world.settle();
    expect(resultOf(taken.outcomes).replayed).toBe(false);
  });
});
