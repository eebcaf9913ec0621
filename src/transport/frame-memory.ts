/**
 * Memory that the bodies of large frames are gathered in, one after the other. Fresh memory for each would be cheap to
 * take and dear to give up: it lies outside V8's heap, and V8 collects all of its garbage whenever enough of that has come
 * together, in several threads, while everybody else on the machine waits.
 *
 * Safety: a body is lent out, and serves again only once it was given back. So whoever forgets to costs an allocation,
 * and never somebody else's bytes.
 */

/** The least that is taken at once: what is spare then fits nearly every frame that spans several reads. */
const bytesMin = 64 * 1024;

export class FrameMemory {
  /** Above it what is given back is dropped: the garbage collector has it. */
  readonly #spareBytesMax: number;
  readonly #own = new WeakSet<ArrayBufferLike>();
  #spare: ArrayBufferLike[] = [];

  constructor(spareBytesMax: number) {
    this.#spareBytesMax = spareBytesMax;
  }

  /** `length` bytes that nobody else looks at; what they hold is not defined. */
  lend(length: number): Buffer {
    const found = this.#spare.findIndex(({ byteLength }) => byteLength >= length);
    const [memory = this.#make(length)] = found < 0 ? [] : this.#spare.splice(found, 1);
    return Buffer.from(memory, 0, length);
  }

  /** Nobody looks at what was lent any more. Does nothing for memory that is not from here, or was given back already. */
  giveBack({ buffer }: Buffer): void {
    if (!this.#own.has(buffer) || this.#spare.includes(buffer)) return;
    const spareBytes = this.#spare.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (spareBytes + buffer.byteLength <= this.#spareBytesMax) this.#spare.push(buffer);
  }

  /** A power of two, so that frames of about the same size can take each other's place. */
  #make(length: number): ArrayBufferLike {
    const { buffer } = Buffer.allocUnsafeSlow(Math.max(bytesMin, 2 ** Math.ceil(Math.log2(length))));
    this.#own.add(buffer);
    return buffer;
  }
}
