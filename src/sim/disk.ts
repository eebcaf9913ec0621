/**
 * One node's disk in the simulator: it does what LevelDB was measured to do (`src/storage/README.md`), at the worst moments
 * that its seed draws, and stays while the starts of its node come and go.
 *
 * What the promises cover, and so all that it ever does:
 * - A killed process: what was handed to the operating system is there, the batch under way is or is not, HIGHWATER is exact.
 * - A power cut: what was fsynced is there. HIGHWATER may be older, torn or missing.
 * - A batch that fails is on disk or not, and whatever the handle acknowledges after it is not.
 * - Damage while the node is down (`damage`), of kinds that opening or reading is certain to find, or that lose nothing.
 * - All is gone while the node is down (`empty`).
 * - A value in a table of the state vanishes, or is one that it had before, at any time (`rot`): replicas that are compared find that, where
 *   most of them are whole. Only of keys that nobody else reads or writes, as it is not found at once.
 *
 * What it never does, because nothing could find it:
 * - Take acknowledged batches off the end of the log when HIGHWATER, after a power cut, does not know of them.
 * - Put HIGHWATER back together with the databases. With the identity too, the peers find it, not this node.
 */
import { assert } from '../assert.ts';
import type { Clock, DiskSpace, IdentityStore, NodeId, PartitionId } from '../replica/ports.ts';
import type { DatabaseName, Databases } from '../storage/database.ts';
import type { HighWaterMark } from '../storage/high-water.ts';
import { kindOfKey, RecordKind, valueKey, type Area } from '../storage/keys.ts';
import { readDurableState } from '../storage/recovery.ts';
import { DiskDatabase, diskError, type BatchFate } from './disk-database.ts';
import { damageRecords, type DamageKind } from './disk-damage.ts';
import { SimDoubts } from './disk-doubts.ts';
import { newIdentity, SimIdentity } from './disk-identity.ts';
import { DiskMark } from './disk-mark.ts';
import { DiskRecords, type Changes, type RecordsCopy } from './disk-records.ts';

export { damageKinds, type DamageKind } from './disk-damage.ts';

/** Chances are 0 to 1. With all of them 0 it is a good disk. */
export interface DiskFaults {
  /** Time of a synced batch, uniform between the two. */
  readonly fsyncMsMin: number;
  readonly fsyncMsMax: number;
  /** Of each batch, to take `slowMs` longer. */
  readonly slowChance: number;
  readonly slowMs: number;
  /** Of each batch, to take `stallMs` longer. */
  readonly stallChance: number;
  readonly stallMs: number;
  /** Of each batch, to fail with EIO; half of those are found by a reopen. */
  readonly failChance: number;
  /** At a power cut, of what was not fsynced, to be there whole; it is gone otherwise. */
  readonly inFlightSurvives: number;
}

/** For a trace; time is the listener's to add. */
export type DiskEvent =
  | { readonly type: 'open'; readonly incarnation: number; readonly log: number; readonly state: number }
  /** Handed over to be written and fsynced. `checksum`: CRC-32 over keys and values. */
  | {
      readonly type: 'write';
      readonly database: DatabaseName;
      readonly keys: number;
      readonly bytes: number;
      readonly checksum: number;
    }
  | { readonly type: 'slow' | 'stall'; readonly database: DatabaseName; readonly ms: number }
  /** `left`: a reopen finds the batch all the same. */
  | { readonly type: 'failed'; readonly database: DatabaseName; readonly code: string; readonly left: boolean }
  | { readonly type: 'full'; readonly full: boolean }
  /** `log`, `state`: batches on disk afterwards. */
  | { readonly type: 'kill'; readonly log: number; readonly state: number }
  | { readonly type: 'powerCut'; readonly log: number; readonly state: number; readonly mark: number }
  | { readonly type: 'free'; readonly bytes: number }
  | { readonly type: 'emptied' }
  | { readonly type: 'damage'; readonly kind: DamageKind; readonly lost: string }
  | { readonly type: 'rot'; readonly partition: PartitionId };

/** What one start of the node works with. */
export interface DiskHandles {
  readonly databases: Databases;
  readonly highWater: HighWaterMark;
  readonly identity: IdentityStore;
}

export interface SimDiskOptions {
  readonly nodeId: NodeId;
  readonly clusterName: string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly after: Clock['after'];
  /** Asked anew for each batch and each power cut. */
  readonly faults: () => DiskFaults;
  readonly onEvent?: (event: DiskEvent) => void;
}

const plentyBytes = 2 ** 40;
/** Of the batches that fail, and of those under way when the process is killed. */
const survivesChance = 0.5;
/** Far fewer than the sequence records that are kept, as LevelDB's own log files hold. */
const batchesUntilFoldMin = 4;
const batchesUntilFoldMax = 400;
/** Of each start, to be what `rollBack` goes back to. */
const copyChance = 0.5;

export class SimDisk {
  readonly #options: SimDiskOptions;
  readonly #records: Readonly<Record<DatabaseName, DiskRecords>> = {
    log: new DiskRecords('log'),
    state: new DiskRecords('state'),
  };
  readonly #mark = new DiskMark();
  #identity = newIdentity;
  readonly doubts = new SimDoubts();
  #copies: Readonly<Record<DatabaseName, RecordsCopy>> | undefined;
  #handles: readonly DiskDatabase[] = [];
  #full = false;
  #freeBytes = plentyBytes;

  constructor(options: SimDiskOptions) {
    this.#options = options;
  }

  /**
   * Handles for one start of the node; `kill` and `cutPower` make them dead: what they have under way never settles, and
   * nothing that is done with them reaches the disk. `deliver` runs what the process does when a batch is done, so that a
   * paused one learns of it later. Throws an ENOSPC when the disk is full: LevelDB and the identity write as they open.
   */
  open(deliver: (event: () => void) => void = runAtOnce): DiskHandles {
    assert(!this.#isOpen(), 'one start at a time');
    if (this.#full) throw diskError('ENOSPC', 'the disk is full');
    const { log, state } = this.#records;
    for (const records of [log, state]) {
      records.keepCached();
      // LevelDB writes what it replays into a table, fsynced, before it serves anything.
      records.fold();
    }
    if (this.#chance(copyChance)) this.#copies = { log: log.copy(), state: state.copy() };
    const databases = { log: this.#open(log, deliver), state: this.#open(state, deliver) };
    this.#handles = [databases.log, databases.state];
    const isDead = (): boolean => !databases.log.isOpen();
    const { nodeId, clusterName } = this.#options;
    const identity = new SimIdentity({
      self: { nodeId, clusterName, nonce: this.#drawNonce() },
      stored: this.#identity,
      save: (content) => {
        if (!isDead()) this.#identity = content;
      },
    });
    const { incarnation } = this.#identity;
    this.#tell({ type: 'open', incarnation, log: log.batches(), state: state.batches() });
    return { databases, highWater: this.#mark.open(isDead), identity };
  }

  /** Keys of what is stored of a partition, in hex, but for what stays of replicas that were destroyed: tombstone and empty machine state. */
  recordsOf(partition: PartitionId): string[] {
    const isRemains = (key: string): boolean => {
      const kind = kindOfKey(Buffer.from(key, 'latin1'));
      return kind !== RecordKind.dead && kind !== RecordKind.machineState;
    };
    return [this.#records.log, this.#records.state].flatMap((records) =>
      records
        .sortedKeys()
        .filter((key) => Buffer.from(key, 'latin1').readUInt32BE(0) === partition && isRemains(key))
        .map((key) => Buffer.from(key, 'latin1').toString('hex')),
    );
  }

  /** The process dies: what the operating system was given stays. */
  kill(): void {
    for (const handle of this.#handles) {
      if (handle.isOpen()) handle.end((handedOver) => handedOver || this.#chance(survivesChance));
    }
    this.#tell({ type: 'kill', ...this.#batches() });
  }

  /** The power goes: only what was fsynced is certain to stay. */
  cutPower(): void {
    for (const handle of this.#handles) if (handle.isOpen()) handle.end(() => true);
    for (const records of Object.values(this.#records)) {
      if (this.#chance(this.#options.faults().inFlightSurvives)) records.keepCached();
      records.cached = undefined;
    }
    this.#mark.cutPower(this.#options.random);
    this.#tell({ type: 'powerCut', ...this.#batches(), mark: this.#mark.read()?.sequence ?? 0 });
  }

  /** While it is full, every batch that puts anything fails with ENOSPC. */
  setFull(full: boolean): void {
    if (full === this.#full) return;
    this.#full = full;
    this.#tell({ type: 'full', full });
  }

  /** What a node can ask beforehand; the disk takes everything even so, unless it is full. */
  readonly space: DiskSpace = { measure: (then) => then(this.#freeBytes) };

  setFreeBytes(bytes = plentyBytes): void {
    this.#freeBytes = bytes;
    this.#tell({ type: 'free', bytes });
  }

  /** While the node is down. Returns what was lost; undefined when there was nothing to lose that is certain to be found. */
  damage(kind: DamageKind): string | undefined {
    assert(!this.#isOpen(), 'a disk is damaged while its node is down');
    const { log, state } = this.#records;
    for (const records of [log, state]) records.keepCached();
    const lost = damageRecords(kind, {
      log,
      state,
      marked: this.#mark.read()?.sequence ?? 0,
      copies: this.#copies,
      random: this.#options.random,
    });
    if (lost !== undefined) this.#tell({ type: 'damage', kind, lost });
    return lost;
  }

  /** The record of a value in the live state, as it is stored. */
  storedValue(partition: PartitionId, key: Buffer): Buffer | undefined {
    return this.#records.state.get(this.#valueKey(partition, key));
  }

  /** It becomes another one, or vanishes, whether or not the node runs. False where it is not in a table yet. */
  rot(partition: PartitionId, key: Buffer, change: (stored: Buffer) => Buffer | undefined): boolean {
    const done = this.#records.state.rot(this.#valueKey(partition, key), change);
    if (done) this.#tell({ type: 'rot', partition });
    return done;
  }

  /** Where the partition's state lies. */
  liveArea(partition: PartitionId): Area {
    const { state } = this.#records;
    return readDurableState({ get: (key) => state.get(key.toString('latin1')) }, partition).area;
  }

  #valueKey(partition: PartitionId, key: Buffer): string {
    return valueKey(partition, this.liveArea(partition), key).toString('latin1');
  }

  /** While the node is down: its directory is emptied, or the disk replaced by another one. */
  empty(): void {
    assert(!this.#isOpen(), 'a disk is emptied while its node is down');
    for (const records of Object.values(this.#records)) records.empty();
    this.#mark.empty();
    this.#identity = newIdentity;
    this.doubts.empty();
    this.#copies = undefined;
    this.#tell({ type: 'emptied' });
  }

  /** Whether the directory knows of no cluster. */
  isUnformed(): boolean {
    return this.#identity.formation.phase === 'unformed';
  }

  #open(records: DiskRecords, deliver: (event: () => void) => void): DiskDatabase {
    const { after, random, onEvent } = this.#options;
    return new DiskDatabase({
      records,
      after,
      deliver,
      fateOf: (changes) => this.#fateOf(records.name, changes),
      onFailed: (error, left) => this.#tell({ type: 'failed', database: records.name, code: error.code, left }),
      drawBatchesUntilFold: () =>
        Math.round(batchesUntilFoldMin * (batchesUntilFoldMax / batchesUntilFoldMin) ** random()),
      checksums: onEvent !== undefined,
    });
  }

  #fateOf(database: DatabaseName, { keys, values, bytes, checksum }: Changes): BatchFate {
    const { random, faults } = this.#options;
    const { fsyncMsMin, fsyncMsMax, slowChance, slowMs, stallChance, stallMs, failChance } = faults();
    this.#tell({ type: 'write', database, keys: keys.length, bytes, checksum });
    let delayMs = fsyncMsMin + random() * (fsyncMsMax - fsyncMsMin);
    if (this.#chance(slowChance)) {
      delayMs += slowMs;
      this.#tell({ type: 'slow', database, ms: slowMs });
    }
    if (this.#chance(stallChance)) {
      delayMs += stallMs;
      this.#tell({ type: 'stall', database, ms: stallMs });
    }
    if (this.#full && values.some((value) => value !== undefined)) {
      return { delayMs, error: diskError('ENOSPC', `${database}: no space left`), left: false };
    }
    if (this.#chance(failChance)) {
      return { delayMs, error: diskError('EIO', `${database}: write failed`), left: this.#chance(survivesChance) };
    }
    return { delayMs, error: undefined, left: false };
  }

  #isOpen(): boolean {
    return this.#handles.some((handle) => handle.isOpen());
  }

  #batches(): { readonly log: number; readonly state: number } {
    return { log: this.#records.log.batches(), state: this.#records.state.batches() };
  }

  /** Draws nothing for what never happens. */
  #chance(probability: number): boolean {
    return probability > 0 && this.#options.random() < probability;
  }

  /** 32 lower-case hex digits. */
  #drawNonce(): string {
    const part = (): string => Math.floor(this.#options.random() * 2 ** 32).toString(16);
    return [part(), part(), part(), part()].map((digits) => digits.padStart(8, '0')).join('');
  }

  #tell(event: DiskEvent): void {
    this.#options.onEvent?.(event);
  }
}

function runAtOnce(event: () => void): void {
  event();
}
