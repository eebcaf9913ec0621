/** An answer that is sent piece by piece, as fast as its reader takes it. */
import type { ServerResponse } from 'node:http';
import type { Connection } from './connection.ts';

export interface AnswerStreamOptions {
  readonly response: ServerResponse;
  readonly connection: Connection;
  /** A reader that takes nothing for so long is gone: its connection is closed. */
  readonly stallTimeoutMs: number;
  readonly ended: () => void;
}

export class AnswerStream {
  readonly #options: AnswerStreamOptions;
  #ended = false;
  #draining: Promise<void> | undefined;
  readonly #forget: () => void;

  constructor(options: AnswerStreamOptions) {
    this.#options = options;
    // Closed before it was ended: the reader is gone.
    this.#forget = options.connection.whenClosed(() => this.#end());
  }

  /** Nobody reads on: what follows is not wanted any more. */
  get gone(): boolean {
    return this.#ended;
  }

  /** Resolves once there is room for more, or nobody reads on. */
  async write(text: string): Promise<void> {
    const { response } = this.#options;
    if (this.#ended || response.write(text)) return;
    await this.#drained();
  }

  /** Without waiting: how much of it is untaken, `queuedBytes` says. */
  send(text: string): void {
    const { response } = this.#options;
    if (this.#ended || response.write(text) || this.#draining !== undefined) return;
    this.#draining = this.#drained().then(() => (this.#draining = undefined));
  }

  /** Written and not taken by the reader. */
  get queuedBytes(): number {
    return this.#ended ? 0 : this.#options.response.writableLength;
  }

  /** Resolves once there is room for more, or nobody reads on. */
  async drained(): Promise<void> {
    await this.#draining;
  }

  end(text: string): void {
    if (this.#ended) return;
    this.#options.response.end(text);
    this.#end();
  }

  #drained(): Promise<void> {
    const { response, connection, stallTimeoutMs } = this.#options;
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        forget();
        response.off('drain', go).off('close', go);
        resolve();
      };
      const timer = setTimeout(() => connection.socket.destroy(), stallTimeoutMs);
      const forget = connection.whenClosed(go);
      response.once('drain', go).once('close', go);
    });
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#forget();
    this.#options.ended();
  }
}
