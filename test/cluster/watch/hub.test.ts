/** Which cursors a node takes. */
import { expect, test } from 'vitest';
import { defaults } from '../../../src/config.ts';
import type { PartitionMap } from '../../../src/cluster/partition-map.ts';
import type { ChangeSource, Polled } from '../../../src/cluster/watch/change-source.ts';
import { clusterTag, parseCursor, type WatchCursor, type WatchPosition } from '../../../src/cluster/watch/cursor.ts';
import { WatchHub, type WatchOutcome } from '../../../src/cluster/watch/hub.ts';
import type { WatchSink } from '../../../src/cluster/watch/watcher.ts';
import type { Term } from '../../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../../src/replica/ports.ts';
import { VirtualClock } from '../virtual-clock.ts';

const partition = 1 as PartitionId;
const target = { type: 'prefix', bytes: Buffer.alloc(0) } as const;
const cluster = clusterTag('00c0ffee00112233445566778899aabb');
const head = { incarnation: 2, index: 50 };

async function watch(
  from: WatchCursor | undefined,
  letIn = true,
): Promise<{ outcome: WatchOutcome; bookmarks: readonly string[] }> {
  const bookmarks: string[] = [];
  const sink: WatchSink = {
    event: () => undefined,
    bookmark: (cursor) => bookmarks.push(cursor),
    end: () => undefined,
    queuedBytes: () => 0,
    drained: () => Promise.resolve(),
  };
  const nothing: Polled = { type: 'changes', entries: [], through: head };
  let asked = false;
  const hub = new WatchHub({
    map: { partitions: [{ id: partition }] } as unknown as PartitionMap,
    source: { poll: () => Promise.resolve(nothing) } as unknown as ChangeSource,
    clock: new VirtualClock(),
    limits: defaults.watch,
    cluster: () => (letIn && asked ? cluster : undefined),
    point: () => {
      asked = true;
      const origin = { partition, term: 1 as Term, nodeId: 'n1' as NodeId };
      return Promise.resolve({ type: 'point', origin, point: head });
    },
  });
  const outcome = await hub.watch({ target, from, deadlineAt: 1000, begin: () => sink });
  hub.stop();
  return { outcome, bookmarks };
}

const at = (position: Partial<WatchPosition>, of: Partial<WatchCursor> = {}): WatchCursor => ({
  cluster,
  positions: new Map([[partition, { ...head, done: 0, ...position }]]),
  ...of,
});

test('the tag is the beginning of the id', () => {
  expect(cluster).toBe(0x00c0ffee);
});

test('without a cursor it begins where the partition is, and says so with one of this cluster', async () => {
  const { outcome, bookmarks } = await watch(undefined);
  expect(outcome.type).toBe('watching');
  expect(bookmarks.map((cursor) => parseCursor(target, cursor))).toEqual([at({})]);
});

test.each<[string, WatchCursor, WatchOutcome['type']]>([
  ['what it gave itself', at({}), 'watching'],
  ['an older one', at({ index: 3, done: 1 }), 'watching'],
  // Which was here before, under the same addresses, and had gone less far.
  ['one of another cluster', at({ index: 3 }, { cluster: cluster + 1 }), 'bad_cursor'],
  ['one of other partitions', at({}, { positions: new Map([[2 as PartitionId, { ...head, done: 0 }]]) }), 'bad_cursor'],
  ['one of no partition', at({}, { positions: new Map() }), 'bad_cursor'],
  ['one that is ahead', at({ index: 51 }), 'bad_cursor'],
  ['one that is ahead by a change', at({ index: 50, done: 1 }), 'bad_cursor'],
  ['one from before the partition was begun anew', at({ incarnation: 1 }), 'too_old'],
])('%s', async (_what, from, type) => {
  const { outcome, bookmarks } = await watch(from);
  expect(outcome.type).toBe(type);
  expect(bookmarks).toHaveLength(type === 'watching' ? 1 : 0);
});

test('a node that has not been let into its cluster refuses for now, and not for good: the cursor may be a good one', async () => {
  for (const from of [at({}), undefined]) {
    const { outcome, bookmarks } = await watch(from, false);
    expect(outcome).toMatchObject({ type: 'failed', outcome: { type: 'no_leader' } });
    expect(bookmarks).toEqual([]);
  }
});

test('a node that is let in while it asks where the partitions are takes the cursor', async () => {
  expect((await watch(at({}))).outcome.type).toBe('watching');
});
