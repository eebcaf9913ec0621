/** A storage snapshot that is held open over the attempts to carry it. */
import { assert } from '../assert.ts';
import type { Scratch } from '../bytes.ts';
import type { MachineState } from '../kv/types.ts';
import type { LogIndex } from '../raft/types.ts';
import type { StateSnapshot, StoredConfiguration } from './ports.ts';

/** Closes the storage snapshot exactly once, and never under a read. */
export class HeldSnapshot {
  readonly #snapshot: StateSnapshot;
  #reading = false;
  #released = false;
  #closed: () => void = () => undefined;
  /** Resolves once the storage snapshot is closed. */
  readonly closed: Promise<void>;
  /** Bytes of records that the receiver has staged. */
  bytesSent = 0;
  /** When the receiver last said that it holds a part of it, monotonic ms; undefined: there is nothing to go on from. */
  stagedAt: number | undefined;

  constructor(snapshot: StateSnapshot) {
    this.#snapshot = snapshot;
    this.closed = new Promise((resolve) => (this.#closed = resolve));
  }

  get index(): LogIndex {
    return this.#snapshot.machineState.appliedIndex as LogIndex;
  }

  get machineState(): MachineState {
    return this.#snapshot.machineState;
  }

  get configuration(): StoredConfiguration | undefined {
    return this.#snapshot.configuration;
  }

  async read(after: Uint8Array | undefined, bytesMax: number, memory: Scratch): ReturnType<StateSnapshot['read']> {
    assert(
      !this.#reading && !this.#released,
      'a snapshot is read by one transfer, chunk after chunk, until it is released',
    );
    this.#reading = true;
    try {
      return await this.#snapshot.read(after, bytesMax, memory);
    } finally {
      this.#reading = false;
      this.#closeIfDone();
    }
  }

  /** Nobody needs it any more: it is closed now, or behind the read that is under way. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#reading || !this.#released) return;
    this.#snapshot.close();
    this.#closed();
  }
}
