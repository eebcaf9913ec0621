/**
 * Checks every block of LevelDB's table files before LevelDB opens them.
 *
 * LevelDB has a checksum on each block and, the way classic-level opens it, never looks at it: a flipped bit in a table
 * makes a key vanish or brings back the version below it, which carries a good checksum of ours. So what our own records
 * can't show is looked for here, once per start: the live tables are those that the manifest names (others are left-overs of a
 * crash, which LevelDB removes), and each of their blocks must match its checksum.
 *
 * Formats: LevelDB's doc/table_format.md and doc/log_format.md, and db/version_edit.cc for the manifest.
 */
import fs from 'node:fs';
import path from 'node:path';
import { crc32c } from '@node-rs/crc32';
import { allOrNone } from './all-or-none.ts';
import { StorageDamage } from './damage.ts';
import { uncompressSnappy } from './snappy.ts';

const manifestBlockBytes = 32 * 1024;
const manifestHeaderBytes = 7;
const blockTrailerBytes = 5;
const footerBytes = 48;
const tableMagic = Buffer.from('57fb808b247547db', 'hex');
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

interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

/** A table file that the manifest names. */
export interface LiveTable {
  readonly file: string;
  /** How long it must be. */
  readonly bytes: number;
}

/**
 * So many tables are read side by side: while one is checked on this thread, others are on their way from the disk, and the rest of the
 * node is loaded. Node reads files on four threads: one is left to read modules, and none is taken for long at a time. Each
 * takes memory for one table. Threads of JavaScript would each take 100 ms of processor time before they check anything.
 */
const tablesAtOnce = 3;
const readBytes = 1024 * 1024;

/** Fails with a StorageDamage naming the file. A directory without a database passes. Returns the bytes checked. */
export async function checkTables(databaseDirectory: string): Promise<number> {
  const tables = liveTables(databaseDirectory);
  const waiting = tables.values();
  await allOrNone(Array.from({ length: tablesAtOnce }, () => checkEach(waiting)));
  return tables.reduce((sum, table) => sum + table.bytes, 0);
}

async function checkEach(tables: Iterable<LiveTable>): Promise<void> {
  // One memory for all: fresh memory for each takes as long as reading it.
  let memory = Buffer.alloc(0);
  for (const { file, bytes } of tables) {
    if (memory.length < bytes) memory = Buffer.allocUnsafeSlow(bytes);
    const table = memory.subarray(0, bytes);
    const found = await readTable(file, table);
    const name = path.basename(file);
    if (found === undefined) throw new StorageDamage(`table file ${name} is missing`);
    if (found !== bytes) throw new StorageDamage(`table file ${name} has ${found} of ${bytes} bytes`);
    const problem = tableProblem(table);
    if (problem !== undefined) throw new StorageDamage(`table file ${name} is corrupt: ${problem}`);
  }
}

/** Fills `table`, if the file is as long. Returns how long it is; undefined when there is none. */
async function readTable(file: string, table: Buffer): Promise<number | undefined> {
  if (!fs.existsSync(file)) return undefined;
  const handle = await fs.promises.open(file);
  try {
    const { size } = await handle.stat();
    if (size !== table.length) return size;
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(table, filled, Math.min(readBytes, size - filled), filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  } finally {
    await handle.close();
  }
}

function tableProblem(file: Buffer): string | undefined {
  const footer = new Reader(file.subarray(-footerBytes));
  if (file.length < footerBytes || !file.subarray(-8).equals(tableMagic)) return 'its footer is damaged';
  try {
    const metaIndex = readHandle(footer);
    const index = readHandle(footer);
    // Until the magic number the footer is padded with zeros; what is not zero was turned.
    if (
      footer
        .rest()
        .subarray(0, -8)
        .some((byte) => byte !== 0)
    )
      return 'its footer is damaged';
    const handles = [...handlesIn(readBlock(file, metaIndex)), ...handlesIn(readBlock(file, index))];
    for (const handle of handles) checkBlock(file, handle);
    const blocks = [metaIndex, index, ...handles];
    const covered = blocks.reduce((sum, block) => sum + block.size + blockTrailerBytes, footerBytes);
    return covered === file.length ? undefined : `its blocks cover ${covered} of ${file.length} bytes`;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}

/** Throws a RangeError where the block does not match its checksum. */
function checkBlock(file: Buffer, { offset, size }: BlockHandle): void {
  const end = offset + size + 1;
  if (end + 4 > file.length - footerBytes) throw new RangeError(`block at ${offset} reaches beyond the end`);
  if (checksumOf(file, offset, end) !== unmask(file.readUInt32LE(end))) {
    throw new RangeError(`block at ${offset} does not match its checksum`);
  }
}

function readBlock(file: Buffer, handle: BlockHandle): Buffer {
  checkBlock(file, handle);
  const content = file.subarray(handle.offset, handle.offset + handle.size);
  return file[handle.offset + handle.size] === 1 ? uncompressSnappy(content) : content;
}

/** The values of an index block: prefix-compressed keys, each with the handle of a block. */
function handlesIn(block: Buffer): BlockHandle[] {
  const restarts = block.readUInt32LE(block.length - 4);
  const entries = new Reader(block.subarray(0, block.length - 4 - 4 * restarts));
  const handles: BlockHandle[] = [];
  while (!entries.atEnd()) {
    entries.varint();
    const keyBytes = entries.varint();
    const valueBytes = entries.varint();
    entries.skip(keyBytes);
    const end = entries.offset + valueBytes;
    handles.push(readHandle(entries));
    if (entries.offset !== end) throw new RangeError('an index entry is not as long as it says');
  }
  return handles;
}

function readHandle(reader: Reader): BlockHandle {
  return { offset: reader.varint(), size: reader.varint() };
}

/** None where there is no database. Throws a StorageDamage when the manifest can't be believed. */
function liveTables(databaseDirectory: string): LiveTable[] {
  const current = path.join(databaseDirectory, 'CURRENT');
  if (!fs.existsSync(current)) return [];
  const name = fs.readFileSync(current, 'latin1');
  if (!/^MANIFEST-\d+\n$/.test(name)) throw new StorageDamage(`${current} is corrupt: it names no manifest`);
  const manifest = path.join(databaseDirectory, name.trim());
  if (!fs.existsSync(manifest)) throw new StorageDamage(`${path.basename(manifest)} is missing`);
  const sizes = new Map<number, number>();
  try {
    for (const record of manifestRecords(fs.readFileSync(manifest))) applyEdit(new Reader(record), sizes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new StorageDamage(`${path.basename(manifest)} is corrupt: ${error.message}`);
  }
  return [...sizes].map(([number, bytes]) => ({
    file: path.join(databaseDirectory, `${String(number).padStart(6, '0')}.ldb`),
    bytes,
  }));
}

/** A record is one fragment, or a first, middles and a last; a fragment never crosses a block. One cut off at the end never counted. */
function* manifestRecords(file: Buffer): Generator<Buffer> {
  let parts: Buffer[] = [];
  let offset = 0;
  while (offset + manifestHeaderBytes <= file.length) {
    const blockLeft = manifestBlockBytes - (offset % manifestBlockBytes);
    if (blockLeft < manifestHeaderBytes) {
      offset += blockLeft;
      continue;
    }
    const end = offset + manifestHeaderBytes + file.readUInt16LE(offset + 4);
    if (end > file.length) return;
    const type = file[offset + 6] ?? 0;
    if (checksumOf(file, offset + 6, end) !== unmask(file.readUInt32LE(offset))) {
      throw new RangeError(`the record at ${offset} does not match its checksum`);
    }
    parts.push(file.subarray(offset + manifestHeaderBytes, end));
    if (type === 1 || type === 4) {
      yield Buffer.concat(parts);
      parts = [];
    }
    offset = end;
  }
}

function applyEdit(edit: Reader, tables: Map<number, number>): void {
  while (!edit.atEnd()) {
    const tag = edit.varint();
    switch (tag) {
      case EditTag.comparator:
        edit.skip(edit.varint());
        break;
      case EditTag.logNumber:
      case EditTag.nextFileNumber:
      case EditTag.lastSequence:
      case EditTag.previousLogNumber:
        edit.varint();
        break;
      case EditTag.compactPointer:
        edit.varint();
        edit.skip(edit.varint());
        break;
      case EditTag.deletedFile:
        edit.varint();
        tables.delete(edit.varint());
        break;
      case EditTag.newFile: {
        edit.varint();
        const number = edit.varint();
        tables.set(number, edit.varint());
        edit.skip(edit.varint());
        edit.skip(edit.varint());
        break;
      }
      default:
        throw new RangeError(`unknown edit ${tag}`);
    }
  }
}

/** Of bytes[from] up to, without, bytes[to]. A plain view: a Buffer's `subarray` takes as long as the checksum of a block. */
function checksumOf(bytes: Buffer, from: number, to: number): number {
  return crc32c(new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from));
}

/** LevelDB stores checksums rotated and offset, so that one over data with checksums in it stays a good one (util/crc32c.h). */
function unmask(masked: number): number {
  const rotated = (masked - 0xa282_ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** Reads on from the front; a RangeError where bytes are missing. */
class Reader {
  offset = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  atEnd(): boolean {
    return this.offset >= this.#bytes.length;
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.offset);
  }

  skip(length: number): void {
    if (this.offset + length > this.#bytes.length) throw new RangeError('a field is cut short');
    this.offset += length;
  }

  /** Seven bits a byte, the lowest first. */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 50; scale *= 128) {
      const byte = this.#bytes[this.offset] ?? 0;
      this.skip(1);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    // LevelDB's own numbers stay far below; only damage is longer.
    throw new RangeError('a number is too long');
  }
}
