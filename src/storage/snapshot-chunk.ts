/**
 * Records of a snapshot on their way from one node to another. Final like the records themselves; golden bytes in
 * `test/storage/snapshot-chunk.test.ts`. Integers are big-endian.
 *
 * ```
 *  0  u8   version (1)
 *  1  u32  partition
 *  5  u32  number of records
 *     each: u16 key's length | u32 value's length | key | value
 *     u32  CRC-32 of all that stands before it
 * ```
 *
 * A record's key is where it lies within its area. Each value is the stored record of area 0, with its own checksum over partition, key and content, whichever area it was read
 * from and goes to. So what was verified at one end is verified again at the other.
 */
import { crc32 } from 'node:zlib';
import { assert } from '../assert.ts';
import type { Scratch } from '../bytes.ts';
import type { PartitionId } from '../replica/ports.ts';
import { SnapshotDamage, StorageDamage } from './damage.ts';
import { areaCounts, type AreaCounts } from './area-records.ts';
import { areaKey, type Area } from './keys.ts';
import { checksumBytes } from './sealing.ts';

const version = 1;
const headerBytes = 9;
const recordHeaderBytes = 6;

export interface ChunkRecord {
  /** Where it lies within its area. */
  readonly name: Buffer;
  /** Sealed as in area 0. */
  readonly value: Buffer;
  /** What it adds to what the machine state counts. */
  readonly counts: AreaCounts;
}

/** Puts one chunk together, in memory that the next may be put together in. */
export class ChunkWriter {
  readonly #partition: PartitionId;
  readonly #bytesMax: number;
  readonly #memory: Scratch;
  #chunk: Buffer;
  #records = 0;
  /** Of the last record. */
  #end = headerBytes;

  constructor(partition: PartitionId, { bytesMax, memory }: { readonly bytesMax: number; readonly memory: Scratch }) {
    this.#partition = partition;
    this.#bytesMax = bytesMax;
    this.#memory = memory;
    this.#chunk = memory.take(Math.max(bytesMax, headerBytes + checksumBytes));
  }

  /** Whether a record of these sizes goes in as well. The first one does, whatever it takes. */
  hasRoom(name: Uint8Array, value: Uint8Array): boolean {
    return this.#records === 0 || this.#bytesWith(name, value) <= this.#bytesMax;
  }

  /** Copies both. `area` is the one that the value was sealed in. */
  add(name: Buffer, value: Buffer, area: Area): void {
    assert(this.hasRoom(name, value), 'a chunk has room for what is added to it');
    const bytes = this.#bytesWith(name, value);
    // If so, then it is the first, and nothing is lost.
    if (bytes > this.#chunk.length) this.#chunk = this.#memory.take(bytes);
    const at = this.#end + recordHeaderBytes;
    this.#chunk.writeUInt16BE(name.length, this.#end);
    this.#chunk.writeUInt32BE(value.length, this.#end + 2);
    this.#chunk.set(name, at);
    this.#chunk.set(value, at + name.length);
    this.#end = at + name.length + value.length;
    this.#records += 1;
    if (area !== 0) sealInArea0(this.#partition, this.#chunk.subarray(at, this.#end));
  }

  /** A view, good until the memory is used again. */
  finish(): Buffer {
    const chunk = this.#chunk.subarray(0, this.#end + checksumBytes);
    chunk[0] = version;
    chunk.writeUInt32BE(this.#partition, 1);
    chunk.writeUInt32BE(this.#records, 5);
    chunk.writeUInt32BE(crc32(chunk.subarray(0, this.#end)), this.#end);
    return chunk;
  }

  #bytesWith(name: Uint8Array, value: Uint8Array): number {
    return this.#end + recordHeaderBytes + name.length + value.length + checksumBytes;
  }
}

/** A record's name and value, one behind the other: its checksum becomes that of area 0. */
function sealInArea0(partition: PartitionId, record: Buffer): void {
  const end = record.length - checksumBytes;
  record.writeUInt32BE(crc32(record.subarray(0, end), crc32(areaKey(partition, 0, noName))), end);
}

const noName = Buffer.alloc(0);

/** All records, verified, in ascending order of their keys. Throws a SnapshotDamage. Views into `chunk`. */
export function decodeChunk(partition: PartitionId, chunk: Buffer): readonly ChunkRecord[] {
  const end = chunk.length - checksumBytes;
  if (end < headerBytes) throw damaged(partition, `is cut short: ${chunk.length} bytes`);
  if (crc32(chunk.subarray(0, end)) !== chunk.readUInt32BE(end)) throw damaged(partition, 'is corrupt');
  if (chunk[0] !== version) throw damaged(partition, `has version ${chunk[0]}, known is ${version}`);
  const found = chunk.readUInt32BE(1);
  if (found !== partition) throw damaged(partition, `is one of partition ${found}`);
  const records: ChunkRecord[] = [];
  let at = headerBytes;
  for (let left = chunk.readUInt32BE(5); left > 0; left -= 1) {
    if (at + recordHeaderBytes > end) throw damaged(partition, 'ends within a record');
    const keyAt = at + recordHeaderBytes;
    const valueAt = keyAt + chunk.readUInt16BE(at);
    const next = valueAt + chunk.readUInt32BE(at + 2);
    if (next > end) throw damaged(partition, 'ends within a record');
    const record = verified(partition, chunk.subarray(keyAt, valueAt), chunk.subarray(valueAt, next));
    const previous = records.at(-1);
    if (previous !== undefined && previous.name.compare(record.name) >= 0) {
      throw damaged(partition, 'is out of the order of its keys');
    }
    records.push(record);
    at = next;
  }
  if (at !== end) throw damaged(partition, 'has bytes after its records');
  return records;
}

function verified(partition: PartitionId, name: Buffer, value: Buffer): ChunkRecord {
  try {
    return { name, value, counts: areaCounts(areaKey(partition, 0, name), value) };
  } catch (error) {
    if (!(error instanceof StorageDamage)) throw error;
    throw new SnapshotDamage(`a snapshot's chunk holds what is no record: ${error.message}`, { cause: error });
  }
}

function damaged(partition: PartitionId, problem: string): SnapshotDamage {
  return new SnapshotDamage(`partition ${partition}: a snapshot's chunk ${problem}`);
}
