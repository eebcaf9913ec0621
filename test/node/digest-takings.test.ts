/** What a node does when a leader elsewhere asks for the digest of its replica: for whom, one at a time, and what it believes in the end. */
import { beforeEach, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { DigestTakings } from '../../src/node/digest-takings.ts';
import type { Configuration, LogIndex, ReplicaId, Term } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { Replica } from '../../src/replica/replica.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';
import { append, entries, hardState, logWrite, p1, p2, put, settled, stateOf } from '../storage/building.ts';

const [n1, n2] = ['n1', 'n2'] as NodeId[] as [NodeId, NodeId];
const [leader, here, third] = [1, 2, 3] as ReplicaId[] as [ReplicaId, ReplicaId, ReplicaId];
const limits = { ...defaults.scrub, bytesPerSecondMax: 1000, pieceBytes: 100, trapTimeoutMs: 500, silenceMs: 2000 };
const otherSum = Buffer.alloc(32, 1);

class World {
  readonly clock = new VirtualClock();
  readonly told: string[] = [];
  readonly compared: PartitionId[] = [];
  readonly failures: unknown[] = [];
  term = 5;
  voters = [leader, here, third];
  storage!: MemoryStorage;
  takings!: DigestTakings;

  /** Partition 1 has applied ten entries and a kilobyte, which takes a second to read; partition 2 one. */
  static async start(): Promise<World> {
    const world = new World();
    world.storage = await openMemoryStorage({ automatic: true, config: { ...defaults.storage, stateFlushDelayMs: 0 } });
    for (const partition of [p1, p2]) {
      await append(world.storage, logWrite(partition, { hardState: hardState(1), entries: entries(1, 20, 1) }));
    }
    const values = Object.fromEntries(Array.from({ length: 10 }, (_, key) => [`key ${key}`, 'v'.repeat(60)]));
    const writes = Object.entries(values).map(([key, value]) => put(key, value));
    world.storage.stageState(p1, writes, stateOf(values, 10));
    world.storage.stageState(p2, [put('a', 'one')], stateOf({ a: 'one' }, 1));
    await settled(world.storage);
    world.takings = new DigestTakings({
      clock: world.clock,
      limits,
      storage: world.storage,
      replica: (partition) => (partition === p1 || partition === p2 ? world.#replica() : undefined),
      onCompared: (partition) => world.compared.push(partition),
      onDiffers: (partition, reason) => world.told.push(`${partition}: ${reason}`),
      onFailure: (error) => world.failures.push(error),
    });
    return world;
  }

  #replica(): Replica {
    const configuration = { voters: this.voters, votersOutgoing: [] } as unknown as Configuration;
    return {
      replicaId: here,
      removed: false,
      hostOf: (id: ReplicaId) => (id === leader ? n1 : undefined),
      status: () => ({ term: this.term }),
      committedConfiguration: () => configuration,
    } as unknown as Replica;
  }

  ask(
    kind: string,
    more: object = {},
    from = n1,
  ): { readonly type: string; readonly reason?: string; readonly sum?: Buffer } {
    const id = { partition: p1, from: leader, to: here, term: 5 as Term, index: 10 as LogIndex };
    return this.takings.handle(from, `digest.${kind}`, { ...id, ...more }) as ReturnType<World['ask']>;
  }

  /** Asks now and then, for so long at most. */
  async taken(more: object = {}, withinMs = 3000): Promise<ReturnType<World['ask']>> {
    for (let waitedMs = 0; ; waitedMs += 100) {
      const answer = this.ask('result', more);
      if (answer.type !== 'reading' || waitedMs > withinMs) return answer;
      await this.clock.advance(100);
    }
  }
}

let world: World;
beforeEach(async () => {
  world = await World.start();
});

test('it is taken at the bounded rate, and told as often as it is asked for', async () => {
  expect(world.ask('begin')).toEqual({ type: 'begun' });
  await world.clock.advance(500);
  expect(world.ask('result')).toEqual({ type: 'reading' });
  const taken = await world.taken();
  expect(taken).toMatchObject({ type: 'taken', term: 5, version: 1, records: 10, miscounted: null });
  expect(taken.sum).toHaveLength(32);
  expect(world.ask('result')).toEqual(taken);
  expect(world.ask('end', { compared: true })).toEqual({ type: 'ended' });
  expect(world.compared).toEqual([p1]);
});

test('one at a time: another partition has to wait, and the same question again does no harm', async () => {
  expect(world.ask('begin')).toEqual({ type: 'begun' });
  expect(world.ask('begin')).toEqual({ type: 'begun' });
  expect(world.ask('begin', { partition: p2, index: 1 })).toEqual({ type: 'busy' });
  expect((await world.taken()).type).toBe('taken');
  expect(world.ask('begin', { partition: p2, index: 1 })).toEqual({ type: 'begun' });
  expect((await world.taken({ partition: p2, index: 1 })).type).toBe('taken');
  expect(world.ask('result').type).toBe('taken');
});

test('an index that lies behind is said to, one that is not reached in time is given up', async () => {
  expect(world.ask('begin', { index: 9 })).toEqual({ type: 'passed' });
  expect(world.ask('begin', { index: 11 })).toEqual({ type: 'begun' });
  expect(await world.taken({ index: 11 })).toEqual({ type: 'refused', reason: 'it did not stop at index 11 in time' });
  expect(world.ask('begin')).toEqual({ type: 'begun' });
});

test('a round that its leader has ended, or that nobody asks for any more, makes room', async () => {
  world.ask('begin');
  world.ask('end', { compared: false });
  await world.clock.advance(1);
  expect(world.ask('begin', { partition: p2, index: 20 })).toEqual({ type: 'begun' });
  await world.clock.advance(limits.trapTimeoutMs);
  world.ask('begin', { index: 11 });
  world.storage.stageState(p1, [put('big', 'v'.repeat(50_000))], stateOf({}, 11));
  await settled(world.storage);
  for (let asked = 0; asked < 4; asked += 1) {
    await world.clock.advance(limits.silenceMs - 100);
    expect(world.ask('begin', { partition: p2, index: 1 })).toEqual({ type: 'busy' });
    expect(world.ask('result', { index: 11 }).type).toBe('reading');
  }
  await world.clock.advance(limits.silenceMs + 1);
  expect(world.ask('begin', { partition: p2, index: 1 })).toEqual({ type: 'begun' });
  expect(world.compared).toEqual([]);
});

test.each<[string, object, NodeId, string]>([
  ['of a replica that is not here', { to: third }, n1, 'replica 3 is not here'],
  ['of a partition that is not here', { partition: 7 }, n1, 'replica 2 is not here'],
  ['in the name of a replica that lives elsewhere', {}, n2, 'replica 1 does not live on n2'],
  ['by a leader of an earlier term', { term: 4 }, n1, 'term 4 is over: this is term 5'],
  ['without sense', { index: -1 }, n1, 'what was sent makes no sense'],
])('nothing is done when it is asked for one %s', (_what, more, from, reason) => {
  const rest = { compared: true, version: 1, sum: otherSum, holders: [leader, third] };
  for (const kind of ['begin', 'result', 'end', 'differs']) {
    expect(world.ask(kind, { ...rest, ...more }, from)).toEqual({ type: 'refused', reason });
  }
  expect([world.told, world.compared]).toEqual([[], []]);
});

test('it believes that it differs from a majority', async () => {
  world.ask('begin');
  await world.taken();
  const differs = { version: 1, sum: otherSum, holders: [leader, third] };
  expect(world.ask('differs', differs)).toEqual({ type: 'believed' });
  expect(world.told).toEqual(['1: its state of index 10 is not that which replicas 1, 3 hold, all the same']);
});

test('it believes nobody about a digest that it has not taken, or holds itself, nor a minority', async () => {
  const differs = { version: 1, sum: otherSum, holders: [leader, third] };
  const refusedAs = (change: object): string | undefined => world.ask('differs', { ...differs, ...change }).reason;
  expect(refusedAs({})).toBe('this replica has no digest of index 10');
  world.ask('begin');
  expect(refusedAs({})).toBe('this replica has no digest of index 10');
  const { sum } = await world.taken();
  expect(refusedAs({ index: 11 })).toBe('this replica has no digest of index 11');
  expect(refusedAs({ sum })).toBe('this replica holds the very same');
  expect(refusedAs({ version: 2 })).toBe('this node sums up by version 1');
  expect(refusedAs({ holders: [leader] })).toContain('are no majority');
  expect(refusedAs({ holders: [leader, here] })).toContain('are no majority');
  expect(refusedAs({ holders: [leader, 9, 10] })).toContain('are no majority');
  world.voters = [leader, here, third, 4 as ReplicaId];
  expect(refusedAs({})).toContain('are no majority');
  expect(world.told).toEqual([]);
});

test('a record that can not be believed is a failure of the node', async () => {
  const [key, value] = [...world.storage.records.state].find(([stored]) => stored.endsWith('key 3')) ?? [
    '',
    Buffer.alloc(0),
  ];
  const turned = Buffer.from(value);
  turned.writeUInt8(turned.readUInt8(2) ^ 1, 2);
  world.storage.records.state.set(key, turned);
  world.ask('begin');
  expect((await world.taken()).reason).toContain('value of key "key 3" is corrupt');
  expect(world.failures).toMatchObject([{ name: 'StorageDamage', partition: 1 }]);
});

test('a node that stops begins nothing, and what it reads ends', async () => {
  world.ask('begin');
  await world.takings.stop();
  expect(world.ask('begin')).toEqual({ type: 'refused', reason: 'the node stops' });
  await world.storage.close();
  expect(world.failures).toEqual([]);
});

test('a replica that is no more is asked for nothing', async () => {
  world.ask('begin');
  world.takings.end(p1);
  await world.clock.advance(1);
  expect(world.ask('result').reason).toBe('nothing is known here of a digest of index 10');
  expect(world.ask('begin', { partition: p2, index: 1 })).toEqual({ type: 'begun' });
});
