/** The metadata group's records as a node keeps them: read from the storage once, then followed as they are applied. */
import { expect, test } from 'vitest';
import type { MapChange, MetadataRecord } from '../../../src/cluster/metadata/records.ts';
import { MetadataState } from '../../../src/cluster/metadata/state.ts';
import type { StateWrite } from '../../../src/kv/types.ts';
import type { PartitionId, ValuePage, ValueRange } from '../../../src/replica/ports.ts';
import { settle } from '../virtual-clock.ts';
import { deleteOf, id, moveRecord, nodeRecord, partitionRecord, putOf } from './samples.ts';

type Put = StateWrite & { readonly type: 'put' };

/** Stored values in pages of a few keys, each read when the test lets it. */
class World {
  readonly changes: MapChange[] = [];
  readonly failures: unknown[] = [];
  readonly ranges: ValueRange[] = [];
  readonly state: MetadataState;
  stored: readonly Put[] = [];
  pageKeys = 2;
  applied = 0;
  readonly #reads: (() => void)[] = [];

  constructor() {
    this.state = new MetadataState({
      storage: { values: (partition, range) => this.#values(partition, range) },
      onMapChange: (change) => this.changes.push(change),
      onFailure: (error) => this.failures.push(error),
    });
    this.state.onApplied(() => (this.applied += 1));
  }

  /** The oldest read that waits is answered, with what is stored now. */
  async answerRead(): Promise<void> {
    this.#reads.shift()?.();
    await settle();
  }

  async load(...stored: readonly Put[]): Promise<void> {
    this.stored = stored;
    this.state.replaced();
    while (this.#reads.length > 0) await this.answerRead();
  }

  nodes(): string[] {
    return [...this.state.nodes.values()].map(({ record, revision }) => {
      return `${record.nodeId} ${record.standing} @${revision}`;
    });
  }

  #values(partition: PartitionId, range: ValueRange): Promise<ValuePage> {
    expect(partition).toBe(id(0));
    this.ranges.push(range);
    return new Promise((resolve, reject) => {
      this.#reads.push(() => {
        const [broken] = this.stored.filter(({ key }) => key.length === 0);
        if (broken !== undefined) return reject(new Error('the disk failed'));
        const from = this.stored
          .filter(({ key }) => Buffer.compare(key, range.from) >= 0)
          .toSorted((a, b) => Buffer.compare(a.key, b.key));
        const values = from.slice(0, this.pageKeys).map(({ key, record }) => ({ key, record }));
        resolve({ values, moreAfter: from.length > values.length ? values.at(-1)?.key : undefined, due: [] });
      });
    });
  }
}

function node(name: string, standing: 'joining' | 'up' | 'draining' | 'removed' = 'up'): MetadataRecord {
  return { type: 'node', record: nodeRecord(name, { standing }) };
}

const partition: MetadataRecord = { type: 'partition', record: partitionRecord(3, 2, ['n1', 'n2']) };
const move: MetadataRecord = { type: 'move', record: moveRecord(3, ['n1', 'n4']) };
const otherMove: MetadataRecord = { type: 'move', record: moveRecord(30, ['n1', 'n4']) };
const balance: MetadataRecord = { type: 'balance', record: { sinceMs: 5 } };

test('all pages are read, each behind the last key of the one before, and known at once at the end', async () => {
  const world = new World();
  world.stored = [putOf(node('n4'), 4), putOf(node('n5'), 5), putOf(partition, 6), putOf(move, 7), putOf(balance, 8)];
  world.state.replaced();
  expect(world.state.loaded).toBe(false);
  await world.answerRead();
  await world.answerRead();
  expect([world.state.loaded, world.nodes(), world.applied]).toEqual([false, [], 0]);
  await world.answerRead();
  expect([world.state.loaded, world.applied]).toEqual([true, 1]);
  expect(world.ranges.map(({ from }) => Buffer.from(from).toString())).toEqual(['\0', 'move/3\0', 'node/n5\0']);
  expect(world.nodes()).toEqual(['n4 up @4', 'n5 up @5']);
  expect(world.state.partitions.get(id(3))).toEqual({ record: partition.record, revision: 6 });
  expect(world.state.moves.get(id(3))).toEqual({ record: move.record, revision: 7 });
  expect(world.state.balance).toEqual({ record: balance.record, revision: 8 });
  expect(world.changes, 'moves and the balancing are no part of the map').toEqual([
    {
      nodes: [...world.state.nodes.values()],
      partitions: [...world.state.partitions.values()],
    },
  ]);
});

test('what is applied while the pages are read comes after them', async () => {
  const world = new World();
  world.stored = [putOf(node('n4', 'joining'), 4), putOf(node('n5'), 5), putOf(move, 7), putOf(balance, 8)];
  world.state.replaced();
  await world.answerRead();
  world.state.applied([putOf(node('n4'), 9), deleteOf(move)]);
  world.state.applied([deleteOf(balance), putOf(partition, 10)]);
  expect([world.nodes(), world.applied]).toEqual([[], 0]);
  await world.answerRead();
  expect(world.nodes()).toEqual(['n4 up @9', 'n5 up @5']);
  expect([world.state.moves.size, world.state.balance, world.applied]).toEqual([0, undefined, 1]);
  expect(world.state.partitions.get(id(3))?.revision).toBe(10);
});

test('a page may hold already what waits to be taken: the last word is the same', async () => {
  const world = new World();
  world.stored = [];
  world.state.replaced();
  world.state.applied([putOf(move, 6)]);
  world.state.applied([putOf(node('n4', 'joining'), 7)]);
  world.state.applied([deleteOf(move), putOf(node('n4'), 8)]);
  world.stored = [putOf(node('n4'), 8)];
  await world.answerRead();
  expect([world.nodes(), world.state.moves.size]).toEqual([['n4 up @8'], 0]);
});

test('once loaded, each batch is taken at once, and tells of the map only what it changed', async () => {
  const world = new World();
  await world.load(putOf(node('n4'), 4));
  world.changes.length = 0;
  world.state.applied([putOf(move, 5), putOf(balance, 5)]);
  world.state.applied([]);
  expect([world.changes, world.applied]).toEqual([[], 3]);
  world.state.applied([putOf(node('n4', 'draining'), 6), deleteOf(move)]);
  expect(world.changes).toEqual([{ nodes: [{ record: node('n4', 'draining').record, revision: 6 }], partitions: [] }]);
});

test('a move and the balancing are forgotten when they are deleted, others stay', async () => {
  const world = new World();
  await world.load(putOf(move, 4), putOf(otherMove, 5), putOf(balance, 6));
  world.state.applied([deleteOf(move)]);
  expect([...world.state.moves.keys(), world.state.balance?.revision]).toEqual([30, 6]);
  world.state.applied([deleteOf(balance)]);
  expect([...world.state.moves.keys(), world.state.balance]).toEqual([30, undefined]);
  world.state.applied([putOf(move, 9)]);
  expect(world.state.moves.get(id(3))?.revision).toBe(9);
});

test('kinds of records that are not known here are passed over', async () => {
  const world = new World();
  const later = { ...putOf(balance, 7), key: Buffer.from('schedule/weekly') };
  await world.load(later, putOf(node('n4'), 8));
  world.state.applied([{ ...later }, { type: 'delete', key: later.key, expiresBefore: 0 }]);
  expect([world.nodes(), world.state.balance, world.failures]).toEqual([['n4 up @8'], undefined, []]);
});

test('replaced by a snapshot: nothing of before is left', async () => {
  const world = new World();
  await world.load(putOf(node('n4'), 4), putOf(move, 5), putOf(balance, 6), putOf(partition, 7));
  await world.load(putOf(node('n5'), 9), putOf(otherMove, 10));
  expect(world.nodes()).toEqual(['n5 up @9']);
  expect([...world.state.moves.keys(), world.state.partitions.size, world.state.balance]).toEqual([30, 0, undefined]);
});

test('replaced while it is being read: the first reading is let go, whatever it still brings', async () => {
  const world = new World();
  world.stored = [putOf(node('n4'), 4), putOf(node('n5'), 5), putOf(move, 6)];
  world.state.replaced();
  world.state.applied([putOf(node('n6'), 7)]);
  world.state.replaced();
  await world.answerRead();
  expect(world.state.loaded).toBe(false);
  world.stored = [putOf(node('n7'), 20)];
  await world.answerRead();
  expect([world.state.loaded, world.nodes(), world.state.moves.size]).toEqual([true, ['n7 up @20'], 0]);
  expect(world.ranges, 'the first reading asked for no second page').toHaveLength(2);
});

test('dropped: nothing is known any more, and a reading under way brings nothing', async () => {
  const world = new World();
  await world.load(putOf(node('n4'), 4), putOf(move, 5), putOf(balance, 6));
  world.state.replaced();
  world.state.dropped();
  await world.answerRead();
  expect([world.nodes(), world.state.moves.size, world.state.balance]).toEqual([[], 0, undefined]);
  await world.load(putOf(node('n5'), 9));
  expect(world.nodes()).toEqual(['n5 up @9']);
});

test('a storage that fails, and a record that is not understood, are told', async () => {
  const world = new World();
  await world.load({ ...putOf(balance, 1), key: Buffer.alloc(0) });
  expect(world.failures).toEqual([new Error('the disk failed')]);
  const other = new World();
  await other.load({ ...putOf(balance, 1), key: Buffer.from('node/n4') });
  expect(other.failures).toEqual([expect.objectContaining({ name: 'MetadataFormatError' })]);
});
