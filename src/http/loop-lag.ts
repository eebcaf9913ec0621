/** How late the event loop is, and has been for a while: what is asked now waits at least so long, whatever is done for it. */

/** Looked at so often, and so many looks count: a second, or as much longer as the loop is late. */
const lookMs = 250;
const looks = 4;

export class LoopLag {
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  readonly #lagsMs = new Array<number>(looks).fill(0);
  #lookedAt: number;

  /** `now`: monotonic, ms. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#lookedAt = now();
    this.#timer = setInterval(() => this.#look(), lookMs);
    this.#timer.unref();
  }

  /** The least of the last looks: one long turn, or one garbage collection, is no overload. */
  get lastingMs(): number {
    return Math.min(...this.#lagsMs);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = this.#now();
    this.#lagsMs.shift();
    this.#lagsMs.push(Math.max(0, now - this.#lookedAt - lookMs));
    this.#lookedAt = now;
  }
}
