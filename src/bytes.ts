/**
 * Fixed-width unsigned integers as every format of ours writes them: big-endian, so that encoded keys sort by number.
 * 64-bit fields hold JavaScript's exact integers, 0 to 2^53 - 1; a larger one on disk or on the wire is corruption.
 */
const TWO_32 = 0x1_0000_0000;

/** Writes `value` as 8 bytes at `offset`; throws a RangeError for what `readU64` would not read back: it must never get into a log. */
export function writeU64(bytes: Buffer, value: number, offset: number): void {
  const high = Math.floor(value / TWO_32);
  if (!(high < 0x20_0000)) throw new RangeError(`${value} is beyond the 64-bit fields, which end at 2^53 - 1`);
  bytes.writeUInt32BE(high, offset);
  bytes.writeUInt32BE(value - high * TWO_32, offset + 4);
}

/** Reads 8 bytes at `offset`; throws a RangeError for what is above 2^53 - 1. */
export function readU64(bytes: Buffer, offset: number): number {
  const high = bytes.readUInt32BE(offset);
  if (high >= 0x20_0000) throw new RangeError(`64-bit field at ${offset} exceeds 2^53 - 1`);
  return high * TWO_32 + bytes.readUInt32BE(offset + 4);
}

/** The same memory seen as a Buffer; nothing is copied. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Memory that bytes are put together in, one time after the other: what is made of it must have been copied, or be of no more use,
 * by the next time.
 */
export class Scratch {
  #bytes: Buffer;

  constructor(length = 64 * 1024) {
    this.#bytes = Buffer.allocUnsafeSlow(length);
  }

  /** At least `length` bytes; what they held before is lost. */
  take(length: number): Buffer {
    const had = this.#bytes.length;
    if (had < length) this.#bytes = Buffer.allocUnsafeSlow(Math.max(length, 2 * had));
    return this.#bytes;
  }
}
