/**
 * Gives back what deleted log entries still take on the disk. LevelDB drops them only when it merges the tables that hold them with
 * the marks of their deletion, which are small and so come down its levels slowly: left alone, a log that is written to
 * all the time takes three to five times what is kept of it (measured, and the same after millions of entries).
 *
 * So it is looked now and then how much lies before the logs' first entries. Above a bound, all groups together, the range of the
 * group with most of it is merged by itself: there is nothing alive in it, so that little is written for it.
 */
import type { StorageConfig } from '../config.ts';
import type { LogIndex } from '../raft/types.ts';
import type { Clock, PartitionId, Storage } from '../replica/ports.ts';
import { indexKey, RecordKind } from './keys.ts';
import type { LevelDatabase } from './level-database.ts';

export interface LogSpaceOptions {
  readonly database: Pick<LevelDatabase, 'approximateBytes' | 'mergeRange'>;
  readonly config: Pick<StorageConfig, 'logDeletedBytesMax' | 'logDeletedCheckMs' | 'tableBytesMax'>;
  readonly after: Clock['after'];
  readonly onFailure: (error: unknown) => void;
}

type Logs = Pick<Storage, 'partitions' | 'log'>;

/** What was found of one group. */
interface Deleted {
  readonly firstIndex: LogIndex;
  readonly bytes: number;
}

export class LogSpace {
  readonly #options: LogSpaceOptions;
  readonly #deleted = new Map<PartitionId, Deleted>();
  #cancel: () => void = () => undefined;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;
  #isLow = false;

  constructor(options: LogSpaceOptions) {
    this.#options = options;
  }

  watch(logs: Logs): void {
    if (this.#stopped) return;
    const { config, after, onFailure } = this.#options;
    this.#cancel = after(config.logDeletedCheckMs, () => {
      this.#looking = this.#look(logs).then(
        () => this.watch(logs),
        (error: unknown) => onFailure(error),
      );
    });
  }

  /** Whether the disk has little room left: then a table's worth is reason enough. */
  hurry(isLow: boolean): void {
    this.#isLow = isLow;
  }

  /** Resolves once the database may be closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#looking;
  }

  async #look(logs: Logs): Promise<void> {
    for (const partition of logs.partitions()) await this.#measure(partition, logs.log(partition).firstIndex());
    const { config, database } = this.#options;
    const bytesMax = (): number => (this.#isLow ? config.tableBytesMax : config.logDeletedBytesMax);
    while (!this.#stopped && this.#total() > bytesMax()) {
      const [partition, { firstIndex }] = this.#largest();
      await database.mergeRange(...rangeBefore(partition, firstIndex));
      // Measured anew at the next look: tables that LevelDB moved down by itself meanwhile were passed over.
      this.#deleted.delete(partition);
    }
  }

  /** Nothing is asked of a group whose log begins where it did. */
  async #measure(partition: PartitionId, firstIndex: LogIndex): Promise<void> {
    if (this.#stopped || this.#deleted.get(partition)?.firstIndex === firstIndex) return;
    const bytes = await this.#options.database.approximateBytes(...rangeBefore(partition, firstIndex));
    this.#deleted.set(partition, { firstIndex, bytes });
  }

  #total(): number {
    return [...this.#deleted.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #largest(): readonly [PartitionId, Deleted] {
    return [...this.#deleted].reduce((most, one) => (one[1].bytes > most[1].bytes ? one : most));
  }
}

/** From the first entry that a log can ever have had, to the one before its first. */
function rangeBefore(partition: PartitionId, firstIndex: LogIndex): [from: Buffer, to: Buffer] {
  const key = (index: number): Buffer => indexKey(partition, RecordKind.logEntry, index);
  return [key(0), key(Math.max(0, firstIndex - 1))];
}
