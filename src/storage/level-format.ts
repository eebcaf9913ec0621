/** What LevelDB's own files have in common: checksums, and how numbers and strings are written. */
import { crc32c } from '@node-rs/crc32';

/** Of bytes[from] up to, without, bytes[to]. A plain view: a Buffer's `subarray` takes as long as the checksum of a block. */
export function checksumOf(bytes: Buffer, from: number, to: number): number {
  return crc32c(new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from));
}

/** LevelDB stores checksums rotated and offset, so that one over data with checksums in it stays a good one (util/crc32c.h). */
export function unmask(masked: number): number {
  const rotated = (masked - 0xa282_ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** Reads on from the front; a RangeError where bytes are missing. */
export class FieldReader {
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

  /** As many bytes as the number before them says; the same memory. */
  prefixed(): Buffer {
    const length = this.varint();
    this.skip(length);
    return this.#bytes.subarray(this.offset - length, this.offset);
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
