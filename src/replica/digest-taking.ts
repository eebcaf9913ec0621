/** One replica's state of one index is waited for, read from the disk at a bounded rate, verified and summed up. */
import type { ScrubConfig } from '../config.ts';
import type { LogIndex } from '../raft/types.ts';
import type { ByteRate } from './byte-rate.ts';
import type { Clock, StateDigest, StateReading, StateTrap } from './ports.ts';

export type TakingStanding =
  | { readonly type: 'reading' }
  | { readonly type: 'taken'; readonly digest: StateDigest }
  | { readonly type: 'failed'; readonly reason: string };

export interface TakingPorts {
  readonly clock: Clock;
  readonly limits: Pick<ScrubConfig, 'pieceBytes' | 'trapTimeoutMs'>;
  /** Of all readings of this node. */
  readonly rate: ByteRate;
  /** A record could not be believed, or the disk not be read. */
  readonly onFailure: (error: unknown) => void;
}

export class DigestTaking {
  readonly index: LogIndex;
  /** Resolves, and never rejects, once it has ended, well or not, and storage is asked for nothing any more. */
  readonly ended: Promise<void>;
  readonly #ports: TakingPorts;
  readonly #trap: StateTrap;
  #standing: TakingStanding = { type: 'reading' };
  #cancelled = false;
  #endWait: () => void = () => undefined;

  constructor(ports: TakingPorts, index: LogIndex, trap: StateTrap) {
    this.index = index;
    this.#ports = ports;
    this.#trap = trap;
    this.ended = this.#run();
  }

  get standing(): TakingStanding {
    return this.#standing;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#trap.takeBack();
    this.#endWait();
  }

  #isCancelled(): boolean {
    return this.#cancelled;
  }

  async #run(): Promise<void> {
    try {
      const digest = await this.#take();
      this.#standing =
        digest === undefined
          ? {
              type: 'failed',
              reason: this.#isCancelled() ? 'it was broken off' : `it did not stop at index ${this.index} in time`,
            }
          : { type: 'taken', digest };
    } catch (error) {
      this.#standing = { type: 'failed', reason: error instanceof Error ? error.message : String(error) };
      if (!this.#isCancelled()) this.#ports.onFailure(error);
    }
  }

  /** Undefined when it comes to nothing. */
  async #take(): Promise<StateDigest | undefined> {
    const { clock, limits } = this.#ports;
    const cancelTimer = clock.after(limits.trapTimeoutMs, () => this.#trap.takeBack());
    let reading: StateReading | undefined;
    try {
      reading = await this.#trap.sprung;
    } finally {
      cancelTimer();
    }
    if (reading === undefined) return undefined;
    try {
      return await this.#readAll(reading);
    } finally {
      reading.close();
    }
  }

  async #readAll(reading: StateReading): Promise<StateDigest | undefined> {
    const { rate, limits } = this.#ports;
    for (let done = false; !done;) {
      if (this.#isCancelled()) return undefined;
      const grant = rate.take(limits.pieceBytes);
      this.#endWait = grant.cancel;
      await grant.granted;
      if (this.#isCancelled()) return undefined;
      const part = await reading.read(limits.pieceBytes);
      rate.correct(part.bytes - limits.pieceBytes);
      done = part.done;
    }
    return reading.digest();
  }
}
