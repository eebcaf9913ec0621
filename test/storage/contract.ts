/** What every storage keeps to, whatever it stands on. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StorageConfig } from '../../src/config.ts';
import type { LogIndex, ReplicaId } from '../../src/raft/types.ts';
import type { PartitionId, Storage } from '../../src/replica/ports.ts';
import { digestContract } from './digest-contract.ts';
import { keptContract } from './kept-contract.ts';
import { snapshotContract } from './snapshot-contract.ts';
import {
  append,
  bodies,
  bytes,
  del,
  entries,
  entry,
  hardState,
  logWrite,
  machineState,
  p1,
  p2,
  put,
  read,
  record,
  settled,
  value,
} from './building.ts';

export interface StorageHarness {
  /** An empty storage. */
  open(config?: Partial<StorageConfig>): Promise<Storage>;
  /** Closes and opens again what `open` opened. */
  reopen(): Promise<Storage>;
  cleanUp(): Promise<void>;
}

export function storageContract(name: string, makeHarness: () => StorageHarness): void {
  describe(`storage contract: ${name}`, () => {
    let harness: StorageHarness;
    let storage: Storage;

    beforeEach(async () => {
      harness = makeHarness();
      storage = await harness.open({ stateFlushDelayMs: 5 });
    });
    afterEach(() => harness.cleanUp());

    async function nowAndAfterReopening(check: () => void): Promise<void> {
      check();
      storage = await harness.reopen();
      check();
    }

    test('a group never written to has no term, no vote, no log and no state', async () => {
      await nowAndAfterReopening(() => {
        expect(storage.group(p1)).toMatchObject({
          hardState: { currentTerm: 0, votedFor: 0 },
          machineState: { appliedIndex: 0, appliedTerm: 0, logTime: 0, keys: 0, bytes: 0 },
        });
        expect(storage.log(p1).firstIndex()).toBe(1);
        expect(storage.log(p1).lastIndex()).toBe(0);
        expect(storage.log(p1).term(0 as LogIndex)).toBe(0);
        expect(storage.log(p1).term(1 as LogIndex)).toBeUndefined();
        expect(storage.state(p1).get(bytes('a'))).toBeUndefined();
        expect(storage.pendingBytes()).toBe(0);
      });
    });

    test('a replica that came into being later is known by its id from its first batch on', async () => {
      storage.foundGroup(p1, 5 as ReplicaId);
      storage = await harness.reopen();
      expect(storage.partitions()).toEqual([]);
      storage.foundGroup(p1, 5 as ReplicaId);
      await append(storage, logWrite(p1, { hardState: hardState(3) }));
      await append(storage, logWrite(p2, { hardState: hardState(1) }));
      storage = await harness.reopen();
      expect(storage.partitions()).toEqual([p1, p2]);
      expect([p1, p2].map((partition) => storage.group(partition).replicaId)).toEqual([5, undefined]);
      expect(() => storage.foundGroup(p1, 6 as ReplicaId)).toThrow('comes into being once');
    });

    test('what is durable is there after reopening: hard state, entries of every kind, machine state, values', async () => {
      const written = [
        { ...entry(1, 1, ''), kind: 0 as const },
        entry(2, 1),
        { ...entry(3, 2, 'members'), kind: 2 as const },
        entry(4, 7, 'x'.repeat(100_000)),
      ];
      const stored = {
        ...record('v'),
        expiresAt: 1_800_000_000_000,
        revision: 2 ** 40,
        contentType: 'text/plain; charset="ü"',
      };
      await append(storage, logWrite(p1, { hardState: hardState(7, 3), entries: written }));
      storage.stageState(
        p1,
        [{ type: 'put', key: Buffer.from([0, 255, 10]), record: stored, expiresBefore: 0 }],
        machineState(2),
      );
      storage = await harness.reopen();
      expect(storage.group(p1).hardState).toEqual({ currentTerm: 7, votedFor: 3 });
      expect(storage.group(p1).machineState).toEqual(machineState(2));
      expect(storage.log(p1).entries(1 as LogIndex, 4 as LogIndex, 1e9)).toEqual(written);
      expect([1, 2, 3, 4, 5].map((index) => storage.log(p1).term(index as LogIndex))).toEqual([1, 1, 2, 7, undefined]);
      expect(storage.state(p1).get(Buffer.from([0, 255, 10]))).toEqual(stored);
    });

    test('entries are cut by bytes, at least one is returned, and none beyond the last', async () => {
      const hundreds = [1, 2, 3, 4].map((index) => entry(index, 1, 'x'.repeat(100)));
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: hundreds }));
      const log = storage.log(p1);
      const count = (from: number, to: number, bytesMax: number) =>
        log.entries(from as LogIndex, to as LogIndex, bytesMax).length;
      expect(count(1, 4, 199)).toBe(1);
      expect(count(1, 4, 200)).toBe(2);
      expect(count(1, 4, 0)).toBe(1);
      expect(count(2, 3, 1e9)).toBe(2);
      expect(count(3, 99, 1e9)).toBe(2);
      expect(count(5, 99, 1e9)).toBe(0);
    });

    test('completions run in the order of the calls, across groups, and never within the call', async () => {
      const order: string[] = [];
      const finished = new Promise<void>((resolve) => {
        storage.appendLog(logWrite(p1, { entries: [entry(1, 1)], hardState: hardState(1) }), () =>
          order.push('p1 first'),
        );
        storage.appendLog(logWrite(p2, { entries: [entry(1, 1)], hardState: hardState(1) }), () => order.push('p2'));
        storage.flush();
        storage.appendLog(logWrite(p1, { entries: [entry(2, 1)] }), () => {
          order.push('p1 second');
          resolve();
        });
        storage.flush();
      });
      expect(order).toEqual([]);
      await finished;
      expect(order).toEqual(['p1 first', 'p2', 'p1 second']);
    });

    test('the log shows an entry only once it is durable, and then before anyone is told', async () => {
      let seenAtCompletion: number | undefined;
      const finished = new Promise<void>((resolve) => {
        storage.appendLog(logWrite(p1, { entries: entries(1, 3, 1), hardState: hardState(1) }), () => {
          seenAtCompletion = storage.log(p1).lastIndex();
          resolve();
        });
      });
      storage.flush();
      expect(storage.log(p1).lastIndex()).toBe(0);
      await finished;
      expect(seenAtCompletion).toBe(3);
    });

    test('a truncated tail is replaced by a shorter one, and the rest is gone for good', async () => {
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 9, 1) }));
      await append(storage, logWrite(p1, { hardState: hardState(2), truncate: 4, entries: entries(4, 5, 2) }));
      await nowAndAfterReopening(() => {
        expect(storage.log(p1).lastIndex()).toBe(5);
        expect(read(storage, p1, 1, 9)).toEqual(bodies([...entries(1, 3, 1), ...entries(4, 5, 2)]));
        expect(storage.log(p1).term(6 as LogIndex)).toBeUndefined();
      });
    });

    test('a log truncated to nothing can grow again', async () => {
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 2, 1) }));
      await append(storage, logWrite(p1, { truncate: 1 }));
      expect(storage.log(p1).lastIndex()).toBe(0);
      storage = await harness.reopen();
      await append(storage, logWrite(p1, { hardState: hardState(3), entries: entries(1, 1, 3) }));
      storage = await harness.reopen();
      expect(read(storage, p1, 1, 9)).toEqual(bodies(entries(1, 1, 3)));
    });

    test('entries cut off by a waiting truncation are not read any more, durable or not', async () => {
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 9, 1) }));
      const done = append(storage, logWrite(p1, { hardState: hardState(2), truncate: 4, entries: entries(4, 5, 2) }));
      expect(storage.log(p1).lastIndex()).toBe(3);
      expect(storage.log(p1).term(4 as LogIndex)).toBeUndefined();
      await done;
      expect(storage.log(p1).lastIndex()).toBe(5);
    });

    test('appends and truncations that ride in one batch come out as if written one by one', async () => {
      void append(storage, logWrite(p2, { hardState: hardState(1) }));
      const steps = [
        logWrite(p1, { hardState: hardState(1), entries: entries(1, 5, 1) }),
        logWrite(p1, { hardState: hardState(2), truncate: 3, entries: entries(3, 6, 2) }),
        logWrite(p1, { truncate: 6 }),
        logWrite(p1, { hardState: hardState(3), truncate: 5, entries: entries(5, 5, 3) }),
        logWrite(p1, { entries: entries(6, 7, 3) }),
      ];
      await Promise.all(steps.map((step) => append(storage, step)));
      const expected = bodies([...entries(1, 2, 1), ...entries(3, 4, 2), ...entries(5, 7, 3)]);
      expect(read(storage, p1, 1, 9)).toEqual(expected);
      expect(read(await harness.reopen(), p1, 1, 9)).toEqual(expected);
    });

    test('staged state is read at once, and from the database once it is durable', async () => {
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
      storage.stageState(p1, [put('a', 'one'), put('b', 'one')], machineState(1));
      expect([value(storage, p1, 'a'), value(storage, p1, 'b'), value(storage, p2, 'a')]).toEqual([
        'one',
        'one',
        undefined,
      ]);
      await settled(storage);
      storage.stageState(p1, [del('a')], machineState(2));
      expect(value(storage, p1, 'a')).toBeUndefined();
      storage.stageState(p1, [put('b', 'two'), put('a', 'three')], machineState(4));
      expect([value(storage, p1, 'a'), value(storage, p1, 'b')]).toEqual(['three', 'two']);
      await settled(storage);
      await nowAndAfterReopening(() => {
        expect([value(storage, p1, 'a'), value(storage, p1, 'b')]).toEqual(['three', 'two']);
      });
      expect(storage.group(p1).machineState).toEqual(machineState(4));
    });

    test('a key staged again while its batch is written keeps its newer value', async () => {
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
      storage.stageState(p1, [put('a', 'one')], machineState(1));
      const first = settled(storage);
      storage.stageState(p1, [put('a', 'two')], machineState(2));
      await first;
      expect(value(storage, p1, 'a')).toBe('two');
      storage.stageState(p1, [del('a')], machineState(3));
      expect(value(await harness.reopen(), p1, 'a')).toBeUndefined();
    });

    test('a header tells of the newest record what the record itself would, staged, durable or reopened', async () => {
      const agrees = (key: string): void => {
        const record = storage.state(p1).get(bytes(key));
        const header = storage.state(p1).header(bytes(key));
        const { value: kept, revision, incarnation, expiresAt } = record ?? {};
        expect(header).toEqual(record && { valueBytes: kept?.length, revision, incarnation, expiresAt });
      };
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
      agrees('a');
      storage.stageState(p1, [put('a', 'one', 1), put('b', 'longer', 1)], machineState(1));
      agrees('a');
      await settled(storage);
      storage.stageState(p1, [put('a', 'fourth', 4), del('b')], machineState(4));
      agrees('a');
      agrees('b');
      expect(storage.state(p1).header(bytes('a'))?.revision).toBe(4);
      await settled(storage);
      await nowAndAfterReopening(() => {
        agrees('a');
        agrees('b');
      });
    });

    test('closing writes what waits, staged state included', async () => {
      let completed = false;
      storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: entries(1, 2, 1) }), () => {
        completed = true;
      });
      storage.stageState(p1, [put('a', 'one')], machineState(2));
      storage = await harness.reopen();
      expect(completed).toBe(true);
      expect(read(storage, p1, 1, 9)).toEqual(bodies(entries(1, 2, 1)));
      expect(value(storage, p1, 'a')).toBe('one');
      expect(storage.group(p1).machineState.appliedIndex).toBe(2);
    });

    test('groups do not see each other, whatever their numbers', async () => {
      const partitions = [0, 1, 255, 256, 0xffff_fffe] as PartitionId[];
      await Promise.all(
        partitions.map((partition) => {
          storage.stageState(partition, [put('key', `of ${partition}`)], machineState(0, 0));
          return append(
            storage,
            logWrite(partition, { hardState: hardState(5), entries: [entry(1, 5, `log ${partition}`)] }),
          );
        }),
      );
      await nowAndAfterReopening(() => {
        for (const partition of partitions) {
          expect(read(storage, partition, 1, 9)).toEqual([`1/5 log ${partition}`]);
          expect(value(storage, partition, 'key')).toBe(`of ${partition}`);
        }
      });
    });

    test('keys are bytes: prefixes, empty values and bytes that are no UTF-8 stay apart', async () => {
      const keys = ['61', '6100', '6161', '00', 'ff', 'ffff', 'c3', 'c383', '5f5f70726f746f5f5f'].map((hex) =>
        Buffer.from(hex, 'hex'),
      );
      const writes = keys.map((key) => ({
        type: 'put' as const,
        key,
        record: record(key.length > 1 ? key.toString('hex') : ''),
        expiresBefore: 0,
      }));
      storage.stageState(p1, writes, machineState(0, 0));
      const expected = writes.map((write) => write.record);
      expect(keys.map((key) => storage.state(p1).get(key))).toEqual(expected);
      await append(storage, logWrite(p1, {}));
      storage = await harness.reopen();
      expect(keys.map((key) => storage.state(p1).get(key))).toEqual(expected);
    });

    test('bytes that wait are counted until they are durable', async () => {
      const done = append(storage, logWrite(p1, { hardState: hardState(1), entries: [entry(1, 1, 'x'.repeat(5000))] }));
      storage.stageState(p1, [put('a', 'y'.repeat(3000))], machineState(1));
      expect(storage.pendingBytes()).toBeGreaterThan(8000);
      expect(storage.pendingBytes()).toBeLessThan(9000);
      await done;
      expect(storage.pendingBytes()).toBeLessThan(4000);
      await settled(storage);
      expect(storage.pendingBytes()).toBe(0);
    });

    test('more than one batch holds is written in several, in order', async () => {
      storage = await harness.open({ batchBytesMax: 10_000 });
      const writes = entries(1, 50, 1).map((one) => ({ ...one, body: Buffer.alloc(1000, one.index) }));
      const order: number[] = [];
      await Promise.all(
        writes.map(async (one) => {
          storage.stageState(
            p1,
            [put(`k${one.index}`, 'v'.repeat(500))],
            machineState(one.index - 1, one.index > 1 ? 1 : 0),
          );
          await append(storage, logWrite(p1, { hardState: hardState(1), entries: [one] }));
          order.push(one.index);
        }),
      );
      expect(order).toEqual(writes.map((one) => one.index));
      storage = await harness.reopen();
      expect(storage.log(p1).entries(1 as LogIndex, 50 as LogIndex, 1e9)).toEqual(writes);
      expect(storage.group(p1).machineState.appliedIndex).toBe(49);
      expect(value(storage, p1, 'k50')).toBe('v'.repeat(500));
    });

    test('an entry that leaves a gap is a bug, and is refused before it is queued', () => {
      expect(() => storage.appendLog(logWrite(p1, { entries: [entry(2, 1)] }), () => undefined)).toThrow(
        /appended after 0/,
      );
    });
  });
  keptContract(name, makeHarness);
  snapshotContract(name, makeHarness);
  digestContract(name, makeHarness);
}
