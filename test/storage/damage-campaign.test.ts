/**
 * One file of a data directory, damaged at random: opening and reading it gives exactly what was acknowledged, or says what is wrong.
 * 60 damages each time, others each time; DAMAGES=2000 for the full run, DAMAGE_SEED for the same ones again.
 */
import fs from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import type { NodeId, PartitionId, Storage } from '../../src/replica/ports.ts';
import { Random } from '../../src/sim/random.ts';
import { DataDirectoryError } from '../../src/storage/data-directory.ts';
import { openIdentity, type OpenIdentity } from '../../src/storage/identity.ts';
import { openLevelStorage } from '../../src/storage/level-storage.ts';
import {
  append,
  bodies,
  entries,
  entry,
  hardState,
  logWrite,
  machineState,
  present,
  put,
  read,
  settled,
  value,
} from './building.ts';
import { readFiles, temporaryDirectory, writeFiles, type Files } from './directories.ts';

const damages = Number(process.env['DAMAGES'] ?? 60);
const seed = Number(process.env['DAMAGE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const partitions = [1, 2, 3, 4, 5] as PartitionId[];
const rounds = 60;
const keysOfEach = 20;
const bytesOfValue = 700;
/** Small, so that tables of several levels come to be. */
const config = { ...defaults.storage, stateFlushDelayMs: 0, writeBufferBytes: 64 * 1024, tableBytesMax: 64 * 1024 };
const who = { nodeId: 'n1' as NodeId, clusterName: 'demo' };
const peer = { incarnation: 3, nonce: 'b'.repeat(32) };
const formation = { phase: 'formed', clusterId: 'c'.repeat(32), founding: '{"founders":"n1 n2 n3"}' } as const;

/** As the directory was after some rounds, the last one included. */
const versions: Files[] = [];

interface Opened {
  readonly identity: OpenIdentity;
  readonly storage: Storage;
  close(): Promise<void>;
}

async function open(directory: string): Promise<Opened> {
  const identity = await openIdentity({ directory, ...who });
  try {
    const { incarnation } = identity.identity();
    const storage = await openLevelStorage({ directory, config, incarnation, onFailure: rethrow });
    return {
      identity,
      storage,
      async close() {
        await storage.close();
        await identity.close();
      },
    };
  } catch (error) {
    await identity.close();
    throw error;
  }
}

function rethrow(error: unknown): never {
  throw error;
}

const keyOf = (round: number): string => `key ${round % keysOfEach}`;
const valueOf = (partition: number, round: number): string => `${partition} ${round} `.repeat(bytesOfValue / 6);

/** Entry n of each log is of round n; it is what round n's value was made by. */
beforeAll(async () => {
  const directory = temporaryDirectory();
  for (const starts of [1, 2, 3]) {
    const opened = await open(directory);
    const { storage, identity } = opened;
    if (starts === 1) {
      identity.saveFormation(formation);
      identity.savePeer('n2' as NodeId, peer);
      identity.saveMap({ nodes: [], partitions: [] });
    }
    for (let round = ((starts - 1) * rounds) / 3 + 1; round <= (starts * rounds) / 3; round += 1) {
      for (const partition of partitions) {
        await append(
          storage,
          logWrite(partition, { hardState: hardState(round), entries: entries(round, round, round) }),
        );
        storage.stageState(
          partition,
          [put(keyOf(round), valueOf(partition, round), round)],
          machineState(round, round),
        );
      }
      await settled(storage);
    }
    await opened.close();
    versions.push(readFiles(directory));
  }
  fs.rmSync(directory, { recursive: true });
  const tables = [...present(versions.at(-1)).keys()].filter((name) => name.endsWith('.ldb'));
  expect(tables.length).toBeGreaterThanOrEqual(4);
});

/** Throws what no promise allows. */
function verify({ identity, storage }: Opened): void {
  expect(identity.identity()).toMatchObject({ ...who, formation });
  // An identity of one start before, with data that are none older, is for the peers to find: they have met that start.
  expect([3, 4]).toContain(identity.identity().incarnation);
  expect(identity.peer('n2' as NodeId)).toEqual(peer);
  expect(storage.partitions()).toEqual(partitions);
  for (const partition of partitions) {
    expect(storage.group(partition).hardState).toEqual(hardState(rounds));
    const { appliedIndex } = storage.group(partition).machineState;
    const log = Array.from({ length: rounds }, (_, index) => entry(index + 1, index + 1));
    expect(read(storage, partition, 1, rounds + 1)).toEqual(bodies(log));
    for (let key = 0; key < keysOfEach; key += 1) {
      // Older than it was is right: the log has the rest.
      const newest = Array.from({ length: appliedIndex }, (_, index) => index + 1).findLast(
        (round) => round % keysOfEach === key,
      );
      expect(value(storage, partition, `key ${key}`)).toBe(
        newest === undefined ? undefined : valueOf(partition, newest),
      );
    }
  }
}

/** `found`: it was said what is wrong. Anything but these two fails. */
async function judge(files: Files): Promise<'right' | 'found'> {
  const directory = temporaryDirectory();
  let opened: Opened | undefined;
  try {
    writeFiles(directory, files);
    opened = await open(directory);
    verify(opened);
    return 'right';
  } catch (error) {
    if (error instanceof Error && error.name === 'StorageDamage') return 'found';
    // It names a newer format, say: nothing is touched, and nothing taken part in.
    if (error instanceof DataDirectoryError) return 'found';
    throw error;
  } finally {
    await opened?.close();
    fs.rmSync(directory, { recursive: true });
  }
}

function damaged(random: Random): { readonly files: Files; readonly words: string } {
  const files = new Map(present(versions.at(-1)));
  const name = random.pick([...files.keys()].filter((file) => present(files.get(file)).length > 0));
  const content = Buffer.from(present(files.get(name)));
  const at = random.whole(0, content.length - 1);
  const kind = random.pick(['flip', 'flip', 'run', 'cut', 'remove', 'older'] as const);
  switch (kind) {
    case 'flip':
      content[at] = present(content[at]) ^ (1 << random.whole(0, 7));
      files.set(name, content);
      break;
    case 'run':
      content.fill(
        random.chance(0.5) ? 0 : 0xff,
        at,
        Math.min(content.length, at + Math.round(random.magnitude(2, 8192))),
      );
      files.set(name, content);
      break;
    case 'cut':
      files.set(name, content.subarray(0, at));
      break;
    case 'remove':
      files.delete(name);
      break;
    case 'older': {
      const older = present(versions[random.whole(0, 1)]);
      const back = random.pick([...older.keys()]);
      files.set(back, present(older.get(back)));
      return { files, words: `${back} as it was before` };
    }
  }
  return { files, words: `${kind} ${name} at ${at} of ${content.length}` };
}

test('undamaged, everything acknowledged is there', async () => {
  expect(await judge(present(versions.at(-1)))).toBe('right');
});

test(
  `${damages} damages of one file each, seed ${seed}: nothing wrong is ever read`,
  { timeout: 600_000 },
  async () => {
    const random = new Random(seed, 'damage');
    const verdicts = { right: 0, found: 0 };
    for (let done = 0; done < damages; done += 1) {
      const { files, words } = damaged(random);
      const verdict = await judge(files).catch((error: unknown) => {
        throw new Error(`seed ${seed}, damage ${done + 1}, ${words}: ${String(error)}`, { cause: error });
      });
      verdicts[verdict] += 1;
    }
    process.stdout.write(
      `${verdicts.found} of ${damages} damages were found, ${verdicts.right} did no harm (seed ${seed})\n`,
    );
    expect(verdicts.found).toBeGreaterThan(damages / 4);
  },
);
