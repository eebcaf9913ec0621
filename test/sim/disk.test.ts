/** The simulated disk does what LevelDB was measured to do; and the real storage on it is never silently wrong. */
import { describe, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import type { NodeId, Storage } from '../../src/replica/ports.ts';
import { damageKinds, SimDisk, type DamageKind, type DiskHandles } from '../../src/sim/disk.ts';
import { Random } from '../../src/sim/random.ts';
import type { Database, DatabaseBatch } from '../../src/storage/database.ts';
import { openGroupCommit } from '../../src/storage/group-commit.ts';
import { storageContract } from '../storage/contract.ts';
import { DiskDriver, goodDisk, type Found } from './disk-driver.ts';

const seeds = Array.from({ length: 200 }, (_, seed) => seed + 1);
const key = (text: string): Buffer => Buffer.from(text, 'latin1');

storageContract('simulated disk', () => {
  let storage: Storage;
  let disk: SimDisk;
  const open = async (config = {}): Promise<Storage> => {
    const { databases, highWater, identity } = disk.open();
    storage = await openGroupCommit({
      databases,
      highWater,
      config: { ...defaults.storage, ...config },
      incarnation: identity.identity().incarnation,
      after: afterRealTime,
      onFailure: (error) => {
        throw error;
      },
    });
    return storage;
  };
  return {
    open: (config) => {
      disk = new SimDisk({
        nodeId: 'n1' as NodeId,
        clusterName: 'test',
        random: new Random(1).next,
        after: afterRealTime,
        faults: () => ({ ...goodDisk, fsyncMsMin: 0, fsyncMsMax: 1 }),
      });
      return open(config);
    },
    reopen: async () => {
      await storage.close();
      return open();
    },
    cleanUp: async () => undefined,
  };
});

function afterRealTime(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}

describe('what was acknowledged is there', () => {
  test.each(['kill', 'cutPower'] as const)('after each %s; what was under way is or is not', async (crash) => {
    let survived = 0;
    let gone = 0;
    for (const seed of seeds.slice(0, 100)) {
      const driver = new DiskDriver(seed);
      await driver.start();
      for (let start = 1; start <= 5; start += 1) {
        await driver.write(driver.whole(1, 60));
        driver[crash]();
        expect(await driver.start()).toBe('right');
        if (driver.surplus > 0) survived += 1;
        else if (driver.unacknowledged > 0) gone += 1;
      }
    }
    expect(survived).toBeGreaterThan(100);
    expect(gone).toBeGreaterThan(100);
  });

  test('after power cuts on top of kills, of a node that is down, and after orderly ends', async () => {
    for (const seed of seeds.slice(0, 100)) {
      const driver = new DiskDriver(seed);
      await driver.start();
      for (let start = 1; start <= 6; start += 1) {
        await driver.write(driver.whole(1, 60));
        const end = driver.whole(1, 3);
        if (end === 1) await driver.close();
        else driver.kill();
        if (end === 3) driver.cutPower();
        expect(await driver.start()).toBe('right');
      }
    }
  });

  test('when writes fail, whether or not the failed batch is on disk, whatever end comes then', async () => {
    const ends = new Map<string, number>();
    for (const seed of seeds.slice(0, 100)) {
      const driver = new DiskDriver(seed);
      await driver.start();
      driver.faults = { ...goodDisk, failChance: 0.05 };
      for (let start = 1; start <= 4; start += 1) {
        await driver.write(5000);
        expect(driver.failures).toBe(1);
        await driver.run(driver.whole(0, 20));
        if (driver.whole(0, 1) === 0) driver.kill();
        else driver.cutPower();
        expect(await driver.start()).toBe('right');
        const end = driver.surplus > 0 ? 'more than acknowledged' : 'what was acknowledged';
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    }
    expect(Math.min(...ends.values())).toBeGreaterThan(50);
  });

  test('when the disk is full, until it is freed; a node does not start on it', async () => {
    const driver = new DiskDriver(1);
    await driver.start();
    await driver.write(50);
    driver.disk.setFull(true);
    await driver.write(200);
    expect(driver.failures).toBe(1);
    expect(driver.events).toContainEqual({ type: 'failed', database: 'log', code: 'ENOSPC', left: false });
    driver.kill();
    expect(() => driver.disk.open()).toThrow('ENOSPC');
    driver.disk.setFull(false);
    expect(await driver.start()).toBe('right');
    await driver.write(50);
    expect(driver.failures).toBe(0);
  });

  test('and a storage that goes on after a failed write is caught', async () => {
    let caught = 0;
    for (const seed of seeds.slice(0, 50)) {
      const driver = new DiskDriver(seed);
      driver.wrap = swallowingFailures;
      await driver.start();
      driver.faults = { ...goodDisk, failChance: 0.1 };
      await driver.write(100);
      driver.kill();
      // Found by the model where the log ends at a batch that fits; by HIGHWATER, since batches were told of, else.
      const found = await driver.start().catch(() => 'wrong');
      if (found !== 'right') caught += 1;
    }
    expect(caught).toBeGreaterThan(45);
  });

  test('and a storage that tells before the fsync is caught', async () => {
    let wrong = 0;
    for (const seed of seeds.slice(0, 50)) {
      const driver = new DiskDriver(seed);
      driver.wrap = tellingEarly;
      driver.faults = { ...goodDisk, inFlightSurvives: 0 };
      await driver.start();
      await driver.write(40);
      driver.cutPower();
      const found = await driver.start().catch(() => 'wrong');
      if (found !== 'right') wrong += 1;
    }
    expect(wrong).toBeGreaterThan(25);
  });
});

describe('damage', () => {
  async function damaged(
    seed: number,
    kind: DamageKind,
  ): Promise<{ readonly found: Found; readonly lost: string } | undefined> {
    const driver = new DiskDriver(seed);
    await driver.start();
    for (let start = driver.whole(0, 2); start > 0; start -= 1) {
      await driver.write(driver.whole(1, 60));
      if (driver.whole(0, 2) === 0) driver.cutPower();
      else driver.kill();
      expect(await driver.start()).toBe('right');
    }
    await driver.write(driver.whole(1, 120));
    if (driver.whole(0, 1) === 0) driver.cutPower();
    else driver.kill();
    const lost = driver.disk.damage(kind);
    const found = await driver.start();
    return lost === undefined ? undefined : { found, lost };
  }

  async function outcomes(kind: DamageKind): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const seed of seeds) {
      const outcome = await damaged(seed, kind);
      const name =
        outcome === undefined ? 'nothing to lose' : `${outcome.lost.match(/log|state/)?.[0]}: ${outcome.found}`;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  test.each([
    ['lostRun', ['log: damage', 'state: damage']],
    ['lostTail', ['log: damage', 'state: right']],
    ['flippedBit', ['log: damage', 'state: damage']],
    ['rollBack', ['log: damage']],
    ['stateRollBack', ['state: right']],
  ] as const)('%s: never silently wrong', async (kind, expected) => {
    const { 'nothing to lose': _, ...counts } = await outcomes(kind);
    expect(Object.keys(counts).toSorted()).toEqual(expected);
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(30);
  });

  test.each(['lostTail', 'rollBack'] as const)(
    '%s without HIGHWATER would be silent, and the model notices',
    async (kind) => {
      let wrong = 0;
      for (const seed of seeds.slice(0, 100)) {
        const driver = new DiskDriver(seed);
        await driver.start();
        await driver.write(60);
        driver.kill();
        driver.disk.damage(kind);
        driver.wrap = withoutMark;
        await driver.start().catch(() => (wrong += 1));
      }
      expect(wrong).toBeGreaterThan(5);
    },
  );

  test('upon damage, with crashes, failed writes and full disks between: never silently wrong', async () => {
    const lives = new Map<number, number>();
    for (const seed of seeds) {
      const starts = await startsUntilDamage(seed);
      lives.set(starts, (lives.get(starts) ?? 0) + 1);
    }
    expect(lives.size).toBeGreaterThan(5);
  });

  /** Ten, when none was found. */
  async function startsUntilDamage(seed: number): Promise<number> {
    const driver = new DiskDriver(seed);
    await driver.start();
    for (let start = 1; start < 10; start += 1) {
      driver.faults = { ...goodDisk, failChance: driver.whole(0, 3) === 0 ? 0.05 : 0, slowChance: 0.02 };
      await driver.write(driver.whole(1, 80));
      driver.disk.setFull(driver.whole(0, 9) === 0);
      await driver.write(driver.whole(1, 5));
      if (driver.whole(0, 1) === 0) driver.cutPower();
      else driver.kill();
      driver.disk.setFull(false);
      const kind = damageKinds[driver.whole(0, 2 * damageKinds.length)];
      if (kind !== undefined) driver.disk.damage(kind);
      if ((await driver.start()) === 'damage') return start;
    }
    return 10;
  }

  test('covers every kind above, and needs something to lose', () => {
    expect(damageKinds).toHaveLength(5);
    const { disk } = new DiskDriver(1);
    expect(damageKinds.map((kind) => disk.damage(kind))).toEqual(damageKinds.map(() => undefined));
  });

  test('is refused where HIGHWATER, after a power cut, does not know of what would be lost', async () => {
    let unmarked = 0;
    for (const seed of seeds) {
      const driver = new DiskDriver(seed);
      await driver.start();
      await driver.write(20);
      driver.cutPower();
      const cut = driver.events.at(-1);
      if (cut?.type !== 'powerCut' || cut.mark > 0) continue;
      unmarked += 1;
      expect(driver.disk.damage('rollBack')).toBeUndefined();
      expect(driver.disk.damage('lostTail') ?? 'state').toMatch(/^state/);
      expect(await driver.start()).toBe('right');
    }
    expect(unmarked).toBeGreaterThan(10);
  });
});

test('HIGHWATER is exact after a kill, and anything it was before after a power cut', async () => {
  const behind = new Map<string, number>();
  for (const seed of seeds) {
    const driver = new DiskDriver(seed);
    await driver.start();
    await driver.write(driver.whole(30, 90));
    const acknowledged = driver.events.filter((event) => event.type === 'write' && event.database === 'log').length;
    driver.kill();
    driver.cutPower();
    const cut = driver.events.at(-1);
    if (cut?.type !== 'powerCut') throw new Error('no power cut');
    expect(cut.mark).toBeLessThanOrEqual(acknowledged);
    const name = cut.mark === 0 ? 'missing' : acknowledged - cut.mark <= 1 ? 'exact' : 'older';
    behind.set(name, (behind.get(name) ?? 0) + 1);
  }
  expect([...behind.keys()].toSorted()).toEqual(['exact', 'missing', 'older']);
});

test('the same seed gives the same events, another seed others', async () => {
  const eventsOf = async (seed: number): Promise<string> => {
    const driver = new DiskDriver(seed);
    await driver.start();
    driver.faults = { ...goodDisk, slowChance: 0.1, stallChance: 0.02, failChance: 0.01 };
    for (const kind of damageKinds) {
      await driver.write(100);
      driver.cutPower();
      driver.disk.damage(kind);
      if ((await driver.start()) === 'damage') break;
    }
    return JSON.stringify(driver.events);
  };
  const types = new Set<string>();
  for (const seed of seeds.slice(0, 20)) {
    const events = await eventsOf(seed);
    expect(await eventsOf(seed)).toBe(events);
    expect(await eventsOf(seed + 1000)).not.toBe(events);
    for (const { type } of JSON.parse(events) as { type: string }[]) types.add(type);
  }
  expect([...types].toSorted()).toEqual(['damage', 'failed', 'open', 'powerCut', 'slow', 'stall', 'write']);
});

describe('a handle', () => {
  async function put(driver: DiskDriver, database: Database, text: string): Promise<string> {
    const batch = database.batch();
    batch.put(key(text), key(text));
    return written(driver, batch);
  }

  async function written(driver: DiskDriver, batch: DatabaseBatch): Promise<string> {
    let outcome = 'waits';
    batch.write().then(
      () => (outcome = 'written'),
      (error: unknown) => (outcome = String(error)),
    );
    await driver.run(10);
    return outcome;
  }

  const keysOf = async (database: Database, reverse = false, limit = Infinity): Promise<string[]> => {
    const keys: string[] = [];
    const range = { from: key('b'), to: key('\xff'), reverse, limit };
    for await (const [found, value] of database.scan(range)) {
      expect(value).toEqual(database.get(found));
      keys.push(found.toString('latin1'));
    }
    return keys;
  };

  test('scans by bytes, from and to included, either way, up to a limit', async () => {
    const driver = new DiskDriver(1);
    const { log } = driver.disk.open().databases;
    for (const text of ['c', 'a', 'b', '\xff\x00', '\xff', '\x80', 'ca']) await put(driver, log, text);
    expect(await keysOf(log)).toEqual(['b', 'c', 'ca', '\x80', '\xff']);
    expect(await keysOf(log, true)).toEqual(['\xff', '\x80', 'ca', 'c', 'b']);
    expect(await keysOf(log, false, 2)).toEqual(['b', 'c']);
    expect(await keysOf(log, true, 1)).toEqual(['\xff']);
  });

  test('scans, snapshots and sizes show one moment, whatever is written meanwhile', async () => {
    const driver = new DiskDriver(1);
    const { log } = driver.disk.open().databases;
    for (const text of ['b', 'c', 'd']) await put(driver, log, text);
    const snapshot = log.snapshot();
    const scan = log.scan({ from: key('b'), to: key('d') })[Symbol.asyncIterator]();
    const first = await scan.next();
    const seen: Buffer[] = [];
    const batch = log.batch();
    batch.put(key('c'), key('newer'));
    batch.delete(key('d'));
    expect(await written(driver, batch)).toBe('written');
    for (let next = first; next.done !== true; next = await scan.next()) seen.push(next.value[1]);
    expect(seen.map(String)).toEqual(['b', 'c', 'd']);
    expect([snapshot.get(key('c')), log.get(key('c'))].map(String)).toEqual(['c', 'newer']);
    const kept: string[] = [];
    for await (const [, value] of snapshot.scan({ from: key('c'), to: key('z') })) kept.push(String(value));
    expect(kept).toEqual(['c', 'd']);
    expect(await log.approximateBytes(key('b'), key('c'))).toBe(2 + 6);
  });

  test('keeps what it was given, whatever becomes of the memory it was given in', async () => {
    const driver = new DiskDriver(1);
    const { log } = driver.disk.open().databases;
    const scratch = Buffer.from('one');
    const batch = log.batch();
    batch.put(key('a'), scratch);
    scratch.write('two');
    await written(driver, batch);
    expect(log.get(key('a'))).toEqual(Buffer.from('one'));
  });

  test('of the log does not wait for the state', async () => {
    const driver = new DiskDriver(1);
    const { log, state } = driver.disk.open().databases;
    driver.faults = { ...goodDisk, stallChance: 1, stallMs: 1000 };
    expect(await put(driver, state, 'a')).toBe('waits');
    driver.faults = goodDisk;
    expect(await put(driver, log, 'a')).toBe('written');
  });

  test('after a failed write acknowledges and shows what a reopen does not find', async () => {
    const driver = new DiskDriver(1);
    const { log } = driver.disk.open().databases;
    await put(driver, log, 'before');
    driver.disk.setFull(true);
    expect(await put(driver, log, 'fails')).toMatch('ENOSPC');
    driver.disk.setFull(false);
    expect(await put(driver, log, 'later')).toBe('written');
    expect(await keysOf(log)).toEqual(['before', 'later']);
    await log.close();
    driver.kill();
    expect(await keysOf(driver.disk.open().databases.log)).toEqual(['before']);
  });

  test('on a full disk still deletes', async () => {
    const driver = new DiskDriver(1);
    const { log } = driver.disk.open().databases;
    await put(driver, log, 'b');
    driver.disk.setFull(true);
    const batch = log.batch();
    batch.delete(key('b'));
    expect(await written(driver, batch)).toBe('written');
    expect(await keysOf(log)).toEqual([]);
  });

  test('of a paused process is told later of what is on disk already', async () => {
    const driver = new DiskDriver(1);
    const backlog: (() => void)[] = [];
    const { log } = driver.disk.open((event) => backlog.push(event)).databases;
    expect(await put(driver, log, 'b')).toBe('waits');
    driver.cutPower();
    expect(backlog).toHaveLength(1);
    expect(await keysOf(driver.disk.open().databases.log)).toEqual(['b']);
  });

  test.each(['kill', 'cutPower'] as const)('is dead after %s: nothing of it reaches the next start', async (crash) => {
    const driver = new DiskDriver(1);
    driver.faults = { ...goodDisk, inFlightSurvives: 0 };
    const { databases, highWater, identity } = driver.disk.open();
    highWater.write({ sequence: 1, checksum: 7 });
    identity.savePeer('n2' as NodeId, { incarnation: 4, nonce: 'abc' });
    driver.disk[crash]();
    expect(await put(driver, databases.log, 'late')).toBe('waits');
    highWater.write({ sequence: 2, checksum: 8 });
    identity.saveFormation({ phase: 'formed', clusterId: 'c', founding: 'f' });
    const next = driver.disk.open();
    expect(await keysOf(next.databases.log)).toEqual([]);
    expect(next.highWater.read()?.sequence ?? 1).toBe(1);
    expect(next.identity.identity()).toMatchObject({ nodeId: 'n1', incarnation: 2, formation: { phase: 'unformed' } });
    expect(next.identity.peer('n2' as NodeId)).toEqual({ incarnation: 4, nonce: 'abc' });
    expect(next.identity.identity().nonce).toMatch(/^[0-9a-f]{32}$/);
    expect(next.identity.identity().nonce).not.toBe(identity.identity().nonce);
  });
});

function withoutMark(handles: DiskHandles): DiskHandles {
  return { ...handles, highWater: { ...handles.highWater, read: () => undefined } };
}

function withWrite(handles: DiskHandles, write: (batch: DatabaseBatch) => Promise<void>): DiskHandles {
  const wrap = (database: Database): Database => ({
    get: (at) => database.get(at),
    expectWhole: (from, to) => database.expectWhole(from, to),
    scan: (range) => database.scan(range),
    scanPieces: (range) => database.scanPieces(range),
    snapshot: () => database.snapshot(),
    approximateBytes: (from, to) => database.approximateBytes(from, to),
    close: () => database.close(),
    batch: () => {
      const batch = database.batch();
      return {
        put: (at, value) => batch.put(at, value),
        delete: (at) => batch.delete(at),
        write: () => write(batch),
      };
    },
  });
  const { log, state } = handles.databases;
  return { ...handles, databases: { log: wrap(log), state: wrap(state) } };
}

function swallowingFailures(handles: DiskHandles): DiskHandles {
  return withWrite(handles, (batch) => batch.write().catch(() => undefined));
}

/** The next batch waits for the fsync; whoever is told does not. */
function tellingEarly(handles: DiskHandles): DiskHandles {
  let fsynced: Promise<void> = Promise.resolve();
  return withWrite(handles, (batch) => {
    fsynced = fsynced.then(() => batch.write());
    return Promise.resolve();
  });
}
