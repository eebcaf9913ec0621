/** Wakes the requests that wait for a partition's leader: at once when one is known, and at a steady pace besides. */
import type { Clock, PartitionId } from '../replica/ports.ts';

interface Gathering {
  readonly woken: Promise<void>;
  readonly wake: () => void;
}

export class LeaderWatch {
  readonly #clock: Clock;
  readonly #paceMs: number;
  readonly #gatherings = new Map<PartitionId, Gathering>();

  constructor(clock: Clock, paceMs: number) {
    this.#clock = clock;
    this.#paceMs = paceMs;
  }

  /** Resolves when `wake` is called for the partition, at the latest after the pace. All who wait for one partition share a timer. */
  wait(partition: PartitionId): Promise<void> {
    const gathering = this.#gatherings.get(partition) ?? this.#gather(partition);
    return gathering.woken;
  }

  wake(partition: PartitionId): void {
    this.#gatherings.get(partition)?.wake();
  }

  #gather(partition: PartitionId): Gathering {
    let release: () => void = () => undefined;
    const woken = new Promise<void>((resolve) => {
      release = resolve;
    });
    const wake = (): void => {
      cancel();
      this.#gatherings.delete(partition);
      release();
    };
    const cancel = this.#clock.after(this.#paceMs, wake);
    const gathering = { woken, wake };
    this.#gatherings.set(partition, gathering);
    return gathering;
  }
}
