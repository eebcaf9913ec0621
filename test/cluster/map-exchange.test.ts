/** How nodes come by the newest map: by word from whoever leads the metadata group, and by asking now and then. */
import { describe, expect, test } from 'vitest';
import { LiveMap } from '../../src/cluster/live-map.ts';
import { MapExchange, type MapRequest } from '../../src/cluster/map-exchange.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { bootstrap } from './founders.ts';
import { nodeRecord, ofNodes, ofPartitions, partitionRecord } from './metadata/samples.ts';
import { failure, overTheWire } from './router-world.ts';
import { VirtualClock } from './virtual-clock.ts';

const limits = { mapPollMs: 5000, mapTimeoutMs: 2000 };
const all = ['n1', 'n2', 'n3', 'n4'];

/** Nodes n1 to n4; the metadata group is on n1, n2 and n3. */
class World {
  readonly clock = new VirtualClock();
  /** n5 is only ever heard of. */
  readonly down = new Set<string>(['n5']);
  readonly asked: string[] = [];
  readonly #nodes = new Map<string, { readonly map: LiveMap; readonly exchange: MapExchange }>();
  /** What becomes of a request: `deliver` takes it there and brings the answer. */
  fault: (deliver: () => unknown, kind: string) => unknown = (deliver) => deliver();

  constructor() {
    const founding = buildPartitionMap(bootstrap(4));
    for (const name of all) {
      const nodeId = name as NodeId;
      const map = new LiveMap({
        ...founding,
        metadata: { ...founding.metadata, ...partitionRecord(0, 1, all.slice(0, 3)) },
      });
      const transport = {
        connected: (to: NodeId) => !this.down.has(to),
        request: (to: NodeId, kind: string, payload: unknown) => this.#carry(nodeId, to, kind, payload),
      };
      const exchange = new MapExchange({ nodeId, map, clock: this.clock, transport, limits, onPoll: () => undefined });
      this.#nodes.set(name, { map, exchange });
    }
  }

  node(name: string) {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  epochs(): number[] {
    return all.map((name) => this.node(name).map.epoch);
  }

  async #carry(from: NodeId, to: NodeId, kind: string, payload: unknown): Promise<unknown> {
    if (this.down.has(to)) throw failure(false);
    this.asked.push(`${from}>${to} ${kind}`);
    const deliver = (): unknown =>
      overTheWire(this.node(to).exchange.handle(kind as MapRequest, overTheWire(payload), from));
    return this.fault(deliver, kind);
  }
}

const change = {
  ...ofPartitions([partitionRecord(3, 2, ['n4', 'n2']), 8]),
  nodes: ofNodes([nodeRecord('n5'), 9]).nodes,
};

describe('a word of a newer map', () => {
  test('reaches all members, and each fetches what it lacks', async () => {
    const world = new World();
    world.node('n1').map.take(change);
    world.node('n3').map.take(ofPartitions([partitionRecord(3, 2, ['n4', 'n2']), 8]));
    world.node('n1').exchange.announce();
    await world.clock.advance(0);
    expect(world.epochs()).toEqual([9, 9, 9, 9]);
    expect(world.node('n4').map.changesSince(0)).toEqual(change);
    expect(world.asked.toSorted()).toEqual(
      ['n2', 'n3', 'n4'].flatMap((name) => [`n1>${name} map.newer`, `${name}>n1 map.since`]).toSorted(),
    );
  });

  test('goes to one alone, when only that one has come', async () => {
    const world = new World();
    world.node('n1').map.take(change);
    world.node('n1').exchange.announce('n3' as NodeId);
    await world.clock.advance(0);
    expect(world.epochs()).toEqual([9, 1, 9, 1]);
  });

  test('from one that can not be asked yet, as after a start, is remembered until the connection to it is made', async () => {
    const world = new World();
    world.node('n1').map.take(change);
    const { exchange } = world.node('n2');
    exchange.peerUp('n1' as NodeId);
    world.down.add('n1');
    exchange.handle('map.newer', { epoch: 9 }, 'n1' as NodeId);
    await world.clock.advance(0);
    world.down.delete('n1');
    exchange.peerUp('n3' as NodeId);
    await world.clock.advance(0);
    expect(world.asked).toEqual([]);
    exchange.peerUp('n1' as NodeId);
    exchange.peerUp('n1' as NodeId);
    await world.clock.advance(0);
    expect(world.asked).toEqual(['n2>n1 map.since']);
    expect(world.epochs()).toEqual([9, 9, 1, 1]);
  });

  test('goes to nobody who is no member, or out of reach', async () => {
    const world = new World();
    world.node('n1').map.take(ofNodes([nodeRecord('n2', { standing: 'removed' }), 9]));
    world.down.add('n3');
    world.node('n1').exchange.announce();
    await world.clock.advance(0);
    expect(world.asked).toEqual(['n1>n4 map.newer', 'n4>n1 map.since']);
  });

  test('is not given where the founding is all there is', async () => {
    const world = new World();
    world.node('n1').exchange.announce();
    await world.clock.advance(0);
    expect(world.asked).toEqual([]);
  });

  test('is no reason to ask for who knows as much already, or more', async () => {
    const world = new World();
    for (const name of all) world.node(name).map.take(change);
    world.node('n2').map.take(ofNodes([nodeRecord('n5', { standing: 'draining' }), 10]));
    world.node('n1').exchange.announce();
    await world.clock.advance(0);
    expect(world.asked).toEqual(['n1>n2 map.newer', 'n1>n3 map.newer', 'n1>n4 map.newer']);
    expect(world.epochs()).toEqual([9, 10, 9, 9]);
  });
});

describe('asking now and then', () => {
  test('goes round those that have the metadata group, one each time', async () => {
    const world = new World();
    world.node('n4').exchange.start();
    world.node('n2').exchange.start();
    await world.clock.advance(4 * limits.mapPollMs);
    expect(world.asked.filter((asked) => asked.startsWith('n4'))).toEqual(
      ['n1', 'n2', 'n3', 'n1'].map((name) => `n4>${name} map.since`),
    );
    expect(
      world.asked.filter((asked) => asked.startsWith('n2')),
      'never itself',
    ).toEqual(['n1', 'n3', 'n1', 'n3'].map((name) => `n2>${name} map.since`));
  });

  test('makes up for a word that was lost', async () => {
    const world = new World();
    world.fault = (deliver, kind) => {
      if (kind === 'map.newer') throw failure(true);
      return deliver();
    };
    for (const name of all) world.node(name).exchange.start();
    world.node('n1').map.take(change);
    world.node('n1').exchange.announce();
    await world.clock.advance(limits.mapPollMs - 1);
    expect(world.epochs()).toEqual([9, 1, 1, 1]);
    await world.clock.advance(2 * limits.mapPollMs + 1);
    expect(world.epochs()).toEqual([9, 9, 9, 9]);
  });

  test('passes over who is out of reach, and goes on when nobody is in reach or an answer is lost', async () => {
    const world = new World();
    const { exchange, map } = world.node('n4');
    world.node('n3').map.take(change);
    for (const name of ['n1', 'n2', 'n3']) world.down.add(name);
    exchange.start();
    await world.clock.advance(limits.mapPollMs);
    expect(world.asked).toEqual([]);
    world.down.delete('n3');
    world.fault = () => {
      throw failure(true);
    };
    await world.clock.advance(limits.mapPollMs);
    expect([world.asked, map.epoch]).toEqual([['n4>n3 map.since'], 1]);
    world.fault = (deliver) => deliver();
    await world.clock.advance(limits.mapPollMs);
    expect(map.epoch).toBe(9);
  });

  test('asks those that have the metadata group by now', async () => {
    const world = new World();
    const { exchange, map } = world.node('n1');
    map.take(ofPartitions([partitionRecord(0, 2, ['n1', 'n4']), 8]));
    exchange.start();
    await world.clock.advance(2 * limits.mapPollMs);
    expect(world.asked).toEqual(['n1>n4 map.since', 'n1>n4 map.since']);
  });

  test('ends when the node stops; an answer that comes later changes nothing, nor is anybody told', async () => {
    const world = new World();
    const { exchange, map } = world.node('n4');
    world.node('n1').map.take(change);
    world.fault = async (deliver) => {
      await new Promise<void>((resolve) => world.clock.after(100, resolve));
      return deliver();
    };
    exchange.start();
    await world.clock.advance(limits.mapPollMs + 50);
    exchange.stop();
    await world.clock.advance(5 * limits.mapPollMs);
    expect([world.asked, map.epoch, world.clock.pendingTimers()]).toEqual([['n4>n1 map.since'], 1, 0]);
    exchange.start();
    world.node('n1').exchange.stop();
    world.node('n1').exchange.announce();
    expect([world.asked.length, world.clock.pendingTimers()]).toEqual([1, 0]);
  });
});

describe('what peers say is checked', () => {
  test.each([null, 7, {}, { epoch: -1 }, { epoch: '9' }, { epoch: 1.5 }])(
    '%j for a request: nothing',
    async (payload) => {
      const world = new World();
      const { exchange, map } = world.node('n1');
      map.take(change);
      expect(exchange.handle('map.since', payload, 'n2' as NodeId)).toBeNull();
      expect(exchange.handle('map.newer', payload, 'n2' as NodeId)).toBeNull();
      await world.clock.advance(0);
      expect(world.asked).toEqual([]);
    },
  );

  const nonsense: readonly unknown[] = [
    null,
    'map',
    {},
    { nodes: [], partitions: [{ record: partitionRecord(3, 2, ['n4']) }] },
    {
      nodes: [{ record: { nodeId: 'n5' }, revision: 9 }],
      partitions: [{ record: partitionRecord(3, 2, ['n4']), revision: 8 }],
    },
  ];
  test.each(nonsense)('%j for an answer: the map stays', async (answer) => {
    const world = new World();
    world.fault = () => answer;
    world.node('n4').exchange.start();
    await world.clock.advance(limits.mapPollMs);
    expect(world.asked).toHaveLength(1);
    expect(world.node('n4').map.changesSince(0)).toEqual({ nodes: [], partitions: [] });
  });
});
