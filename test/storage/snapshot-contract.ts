/** What every storage keeps to when a log is compacted, and when a state is carried to another node and installed there. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Scratch } from '../../src/bytes.ts';
import type { LogIndex } from '../../src/raft/types.ts';
import type { Storage } from '../../src/replica/ports.ts';
import {
  append,
  bodies,
  bytes,
  chunksOf,
  configurationOf,
  del,
  entries,
  hardState,
  installOf,
  logWrite,
  p1,
  p2,
  put,
  read,
  settled,
  stage,
  stateOf,
  transferFrom,
  value,
  valuesOf,
  type Transfer,
} from './building.ts';
import type { StorageHarness } from './contract.ts';

const nothing = (): void => undefined;
/** For reads of which only what is said of them counts. */
const memory = new Scratch();
const term = (storage: Storage, index: number) => storage.log(p1).term(index as LogIndex);

/** Ten entries of term 1, applied up to 8, which is durable. */
async function fillGroup(storage: Storage): Promise<void> {
  await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 10, 1) }));
  storage.stageState(p1, [put('a', 'one'), put('b', 'two')], stateOf({ a: 'one', b: 'two' }, 8));
  await settled(storage);
}

export function snapshotContract(name: string, makeHarness: () => StorageHarness): void {
  describe(`storage contract, compaction: ${name}`, () => {
    let harness: StorageHarness;
    let storage: Storage;
    beforeEach(async () => {
      harness = makeHarness();
      storage = await harness.open({ stateFlushDelayMs: 5 });
      await fillGroup(storage);
    });
    afterEach(() => harness.cleanUp());

    test('a compacted log begins behind what was forgotten, from the call on and after reopening', async () => {
      const done = append(storage, logWrite(p1, { compact: 4 }));
      const check = (): void => {
        expect(storage.log(p1).firstIndex()).toBe(5);
        expect([3, 4, 5, 10, 11].map((index) => term(storage, index))).toEqual([undefined, 1, 1, 1, undefined]);
        expect(read(storage, p1, 5, 99)).toEqual(bodies(entries(5, 10, 1)));
      };
      check();
      await done;
      check();
      storage = await harness.reopen();
      check();
      await append(storage, logWrite(p1, { hardState: hardState(2), truncate: 9, entries: entries(9, 12, 2) }));
      storage = await harness.reopen();
      expect(read(storage, p1, 5, 99)).toEqual(bodies([...entries(5, 8, 1), ...entries(9, 12, 2)]));
    });

    test('a log may be compacted to nothing and grow again; to compact it again to there does nothing', async () => {
      storage.stageState(p1, [], stateOf({ a: 'one', b: 'two' }, 10));
      await settled(storage);
      await append(storage, logWrite(p1, { compact: 10 }));
      await append(storage, logWrite(p1, { compact: 7 }));
      storage = await harness.reopen();
      expect([storage.log(p1).firstIndex(), storage.log(p1).lastIndex(), term(storage, 10)]).toEqual([11, 10, 1]);
      expect(storage.group(p1).logBytes).toBe(0);
      await append(storage, logWrite(p1, { hardState: hardState(2), entries: entries(11, 12, 2) }));
      storage = await harness.reopen();
      expect(read(storage, p1, 11, 99)).toEqual(bodies(entries(11, 12, 2)));
    });

    test('the bytes of a stored log are known when it is opened, roughly, without what was compacted', async () => {
      const large = entries(11, 40, 1).map((one) => ({ ...one, body: Buffer.alloc(10_000, one.index) }));
      await append(storage, logWrite(p1, { entries: large }));
      storage = await harness.reopen();
      expect(storage.group(p1).logBytes).toBeGreaterThan(280_000);
      expect(storage.group(p1).logBytes).toBeLessThan(320_000);
      storage.stageState(p1, [], stateOf({ a: 'one', b: 'two' }, 30));
      await settled(storage);
      await append(storage, logWrite(p1, { compact: 30 }));
      storage = await harness.reopen();
      expect(storage.group(p1).logBytes).toBeGreaterThan(80_000);
      expect(storage.group(p1).logBytes).toBeLessThan(120_000);
    });

    test('nothing is forgotten that the durable state does not cover', async () => {
      storage.stageState(p1, [del('a')], stateOf({ b: 'two' }, 9));
      expect(storage.durableAppliedIndex(p1)).toBe(8);
      expect(() => storage.appendLog(logWrite(p1, { compact: 9 }), nothing)).toThrow(
        'partition 1: the log up to 9 is needed, as the state is durable up to 8',
      );
      await settled(storage);
      expect(storage.durableAppliedIndex(p1)).toBe(9);
      await append(storage, logWrite(p1, { compact: 9 }));
      storage = await harness.reopen();
      expect([storage.durableAppliedIndex(p1), storage.log(p1).firstIndex()]).toEqual([9, 10]);
    });

    test('compactions, truncations and appends that ride in one batch come out as if written one by one', async () => {
      void append(storage, logWrite(p2, { hardState: hardState(1) }));
      const steps = [
        logWrite(p1, { compact: 2, entries: entries(11, 12, 1) }),
        logWrite(p1, { hardState: hardState(2), truncate: 9, entries: entries(9, 9, 2) }),
        logWrite(p1, { compact: 8 }),
        logWrite(p1, { hardState: hardState(3), truncate: 9, entries: entries(9, 10, 3) }),
      ];
      await Promise.all(steps.map((step) => append(storage, step)));
      const check = (): void => {
        expect([storage.log(p1).firstIndex(), storage.log(p1).lastIndex(), term(storage, 8)]).toEqual([9, 10, 1]);
        expect(read(storage, p1, 9, 99)).toEqual(bodies(entries(9, 10, 3)));
      };
      check();
      storage = await harness.reopen();
      check();
    });

    test('a configuration is there with the state that it came with, until another one replaces it', async () => {
      expect(storage.group(p1).configuration).toBeUndefined();
      storage.stageState(p1, [], stateOf({}, 9), configurationOf(9));
      storage.stageState(p1, [put('a', 'four')], stateOf({}, 10));
      storage = await harness.reopen();
      expect(storage.group(p1).configuration).toEqual(configurationOf(9));
      await append(storage, logWrite(p1, { entries: entries(11, 12, 1) }));
      storage.stageState(p1, [], stateOf({}, 11), configurationOf(11));
      storage.stageState(p1, [], stateOf({}, 12), configurationOf(12));
      storage = await harness.reopen();
      expect(storage.group(p1).configuration).toEqual(configurationOf(12));
    });
  });

  describe(`storage contract, snapshots: ${name}`, () => {
    let harness: StorageHarness;
    let source: Storage;
    beforeEach(async () => {
      harness = makeHarness();
      source = await harness.open({ stateFlushDelayMs: 5 });
      await fillGroup(source);
    });
    afterEach(() => harness.cleanUp());

    /** Of `count` keys, applied up to 8 in term 1. */
    async function transferOf(count: number, bytesMax = 1 << 20): Promise<Transfer> {
      const values = Object.fromEntries(Array.from({ length: count }, (_, key) => [`k${key}`, `v${key}`.repeat(9)]));
      const writes = Object.entries(values).map(([key, text]) => put(key, text));
      source.stageState(p1, [del('a'), del('b'), ...writes], stateOf(values, 8), configurationOf(3));
      await settled(source);
      return transferFrom(source, p1, bytesMax);
    }

    test('a snapshot shows the durable state of one moment, whatever is written afterwards', async () => {
      source.stageState(p1, [put('a', 'staged')], stateOf({ a: 'staged', b: 'two' }, 9));
      const snapshot = source.openSnapshot(p1);
      expect([snapshot.machineState, snapshot.configuration]).toEqual([stateOf({ a: 'one', b: 'two' }, 8), undefined]);
      await settled(source);
      source.stageState(p1, [del('b'), put('c', 'later')], stateOf({ a: 'staged', c: 'later' }, 10));
      await settled(source);
      const first = await snapshot.read(undefined, 1, memory);
      expect([Buffer.from(first.last ?? []).toString(), first.done]).toEqual(['\x03a', false]);
      const second = await snapshot.read(first.last, 1, memory);
      expect([Buffer.from(second.last ?? []).toString(), second.done]).toEqual(['\x03b', true]);
      expect((await snapshot.read(second.last, 1, memory)).last).toBeUndefined();
      snapshot.close();
      await expect(snapshot.read(undefined, 1, memory)).rejects.toThrow('the snapshot is closed');
      expect((await transferFrom(source, p1)).machineState.appliedIndex).toBe(10);
    });

    test('a snapshot is read in pieces of the size asked for, and a record larger than that alone', async () => {
      source.stageState(p1, [put('big', 'x'.repeat(5000))], stateOf({ a: 'one', b: 'two', big: 'x'.repeat(5000) }, 8));
      await settled(source);
      const snapshot = source.openSnapshot(p1);
      const sizes = (await chunksOf(snapshot, 400)).map((chunk) => chunk.length > 400);
      expect(sizes).toEqual([false, true]);
      snapshot.close();
    });

    test('a group without any state has an empty snapshot, and it can be installed nowhere', async () => {
      const snapshot = source.openSnapshot(p2);
      expect(snapshot.machineState.appliedIndex).toBe(0);
      expect(await snapshot.read(undefined, 100, memory)).toMatchObject({ last: undefined, done: true });
      snapshot.close();
    });

    test('an empty replica takes over state, configuration and place in the log', async () => {
      const transfer = await transferOf(500, 2000);
      expect(transfer.chunks.length).toBeGreaterThan(10);
      let target = await harness.open({ stateFlushDelayMs: 5 });
      await stage(target, p1, transfer);
      expect(target.group(p1).machineState.appliedIndex).toBe(0);
      const done = append(target, installOf(p1, transfer, entries(9, 10, 2)));
      const check = (last: number): void => {
        expect([target.log(p1).firstIndex(), target.log(p1).lastIndex(), term(target, 8)]).toEqual([9, last, 1]);
        expect(valuesOf(target, p1, ['k0', 'k499', 'a'])).toEqual(['v0'.repeat(9), 'v499'.repeat(9), undefined]);
      };
      check(8);
      await done;
      check(10);
      await settled(target);
      expect(target.durableAppliedIndex(p1)).toBe(8);
      target = await harness.reopen();
      check(10);
      expect(read(target, p1, 9, 99)).toEqual(bodies(entries(9, 10, 2)));
      expect(target.group(p1)).toMatchObject({
        hardState: hardState(2),
        machineState: transfer.machineState,
        configuration: configurationOf(3),
      });
    });

    test('what was there before gives way, log and state, staged changes included; what follows goes on from there', async () => {
      const transfer = await transferOf(3);
      let target = await harness.open({ stateFlushDelayMs: 5 });
      await append(target, logWrite(p1, { hardState: hardState(1), entries: entries(1, 20, 1) }));
      target.stageState(p1, [put('a', 'old'), put('k1', 'old')], stateOf({}, 5), configurationOf(2));
      await settled(target);
      await stage(target, p1, transfer);
      target.stageState(p1, [put('k0', 'staged'), put('d', 'staged')], stateOf({}, 6), configurationOf(6));
      expect(target.state(p1).header(bytes('a'))?.valueBytes).toBe(3);
      const done = append(target, installOf(p1, transfer));
      target.stageState(p1, [put('k2', 'newer'), put('e', 'newer')], stateOf({}, 9));
      const keys = ['a', 'd', 'k0', 'k1', 'k2', 'e'];
      const expected = [undefined, undefined, 'v0'.repeat(9), 'v1'.repeat(9), 'newer', 'newer'];
      const check = (): void => {
        expect(valuesOf(target, p1, keys)).toEqual(expected);
        expect(target.state(p1).header(bytes('a'))).toBeUndefined();
        expect(target.state(p1).header(bytes('k1'))?.valueBytes).toBe(18);
        expect([target.log(p1).firstIndex(), term(target, 9)]).toEqual([9, 1]);
      };
      void append(target, logWrite(p1, { entries: entries(9, 9, 1) }));
      await done;
      await settled(target);
      check();
      target = await harness.reopen();
      check();
      expect(target.group(p1).configuration).toEqual(configurationOf(3));
      expect(target.group(p1).machineState.appliedIndex).toBe(9);
      expect(target.log(p1).lastIndex()).toBe(9);
    });

    test('one snapshot after the other is installed, and nothing of the one before shows through', async () => {
      let target = await harness.open({ stateFlushDelayMs: 5 });
      const keys = ['k0', 'k4', 'a', 'b', 'c'];
      for (let round = 0; round < 4; round += 1) {
        const values: Record<string, string> =
          round % 2 === 0 ? { k0: `r${round}`, a: 'one' } : { k4: `r${round}`, b: 'two' };
        const writes = [...keys.map(del), ...Object.entries(values).map(([key, text]) => put(key, text))];
        const appliedIndex = 20 + round;
        await append(source, logWrite(p1, { entries: entries(source.log(p1).lastIndex() + 1, appliedIndex, 1) }));
        source.stageState(p1, writes, stateOf(values, appliedIndex));
        await settled(source);
        const transfer = await transferFrom(source, p1);
        await stage(target, p1, transfer);
        await append(target, installOf(p1, transfer));
        const expected = keys.map((key) => values[key]);
        expect(valuesOf(target, p1, keys)).toEqual(expected);
        if (round === 2) target = await harness.reopen();
        expect(valuesOf(target, p1, keys)).toEqual(expected);
        expect((await transferFrom(target, p1)).configuration).toBeUndefined();
      }
    });

    test('a transfer that was begun and given up leaves nothing, before and after reopening', async () => {
      const transfer = await transferOf(2);
      const abandoned = await transferOf(40);
      let target = await harness.open({ stateFlushDelayMs: 5 });
      await stage(target, p1, abandoned);
      await stage(target, p1, abandoned);
      target = await harness.reopen();
      await target.beginSnapshot(p1);
      await target.stageSnapshotChunk(p1, abandoned.chunks[0] ?? Buffer.alloc(0));
      await stage(target, p1, transfer);
      await append(target, installOf(p1, transfer));
      expect(valuesOf(target, p1, ['k0', 'k1', 'k2', 'k39'])).toEqual([
        'v0'.repeat(9),
        'v1'.repeat(9),
        undefined,
        undefined,
      ]);
      await settled(target);
      expect((await transferFrom(target, p1)).machineState.keys).toBe(2);
    });

    test('a chunk that comes twice counts once; one that is missing is missed', async () => {
      const transfer = await transferOf(100, 1000);
      const target = await harness.open({ stateFlushDelayMs: 5 });
      const [first, ...rest] = transfer.chunks;
      await expect(stage(target, p1, { ...transfer, chunks: rest })).rejects.toMatchObject({ name: 'SnapshotDamage' });
      const twice = [first ?? Buffer.alloc(0), ...transfer.chunks.slice(0, 2), ...transfer.chunks.slice(1)];
      await stage(target, p1, { ...transfer, chunks: twice });
      await append(target, installOf(p1, transfer));
      expect(value(target, p1, 'k99')).toBe('v99'.repeat(9));
    });

    test('a chunk that does not verify is refused whole, one of another group too', async () => {
      const transfer = await transferOf(2);
      const target = await harness.open({ stateFlushDelayMs: 5 });
      await target.beginSnapshot(p1);
      await target.beginSnapshot(p2);
      const turned = Buffer.from(transfer.chunks[0] ?? []);
      turned[30] = (turned[30] ?? 0) ^ 1;
      await expect(target.stageSnapshotChunk(p1, turned)).rejects.toMatchObject({ name: 'SnapshotDamage' });
      await expect(target.stageSnapshotChunk(p2, transfer.chunks[0] ?? turned)).rejects.toThrow(
        'is one of partition 1',
      );
      await expect(target.completeSnapshot(p1, transfer.machineState, undefined)).rejects.toThrow('0 keys of 0 bytes');
      await target.stageSnapshotChunk(p1, transfer.chunks[0] ?? turned);
      await target.completeSnapshot(p1, transfer.machineState, transfer.configuration);
    });

    test('only what was staged, completely and for this very point, is installed', async () => {
      const transfer = await transferOf(2);
      const target = await harness.open({ stateFlushDelayMs: 5 });
      await expect(target.stageSnapshotChunk(p1, transfer.chunks[0] ?? Buffer.alloc(0))).rejects.toThrow('begin one');
      expect(() => target.appendLog(installOf(p1, transfer), nothing)).toThrow('no complete snapshot is staged');
      const other = await harness.open({ stateFlushDelayMs: 5 });
      await stage(other, p1, transfer);
      const beyond = logWrite(p1, { install: [9, 1] });
      expect(() => other.appendLog(beyond, nothing)).toThrow('staged is the snapshot of 8, not of 9');
    });

    test('closing writes a chunk that waits, and ends what needs more than that', async () => {
      const transfer = await transferOf(2);
      const target = await harness.open({ stateFlushDelayMs: 5 });
      await target.beginSnapshot(p1);
      const staged = target.stageSnapshotChunk(p1, transfer.chunks[0] ?? Buffer.alloc(0));
      const snapshot = target.openSnapshot(p1);
      const closed = harness.reopen();
      await staged;
      const after = await closed;
      await expect(snapshot.read(undefined, 100, memory)).rejects.toThrow('closed');
      await expect(target.beginSnapshot(p1)).rejects.toThrow('closing');
      expect(after.group(p1).machineState.appliedIndex).toBe(0);
    });
  });
}
