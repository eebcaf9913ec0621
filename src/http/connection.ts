/**
 * One client connection: in which order its requests run. Requests that were sent without waiting for answers
 * (pipelined) run side by side while all of them are safe; one that may change something runs alone (RFC 9112,
 * section 9.3.2): a GET sent after a PUT sees it.
 */
import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';

export class Connection {
  readonly socket: Socket;
  /** The last request has come: what still arrives is dropped unserved. */
  closing = false;
  #latest: Exchange | undefined;
  #running = 0;
  #changing = false;
  readonly #waiting: Exchange[] = [];
  readonly #onClosed = new Set<() => void>();
  readonly #start: (exchange: Exchange) => void;

  constructor(socket: Socket, start: (exchange: Exchange) => void) {
    this.socket = socket;
    this.#start = start;
    socket.once('close', () => {
      for (const callback of this.#onClosed) callback();
      this.#onClosed.clear();
    });
  }

  /**
   * Calls back once, when it is closed or if it is already. Returns how to take that back. A response does not tell it while those before it
   * are unanswered: it has no socket yet.
   */
  whenClosed(callback: () => void): () => void {
    this.#onClosed.add(callback);
    if (this.socket.closed) setImmediate(() => this.#onClosed.delete(callback) && callback());
    return () => this.#onClosed.delete(callback);
  }

  /** Requests begun and not yet answered. */
  get unanswered(): number {
    return this.#running + this.#waiting.length;
  }

  /** Starts it, now or once those before it are answered. */
  enter(exchange: Exchange): void {
    this.#latest = exchange;
    exchange.entered = true;
    if (this.#waiting.length === 0 && this.#mayRun(exchange)) this.#run(exchange);
    else this.#waiting.push(exchange);
  }

  /** A running exchange was answered or abandoned. */
  leave(): void {
    this.#running -= 1;
    this.#changing = false;
    for (let next = this.#waiting[0]; next !== undefined && this.#mayRun(next); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#run(next);
    }
  }

  /**
   * What may be done about bytes that are no request. A problem written straight to the socket would be taken for the
   * answer to the first request that is unanswered, and would call a write refused that is under way (safety): so it
   * is written only where it means the right one. Whole requests before the broken bytes still get their answers.
   */
  afterBrokenBytes(): 'answer' | 'finish_earlier' | 'cut_off' {
    if (this.unanswered === 0) return 'answer';
    if (this.#latest?.request.complete === true) return 'finish_earlier';
    return this.unanswered === 1 ? 'answer' : 'cut_off';
  }

  #mayRun(exchange: Exchange): boolean {
    return this.#running === 0 || (exchange.safe && !this.#changing);
  }

  #run(exchange: Exchange): void {
    this.#running += 1;
    this.#changing = !exchange.safe;
    this.#start(exchange);
  }
}
