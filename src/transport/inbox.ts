/**
 * Cuts the stream of received chunks into frames. Nothing is copied for a frame that lies within one chunk; one that
 * spans several is gathered elsewhere, each byte copied once: in fresh memory, or in one that has served before.
 */
import { crc32 } from 'node:zlib';
import { assert } from '../assert.ts';
import type { FrameMemory } from './frame-memory.ts';
import { frameHeaderBytes, WireError } from './wire.ts';

const nothing = Buffer.alloc(0);

export class FrameInbox {
  /** Largest type and payload together. A length is believed only up to here, and only then is memory taken for it. */
  bodyBytesMax: number;
  /** Where frames that span chunks are gathered; fresh memory for each while there is none. */
  memory: FrameMemory | undefined;
  #chunk: Buffer = nothing;
  #at = 0;
  /** A header that is split over chunks is put together here. */
  readonly #header = Buffer.alloc(frameHeaderBytes);
  #headerFilled = 0;
  /** The body of a frame that spans chunks, and how much of it has arrived. */
  #body: Buffer | undefined;
  #bodyFilled = 0;
  #crc = 0;

  constructor(bodyBytesMax: number) {
    this.bodyBytesMax = bodyBytesMax;
  }

  /** Gives the next received bytes, once `next` has said that it needs them. */
  push(chunk: Buffer): void {
    assert(this.#at === this.#chunk.length, 'a chunk is pushed when the one before is used up');
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next frame's type and payload, its checksum verified. A view of memory that nothing else is written to, unless it
   * is given back to `memory`. Undefined when more bytes are needed. Throws a WireError; the stream is then of no more use.
   */
  next(): Buffer | undefined {
    if (this.#body === undefined) {
      if (!this.#takeHeader()) return undefined;
      const length = this.#header.readUInt32BE(0);
      this.#crc = this.#header.readUInt32BE(4);
      if (length === 0 || length > this.bodyBytesMax) {
        throw new WireError(`a frame of ${length} bytes; 1 to ${this.bodyBytesMax} are allowed`);
      }
      this.#headerFilled = 0;
      if (this.#chunk.length - this.#at >= length) {
        const body = this.#chunk.subarray(this.#at, (this.#at += length));
        return this.#verified(body);
      }
      this.#body = this.memory?.lend(length) ?? Buffer.allocUnsafeSlow(length);
      this.#bodyFilled = 0;
    }
    this.#bodyFilled += this.#copyTo(this.#body, this.#bodyFilled);
    if (this.#bodyFilled < this.#body.length) return undefined;
    const body = this.#body;
    this.#body = undefined;
    return this.#verified(body);
  }

  #takeHeader(): boolean {
    this.#headerFilled += this.#copyTo(this.#header, this.#headerFilled);
    return this.#headerFilled === frameHeaderBytes;
  }

  /** Moves what the chunk has, up to what `target` lacks from `filled` on. */
  #copyTo(target: Buffer, filled: number): number {
    const copied = this.#chunk.copy(target, filled, this.#at);
    this.#at += copied;
    if (this.#at === this.#chunk.length) {
      this.#chunk = nothing;
      this.#at = 0;
    }
    return copied;
  }

  #verified(body: Buffer): Buffer {
    if (crc32(body) !== this.#crc) throw new WireError('a frame with a wrong checksum');
    return body;
  }
}
