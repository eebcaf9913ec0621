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
import { crc32c, unmask } from './crc32c.ts';
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

/** Fails with a StorageDamage naming the file. A directory without a database passes. Returns the bytes checked. */
export async function checkTables(databaseDirectory: string): Promise<number> {
  const current = path.join(databaseDirectory, 'CURRENT');
  if (!fs.existsSync(current)) return 0;
  const manifest = path.join(databaseDirectory, fs.readFileSync(current, 'utf8').trim());
  let checked = 0;
  for (const [number, size] of await readManifest(manifest)) {
    const name = `${String(number).padStart(6, '0')}.ldb`;
    const bytes = await readOrUndefined(path.join(databaseDirectory, name));
    if (bytes === undefined) throw new StorageDamage(`table file ${name} is missing`);
    if (bytes.length !== size) throw new StorageDamage(`table file ${name} has ${bytes.length} of ${size} bytes`);
    const problem = tableProblem(bytes);
    if (problem !== undefined) throw new StorageDamage(`table file ${name} is corrupt: ${problem}`);
    checked += bytes.length;
  }
  return checked;
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
  if (crc32c(file, offset, end) !== unmask(file.readUInt32LE(end))) {
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
    entries.take(keyBytes);
    handles.push(readHandle(new Reader(entries.take(valueBytes))));
  }
  return handles;
}

function readHandle(reader: Reader): BlockHandle {
  return { offset: reader.varint(), size: reader.varint() };
}

/** Number and size of each live table. */
async function readManifest(file: string): Promise<Map<number, number>> {
  const bytes = await readOrUndefined(file);
  if (bytes === undefined) throw new StorageDamage(`${path.basename(file)} is missing`);
  const tables = new Map<number, number>();
  try {
    for (const record of manifestRecords(bytes)) applyEdit(new Reader(record), tables);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new StorageDamage(`${path.basename(file)} is corrupt: ${error.message}`);
  }
  return tables;
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
    if (crc32c(file, offset + 6, end) !== unmask(file.readUInt32LE(offset))) {
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
        edit.take(edit.varint());
        break;
      case EditTag.logNumber:
      case EditTag.nextFileNumber:
      case EditTag.lastSequence:
      case EditTag.previousLogNumber:
        edit.varint();
        break;
      case EditTag.compactPointer:
        edit.varint();
        edit.take(edit.varint());
        break;
      case EditTag.deletedFile:
        edit.varint();
        tables.delete(edit.varint());
        break;
      case EditTag.newFile: {
        edit.varint();
        const number = edit.varint();
        tables.set(number, edit.varint());
        edit.take(edit.varint());
        edit.take(edit.varint());
        break;
      }
      default:
        throw new RangeError(`unknown edit ${tag}`);
    }
  }
}

async function readOrUndefined(file: string): Promise<Buffer | undefined> {
  try {
    return await fs.promises.readFile(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Reads on from the front; a RangeError where bytes are missing. */
class Reader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  atEnd(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#offset);
  }

  take(length: number): Buffer {
    if (this.#offset + length > this.#bytes.length) throw new RangeError('a field is cut short');
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }

  /** Seven bits a byte, the lowest first. */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 50; scale *= 128) {
      const byte = this.take(1)[0] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    // LevelDB's own numbers stay far below; only damage is longer.
    throw new RangeError('a number is too long');
  }
}
