/**
 * Drives every replica that has mail, once in a turn of the event loop, and then flushes for all of them together: what
 * many groups have to say to one peer leaves in one write, and what they have to store shares one fsync.
 */
import type { Replica } from '../replica/replica.ts';
import type { Storage, Transport } from '../replica/ports.ts';

export interface DriveLoopOptions {
  readonly transport: Pick<Transport, 'flush'>;
  readonly storage: Pick<Storage, 'flush'>;
  /** Runs its callback after the I/O that is due now was taken in, so that one turn sees all of it. */
  readonly schedule: (turn: () => void) => void;
  /** A turn begins. */
  readonly onTurn: () => void;
  /** A replica threw. Whether that is seen to, so that the others go on. */
  readonly endsOne: (error: unknown) => boolean;
  /** What a replica threw is not one replica's matter: a broken invariant, say. The node must stop. */
  readonly onFailure: (error: unknown) => void;
}

export class DriveLoop {
  readonly #options: DriveLoopOptions;
  readonly #turn = () => this.#run();
  #waiting = new Set<Replica>();
  #spare = new Set<Replica>();
  #scheduled = false;
  #stopped = false;

  constructor(options: DriveLoopOptions) {
    this.#options = options;
  }

  /** `replica` has mail. Called while a turn runs, it is driven in the next one. */
  wake(replica: Replica): void {
    this.#waiting.add(replica);
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#options.schedule(this.#turn);
  }

  stop(): void {
    this.#stopped = true;
  }

  #run(): void {
    this.#scheduled = false;
    if (this.#stopped) return;
    this.#options.onTurn();
    const turn = this.#waiting;
    this.#waiting = this.#spare;
    try {
      for (const replica of turn) this.#drive(replica);
    } catch (error) {
      this.#stopped = true;
      this.#options.onFailure(error);
      return;
    }
    turn.clear();
    this.#spare = turn;
    // Messages leave first: the followers' fsyncs run while the leader's own does.
    this.#options.transport.flush();
    this.#options.storage.flush();
  }

  #drive(replica: Replica): void {
    try {
      replica.drive();
    } catch (error) {
      if (!this.#options.endsOne(error)) throw error;
    }
  }
}
