/** The merge behind a scan: every key once, in order, whatever the partitions' pieces are like. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KvOutcome } from '../../src/cluster/types.ts';
import { KeyHeap } from '../../src/cluster/key-heap.ts';
import { prefixEnd, scan, ScanFailure, type ScanPorts, type ScanQuery } from '../../src/cluster/scan.ts';
import type { KeyRange } from '../../src/kv/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { Term } from '../../src/raft/types.ts';

const all: ScanQuery = { from: Buffer.alloc(0), to: undefined, reverse: false, keysOnly: false };
const limits = { scanBytesMax: 1e9, scanPieceKeysMax: 1000, scanPiecesAtOnce: 4 };

interface World {
  readonly parts: readonly (readonly string[])[];
  /** Of each piece that is asked for: how many keys come at most, 0 too. */
  readonly sizes?: () => number;
}

class Store implements ScanPorts {
  readonly limits = limits;
  readonly asked: { readonly partition: PartitionId; readonly range: KeyRange }[] = [];
  readonly #world: World;
  underWay = 0;
  mostUnderWay = 0;
  broken: KvOutcome | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  get partitions(): readonly PartitionId[] {
    return this.#world.parts.map((_, i) => (i + 1) as PartitionId);
  }

  async read(partition: PartitionId, range: KeyRange): Promise<KvOutcome> {
    this.asked.push({ partition, range });
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    await Promise.resolve();
    this.underWay -= 1;
    if (this.broken !== undefined) return this.broken;
    const { from, to, reverse, limit } = range;
    const within = (this.#world.parts[partition - 1] ?? [])
      .map((key) => Buffer.from(key))
      .filter((key) => Buffer.compare(key, from) >= 0 && (to === undefined || Buffer.compare(key, to) < 0))
      .sort((one, other) => Buffer.compare(one, other));
    if (reverse) within.reverse();
    const size = this.#world.sizes?.() ?? Infinity;
    // A piece may hold nothing though it got somewhere: all that it met was due.
    const keys = within.slice(0, Math.min(limit, Math.max(size, 1)));
    const values = (size === 0 ? [] : keys).map((key) => ({ key, record: recordOf(key) }));
    const taken = size === 0 ? keys : values.map(({ key }) => key);
    const moreAfter = within.length > taken.length ? taken.at(-1) : undefined;
    if (size === 0) for (const key of taken) this.due.add(key.toString());
    const origin = { partition, term: 1 as Term, nodeId: 'n1' as NodeId };
    return { type: 'values', origin, page: { values, moreAfter }, logTime: 1 };
  }

  /** Passed over as due. */
  readonly due = new Set<string>();
}

function recordOf(key: Buffer) {
  return { value: key, contentType: '', revision: 1, incarnation: 1, expiresAt: 0 };
}

async function keysOf(store: Store, query: Partial<ScanQuery> = {}, wanted?: number): Promise<string[]> {
  const keys: string[] = [];
  for await (const found of scan({ ...all, ...query }, store, wanted)) {
    for (const { key } of found) keys.push(Buffer.from(key).toString());
  }
  return keys;
}

const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));
const key = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\u0000', '🚢'), minLength: 1, maxLength: 4 });

describe('a scan', () => {
  test('gives every key of every partition once, in the order of bytes, however large the pieces are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 20 }),
        fc.option(fc.tuple(key, key), { nil: undefined }),
        async (keys, partitions, reverse, sizes, bounds) => {
          const parts = Array.from({ length: partitions }, (_, i) =>
            keys.filter((_key, k) => (k * 7) % partitions === i),
          );
          let asked = 0;
          const store = new Store({ parts, sizes: () => sizes[asked++ % sizes.length] ?? 1 });
          const [from, to] =
            bounds === undefined ? [Buffer.alloc(0), undefined] : bounds.map((one) => Buffer.from(one));
          const found = await keysOf(store, { from: from, to, reverse }, 5);
          const expected = keys
            .filter(
              (one) => byBytes(one, from.toString()) >= 0 && (to === undefined || byBytes(one, to.toString()) < 0),
            )
            .filter((one) => !store.due.has(one))
            .sort(byBytes);
          expect(found).toEqual(reverse ? expected.reverse() : expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('asks no partition for much more than its share of what is wanted', async () => {
    const parts = Array.from({ length: 10 }, (_, p) =>
      Array.from({ length: 500 }, (_key, i) => `${String(i).padStart(4, '0')}-${p}`),
    );
    const store = new Store({ parts });
    const keys: string[] = [];
    for await (const found of scan(all, store, 101)) {
      keys.push(...found.map(({ key }) => Buffer.from(key).toString()));
      if (keys.length >= 101) break;
    }
    expect(keys[100]).toBe('0010-0');
    expect(store.asked.length).toBe(10);
    expect(Math.max(...store.asked.map(({ range }) => range.limit))).toBe(22);
    expect(store.mostUnderWay).toBe(4);
  });

  test('asks those that soon run dry along with one that has', async () => {
    const parts = Array.from({ length: 4 }, (_, p) =>
      Array.from({ length: 400 }, (_key, i) => `${String(i).padStart(4, '0')}-${p}`),
    );
    const store = new Store({ parts });
    store.limits.scanPieceKeysMax = 50;
    try {
      expect(await keysOf(store)).toHaveLength(1600);
      expect(store.asked).toHaveLength(32);
      expect(store.mostUnderWay).toBe(4);
    } finally {
      store.limits.scanPieceKeysMax = 1000;
    }
  });

  test('asks nobody where there is nothing between its ends', async () => {
    const store = new Store({ parts: [['a']] });
    expect(await keysOf(store, { from: Buffer.from('b'), to: Buffer.from('a') })).toEqual([]);
    expect(await keysOf(store, { from: Buffer.from('a'), to: Buffer.from('a') })).toEqual([]);
    expect(store.asked).toEqual([]);
  });

  test('fails as the partition did that did not answer', async () => {
    const store = new Store({ parts: [['a'], ['b']] });
    const outcome: KvOutcome = { type: 'no_leader', partition: 2 as PartitionId, detail: 'nobody' };
    store.broken = outcome;
    const failure: unknown = await keysOf(store).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ScanFailure);
    expect((failure as ScanFailure).outcome).toEqual(outcome);
  });
});

test('a heap gives back what was put into it, sorted', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3 })), fc.boolean(), (keys, reverse) => {
      const heap = new KeyHeap<{ readonly key: Uint8Array }>(reverse);
      for (const one of keys) heap.push({ key: one });
      const popped = keys.map(() => Buffer.from(heap.pop()?.key ?? []).toString('hex'));
      const sorted = keys.map((one) => Buffer.from(one).toString('hex')).sort();
      expect(popped).toEqual(reverse ? sorted.reverse() : sorted);
      expect(heap.pop()).toBeUndefined();
    }),
  );
});

test.each([
  ['61', '62'],
  ['61ff', '62'],
  ['00', '01'],
  ['ff', undefined],
  ['', undefined],
  ['fffe', 'ffff'],
])('the keys that begin with %s end before %s', (prefix, end) => {
  expect(prefixEnd(Buffer.from(prefix, 'hex'))?.toString('hex')).toBe(end);
});
