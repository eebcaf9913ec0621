/**
 * The frame: what every connection between nodes is made of. README.md has all layouts byte by byte.
 *
 *     u32 length | u32 crc32 of the next `length` bytes | u8 type | payload (length - 1 bytes)
 */
import { crc32 } from 'node:zlib';
import { readU64 } from '../bytes.ts';

/** The numbers are sent: they never change. */
export const FrameType = {
  hello: 1,
  refusal: 2,
  raft: 3,
  ping: 4,
  pong: 5,
  request: 6,
  response: 7,
  failure: 8,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** Length and checksum. */
export const frameHeaderBytes = 8;
/** The smallest frame: header and type. */
export const frameOverheadBytes = frameHeaderBytes + 1;

/** What arrived is not what this protocol says. Never a bug of this node: the connection is closed and a line logged. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Where a frame lies in a page. */
export interface FramePlace {
  readonly start: number;
  readonly end: number;
  readonly type: FrameType;
  /** The end of its payload, if that lies elsewhere. */
  readonly tail?: Uint8Array;
}

/** Completes the frame in [start, end): its payload stands already from `start + frameOverheadBytes` on. */
export function sealFrame(page: Buffer, { start, end, type, tail = noTail }: FramePlace): void {
  const body = start + frameHeaderBytes;
  page[body] = type;
  page.writeUInt32BE(end - body + tail.length, start);
  page.writeUInt32BE(crc32(tail, crc32(page.subarray(body, end))), start + 4);
}

const noTail = Buffer.alloc(0);

/**
 * Reads one frame's content front to back. Every read checks that the bytes are there, and every number that it is in
 * range, before anything is made of it; what is wrong throws a WireError.
 */
export class WireReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  /** 0 to 2^53 - 1. */
  u64(): number {
    const at = this.#take(8);
    if (this.#bytes.readUInt16BE(at) > 0x1f) throw new WireError('a 64-bit field exceeds 2^53 - 1');
    return readU64(this.#bytes, at);
  }

  boolean(): boolean {
    const value = this.u8();
    if (value > 1) throw new WireError(`a boolean is ${value}`);
    return value === 1;
  }

  /** A view: valid only while the frame is being handled. */
  view(length: number): Buffer {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  text(length: number): string {
    const at = this.#take(length);
    return this.#bytes.toString('utf8', at, at + length);
  }

  end(): void {
    if (this.remaining() !== 0) throw new WireError(`${this.remaining()} bytes too many`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at)
      throw new WireError(`cut short: ${length} bytes wanted, ${this.remaining()} left`);
    this.#at = at + length;
    return at;
  }
}
