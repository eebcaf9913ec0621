import type { PartitionId, StateReading, StateSnapshot } from '../replica/ports.ts';
import type { StorageDamage } from './damage.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { DurableReading } from './state-reading.ts';
import { DurableSnapshot } from './state-snapshot.ts';

/** What is made of one moment of the state's database. */
export interface MomentOptions {
  readonly snapshot: DatabaseSnapshot;
  readonly partition: PartitionId;
  /** Told once, of when the database has let go of it. */
  readonly onClose: (closed: Promise<void>) => void;
  /** Told as well as whoever reads: they may take it for something that failed. */
  readonly onDamage: (error: StorageDamage) => void;
}

/** Snapshots and readings of a state: the database is not closed before each of them is. */
export class OpenSnapshots {
  readonly #database: Database;
  readonly #open = new Set<{ close(): void }>();
  /** Closed, and still held by a read. */
  readonly #closing = new Set<Promise<void>>();

  readonly #onDamage: (error: StorageDamage) => void;

  constructor(database: Database, onDamage: (error: StorageDamage) => void) {
    this.#database = database;
    this.#onDamage = onDamage;
  }

  open(partition: PartitionId): StateSnapshot {
    return this.#opened(partition, (options) => new DurableSnapshot(options));
  }

  openReading(partition: PartitionId): StateReading {
    return this.#opened(partition, (options) => new DurableReading(options));
  }

  async close(): Promise<void> {
    for (const snapshot of this.#open) snapshot.close();
    await Promise.all(this.#closing);
  }

  #opened<Moment extends { close(): void }>(partition: PartitionId, make: (options: MomentOptions) => Moment): Moment {
    const snapshot = this.#database.snapshot();
    try {
      const opened = make({
        snapshot,
        partition,
        onDamage: this.#onDamage,
        onClose: (closed) => {
          this.#open.delete(opened);
          this.#letGo(closed);
        },
      });
      this.#open.add(opened);
      return opened;
    } catch (error) {
      this.#letGo(snapshot.close());
      throw error;
    }
  }

  #letGo(closed: Promise<void>): void {
    this.#closing.add(closed);
    void closed.then(() => this.#closing.delete(closed));
  }
}
