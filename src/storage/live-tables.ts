/**
 * Whether the tables of an open database are what they were. LevelDB maps them and verifies nothing at a read: of a table that was cut within its
 * last page the rest reads as zeros, which to LevelDB is a block without a record. So keys are absent, or the versions below them
 * are back, and neither has anything wrong about it. Tables are written once, so any later change of length or of the time
 * of the last write is no doing of LevelDB's.
 *
 * Safety: what a read found, or did not find, is believed only once the tables that could have held it were looked at, behind the
 * read. A merge drops what it can't see and gives what is left good checksums, so each table that was merged away is looked at
 * as well, by the handle that was kept of it, before anything is believed that was read after. Each is looked at once in a
 * turn of the event loop: what happens to a file within that turn may be missed by that turn's reads.
 *
 * What this can't see is rot below the file system, which leaves length and time as they were: the checksums of records find
 * it, and for what is absent the comparison of replicas and the next start. Nor a table that comes and goes between two looks.
 */
import fs from 'node:fs';
import type { Clock } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import { Manifest, tableName, type LiveTable } from './manifest.ts';
import { tableProblem } from './table-check.ts';

/** So many tables are looked at each time, whoever reads: 4 us each. */
const looksAtOnce = 16;

interface WatchedTable {
  table: LiveTable;
  /** Undefined while the process has no more files to open: it is looked at by its name then. */
  handle: number | undefined;
  /** Of its last write, as it was when it was known to be whole, ms. */
  modifiedMs: number;
  lookedAtTurn: number;
}

export interface LiveTablesOptions {
  readonly databaseDirectory: string;
  readonly checkMs: number;
  readonly after: Clock['after'];
  /** Told once of a StorageDamage that is found while nobody reads, or of why nothing can be looked at. */
  readonly onFailure: (error: unknown) => void;
}

export class LiveTables {
  readonly #options: LiveTablesOptions;
  readonly #manifest: Manifest;
  readonly #watched = new Map<number, WatchedTable>();
  /** By level; in the order of their keys, except in level 0, where they may overlap. */
  #levels: readonly (readonly WatchedTable[])[] = [];
  #turn = 0;
  #turnEnds = false;
  #next = 0;
  #closed = false;
  #damage: StorageDamage | undefined;
  #cancel: () => void = () => undefined;

  /** Of a database that was just opened, its tables checked. Throws a StorageDamage. */
  constructor(options: LiveTablesOptions) {
    this.#options = options;
    this.#manifest = new Manifest(options.databaseDirectory);
    try {
      this.#follow();
    } catch (error) {
      this.close();
      throw error;
    }
    this.#plan();
  }

  /**
   * Throws a StorageDamage unless all tables that can hold a key with from <= key <= to are whole, and whatever the keys, once any was found
   * that is not. For after the read.
   */
  expectWhole(from: Buffer, to: Buffer): void {
    if (this.#closed) return;
    this.#finding(() => {
      this.#follow();
      for (const [level, tables] of this.#levels.entries()) {
        for (let at = level === 0 ? 0 : firstReaching(tables, from); at < tables.length; at += 1) {
          const watched = tables[at] as WatchedTable;
          if (watched.table.smallest.compare(to) > 0) {
            if (level > 0) break;
          } else if (watched.table.largest.compare(from) >= 0) this.#look(watched);
        }
      }
    });
  }

  /** What was found stays: by then a merge may have taken it where nobody finds it again. */
  #finding(look: () => void): void {
    if (this.#damage !== undefined) throw this.#damage;
    try {
      look();
    } catch (error) {
      if (error instanceof StorageDamage) this.#damage = error;
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel();
    for (const { handle } of this.#watched.values()) if (handle !== undefined) fs.closeSync(handle);
    this.#watched.clear();
    this.#levels = [];
    this.#manifest.close();
  }

  #plan(): void {
    const { after, checkMs, onFailure } = this.#options;
    this.#cancel = after(checkMs, () => {
      try {
        this.#finding(() => this.#lookAround());
        this.#plan();
      } catch (error) {
        onFailure(error);
      }
    });
  }

  #lookAround(): void {
    this.#follow();
    const tables = this.#levels.flat();
    for (let looks = Math.min(looksAtOnce, tables.length); looks > 0; looks -= 1) {
      this.#next = (this.#next + 1) % tables.length;
      this.#look(tables[this.#next] as WatchedTable);
    }
  }

  #follow(): void {
    let missing: LiveTable | undefined;
    // Again, where a table was gone already: the manifest said so before it was removed.
    while (this.#manifest.read()) missing = this.#takeOver();
    if (missing !== undefined) throw damaged(missing, 'is missing');
  }

  /** Returns a table that should be there and is not. */
  #takeOver(): LiveTable | undefined {
    const live = this.#manifest.tables;
    for (const watched of this.#watched.values()) if (!live.has(watched.table.number)) this.#retire(watched);
    const missing = [...live.values()].filter((table) => !this.#watch(table));
    const levels: WatchedTable[][] = [];
    for (const watched of this.#watched.values()) (levels[watched.table.level] ??= []).push(watched);
    const inOrder = ({ table: one }: WatchedTable, { table: other }: WatchedTable): number =>
      one.smallest.compare(other.smallest);
    this.#levels = Array.from(levels, (tables: WatchedTable[] | undefined) => (tables ?? []).sort(inOrder));
    return missing[0];
  }

  /** False when there is no such file. */
  #watch(table: LiveTable): boolean {
    const watched = this.#watched.get(table.number);
    if (watched !== undefined) {
      watched.table = table;
      return true;
    }
    const handle = openTable(table.file);
    if (handle === 'missing') return false;
    const modifiedMs = statOf(table, handle)?.mtimeMs ?? NaN;
    this.#watched.set(table.number, { table, handle, modifiedMs, lookedAtTurn: -1 });
    return true;
  }

  #retire({ table, handle, modifiedMs }: WatchedTable): void {
    this.#watched.delete(table.number);
    if (handle === undefined) return;
    try {
      expectUnchanged({ table, handle, modifiedMs }, fs.fstatSync(handle));
    } finally {
      fs.closeSync(handle);
    }
  }

  #look(watched: WatchedTable): void {
    if (watched.lookedAtTurn === this.#turn) return;
    const { table, handle } = watched;
    // Merged away during this very walk: it was looked at then, and its handle may be another table's by now.
    if (this.#watched.get(table.number) !== watched) return;
    const found = statOf(table, handle);
    if (found === undefined || found.nlink === 0) {
      // Merged away a moment ago, or removed by somebody else.
      this.#follow();
      if (this.#watched.get(table.number) === watched) throw damaged(table, 'is missing');
      return;
    }
    watched.modifiedMs = expectUnchanged(watched, found);
    watched.lookedAtTurn = this.#turn;
    this.#endTurn();
  }

  #endTurn(): void {
    if (this.#turnEnds) return;
    this.#turnEnds = true;
    setImmediate(() => {
      this.#turnEnds = false;
      this.#turn += 1;
    });
  }
}

/** Returns when it was written last. Whose time changed and nothing else is whole: somebody touched it. */
function expectUnchanged(
  { table, handle, modifiedMs }: Pick<WatchedTable, 'table' | 'handle' | 'modifiedMs'>,
  { size, mtimeMs }: fs.Stats,
): number {
  if (size !== table.bytes) throw damaged(table, `has ${size} of ${table.bytes} bytes`);
  if (mtimeMs === modifiedMs) return mtimeMs;
  const problem = tableProblem(contentOf(table, handle));
  if (problem !== undefined) throw damaged(table, `is corrupt: ${problem}`);
  return mtimeMs;
}

function damaged({ number }: LiveTable, problem: string): StorageDamage {
  return new StorageDamage(`table file ${tableName(number)} ${problem}; it was changed while it was in use`);
}

function openTable(file: string): number | undefined | 'missing' {
  try {
    return fs.openSync(file, 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'missing';
    if (code === 'EMFILE' || code === 'ENFILE') return undefined;
    throw error;
  }
}

/** Undefined when there is no such file. */
function statOf({ file }: LiveTable, handle: number | undefined): fs.Stats | undefined {
  return handle === undefined ? fs.statSync(file, { throwIfNoEntry: false }) : fs.fstatSync(handle);
}

function contentOf({ file, bytes }: LiveTable, handle: number | undefined): Buffer {
  if (handle === undefined) return fs.readFileSync(file);
  const content = Buffer.alloc(bytes);
  for (let filled = 0; filled < bytes;) {
    const read = fs.readSync(handle, content, filled, bytes - filled, filled);
    if (read === 0) break;
    filled += read;
  }
  return content;
}

/** The first of tables in order, none overlapping another, that does not end before `key`. */
function firstReaching(tables: readonly WatchedTable[], key: Buffer): number {
  let [low, high] = [0, tables.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tables[middle] as WatchedTable).table.largest.compare(key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
