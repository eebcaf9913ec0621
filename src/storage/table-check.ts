/**
 * Checks every block of LevelDB's table files before LevelDB opens them.
 *
 * LevelDB has a checksum on each block and, the way classic-level opens it, never looks at it: a flipped bit in a table
 * makes a key vanish or brings back the version below it, which carries a good checksum of ours. So what our own records
 * can't show is looked for here, once per start: the live tables are those that the manifest names (others are left-overs of a
 * crash, which LevelDB removes), and each of their blocks must match its checksum. What becomes of them while the node runs is
 * for `live-tables.ts`.
 *
 * Format: LevelDB's doc/table_format.md.
 */
import fs from 'node:fs';
import { allOrNone } from './all-or-none.ts';
import { StorageDamage } from './damage.ts';
import { checksumOf, FieldReader, unmask } from './level-format.ts';
import { liveTables, tableName, type LiveTable } from './manifest.ts';
import { uncompressSnappy } from './snappy.ts';

const blockTrailerBytes = 5;
const footerBytes = 48;
const tableMagic = Buffer.from('57fb808b247547db', 'hex');
interface BlockHandle {
  readonly offset: number;
  readonly size: number;
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
  for (const live of tables) {
    const { file, number, bytes } = live;
    if (memory.length < bytes) memory = Buffer.allocUnsafeSlow(bytes);
    const table = memory.subarray(0, bytes);
    const found = await readTable(file, table);
    const name = tableName(number);
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

/** Of a whole table file; undefined when each of its blocks is as it was written. */
export function tableProblem(file: Buffer): string | undefined {
  const footer = new FieldReader(file.subarray(-footerBytes));
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
  const entries = new FieldReader(block.subarray(0, block.length - 4 - 4 * restarts));
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

function readHandle(reader: FieldReader): BlockHandle {
  return { offset: reader.varint(), size: reader.varint() };
}
