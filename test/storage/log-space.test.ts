/** What deleted log entries still take on the disk is given back, before it becomes much. */
import fs from 'node:fs';
import path from 'node:path';
import { expect, test, vi } from 'vitest';
import type { LogIndex } from '../../src/raft/types.ts';
import type { PartitionId, Storage } from '../../src/replica/ports.ts';
import { LogSpace } from '../../src/storage/log-space.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';
import { append, entry, hardState, logWrite, machineState, p1, p2, read, settled } from './building.ts';
import { open, temporaryDirectory } from './directories.ts';

const p3 = 3 as PartitionId;

/** Bytes that each group's deleted entries take, and what is done about it. */
class World {
  readonly clock = new VirtualClock();
  readonly bytes = new Map<PartitionId, number>();
  readonly firstIndex = new Map<PartitionId, number>();
  readonly measured: PartitionId[] = [];
  readonly merged: PartitionId[] = [];
  readonly failures: unknown[] = [];
  /** What the next merge passes over. */
  passedOver = 0;
  readonly space = new LogSpace({
    database: {
      approximateBytes: (from) => {
        const partition = from.readUInt32BE(0) as PartitionId;
        this.measured.push(partition);
        return Promise.resolve(this.bytes.get(partition) ?? 0);
      },
      mergeRange: (from) => {
        const partition = from.readUInt32BE(0) as PartitionId;
        this.merged.push(partition);
        this.bytes.set(partition, this.passedOver);
        this.passedOver = 0;
        return Promise.resolve();
      },
    },
    config: { logDeletedBytesMax: 100, logDeletedCheckMs: 1000, tableBytesMax: 20 },
    after: (delayMs, callback) => this.clock.after(delayMs, callback),
    onFailure: (error) => this.failures.push(error),
  });

  watch(): void {
    this.space.watch({
      partitions: () => [...this.firstIndex.keys()],
      log: (partition) =>
        ({ firstIndex: () => this.firstIndex.get(partition) as LogIndex }) as ReturnType<Storage['log']>,
    });
  }

  deleted(partition: PartitionId, bytes: number): void {
    this.bytes.set(partition, bytes);
    this.firstIndex.set(partition, (this.firstIndex.get(partition) ?? 1) + 1);
  }
}

test('the group with most of it goes first, until all of them together are below the bound', async () => {
  const world = new World();
  world.deleted(p1, 60);
  world.deleted(p2, 90);
  world.deleted(p3, 30);
  world.watch();
  await world.clock.advance(1000);
  expect(world.merged).toEqual([p2]);
  world.deleted(p3, 50);
  await world.clock.advance(1000);
  expect(world.merged).toEqual([p2, p1]);
});

test('what a merge has passed over is merged at the next look, and then nothing more', async () => {
  const world = new World();
  world.passedOver = 150;
  world.deleted(p1, 160);
  world.watch();
  await world.clock.advance(1000);
  expect(world.merged).toEqual([p1]);
  await world.clock.advance(5000);
  expect(world.merged).toEqual([p1, p1]);
  expect(world.measured).toEqual([p1, p1, p1]);
});

test('a group from which nothing was deleted since is not asked for', async () => {
  const world = new World();
  world.deleted(p1, 10);
  world.deleted(p2, 10);
  world.watch();
  await world.clock.advance(1000);
  world.deleted(p2, 20);
  await world.clock.advance(3000);
  expect(world.measured).toEqual([p1, p2, p2]);
  expect(world.merged).toEqual([]);
});

test('once it is stopped nothing is looked at, and a failure is told', async () => {
  const world = new World();
  world.watch();
  await world.space.stop();
  world.deleted(p1, 1000);
  await world.clock.advance(5000);
  expect(world.measured).toEqual([]);

  const failing = new World();
  failing.deleted(p1, 1000);
  vi.spyOn(failing.bytes, 'set').mockImplementation(() => {
    throw new Error('the disk is gone');
  });
  failing.watch();
  await failing.clock.advance(5000);
  expect(failing.failures).toHaveLength(1);
});

test('a log that is written to and compacted takes little more than what is kept of it', async () => {
  const directory = temporaryDirectory();
  const mebibyte = 1024 * 1024;
  const small = { writeBufferBytes: mebibyte, tableBytesMax: mebibyte, stateFlushDelayMs: 0 };
  const storage = await open(directory, { ...small, logDeletedBytesMax: 2 * mebibyte, logDeletedCheckMs: 20 });
  const body = 'x'.repeat(16 * 1024);
  const onDisk = (): number =>
    fs.readdirSync(path.join(directory, 'log')).reduce((sum, name) => {
      const { size = 0 } = fs.statSync(path.join(directory, 'log', name), { throwIfNoEntry: false }) ?? {};
      return sum + size;
    }, 0);
  try {
    await append(storage, logWrite(p1, { hardState: hardState(1), entries: [] }));
    for (let index = 1; index <= 1024; index += 64) {
      const entries = Array.from({ length: 64 }, (_, i) => entry(index + i, 1, body));
      await append(storage, logWrite(p1, { entries }));
    }
    expect(onDisk()).toBeGreaterThan(12 * mebibyte);
    storage.stageState(p1, [], machineState(1024));
    await settled(storage);
    await append(storage, logWrite(p1, { entries: [], compact: 1023 }));
    await vi.waitFor(() => expect(onDisk()).toBeLessThan(6 * mebibyte), { timeout: 10_000 });
    expect(read(storage, p1, 1024, 1024)).toHaveLength(1);
  } finally {
    await storage.close();
    fs.rmSync(directory, { recursive: true });
  }
});
