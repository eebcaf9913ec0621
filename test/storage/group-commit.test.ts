/** How writes share batches, what a failure does, and what a crash leaves: with batches that become durable when told. */
import { describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
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

/** With one entry in the log, and its write under way. */
async function storageAtWork(config = defaults.storage) {
  const clock = manualClock();
  const storage = await openMemoryStorage({ automatic: false, after: clock.after, config });
  storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: entries(1, 1, 1) }), nothing);
  storage.flush();
  return { clock, storage };
}

const underWay = (storage: MemoryStorage): string[] =>
  (['log', 'state'] as const).filter((name) => storage.batchUnderWay(name));

describe('log writes', () => {
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
    await storage.completeBatch('log');
    expect(durable).toEqual(['first']);
    await storage.completeBatch('log');
    expect(durable).toEqual(['first', 'second', 'third']);
    expect(underWay(storage)).toEqual([]);
  });

  test('nothing is written before the end of the turn', async () => {
    const storage = await openMemoryStorage({ automatic: false });
    storage.appendLog(logWrite(p1, { hardState: hardState(1) }), nothing);
    expect(underWay(storage)).toEqual([]);
    storage.flush();
    expect(underWay(storage)).toEqual(['log']);
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
    await storage.completeBatch('log');
    await storage.completeBatch('log');
    expect(durable).toEqual(['of 1', 'of 2']);
  });
});

describe('staged state', () => {
  test('gathers until its delay has passed, whatever the log writes meanwhile', async () => {
    const { clock, storage } = await storageAtWork();
    await storage.completeBatch('log');
    storage.stageState(p1, [put('a', 'one')], machineState(1));
    storage.flush();
    storage.stageState(p1, [put('b', 'one')], machineState(1));
    storage.appendLog(logWrite(p1, { hardState: hardState(2) }), nothing);
    storage.flush();
    await storage.completeBatch('log');
    expect([underWay(storage), clock.waiting.size]).toEqual([[], 1]);
    clock.pass();
    expect([underWay(storage), clock.waiting.size]).toEqual([['state'], 0]);
    await storage.completeBatch('state');
    expect(storage.pendingBytes()).toBe(0);
    const stored = await storage.crash();
    expect([value(stored, p1, 'a'), value(stored, p1, 'b')]).toEqual(['one', 'one']);
  });

  test('goes at once when it is much', async () => {
    const { clock, storage } = await storageAtWork({ ...defaults.storage, batchBytesMax: 10_000 });
    await storage.completeBatch('log');
    storage.stageState(p1, [put('a', 'x'.repeat(6000))], machineState(1));
    storage.flush();
    expect([underWay(storage), clock.waiting.size]).toEqual([['state'], 0]);
  });

  test('waits for the log write that it covers, however long it is due', async () => {
    const { clock, storage } = await storageAtWork();
    storage.stageState(p1, [put('a', 'one')], machineState(1));
    storage.flush();
    clock.pass();
    expect(underWay(storage)).toEqual(['log']);
    await storage.completeBatch('log');
    expect(underWay(storage)).toEqual(['state']);
  });

  test('that was staged after a log write waits for it; what was staged before does not', async () => {
    const { clock, storage } = await storageAtWork();
    await storage.completeBatch('log');
    storage.stageState(p1, [put('a', 'one')], machineState(1));
    storage.appendLog(logWrite(p1, { entries: entries(2, 2, 1) }), nothing);
    storage.stageState(p1, [put('a', 'two')], machineState(2));
    storage.flush();
    clock.pass();
    expect(underWay(storage)).toEqual(['log', 'state']);
    await storage.completeBatch('state');
    const early = await storage.openCopy();
    expect([value(early, p1, 'a'), early.group(p1).machineState.appliedIndex]).toEqual(['one', 1]);
    expect(value(storage, p1, 'a')).toBe('two');
    await storage.completeBatch('log');
    clock.pass();
    await storage.completeBatch('state');
    expect(value(await storage.crash(), p1, 'a')).toBe('two');
  });

  test('whose delay ends while a state batch is under way waits a delay of its own', async () => {
    const { clock, storage } = await storageAtWork();
    await storage.completeBatch('log');
    storage.stageState(p1, [put('a', 'one')], machineState(1));
    storage.flush();
    clock.pass();
    storage.stageState(p1, [put('a', 'two')], machineState(1));
    storage.flush();
    await storage.completeBatch('state');
    expect([underWay(storage), clock.waiting.size]).toEqual([[], 1]);
    clock.pass();
    await storage.completeBatch('state');
    expect(value(await storage.crash(), p1, 'a')).toBe('two');
  });

  test('is never durable ahead of the entries that it covers, wherever batches are cut', async () => {
    const { clock, storage } = await storageAtWork({ ...defaults.storage, batchBytesMax: 3000 });
    for (let index = 2; index <= 30; index += 1) {
      const body = Buffer.alloc(200 + ((index * 977) % 1500), index);
      const one = { ...entry(index, 1), body };
      storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: [one] }), nothing);
      storage.stageState(
        p1,
        [put(`k${index}`, 'v'.repeat((index * 613) % 900), index), put('last', String(index))],
        machineState(index),
      );
    }
    let batches = 0;
    for (let turn = 0; storage.pendingBytes() > 0; turn += 1) {
      clock.pass();
      storage.flush();
      const [one, other] = turn % 3 === 0 ? (['state', 'log'] as const) : (['log', 'state'] as const);
      if (!storage.batchUnderWay(one) && !storage.batchUnderWay(other)) continue;
      await storage.completeBatch(storage.batchUnderWay(one) ? one : other);
      batches += 1;
      // A crash here must open: recovery refuses state ahead of the log.
      const crashed = await storage.openCopy();
      const { appliedIndex } = crashed.group(p1).machineState;
      expect(appliedIndex).toBeLessThanOrEqual(crashed.log(p1).lastIndex());
      const keys = Array.from({ length: 29 }, (_, offset) => value(crashed, p1, `k${offset + 2}`) !== undefined);
      expect(keys).toEqual(keys.map((_, offset) => offset + 2 <= appliedIndex));
      expect(value(crashed, p1, 'last')).toBe(appliedIndex === 0 ? undefined : String(appliedIndex));
    }
    expect(batches).toBeGreaterThan(10);
    expect((await storage.crash()).group(p1).machineState.appliedIndex).toBe(30);
  });

  test('within one batch only the last value of a key and the last machine state are written', async () => {
    const { clock, storage } = await storageAtWork();
    storage.appendLog(logWrite(p1, { entries: entries(2, 9, 1) }), nothing);
    for (let index = 1; index <= 9; index += 1) storage.stageState(p1, [put('a', `v${index}`)], machineState(index));
    await storage.completeBatch('log');
    await storage.completeBatch('log');
    clock.pass();
    await storage.completeBatch('state');
    const stored = await storage.crash();
    expect([value(stored, p1, 'a'), stored.group(p1).machineState.appliedIndex]).toEqual(['v9', 9]);
  });
});

describe('a failed batch', () => {
  test('is reported once; nothing after it is acknowledged, written or retried', async () => {
    const failures: unknown[] = [];
    const durable: string[] = [];
    const storage = await openMemoryStorage({ automatic: false, onFailure: (error) => failures.push(error) });
    storage.appendLog(logWrite(p1, { hardState: hardState(1) }), () => durable.push('lost'));
    storage.flush();
    storage.appendLog(logWrite(p2, { hardState: hardState(1) }), () => durable.push('queued'));
    const error = new Error('no space left on device');
    await storage.failBatch('log', error);
    storage.appendLog(logWrite(p2, { hardState: hardState(2) }), () => durable.push('later'));
    storage.stageState(p1, [put('a', 'one')], machineState(0, 0));
    storage.flush();
    expect(failures).toEqual([error]);
    expect(durable).toEqual([]);
    expect(underWay(storage)).toEqual([]);
    await storage.close();
    expect((await storage.crash()).group(p1).hardState.currentTerm).toBe(0);
  });

  test('of the state stops the log too, and closing waits for the other batch', async () => {
    const failures: unknown[] = [];
    const durable: string[] = [];
    const clock = manualClock();
    const storage = await openMemoryStorage({
      automatic: false,
      after: clock.after,
      onFailure: (error) => failures.push(error),
    });
    storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: entries(1, 1, 1) }), nothing);
    storage.flush();
    await storage.completeBatch('log');
    storage.stageState(p1, [put('a', 'one')], machineState(1));
    storage.flush();
    clock.pass();
    storage.appendLog(logWrite(p1, { entries: entries(2, 2, 1) }), () => durable.push('told'));
    storage.flush();
    expect(underWay(storage)).toEqual(['log', 'state']);
    const error = new Error('input/output error');
    await storage.failBatch('state', error);
    let closed = false;
    const closing = storage.close().then(() => {
      closed = true;
    });
    await Promise.resolve();
    expect(closed).toBe(false);
    await storage.completeBatch('log');
    await closing;
    expect([failures, durable]).toEqual([[error], []]);
  });
});

test('a crash leaves what was durable and nothing else', async () => {
  const { clock, storage } = await storageAtWork();
  storage.appendLog(logWrite(p1, { entries: entries(2, 3, 1) }), nothing);
  storage.stageState(p1, [put('a', 'one')], machineState(2));
  await storage.completeBatch('log');
  await storage.completeBatch('log');
  storage.flush();
  clock.pass();
  await storage.completeBatch('state');
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
