import type { DatabaseRecord } from './database.ts';

/** Records in the order of their keys, each looked at before it is taken. */
export class StateScan {
  /** Behind which key the last part that was read ended; undefined while none has. */
  last: Buffer | undefined;
  readonly #pieces: AsyncIterator<readonly DatabaseRecord[]>;
  #piece: readonly DatabaseRecord[] = [];
  #at = 0;

  constructor(pieces: AsyncIterable<readonly DatabaseRecord[]>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Undefined at the end. */
  async peek(): Promise<DatabaseRecord | undefined> {
    while (this.#at === this.#piece.length) {
      const next = await this.#pieces.next();
      if (next.done === true) return undefined;
      this.#piece = next.value;
      this.#at = 0;
    }
    return this.#piece[this.#at];
  }

  take(): void {
    this.#at += 1;
  }

  async close(): Promise<void> {
    this.#piece = [];
    await this.#pieces.return?.();
  }
}
