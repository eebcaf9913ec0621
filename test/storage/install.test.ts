/**
 * A snapshot is installed in two databases, and the power may go between any two batches: what opens then is the state before or
 * the state after, whole, and can go on from there. Batches become durable when told.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { plant } from '../../src/seeded-bugs.ts';
import type { DatabaseName } from '../../src/storage/database.ts';
import { groupKey, RecordKind, valueKey, type Area } from '../../src/storage/keys.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import {
  append,
  bodies,
  bytes,
  configurationOf,
  entries,
  hardState,
  installOf,
  logWrite,
  p1,
  present,
  put,
  read,
  settled,
  stage,
  stateOf,
  transferFrom,
  valuesOf,
  type Transfer,
} from './building.ts';

const config = { ...defaults.storage, stateFlushDelayMs: 0 };
/** Nothing of a manual storage becomes durable before it is told to; what gathers goes at once. */
const manual = { automatic: false, after: atOnce };
const automatic = { automatic: true };
const keys = ['a', 'b', 'c', 'x', 'y'];
const oldValues = { a: 'old', b: 'old', x: 'old' };
const newValues = { a: 'new', c: 'new', y: 'new' };

afterEach(() => plant(undefined));

/** Entries 1 to 12 and the state at 10, with a configuration: the snapshot's side. */
async function transferOf(values: Readonly<Record<string, string>>): Promise<Transfer> {
  const source = await openMemoryStorage({ automatic: true, config });
  await append(source, logWrite(p1, { hardState: hardState(2), entries: entries(1, 12, 2) }));
  const writes = Object.entries(values).map(([key, text]) => put(key, text));
  source.stageState(p1, writes, stateOf(values, 10, 2), configurationOf(4));
  await settled(source);
  return transferFrom(source, p1, 50);
}

/** Entries 1 to `last` of term 1, applied up to 6: what an install is to replace. */
async function targetWith(last: number): Promise<MemoryStorage> {
  const target = await openMemoryStorage({ automatic: true, config });
  await append(target, logWrite(p1, { hardState: hardState(1), entries: entries(1, last, 1) }));
  const writes = Object.entries(oldValues).map(([key, text]) => put(key, text));
  target.stageState(p1, writes, stateOf(oldValues, 6), configurationOf(2));
  await settled(target);
  return target.crash(manual);
}

function atOnce(_delayMs: number, callback: () => void): () => void {
  const waiting = setImmediate(callback);
  return () => clearImmediate(waiting);
}

/** Lets what the storage does by itself come to its next batch. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Batches of one database become durable until `work` is done. */
async function completing(storage: MemoryStorage, name: DatabaseName, work: Promise<void>): Promise<void> {
  const progress = { done: false };
  void work.then(() => {
    progress.done = true;
  });
  while (!progress.done) {
    if (storage.batchUnderWay(name)) await storage.completeBatch(name);
    await rest();
  }
}

/** All that can be told of a group, as one text. */
function tell(storage: MemoryStorage): string {
  const { machineState, configuration, hardState: hard } = storage.group(p1);
  const log = storage.log(p1);
  const span = `${log.firstIndex()}-${log.lastIndex()} term ${hard.currentTerm}`;
  const values = valuesOf(storage, p1, keys).map((text) => text ?? '-');
  return `${machineState.appliedIndex} of ${configuration?.index}: ${values.join(' ')}, log ${span}`;
}

interface Moment {
  readonly batch: string;
  readonly acknowledged: boolean;
  readonly disk: MemoryStorage;
}

/** Stages and installs; after each batch, and before the first, a picture of the disk, on which nothing moves yet. */
async function installStepByStep(target: MemoryStorage, transfer: Transfer): Promise<Moment[]> {
  const moments: Moment[] = [];
  let acknowledged = false;
  const take = async (batch: string): Promise<void> => {
    moments.push({ batch, acknowledged, disk: await target.openCopy() });
  };
  await take('none');
  const installed = stage(target, p1, transfer).then(() => {
    target.appendLog(installOf(p1, transfer, entries(11, 12, 2)), () => {
      acknowledged = true;
    });
    target.flush();
  });
  for (let idle = false; !idle;) {
    await rest();
    // The state's first, where both could be: the order that hurts.
    const next = (['state', 'log'] as const).find((name: DatabaseName) => target.batchUnderWay(name));
    idle = next === undefined;
    if (next === undefined) continue;
    await target.completeBatch(next);
    await rest();
    await take(next);
  }
  await installed;
  return moments;
}

describe.each([
  ['a shorter log', 8],
  ['a longer log that disagrees', 20],
])('a crash while a snapshot is installed over %s', (_what, last) => {
  const before = `6 of 2: old old - old -, log 1-${last} term 1`;
  const after = '10 of 4: new - new - new, log 11-12 term 2';

  test('leaves the state before or the state after, and what was acknowledged', async () => {
    const moments = await installStepByStep(await targetWith(last), await transferOf(newValues));
    const told = moments.map(({ disk }) => tell(disk));
    const turn = told.indexOf(after);
    expect(told).toEqual(told.map((_, position) => (position < turn ? before : after)));
    expect(moments.findIndex(({ acknowledged }) => acknowledged)).toBe(turn);
    // Staged in several batches; the log's is the one that counts, and behind it at least the flip and the sweep.
    expect(moments[turn]?.batch).toBe('log');
    expect(turn).toBeGreaterThan(4);
    expect(moments.slice(turn + 1).map(({ batch }) => batch)).toEqual(['state', 'state']);
  });

  test('can go on, from each moment, and be cut off again: nothing of the other area ever shows', async () => {
    const again = await transferOf({ b: 'again' });
    const moments = await installStepByStep(await targetWith(last), await transferOf(newValues));
    for (const { disk } of moments) {
      const told = tell(disk);
      const going = await disk.crash(automatic);
      expect(tell(going)).toBe(told);
      await rest();
      await settled(going);
      const reopened = await going.crash();
      expect(tell(reopened)).toBe(told);
      const isAfter = told === after;
      if (isAfter) {
        expect(read(reopened, p1, 11, 99)).toEqual(bodies(entries(11, 12, 2)));
        expect(reopened.durableAppliedIndex(p1)).toBe(10);
        continue;
      }
      await stage(reopened, p1, again);
      await append(reopened, installOf(p1, again));
      await settled(reopened);
      expect(tell(await reopened.crash())).toBe('10 of 4: - again - - -, log 11-10 term 2');
    }
  });

  test('in the end nothing is left of what gave way', async () => {
    const moments = await installStepByStep(await targetWith(last), await transferOf(newValues));
    const { log, state } = present(moments.at(-1)).disk.records;
    const kinds = (records: ReadonlyMap<string, Buffer>): number[] =>
      [...records.keys()].map((key) => key.charCodeAt(4)).filter((kind) => kind !== RecordKind.batchSequence);
    expect(kinds(log).toSorted((one, other) => one - other)).toEqual([1, 2, 4, 4]);
    expect(kinds(state).toSorted((one, other) => one - other)).toEqual([3, 7, 10, 10, 10]);
  });
});

describe('a state that was staged before an install', () => {
  test('and not yet written goes to the area that it was staged for', async () => {
    const target = await targetWith(8);
    const transfer = await transferOf(newValues);
    await completing(target, 'state', stage(target, p1, transfer));
    // The state staged behind this write waits for it, and so is still to be written when the snapshot takes its place.
    target.appendLog(logWrite(p1, { hardState: hardState(2, 2) }), () => undefined);
    target.stageState(p1, [put('z', 'late'), put('a', 'late')], stateOf({}, 7));
    target.appendLog(installOf(p1, transfer, entries(11, 12, 2)), () => undefined);
    target.stageState(p1, [put('c', 'newest')], stateOf({}, 11, 2));
    target.flush();
    expect(valuesOf(target, p1, ['a', 'c', 'z'])).toEqual(['new', 'newest', undefined]);
    await rest();
    expect(target.batchUnderWay('state')).toBe(false);
    for (let idle = false; !idle;) {
      idle = true;
      for (const name of ['log', 'state'] as const) {
        if (!target.batchUnderWay(name)) continue;
        idle = false;
        await target.completeBatch(name);
        await rest();
      }
    }
    expect(target.durableAppliedIndex(p1)).toBe(11);
    const after = await target.crash(automatic);
    expect(valuesOf(after, p1, ['a', 'c', 'z'])).toEqual(['new', 'newest', undefined]);
    expect(after.group(p1).machineState.appliedIndex).toBe(11);
  });
});

test('entries that become durable while an install waits are those of the log that gives way', async () => {
  const target = await targetWith(8);
  const transfer = await transferOf(newValues);
  await completing(target, 'state', stage(target, p1, transfer));
  target.appendLog(logWrite(p1, { entries: entries(9, 15, 1) }), () => undefined);
  target.flush();
  target.appendLog(installOf(p1, transfer, entries(11, 12, 2)), () => undefined);
  await target.completeBatch('log');
  expect([target.log(p1).firstIndex(), target.log(p1).lastIndex()]).toEqual([11, 10]);
  await target.completeBatch('log');
  expect(read(target, p1, 11, 99)).toEqual(bodies(entries(11, 12, 2)));
});

test('a completed snapshot is taken back before anything of it is', async () => {
  const target = await targetWith(8);
  await completing(target, 'state', stage(target, p1, await transferOf(newValues)));
  const stagedOn = ({ records }: MemoryStorage): readonly boolean[] =>
    [groupKey(p1, RecordKind.stagedSnapshot), valueKey(p1, 1, bytes('y'))].map((key) =>
      records.state.has(key.toString('latin1')),
    );
  const begun = target.beginSnapshot(p1);
  const seen = [stagedOn(target)];
  for (let batch = 1; batch <= 2; batch += 1) {
    await rest();
    await target.completeBatch('state');
    seen.push(stagedOn(target));
  }
  expect(seen).toEqual([
    [true, true],
    [false, true],
    [false, false],
  ]);
  await begun;
});

describe('a disk', () => {
  /** Where the log is behind the snapshot already and the state is not. */
  async function betweenTheTwo(): Promise<MemoryStorage> {
    const moments = await installStepByStep(await targetWith(8), await transferOf(newValues));
    return present(moments.findLast(({ batch }) => batch === 'log')).disk;
  }

  const stagedKey = groupKey(p1, RecordKind.stagedSnapshot).toString('latin1');
  const flip = (records: Map<string, Buffer>, key: string): void => {
    const turned = Buffer.from(present(records.get(key)));
    turned[9] = present(turned[9]) ^ 4;
    records.set(key, turned);
  };

  test('whose staged snapshot is missing has a log that begins too late', async () => {
    const disk = await betweenTheTwo();
    expect(disk.records.state.delete(stagedKey)).toBe(true);
    await expect(disk.crash()).rejects.toThrow('partition 1: applied up to 6, and the log holds 11 to 12');
  });

  test('whose staged snapshot has a bit turned', async () => {
    const disk = await betweenTheTwo();
    flip(disk.records.state, stagedKey);
    await expect(disk.crash()).rejects.toThrow(/^partition 1: staged snapshot is corrupt/);
  });

  test('whose staged snapshot is another than the one that the log begins behind', async () => {
    const disk = await betweenTheTwo();
    const other = await targetWith(8);
    const transfer = await transferOf(newValues);
    const source = await other.crash(automatic);
    await stage(source, p1, { ...transfer, machineState: { ...transfer.machineState, appliedTerm: 1 } });
    disk.records.state.set(stagedKey, present(source.records.state.get(stagedKey)));
    await expect(disk.crash()).rejects.toThrow('partition 1: applied up to 6, and the log holds 11 to 12');
  });

  test('whose staged snapshot names the area that is live', async () => {
    const disk = await betweenTheTwo();
    const source = await (await targetWith(8)).crash(automatic);
    const transfer = await transferOf(newValues);
    await stage(source, p1, transfer);
    await append(source, installOf(p1, transfer));
    await settled(source);
    await stage(source, p1, transfer);
    disk.records.state.set(stagedKey, present(source.records.state.get(stagedKey)));
    await expect(disk.crash()).rejects.toThrow('partition 1: applied up to 6, and the log holds 11 to 12');
  });

  test('whose log was compacted beyond its state, as when the state lost its newest batches', async () => {
    const storage = await (await targetWith(8)).crash(automatic);
    const older = await storage.openCopy();
    storage.stageState(p1, [], stateOf(oldValues, 8));
    await settled(storage);
    await append(storage, logWrite(p1, { compact: 8 }));
    const machineState = groupKey(p1, RecordKind.machineState).toString('latin1');
    storage.records.state.set(machineState, present(older.records.state.get(machineState)));
    await expect(storage.crash()).rejects.toThrow('partition 1: applied up to 6, and the log holds 9 to 8');
  });

  test('whose state and log start disagree about the term of the last applied entry', async () => {
    const storage = await (await targetWith(8)).crash(automatic);
    await append(storage, logWrite(p1, { compact: 6 }));
    const other = await openMemoryStorage({ automatic: true, config });
    await append(other, logWrite(p1, { hardState: hardState(9), entries: entries(1, 6, 2) }));
    other.stageState(p1, [], stateOf({}, 6, 2), configurationOf(2));
    await settled(other);
    const machineState = groupKey(p1, RecordKind.machineState).toString('latin1');
    storage.records.state.set(machineState, present(other.records.state.get(machineState)));
    await expect(storage.crash()).rejects.toThrow('log entry 6 is of term 1, and one of term 2 was applied');
  });

  test.each([
    ['missing', 'partition 1: configuration is missing'],
    ['older', 'partition 1: configuration is of entry 1, and the machine state of 2'],
  ])('whose configuration is %s', async (what, message) => {
    const storage = await (await targetWith(8)).crash(automatic);
    const key = groupKey(p1, RecordKind.configuration).toString('latin1');
    const other = await openMemoryStorage({ automatic: true, config });
    await append(other, logWrite(p1, { hardState: hardState(1), entries: entries(1, 1, 1) }));
    other.stageState(p1, [], stateOf({}, 1), configurationOf(1));
    await settled(other);
    if (what === 'missing') storage.records.state.delete(key);
    else storage.records.state.set(key, present(other.records.state.get(key)));
    await expect(storage.crash()).rejects.toThrow(message);
  });

  test.each([0, 1] as const)('with a value turned by a bit in area %d sends it to nobody', async (area: Area) => {
    const storage = await (await targetWith(8)).crash(automatic);
    if (area === 1) {
      const transfer = await transferOf(newValues);
      await stage(storage, p1, transfer);
      await append(storage, installOf(p1, transfer));
      await settled(storage);
    }
    flip(storage.records.state, valueKey(p1, area, bytes('a')).toString('latin1'));
    await expect(transferFrom(storage, p1)).rejects.toThrow(/value of key "a" is corrupt/);
  });
});

describe('sweeping', () => {
  const unsweptKey = groupKey(p1, RecordKind.unswept).toString('latin1');
  const many = (count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, key) => [`k${String(key).padStart(4, '0')}`, 'v']));

  async function fullTarget(count: number): Promise<MemoryStorage> {
    const values = many(count);
    const target = await openMemoryStorage({ automatic: true, config });
    await append(target, logWrite(p1, { hardState: hardState(1), entries: entries(1, 6, 1) }));
    const writes = Object.entries(values).map(([key, text]) => put(key, text));
    target.stageState(p1, writes, stateOf(values, 6));
    await settled(target);
    return target;
  }

  const left = (storage: MemoryStorage): number =>
    [...storage.records.state.keys()].filter((key) => key.charCodeAt(4) === RecordKind.area0).length;

  test('goes in steps of some hundred keys, and where it was is where the next start goes on', async () => {
    const full = await fullTarget(1000);
    const target = await full.crash(manual);
    const transfer = await transferOf(newValues);
    const moments = await installStepByStep(target, transfer);
    const counts = moments.map(({ disk }) => left(disk));
    expect(counts.slice(-6)).toEqual([1000, 1000, 744, 488, 232, 0]);
    const half = await present(moments.at(-3)).disk.crash(automatic);
    while (half.records.state.has(unsweptKey)) await rest();
    expect(left(half)).toBe(0);
  });

  test('is over before the next transfer begins to stage', async () => {
    const target = await fullTarget(1000);
    const transfer = await transferOf(newValues);
    await stage(target, p1, transfer);
    const installed = append(target, installOf(p1, transfer));
    await target.beginSnapshot(p1);
    await installed;
    expect(left(target)).toBe(0);
  });
});

test('install-state-before-index: the power goes before the log is written, and the state is ahead of its log', async () => {
  const told = async (): Promise<string> => {
    const target = await targetWith(8);
    const transfer = await transferOf(newValues);
    await completing(target, 'state', stage(target, p1, transfer));
    target.appendLog(installOf(p1, transfer), () => undefined);
    target.flush();
    if (target.batchUnderWay('state')) await target.completeBatch('state');
    return target.crash().then(tell, (error: unknown) => (error as Error).message);
  };
  const without = await told();
  plant('install-state-before-index');
  expect([without, await told()]).toEqual([
    '6 of 2: old old - old -, log 1-8 term 1',
    'partition 1: applied up to 10, and the log holds 1 to 8',
  ]);
});
