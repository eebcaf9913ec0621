/**
 * What waits to be written to one connection, already as bytes. Frames are built in pages: while the open frame has room
 * Raft messages join it; what does not fit begins a new page. A body is copied once, into the page, which the socket
 * then writes from. Pages are never reused: a write under way keeps its page alive, and nobody else can overwrite it.
 * A frame's tail is not copied: the socket writes it from where its owner has it.
 */
import { asBuffer } from '../bytes.ts';
import type { Message } from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { encodeMessage } from './messages.ts';
import { frameOverheadBytes, FrameType, sealFrame } from './wire.ts';

const nothing = Buffer.alloc(0);

export class FrameOutbox {
  readonly #pageBytes: number;
  #page: Buffer = nothing;
  /** What stands in the page and was not taken yet begins here. */
  #from = 0;
  #end = 0;
  /** Where the Raft frame begins that still takes messages; -1 for none. */
  #openFrame = -1;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes;
  }

  /** Bytes that wait here. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `length` is `messageBytes(message)`. */
  addMessage(partition: PartitionId, message: Message, length: number): void {
    if (this.#openFrame < 0 || this.#end + length > this.#page.length) {
      this.#reserve(frameOverheadBytes + length);
      this.#openFrame = this.#end;
      this.#advance(frameOverheadBytes);
    }
    encodeMessage(this.#page, this.#end, { partition, message });
    this.#advance(length);
  }

  /** One frame of any other type. `write` fills `length` bytes of payload that begin at `at`; `tail` ends it. */
  addFrame(
    type: FrameType,
    length: number,
    write: (page: Buffer, at: number) => void,
    tail: Uint8Array = nothing,
  ): void {
    this.#reserve(frameOverheadBytes + length);
    const start = this.#end;
    write(this.#page, start + frameOverheadBytes);
    this.#advance(frameOverheadBytes + length);
    sealFrame(this.#page, { start, end: this.#end, type, tail });
    if (tail.length === 0) return;
    this.#cut();
    this.#pieces.push(asBuffer(tail));
    this.#bytes += tail.length;
  }

  /** All that waits, in order: pieces of whole frames, but for tails, which are pieces by themselves. The outbox is empty afterwards. */
  take(): readonly Buffer[] {
    this.#cut();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    return pieces;
  }

  #advance(length: number): void {
    this.#end += length;
    this.#bytes += length;
  }

  /** Closes the open frame and makes room for `length` contiguous bytes. */
  #reserve(length: number): void {
    this.#closeFrame();
    if (this.#end + length <= this.#page.length) return;
    this.#cut();
    this.#page = Buffer.allocUnsafeSlow(Math.max(length, this.#pageBytes));
    this.#from = 0;
    this.#end = 0;
  }

  #closeFrame(): void {
    if (this.#openFrame < 0) return;
    sealFrame(this.#page, { start: this.#openFrame, end: this.#end, type: FrameType.raft });
    this.#openFrame = -1;
  }

  #cut(): void {
    this.#closeFrame();
    if (this.#end === this.#from) return;
    this.#pieces.push(this.#page.subarray(this.#from, this.#end));
    this.#from = this.#end;
  }
}
