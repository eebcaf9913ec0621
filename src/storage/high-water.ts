/**
 * The high-water mark: a small file beside the database that names the last batch anybody was told of. It is written
 * after the batch's fsync and before any answer that depends on it, and never fsynced itself: after the death of the
 * process it is exact (the page cache has it), after a power cut it may be older or torn. So it can show that
 * acknowledged batches are gone and can never raise a false alarm: a missing or torn mark alone means nothing, or one
 * power cut would stop the whole cluster.
 *
 * Two slots, written in turns and in different sectors, so that a torn write costs one of them.
 */
import fs from 'node:fs';
import { crc32 } from 'node:zlib';
import { readU64, writeU64 } from '../bytes.ts';

export interface Mark {
  /** The batch's number; 0 before the first. */
  readonly sequence: number;
  /** Of the batch's sequence record: another batch of the same number is told apart by it. */
  readonly checksum: number;
}

export interface HighWaterMark {
  /** The newest good slot; undefined when there is none. */
  read(): Mark | undefined;
  write(mark: Mark): void;
  close(): void;
}

const magic = 0x46_48_57_31; // "FHW1"
const slotBytes = 20;
const slotDistance = 512;

/** Opens the file, or makes it. */
export function openHighWaterFile(path: string): HighWaterMark {
  const file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
  const slot = Buffer.alloc(slotBytes);
  return {
    read: () => [readSlot(file, 0), readSlot(file, 1)].reduce(newer),
    write: (mark) => {
      encodeMark(mark, slot);
      fs.writeSync(file, slot, 0, slotBytes, (mark.sequence % 2) * slotDistance);
    },
    close: () => fs.closeSync(file),
  };
}

/** magic u32, sequence u64, checksum of the sequence record u32, CRC-32 over the former three u32. */
export function encodeMark(mark: Mark, slot: Buffer = Buffer.alloc(slotBytes)): Buffer {
  slot.writeUInt32BE(magic, 0);
  writeU64(slot, mark.sequence, 4);
  slot.writeUInt32BE(mark.checksum, 12);
  slot.writeUInt32BE(crc32(slot.subarray(0, 16)), 16);
  return slot;
}

function readSlot(file: number, slot: 0 | 1): Mark | undefined {
  const bytes = Buffer.alloc(slotBytes);
  if (fs.readSync(file, bytes, 0, slotBytes, slot * slotDistance) !== slotBytes) return undefined;
  if (bytes.readUInt32BE(0) !== magic || bytes.readUInt32BE(16) !== crc32(bytes.subarray(0, 16))) return undefined;
  return { sequence: readU64(bytes, 4), checksum: bytes.readUInt32BE(12) };
}

function newer(one: Mark | undefined, other: Mark | undefined): Mark | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.sequence > other.sequence ? one : other;
}
