/**
 * Groups begin anew from the replicas that lie on a node: all of them in one batch, so that a crash leaves each as it was or begun anew, and what
 * comes up after it is a whole replica with a new id, beside a tombstone of all the ids before.
 */
import fs from 'node:fs';
import { expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { EntryKind, type Entry, type LogIndex, type ReplicaId, type Term } from '../../src/raft/types.ts';
import type { Storage } from '../../src/replica/ports.ts';
import { openLevelStorage } from '../../src/storage/level-storage.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import type { Reincarnation } from '../../src/storage/reincarnation.ts';
import {
  append,
  bytes,
  configurationOf,
  entries,
  hardState,
  logWrite,
  p1,
  p2,
  put,
  read,
  settled,
  stateOf,
  value,
} from './building.ts';
import { temporaryDirectory } from './directories.ts';

const p3 = 3 as typeof p1;
const p4 = 4 as typeof p1;
/** So small that an ordinary write of two groups takes two batches. */
const config = { ...defaults.storage, stateFlushDelayMs: 0, batchBytesMax: 100 };

/** Group 1 has applied three of five entries and knows of another configuration; 2 is a newcomer; of 3 only a tombstone is left; 4 was never written to. */
async function founded(storage: Storage): Promise<void> {
  await append(storage, logWrite(p1, { hardState: hardState(3, 2), entries: entries(1, 5, 3) }));
  storage.stageState(p1, [put('a', 'one')], stateOf({ a: 'one' }, 3, 3), configurationOf(2));
  storage.foundGroup(p2, 4 as ReplicaId);
  await append(storage, logWrite(p2, { hardState: hardState(7), entries: entries(1, 2, 7) }));
  await append(storage, logWrite(p3, { hardState: hardState(1), entries: entries(1, 2, 1) }));
  await settled(storage);
  await storage.destroyGroup(p3, { replicaId: 2 as ReplicaId, configuration: bytes('left out 2') });
  await settled(storage);
}

function anew(partition: typeof p1, replicaId: number, last: number): Reincarnation {
  const index = (last + 1) as LogIndex;
  const configuration = bytes(`alone ${partition}`);
  const first: Entry = { index, term: 100 as Term, kind: EntryKind.configuration, body: configuration };
  const second: Entry = {
    index: (index + 1) as LogIndex,
    term: 100 as Term,
    kind: EntryKind.command,
    body: bytes('more'),
  };
  return {
    partition,
    replicaId: replicaId as ReplicaId,
    hardState: hardState(100, replicaId),
    entries: [first, second],
    configuration,
  };
}

const all = [anew(p1, 50, 5), anew(p2, 60, 2), anew(p3, 70, 0), anew(p4, 80, 0)];

function told(storage: Storage): string[] {
  return [p1, p2, p3, p4].map((partition) => {
    const { replicaId, hardState: state, machineState, configuration } = storage.group(partition);
    const { through, configuration: left, remains } = storage.dead(partition);
    const log = read(storage, partition, 1, 99).map((line) => line.replace('entry ', ''));
    return [
      `replica ${replicaId ?? 'of the map'} in term ${state.currentTerm} for ${state.votedFor}`,
      `applied ${machineState.appliedIndex}, members ${configuration === undefined ? 'as founded' : configuration.index}`,
      `dead to ${through}${left === undefined ? '' : ` by ${Buffer.from(left).toString()}`}${remains ? ', remains' : ''}`,
      log.join('; '),
    ].join(' | ');
  });
}

const before = [
  'replica of the map in term 3 for 2 | applied 3, members 2 | dead to 0 | 1/3 1 of term 3; 2/3 2 of term 3; 3/3 3 of term 3; 4/3 4 of term 3; 5/3 5 of term 3',
  'replica 4 in term 7 for 1 | applied 0, members as founded | dead to 0 | 1/7 1 of term 7; 2/7 2 of term 7',
  'replica of the map in term 0 for 0 | applied 0, members as founded | dead to 2 by left out 2 | ',
  'replica of the map in term 0 for 0 | applied 0, members as founded | dead to 0 | ',
];
const after = [
  'replica 50 in term 100 for 50 | applied 3, members 2 | dead to 49 by alone 1 | 1/3 1 of term 3; 2/3 2 of term 3; 3/3 3 of term 3; 4/3 4 of term 3; 5/3 5 of term 3; 6/100 alone 1; 7/100 more',
  'replica 60 in term 100 for 60 | applied 0, members as founded | dead to 59 by alone 2 | 1/7 1 of term 7; 2/7 2 of term 7; 3/100 alone 2; 4/100 more',
  'replica 70 in term 100 for 70 | applied 0, members as founded | dead to 69 by alone 3 | 1/100 alone 3; 2/100 more',
  'replica 80 in term 100 for 80 | applied 0, members as founded | dead to 79 by alone 4 | 1/100 alone 4; 2/100 more',
];

async function prepared(): Promise<MemoryStorage> {
  const storage = await openMemoryStorage({ automatic: true, config });
  await founded(storage);
  return storage.crash({ automatic: false });
}

test('a crash before the batch leaves every group as it was, one behind it has all of them begun anew', async () => {
  const storage = await prepared();
  const done = { is: false };
  void storage.reincarnate(all).then(() => {
    done.is = true;
  });
  expect(storage.batchUnderWay('log')).toBe(true);
  const crashed = await storage.openCopy();
  expect(told(crashed)).toEqual(before);
  expect(value(crashed, p1, 'a')).toBe('one');

  await storage.completeBatch('log');
  expect(done.is, 'one batch was all').toBe(true);
  expect([storage.batchUnderWay('log'), storage.batchUnderWay('state')]).toEqual([false, false]);
  const begun = await storage.crash({ automatic: true });
  expect(told(begun)).toEqual(after);
  expect(value(begun, p1, 'a')).toBe('one');
});

test('what could not be written is refused, and has not happened', async () => {
  const failures: unknown[] = [];
  const storage = await (await prepared()).crash({ automatic: false, onFailure: (error) => void failures.push(error) });
  const refused = expect(storage.reincarnate(all)).rejects.toThrow('no space');
  await storage.failBatch('log', new Error('no space'));
  await refused;
  expect(failures).toHaveLength(1);
  expect(told(await storage.crash({ automatic: true }))).toEqual(before);
});

test('the replica that has begun anew goes on like any other, and may begin anew once more', async () => {
  const first = await (await prepared()).crash({ automatic: true });
  await first.reincarnate(all);
  const second = await first.crash();
  await append(second, logWrite(p1, { hardState: hardState(101, 50), entries: entries(8, 9, 101) }));
  await second.reincarnate([{ ...anew(p1, 90, 9), hardState: hardState(200, 90) }].map(inTerm(200)));
  const third = await second.crash();
  expect(told(third)[0]).toContain('replica 90 in term 200 for 90 | applied 3, members 2 | dead to 89');
  expect(read(third, p1, 8, 12)).toEqual([
    '8/101 entry 8 of term 101',
    '9/101 entry 9 of term 101',
    '10/200 alone 1',
    '11/200 more',
  ]);
});

function inTerm(term: number): (one: Reincarnation) => Reincarnation {
  return (one) => ({ ...one, entries: one.entries.map((entry) => ({ ...entry, term: term as Term })) });
}

test('on LevelDB it is there at the next opening', async () => {
  const directory = temporaryDirectory();
  try {
    const onFailure = (error: unknown): never => {
      throw error;
    };
    const open = (incarnation: number) => openLevelStorage({ directory, config, incarnation, onFailure });
    const storage = await open(1);
    await founded(storage);
    await storage.close();
    const stopped = await open(2);
    expect(told(stopped)).toEqual(before);
    await stopped.reincarnate(all);
    await stopped.close();
    const begun = await open(3);
    expect(told(begun)).toEqual(after);
    expect(value(begun, p1, 'a')).toBe('one');
    await begun.close();
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
});
