/** How writes share batches, what a failure does, and what a crash leaves: with batches that become durable when told. */
import { describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { openMemoryStorage } from '../../src/storage/memory-storage.ts';
import { bodies, entries, entry, hardState, logWrite, machineState, p1, p2, put, read, value } from './building.ts';

const nothing = (): void => undefined;

/** A clock whose waits end when told. */
function manualClock() {
  const waiting = new Set<() => void>();
  return {
    after: (_delayMs: number, callback: () => void) => {
      waiting.add(callback);
      return () => void waiting.delete(callback);
    },
    waiting,
    pass: () => {
      const due = [...waiting];
      waiting.clear();
      for (const callback of due) callback();
    },
  };
}

describe('group commit', () => {
  test('one batch is under way at a time; what arrives meanwhile, of any group, goes in the next', async () => {
    const storage = await openMemoryStorage({ automatic: false });
    const durable: string[] = [];
    const write = (name: string, partition: typeof p1, from: number): void => {
      storage.appendLog(logWrite(partition, { hardState: hardState(1), entries: entries(from, from, 1) }), () =>
        durable.push(name),
      );
      storage.flush();
    };
    write('first', p1, 1);
    write('second', p2, 1);
    write('third', p1, 2);
    await storage.completeBatch();
    expect(durable).toEqual(['first']);
    await storage.completeBatch();
    expect(durable).toEqual(['first', 'second', 'third']);
    expect(storage.batchUnderWay()).toBe(false);
  });

  test('nothing is written before the end of the turn', async () => {
    const storage = await openMemoryStorage({ automatic: false });
    storage.appendLog(logWrite(p1, { hardState: hardState(1) }), nothing);
    expect(storage.batchUnderWay()).toBe(false);
    storage.flush();
    expect(storage.batchUnderWay()).toBe(true);
  });

  test('what completions hand over goes out together in the next batch', async () => {
    const storage = await openMemoryStorage({ automatic: false });
    const durable: string[] = [];
    for (const partition of [p1, p2]) {
      storage.appendLog(logWrite(partition, { hardState: hardState(1) }), () => {
        storage.appendLog(logWrite(partition, { hardState: hardState(2) }), () => durable.push(`of ${partition}`));
        storage.flush();
      });
    }
    storage.flush();
    await storage.completeBatch();
    await storage.completeBatch();
    expect(durable).toEqual(['of 1', 'of 2']);
  });

  test('staged state alone waits its delay, rides with a log write that comes sooner, and goes at once when it is much', async () => {
    const clock = manualClock();
    const config = { ...defaults.storage, batchBytesMax: 10_000 };
    const storage = await openMemoryStorage({ automatic: false, after: clock.after, config });
    storage.stageState(p1, [put('a', 'one')], machineState(0, 0));
    storage.flush();
    storage.flush();
    expect([storage.batchUnderWay(), clock.waiting.size]).toEqual([false, 1]);
    clock.pass();
    expect(storage.batchUnderWay()).toBe(true);
    await storage.completeBatch();

    storage.stageState(p1, [put('a', 'two')], machineState(0, 0));
    storage.flush();
    storage.appendLog(logWrite(p1, { hardState: hardState(1) }), nothing);
    storage.flush();
    expect([storage.batchUnderWay(), clock.waiting.size]).toEqual([true, 0]);
    await storage.completeBatch();
    expect(storage.pendingBytes()).toBe(0);

    storage.stageState(p1, [put('a', 'x'.repeat(6000))], machineState(0, 0));
    storage.flush();
    expect([storage.batchUnderWay(), clock.waiting.size]).toEqual([true, 0]);
  });

  test('a delay that ends while a batch is under way lets the state go right after it', async () => {
    const clock = manualClock();
    const storage = await openMemoryStorage({ automatic: false, after: clock.after });
    storage.stageState(p1, [put('a', 'one')], machineState(0, 0));
    storage.flush();
    clock.pass();
    storage.stageState(p1, [put('a', 'two')], machineState(0, 0));
    storage.flush();
    await storage.completeBatch();
    expect([storage.batchUnderWay(), clock.waiting.size]).toEqual([false, 1]);
    clock.pass();
    await storage.completeBatch();
    expect(value(await storage.crash(), p1, 'a')).toBe('two');
  });

  test('a failed batch is reported once; nothing after it is acknowledged, written or retried', async () => {
    const failures: unknown[] = [];
    const durable: string[] = [];
    const storage = await openMemoryStorage({ automatic: false, onFailure: (error) => failures.push(error) });
    storage.appendLog(logWrite(p1, { hardState: hardState(1) }), () => durable.push('lost'));
    storage.flush();
    storage.appendLog(logWrite(p2, { hardState: hardState(1) }), () => durable.push('queued'));
    const error = new Error('no space left on device');
    await storage.failBatch(error);
    storage.appendLog(logWrite(p2, { hardState: hardState(2) }), () => durable.push('later'));
    storage.stageState(p1, [put('a', 'one')], machineState(0, 0));
    storage.flush();
    expect(failures).toEqual([error]);
    expect(durable).toEqual([]);
    expect(storage.batchUnderWay()).toBe(false);
    await storage.close();
    expect((await storage.crash()).group(p1).hardState.currentTerm).toBe(0);
  });

  test('a crash leaves what was durable and nothing else', async () => {
    const storage = await openMemoryStorage({ automatic: false });
    storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: entries(1, 3, 1) }), nothing);
    storage.stageState(p1, [put('a', 'one')], machineState(2));
    storage.flush();
    await storage.completeBatch();
    let acknowledged = false;
    storage.appendLog(logWrite(p1, { hardState: hardState(2), truncate: 3, entries: entries(3, 5, 2) }), () => {
      acknowledged = true;
    });
    storage.stageState(p1, [put('a', 'two')], machineState(4, 2));
    storage.flush();
    const after = await storage.crash();
    expect(after.group(p1).hardState).toEqual(hardState(1));
    expect(read(after, p1, 1, 9)).toEqual(bodies(entries(1, 3, 1)));
    expect([value(after, p1, 'a'), after.group(p1).machineState]).toEqual(['one', machineState(2)]);
    expect(acknowledged).toBe(false);
  });

  test('machine state is never durable ahead of the entries that it covers, wherever batches are cut', async () => {
    const config = { ...defaults.storage, batchBytesMax: 3000 };
    let storage = await openMemoryStorage({ automatic: false, config });
    for (let index = 1; index <= 30; index += 1) {
      const body = Buffer.alloc(200 + ((index * 977) % 1500), index);
      const one = { ...entry(index, 1), body };
      storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: [one] }), nothing);
      storage.stageState(
        p1,
        [put(`k${index}`, 'v'.repeat((index * 613) % 900), index), put('last', String(index))],
        machineState(index),
      );
    }
    storage.flush();
    let batches = 0;
    for (; storage.batchUnderWay(); batches += 1) {
      await storage.completeBatch();
      // A crash here must open: recovery refuses state ahead of the log.
      const crashed = await storage.openCopy();
      const { appliedIndex } = crashed.group(p1).machineState;
      expect(appliedIndex).toBeLessThanOrEqual(crashed.log(p1).lastIndex());
      const keys = Array.from({ length: 30 }, (_, offset) => value(crashed, p1, `k${offset + 1}`) !== undefined);
      expect(keys).toEqual(keys.map((_, offset) => offset < appliedIndex));
      expect(value(crashed, p1, 'last')).toBe(appliedIndex === 0 ? undefined : String(appliedIndex));
    }
    expect(batches).toBeGreaterThan(5);
    storage = await storage.crash();
    expect(storage.group(p1).machineState.appliedIndex).toBe(30);
  });

  test('within one batch only the last value of a key and the last machine state are written', async () => {
    const storage = await openMemoryStorage({ automatic: false });
    storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: entries(1, 9, 1) }), nothing);
    for (let index = 1; index <= 9; index += 1) storage.stageState(p1, [put('a', `v${index}`)], machineState(index));
    storage.flush();
    await storage.completeBatch();
    const stored = await storage.crash();
    expect([value(stored, p1, 'a'), stored.group(p1).machineState.appliedIndex]).toEqual(['v9', 9]);
  });
});
