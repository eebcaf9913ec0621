/** While the disk has little room left, what deleted records of the state still take on it is given back. */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { PartitionId } from '../../src/replica/ports.ts';
import type { Database, DatabaseBatch } from '../../src/storage/database.ts';
import { groupKey, indexKey, nodePartition, RecordKind, Space, spaceKey, valueKey } from '../../src/storage/keys.ts';
import { StateSpace } from '../../src/storage/state-space.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';
import { append, bytes, del, hardState, logWrite, machineState, p1, p2, put, settled, value } from './building.ts';
import { open, temporaryDirectory } from './directories.ts';

const MiB = 1024 * 1024;
const checkMs = 1000;

class World {
  readonly clock = new VirtualClock();
  /** What the tables between two keys take: as much for each letter that a value's key may begin with. */
  bytesOf: (from: Buffer, to: Buffer) => number = () => 1;
  readonly merged: string[] = [];
  readonly failures: unknown[] = [];
  /** How long a merge takes, ms. */
  mergeMs = 0;
  readonly space = new StateSpace({
    database: {
      approximateBytes: (from, to) => Promise.resolve(this.bytesOf(from, to)),
      mergeRange: async (from, to) => {
        this.merged.push(`${from.readUInt32BE(0)} ${shown(from)}-${shown(to)}`);
        await new Promise<void>((resolve) => this.clock.after(this.mergeMs, resolve));
      },
    },
    config: { tableBytesMax: 10, logDeletedCheckMs: checkMs },
    after: (delayMs, callback) => this.clock.after(delayMs, callback),
    nowMs: () => this.clock.monotonicMs(),
    onFailure: (error) => this.failures.push(error),
  });
  readonly #batch: DatabaseBatch = { put: () => undefined, delete: () => undefined, write: () => Promise.resolve() };
  readonly database = this.space.noticing({ batch: () => this.#batch } as unknown as Database);

  async delete(...keys: readonly Buffer[]): Promise<void> {
    const batch = this.database.batch();
    for (const key of keys) batch.delete(key);
    await batch.write();
  }
}

function shown(key: Buffer): string {
  return key
    .subarray(6)
    .toString()
    .replaceAll(/[^a-z]/g, '');
}

const of = (key: string, partition: PartitionId = p1): Buffer => valueKey(partition, 0, bytes(key));

describe('what was deleted', () => {
  test('is let be as long as there is room', async () => {
    const world = new World();
    await world.delete(of('a'));
    await world.clock.advance(10 * checkMs);
    expect(world.merged).toEqual([]);
    expect(world.clock.pendingTimers()).toBe(0);
  });

  test('is merged once there is little: from its lowest key to its highest, apart for each partition and space, and once', async () => {
    const world = new World();
    await world.delete(of('m'), of('c'), of('x', p2));
    await world.delete(of('p'), spaceKey(p1, 0, Space.remembered, bytes('name')));
    await world.delete(indexKey(nodePartition, RecordKind.batchSequence, 7), groupKey(p1, RecordKind.configuration));
    world.space.hurry(true);
    await world.clock.advance(checkMs);
    expect(world.merged).toEqual(['1 c-p', '2 x-x', '1 name-name']);
    await world.clock.advance(10 * checkMs);
    expect(world.merged).toHaveLength(3);
    await world.delete(of('q'));
    await world.clock.advance(checkMs);
    expect(world.merged.slice(3)).toEqual(['1 q-q']);
  });

  test('counts from when it is written: a merge before would drop nothing', async () => {
    const world = new World();
    world.space.hurry(true);
    const batch = world.database.batch();
    batch.delete(of('a'));
    await world.clock.advance(checkMs);
    expect(world.merged).toEqual([]);
    await batch.write();
    await world.clock.advance(checkMs);
    expect(world.merged).toEqual(['1 a-a']);
  });

  test('is merged in pieces of a few tables, and nothing where there is none', async () => {
    const world = new World();
    // 100 of 160 in the keys from h to i, 60 in those from s to t.
    const within = (from: Buffer, to: Buffer, letter: string): number => {
      const [low, high] = [of(letter), of(`${letter}~`)];
      return from.compare(high) < 0 && to.compare(low) > 0 ? 1 : 0;
    };
    world.bytesOf = (from, to) => 100 * within(from, to, 'h') + 60 * within(from, to, 's');
    await world.delete(of('a'), of('z'));
    world.space.hurry(true);
    await world.clock.advance(checkMs);
    expect(world.merged.length).toBeGreaterThan(1);
    expect(world.merged.length).toBeLessThan(100);
    expect(world.merged.some((piece) => piece.startsWith('1 a-'))).toBe(false);
  });

  test('rests for several times as long as it took', async () => {
    const world = new World();
    world.mergeMs = 2000;
    await world.delete(of('a'));
    world.space.hurry(true);
    await world.clock.advance(checkMs + world.mergeMs);
    await world.delete(of('b'));
    await world.clock.advance(4 * world.mergeMs - 1);
    expect(world.merged).toEqual(['1 a-a']);
    await world.clock.advance(1);
    expect(world.merged).toEqual(['1 a-a', '1 b-b']);
  });

  test('is broken off where there is room again, and taken up when there is none', async () => {
    const world = new World();
    world.mergeMs = 2000;
    await world.delete(of('a'), of('b', p2));
    world.space.hurry(true);
    await world.clock.advance(checkMs + 1);
    world.space.hurry(false);
    await world.clock.advance(100_000);
    expect(world.merged).toEqual(['1 a-a']);
    world.space.hurry(true);
    await world.clock.advance(checkMs);
    expect(world.merged).toEqual(['1 a-a', '2 b-b']);
  });

  test('is let be once it is stopped, which waits for what is under way; a failure is told', async () => {
    const world = new World();
    world.mergeMs = 500;
    await world.delete(of('a'), of('b', p2));
    world.space.hurry(true);
    await world.clock.advance(checkMs);
    const stopped = world.space.stop();
    expect((await world.clock.until(stopped, 1000)).tookMs).toBe(500);
    await world.clock.advance(100_000);
    expect(world.merged).toEqual(['1 a-a']);

    const failing = new World();
    failing.bytesOf = () => {
      throw new Error('the disk is gone');
    };
    await failing.delete(of('a'));
    failing.space.hurry(true);
    await failing.clock.advance(checkMs);
    expect(failing.failures).toHaveLength(1);
  });
});

test('in LevelDB most of what was deleted is given back, though nothing more is written', async () => {
  const directory = temporaryDirectory();
  const small = { writeBufferBytes: MiB, tableBytesMax: MiB, stateFlushDelayMs: 0, logDeletedCheckMs: 20 };
  const storage = await open(directory, small);
  const onDisk = (): number =>
    fs.readdirSync(path.join(directory, 'state')).reduce((sum, name) => {
      const { size = 0 } = fs.statSync(path.join(directory, 'state', name), { throwIfNoEntry: false }) ?? {};
      return sum + size;
    }, 0);
  const content = 'x'.repeat(64 * 1024);
  const keys = Array.from({ length: 256 }, (_, index) => `key ${String(index).padStart(3, '0')}`);
  try {
    await append(storage, logWrite(p1, { hardState: hardState(1), entries: [] }));
    for (const [index, key] of keys.entries()) {
      storage.stageState(p1, [put(key, content)], machineState(index + 1));
      if (index % 16 === 0) await settled(storage);
    }
    await settled(storage);
    expect(onDisk()).toBeGreaterThan(15 * MiB);
    const [first = '', ...others] = keys;
    storage.stageState(p1, others.map(del), machineState(keys.length + 1));
    await settled(storage);
    // Several looks would have come by.
    await new Promise((resolve) => setTimeout(resolve, 10 * small.logDeletedCheckMs));
    expect(onDisk()).toBeGreaterThan(15 * MiB);
    storage.saveSpace(true);
    await vi.waitFor(() => expect(onDisk()).toBeLessThan(4 * MiB), { timeout: 10_000 });
    expect([value(storage, p1, first), value(storage, p1, others[0] ?? '')]).toEqual([content, undefined]);
  } finally {
    await storage.close();
    fs.rmSync(directory, { recursive: true });
  }
});
