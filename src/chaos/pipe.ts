/** One direction of one connection: takes what one socket brings and gives it to the other as the link between the two allows. */
import type { Socket } from 'node:net';
import type { Links } from './links.ts';

/** What may wait here; beyond it the sender is held back, as a full receive window would. */
const waitingBytesMax = 1 << 20;

interface Piece {
  readonly bytes: Buffer;
  /** Not before then, ms. */
  readonly at: number;
}

export class Pipe {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #links: Links;
  readonly #route: readonly [string, string];
  readonly #unsubscribe: () => void;
  #waiting: Piece[] = [];
  #waitingBytes = 0;
  #freeAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #sourceEnded = false;

  /** `route`: from whom to whom these bytes travel. */
  constructor(source: Socket, target: Socket, links: Links, route: readonly [string, string]) {
    this.#source = source;
    this.#target = target;
    this.#links = links;
    this.#route = route;
    this.#unsubscribe = links.onChange(() => this.#pump());
    source.on('data', (bytes: Buffer) => this.push(bytes));
    source.on('end', () => {
      this.#sourceEnded = true;
      this.#pump();
    });
    target.on('drain', () => source.resume());
  }

  push(bytes: Buffer): void {
    const { delayMs } = this.#links.condition(...this.#route);
    this.#waiting.push({ bytes, at: performance.now() + delayMs });
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > waitingBytesMax) this.#source.pause();
    this.#pump();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#unsubscribe();
    this.#waiting = [];
  }

  #pump(): void {
    clearTimeout(this.#timer);
    const { lost, bytesPerSecond } = this.#links.condition(...this.#route);
    while (!lost) {
      const [next] = this.#waiting;
      if (next === undefined) break;
      const now = performance.now();
      const at = Math.max(next.at, this.#freeAt);
      if (at > now) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(at - now));
        return;
      }
      this.#waiting.shift();
      this.#waitingBytes -= next.bytes.length;
      this.#freeAt = now + (1000 * next.bytes.length) / bytesPerSecond;
      this.#pass(next.bytes);
    }
    if (this.#waitingBytes <= waitingBytesMax / 2) this.#source.resume();
    // An end is a packet too: while packets get lost nobody hears of it.
    if (this.#sourceEnded && this.#waiting.length === 0 && !lost) this.#target.end();
  }

  #pass(bytes: Buffer): void {
    const damage = this.#links.takeDamage(...this.#route);
    if (damage === 'flip') {
      const middle = bytes.length >> 1;
      bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    }
    this.#target.write(damage === 'cut' ? bytes.subarray(0, bytes.length >> 1) : bytes);
    if (damage === 'cut') this.#target.end();
  }
}
