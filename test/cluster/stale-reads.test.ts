/** Reads of any replica: this node's first, then those in reach; never of one that is older than was asked for. */
import { describe, expect, test } from 'vitest';
import type { KvRequest, StaleValue } from '../../src/cluster/types.ts';
import type { Term } from '../../src/raft/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { failure, partition, World } from './router-world.ts';

const key = Buffer.from('hello');
const asks = (stalenessMsMax = Infinity): KvRequest => ({ type: 'stale', key, stalenessMsMax });

function has(nodeId: string, stalenessMs: number, estimated = false): StaleValue {
  const record = { value: Buffer.from(`of ${nodeId}`), contentType: '', revision: 5, incarnation: 1, expiresAt: 0 };
  const origin = { partition, term: 3 as Term, nodeId: nodeId as NodeId };
  return { type: 'stale_value', origin, record, logTime: 99, stalenessMs, estimated };
}

const valueOf = async (world: World, request: KvRequest): Promise<string> => {
  const { outcome } = await world.run('n1', request);
  return outcome.type === 'stale_value' ? Buffer.from(outcome.record?.value ?? []).toString() : outcome.type;
};

describe('a stale read', () => {
  test("is this node's own, though nobody leads and nobody can be reached", async () => {
    const world = new World();
    world.node('n1').replica.stale = has('n1', 5000);
    world.fault = () => Promise.reject(failure(false));
    expect(await valueOf(world, asks())).toBe('of n1');
    expect(await valueOf(world, asks(5000))).toBe('of n1');
  });

  test('comes from a peer where there is none here, or too old a one', async () => {
    const world = new World();
    world.node('n2').replica.stale = has('n2', 80);
    world.node('n3').replica.stale = has('n3', 20);
    expect(await valueOf(world, asks(50))).toBe('of n3');
    expect(await valueOf(world, asks(20))).toBe('of n3');
    world.node('n1').replica.stale = has('n1', 70);
    expect(await valueOf(world, asks(70))).toBe('of n1');
    expect(await valueOf(world, asks(69))).toBe('of n3');
  });

  test('is refused when all are too old, and says how old the freshest is', async () => {
    const world = new World();
    world.node('n1').replica.stale = has('n1', 900);
    world.node('n2').replica.stale = has('n2', 300);
    const { outcome } = await world.run('n1', asks(299));
    expect(outcome).toMatchObject({ type: 'too_stale', partition });
    expect(outcome.type === 'too_stale' && outcome.detail).toContain('on n2, is 300 ms old; at most 299 ms');
  });

  test('of a replica that can only guess how old it is serves whoever does not ask', async () => {
    const world = new World();
    world.node('n1').replica.stale = has('n1', 0, true);
    expect(await valueOf(world, asks())).toBe('of n1');
    expect(await valueOf(world, asks(1_000_000))).toBe('too_stale');
  });

  test('passes over peers that fail, and ends where nobody has anything', async () => {
    const world = new World();
    world.node('n3').replica.stale = has('n3', 20);
    world.node('n2').replica.stale = has('n2', 10);
    world.fault = (deliver, to) => (to === 'n2' ? Promise.reject(failure(true)) : deliver());
    expect(await valueOf(world, asks(30))).toBe('of n3');
    world.fault = () => Promise.resolve({ type: 'nonsense' });
    expect(await valueOf(world, asks())).toBe('no_leader');
  });
});
