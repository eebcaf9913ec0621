/** Reads the parts of a command one after the other, never beyond its end. */
import { readU64 } from '../bytes.ts';

/** The bytes are no command of a version known here. Stored entries are checksummed: this means a newer writer, and the replica stops. */
export class CommandFormatError extends Error {
  override readonly name = 'CommandFormatError';
}

export class ByteReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** The next byte, which stays the next one. */
  peek(): number {
    const byte = this.u8();
    this.#at -= 1;
    return byte;
  }

  isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#move(1));
  }

  /** One byte, 0 or 1. */
  flag(): boolean {
    const byte = this.u8();
    if (byte > 1) throw new CommandFormatError(`${byte} where only 0 and 1 mean anything`);
    return byte === 1;
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#move(2));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#move(4));
  }

  u64(): number {
    const at = this.#move(8);
    try {
      return readU64(this.#bytes, at);
    } catch (error) {
      throw new CommandFormatError('a number beyond 2^53 - 1', { cause: error });
    }
  }

  /** A view of the next `length` bytes. */
  bytes(length: number): Buffer {
    const at = this.#move(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A view of all that is left. */
  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at);
  }

  /** Fails when anything is left behind `what`. */
  end(what: string): void {
    if (this.#at !== this.#bytes.length) throw new CommandFormatError(`bytes after ${what}`);
  }

  #move(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) {
      throw new CommandFormatError(`truncated command: ${at + length} bytes wanted, ${this.#bytes.length} there`);
    }
    this.#at = at + length;
    return at;
  }
}
