/**
 * LevelDB's manifest: the file that says which tables are live. It begins anew each time the database is opened, and grows by one
 * record with each change of the tables, which is synced before LevelDB relies on it and before it removes a table.
 *
 * Formats: LevelDB's doc/log_format.md, and db/version_edit.cc for the records.
 */
import fs from 'node:fs';
import path from 'node:path';
import { StorageDamage } from './damage.ts';
import { checksumOf, FieldReader, unmask } from './level-format.ts';

const blockBytes = 32 * 1024;
const headerBytes = 7;
/** Behind a user's key, as LevelDB stores it: a sequence number and a kind. */
const internalSuffixBytes = 8;
const FragmentType = { full: 1, last: 4 } as const;
const EditTag = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLogNumber: 9,
} as const;

/** A table that the manifest names. */
export interface LiveTable {
  readonly number: number;
  readonly file: string;
  /** 0: written as it came, and may overlap with others. Tables of any other level do not overlap with each other. */
  readonly level: number;
  /** How long it must be. */
  readonly bytes: number;
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

export function tableName(number: number): string {
  return `${String(number).padStart(6, '0')}.ldb`;
}

/** None where there is no database. Throws a StorageDamage when the manifest can't be believed. */
export function liveTables(databaseDirectory: string): readonly LiveTable[] {
  if (!fs.existsSync(path.join(databaseDirectory, 'CURRENT'))) return [];
  const manifest = new Manifest(databaseDirectory);
  try {
    manifest.read();
    return [...manifest.tables.values()];
  } finally {
    manifest.close();
  }
}

/** The manifest of a database, read on as it grows. */
export class Manifest {
  /** By number, as of what was read last. */
  readonly tables = new Map<number, LiveTable>();
  readonly #directory: string;
  readonly #name: string;
  readonly #file: number;
  /** Up to where fragments were taken; what lies behind was not whole yet. */
  #taken = 0;
  #sizeRead = 0;
  #fragments: Buffer[] = [];

  /** Throws a StorageDamage when there is none. */
  constructor(databaseDirectory: string) {
    this.#directory = databaseDirectory;
    const current = path.join(databaseDirectory, 'CURRENT');
    const name = fs.readFileSync(current, 'latin1');
    if (!/^MANIFEST-\d+\n$/.test(name)) throw new StorageDamage(`${current} is corrupt: it names no manifest`);
    this.#name = name.trim();
    const file = path.join(databaseDirectory, this.#name);
    if (!fs.existsSync(file)) throw new StorageDamage(`${this.#name} is missing`);
    this.#file = fs.openSync(file, 'r');
  }

  /** Takes in what is new. Returns whether there was anything. Throws a StorageDamage when it can't be believed. */
  read(): boolean {
    const { size } = fs.fstatSync(this.#file);
    if (size === this.#sizeRead) return false;
    if (size < this.#sizeRead)
      throw new StorageDamage(`${this.#name} is cut short: it had ${this.#sizeRead} bytes, and has ${size}`);
    const bytes = Buffer.allocUnsafe(size - this.#taken);
    const filled = fs.readSync(this.#file, bytes, 0, bytes.length, this.#taken);
    this.#sizeRead = this.#taken + filled;
    try {
      this.#takeFragments(bytes.subarray(0, filled));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new StorageDamage(`${this.#name} is corrupt: ${error.message}`);
    }
    return true;
  }

  close(): void {
    fs.closeSync(this.#file);
  }

  /**
   * A record is one fragment, or a first, middles and a last; a fragment never crosses a block. One that is not whole is about to be,
   * or was cut off by a crash and never counted.
   */
  #takeFragments(bytes: Buffer): void {
    let offset = 0;
    while (offset + headerBytes <= bytes.length) {
      const place = this.#taken + offset;
      const blockLeft = blockBytes - (place % blockBytes);
      if (blockLeft < headerBytes) {
        offset += blockLeft;
        continue;
      }
      const end = offset + headerBytes + bytes.readUInt16LE(offset + 4);
      if (end > bytes.length) break;
      if (checksumOf(bytes, offset + 6, end) !== unmask(bytes.readUInt32LE(offset))) {
        throw new RangeError(`the record at ${place} does not match its checksum`);
      }
      this.#fragments.push(bytes.subarray(offset + headerBytes, end));
      const type = bytes[offset + 6];
      if (type === FragmentType.full || type === FragmentType.last) {
        this.#apply(new FieldReader(Buffer.concat(this.#fragments)));
        this.#fragments = [];
      }
      offset = end;
    }
    this.#taken += offset;
  }

  #apply(edit: FieldReader): void {
    while (!edit.atEnd()) {
      const tag = edit.varint();
      switch (tag) {
        case EditTag.comparator:
          edit.prefixed();
          break;
        case EditTag.logNumber:
        case EditTag.nextFileNumber:
        case EditTag.lastSequence:
        case EditTag.previousLogNumber:
          edit.varint();
          break;
        case EditTag.compactPointer:
          edit.varint();
          edit.prefixed();
          break;
        case EditTag.deletedFile:
          edit.varint();
          this.tables.delete(edit.varint());
          break;
        case EditTag.newFile: {
          const [level, number, bytes] = [edit.varint(), edit.varint(), edit.varint()];
          const [smallest, largest] = [userKey(edit.prefixed()), userKey(edit.prefixed())];
          const file = path.join(this.#directory, tableName(number));
          this.tables.set(number, { number, file, level, bytes, smallest, largest });
          break;
        }
        default:
          throw new RangeError(`unknown edit ${tag}`);
      }
    }
  }
}

function userKey(internal: Buffer): Buffer {
  if (internal.length < internalSuffixBytes) throw new RangeError('a key of a table is cut short');
  return Buffer.from(internal.subarray(0, -internalSuffixBytes));
}
