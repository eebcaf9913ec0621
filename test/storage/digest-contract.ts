/** What every storage keeps to when a state is summed up: of exactly one index, and the same for all that have applied the same. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MachineState, StateWrite } from '../../src/kv/types.ts';
import type { LogIndex } from '../../src/raft/types.ts';
import type { StateDigest, StateReading, Storage } from '../../src/replica/ports.ts';
import {
  append,
  bytes,
  configurationOf,
  del,
  entries,
  hardState,
  installOf,
  logWrite,
  p1,
  p2,
  present,
  put,
  record,
  settled,
  stage,
  stateOf,
  transferFrom,
} from './building.ts';
import type { StorageHarness } from './contract.ts';

const last = 30;

/** One entry's: all kinds of record, some of which give way to others later. */
function writesOf(index: number): StateWrite[] {
  const key = bytes(`k${index % 7}`);
  const before = index > 7 && (index - 7) % 2 === 0 ? 10_000 + index - 7 : 0;
  const expiresAt = index % 2 === 0 ? 10_000 + index : 0;
  const name = bytes(`request ${index}`);
  const remembered = {
    at: 5000 + index,
    digest: Buffer.alloc(16, index),
    result: { type: 'deleted', revision: index },
  } as const;
  return [
    { type: 'put', key, record: { ...record(`value ${index}`, index), expiresAt }, expiresBefore: before },
    { type: 'remember', name, remembered },
    ...(index > 5 ? [{ type: 'forget', name: bytes(`request ${index - 5}`), at: 5000 + index - 5 } as const] : []),
  ];
}

/** As it counts what `writesOf` leaves. */
function machineStateOf(index: number): MachineState {
  const newest = Array.from({ length: Math.min(index, 7) }, (_, back) => index - back);
  return {
    ...stateOf(Object.fromEntries(newest.map((one) => [`k${one % 7}`, `value ${one}`])), index),
    expiring: newest.filter((one) => one % 2 === 0).length,
    remembered: Math.min(index, 5),
  };
}

export function digestContract(name: string, makeHarness: () => StorageHarness): void {
  describe(`storage contract, digests: ${name}`, () => {
    let harness: StorageHarness;
    let storage: Storage;
    beforeEach(async () => {
      harness = makeHarness();
      storage = await filled();
    });
    afterEach(() => harness.cleanUp());

    /** With a log, and nothing applied. */
    async function filled(stateFlushDelayMs = 5): Promise<Storage> {
      const opened = await harness.open({ stateFlushDelayMs });
      await append(opened, logWrite(p1, { hardState: hardState(1), entries: entries(1, last, 1) }));
      return opened;
    }

    function apply(to: Storage, from: number, through: number): void {
      for (let index = from; index <= through; index += 1) {
        to.stageState(p1, writesOf(index), machineStateOf(index), index === 3 ? configurationOf(3) : undefined);
      }
    }

    async function readingOf(from: Storage, index: number): Promise<StateReading> {
      const trap = present(from.trapState(p1, index as LogIndex));
      await settled(from);
      return present(await trap.sprung);
    }

    async function digestOf(reading: StateReading, bytesMax = 100): Promise<StateDigest> {
      while (!(await reading.read(bytesMax)).done) continue;
      const digest = reading.digest();
      reading.close();
      return digest;
    }

    async function digestAt(index: number, from = storage): Promise<StateDigest> {
      return digestOf(await readingOf(from, index));
    }

    const sumOf = ({ sum }: StateDigest): string => Buffer.from(sum).toString('hex');

    test('the state of an index is the same however its changes were gathered in batches', async () => {
      for (let index = 1; index <= last; index += 1) {
        apply(storage, index, index);
        await settled(storage);
      }
      const apart = await digestAt(last);
      expect(apart).toMatchObject({
        version: 1,
        miscounted: undefined,
        records: 7 + 5 + 5 + machineStateOf(last).expiring,
      });
      storage = await filled();
      apply(storage, 1, last);
      await settled(storage);
      expect(await digestAt(last)).toEqual(apart);
      storage = await harness.reopen();
      expect(await digestAt(last)).toEqual(apart);
    });

    test('a state is caught at exactly its index, though changes go on behind it in the same turn', async () => {
      apply(storage, 1, 12);
      await settled(storage);
      const alone = await digestAt(12);
      storage = await filled();
      apply(storage, 1, 8);
      const trap = present(storage.trapState(p1, 12 as LogIndex));
      apply(storage, 9, last);
      storage.stageState(p2, [put('other', 'group')], stateOf({ other: 'group' }, 1));
      await append(storage, logWrite(p2, { hardState: hardState(1), entries: entries(1, 1, 1) }));
      await settled(storage);
      const reading = present(await trap.sprung);
      expect(reading.machineState).toEqual(machineStateOf(12));
      expect(await digestOf(reading)).toEqual(alone);
      expect([storage.durableAppliedIndex(p1), storage.durableAppliedIndex(p2)]).toEqual([last, 1]);
    });

    test('one that is applied and not durable yet is caught as well, and nothing that comes behind it', async () => {
      apply(storage, 1, 12);
      const trap = present(storage.trapState(p1, 12 as LogIndex));
      apply(storage, 13, last);
      await settled(storage);
      expect(present(await trap.sprung).machineState.appliedIndex).toBe(12);
    });

    test('it does not wait until more changes have gathered', async () => {
      storage = await filled(60_000);
      apply(storage, 1, 12);
      storage.flush();
      const here = present(storage.trapState(p1, 12 as LogIndex));
      expect(present(await here.sprung).machineState.appliedIndex).toBe(12);
      const ahead = present(storage.trapState(p1, 14 as LogIndex));
      apply(storage, 13, last);
      storage.flush();
      expect(present(await ahead.sprung).machineState.appliedIndex).toBe(14);
    });

    test('what is read is of that index, whatever is written and read meanwhile, and in pieces of any size', async () => {
      apply(storage, 1, 12);
      await settled(storage);
      const alone = await digestAt(12);
      const reading = await readingOf(storage, 12);
      await reading.read(1);
      apply(storage, 13, last);
      await settled(storage);
      expect(await digestOf(reading, 1)).toEqual(alone);
      expect(await digestOf(await readingOf(storage, last), 1e9)).toEqual(await digestAt(last));
    });

    test('a state that is beyond the index is not opened, nor one that is taken back', async () => {
      apply(storage, 1, 12);
      expect(storage.trapState(p1, 11 as LogIndex)).toBeUndefined();
      const trap = present(storage.trapState(p1, 13 as LogIndex));
      trap.takeBack();
      expect(await trap.sprung).toBeUndefined();
      apply(storage, 13, last);
      await settled(storage);
      expect(storage.durableAppliedIndex(p1)).toBe(last);
    });

    test('a state that was carried by a snapshot, to either area, is the same as the one that was made', async () => {
      const target = await harness.open({ stateFlushDelayMs: 5 });
      // Each install turns to the other area.
      for (const [from, through] of [
        [1, 12],
        [13, 20],
        [21, 25],
      ] as const) {
        apply(storage, from, through);
        await settled(storage);
        const made = await digestAt(through);
        const transfer = await transferFrom(storage, p1);
        await stage(target, p1, transfer);
        await append(target, installOf(p1, transfer, entries(through + 1, last, 1)));
        await settled(target);
        expect(await digestAt(through, target)).toEqual(made);
      }
      apply(storage, 26, last);
      apply(target, 26, last);
      await settled(storage);
      await settled(target);
      expect(await digestAt(last, target)).toEqual(await digestAt(last));
    });

    test('the configuration with which a group was founded is the same whether it is stored or not', async () => {
      storage.stageState(p1, [], stateOf({}, 1));
      await settled(storage);
      const unstored = await digestAt(1);
      const transfer = { ...(await transferFrom(storage, p1)), configuration: configurationOf(0) };
      const target = await harness.open({ stateFlushDelayMs: 5 });
      await stage(target, p1, transfer);
      await append(target, installOf(p1, transfer));
      await settled(target);
      expect(await digestAt(1, target)).toEqual(unstored);
    });

    test('a snapshot that takes the place of the state jumps over the index', async () => {
      apply(storage, 1, 12);
      await settled(storage);
      const transfer = await transferFrom(storage, p1);
      const target = await harness.open({ stateFlushDelayMs: 5 });
      await append(target, logWrite(p1, { hardState: hardState(1), entries: entries(1, 4, 1) }));
      apply(target, 1, 4);
      await stage(target, p1, transfer);
      const trap = present(target.trapState(p1, 9 as LogIndex));
      const installed = append(target, installOf(p1, transfer, entries(13, last, 1)));
      expect(await trap.sprung).toBeUndefined();
      // Its state is not on the disk yet.
      expect(target.trapState(p1, 12 as LogIndex)).toBeUndefined();
      await installed;
      await settled(target);
      expect(sumOf(await digestAt(12, target))).toBe(sumOf(await digestAt(12)));
    });

    test.each<[string, StateWrite, string | undefined]>([
      ['a value that vanished', del('k3'), '6 keys'],
      ['an older value', put('k3', 'value 3', 3), undefined],
      [
        'another time at which it is due',
        { ...put('k3', 'value 10', 10), expiresBefore: 10_010 } as StateWrite,
        '3 that expire',
      ],
      ['a result that was forgotten', { type: 'forget', name: bytes('request 9'), at: 5009 }, '4 results'],
    ])('it tells %s, though every checksum is right', async (_what, write, miscounted) => {
      apply(storage, 1, 12);
      await settled(storage);
      const right = await digestAt(12);
      storage.stageState(p1, [write], machineStateOf(12));
      await settled(storage);
      const wrong = await digestAt(12);
      expect(sumOf(wrong)).not.toBe(sumOf(right));
      if (miscounted !== undefined) expect(wrong.miscounted).toContain(miscounted);
    });

    test('what nobody ever wrote to has a state too, of index 0', async () => {
      const reading = present(await present(storage.trapState(p2, 0 as LogIndex)).sprung);
      expect(await digestOf(reading)).toMatchObject({ records: 0, bytes: 0, miscounted: undefined });
    });

    test('a storage that closes says so to whoever waits or reads', async () => {
      apply(storage, 1, 12);
      const reading = await readingOf(storage, 12);
      const waiting = expect(present(storage.trapState(p1, 20 as LogIndex)).sprung).rejects.toThrow('closing');
      const reopened = harness.reopen();
      await waiting;
      await reopened;
      await expect(reading.read(100)).rejects.toThrow('closed');
    });
  });
}
