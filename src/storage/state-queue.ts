import type { StorageConfig } from '../config.ts';
import type { Clock } from '../replica/ports.ts';
import { CommitQueue, type CommitQueueOptions, type Queued } from './commit-queue.ts';
import type { GroupState, StagedChange } from './group-state.ts';
import type { StagingWrite } from './staging-area.ts';
import type { StateTraps } from './state-traps.ts';

/** Applied changes, or something that has to do with a snapshot. */
type QueuedStateWrite =
  | (Queued & { readonly type: 'applied'; readonly state: GroupState; readonly change: StagedChange })
  | (Queued & { readonly type: 'staging'; readonly write: StagingWrite; readonly waiting: Waiting });

/** Who waits for a staging write to be durable. */
interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface StateQueueOptions extends Pick<
  CommitQueueOptions<QueuedStateWrite>,
  'database' | 'sequence' | 'onFailure' | 'onBatch'
> {
  readonly config: StorageConfig;
  readonly after: Clock['after'];
  readonly traps: Pick<StateTraps, 'ordinalEnd' | 'durable'>;
  /** Staged state has waited long enough for more of it. */
  readonly onDue: () => void;
  /** Runs after the fsync; nothing counts as durable when it says no. */
  readonly onSynced: () => boolean;
  /** All that the batch held has been told of. */
  readonly onSettled: () => void;
}

/**
 * What waits for the state's database. It gathers for a while, since a few large batches cost less than many small ones, and nobody
 * waits for applied changes; a transfer waits for each chunk, and a comparison for the state of an index: so that goes at once and takes along
 * what there is, up to that index.
 */
export class StateQueue {
  readonly #options: StateQueueOptions;
  readonly #queue: CommitQueue<QueuedStateWrite>;
  readonly #waiting = new Set<Waiting>();
  /** Writes that somebody waits for. */
  #urgent = 0;
  /** Cancels the wait of staged state for more of it. */
  #cancelFlush: (() => void) | undefined;
  #due = false;

  constructor(options: StateQueueOptions) {
    const { database, sequence, onFailure, config } = options;
    this.#options = options;
    this.#queue = new CommitQueue({
      database,
      sequence,
      batchBytesMax: config.batchBytesMax,
      encode: (items, batch, scratch) => {
        const end = items.at(-1)?.ordinal ?? 0;
        const encode = (item: QueuedStateWrite): number =>
          item.type === 'staging'
            ? item.write.encode(batch, scratch)
            : item.state.encode(item.change, end, batch, scratch);
        return items.reduce((bytes, item) => bytes + encode(item), 0);
      },
      onDurable: (items) => this.#durable(items),
      onFailure,
      onBatch: options.onBatch,
    });
  }

  push(state: GroupState, change: StagedChange, bytes: number): void {
    this.#queue.push({ type: 'applied', ordinal: change.ordinal, bytes, state, change });
  }

  /** Resolves once it is durable, rejects when the storage fails before. */
  pushStaging(ordinal: number, write: StagingWrite): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = { resolve, reject };
      this.#waiting.add(waiting);
      if (write.urgent) this.#urgent += 1;
      this.#queue.push({ type: 'staging', ordinal, bytes: write.bytes, write, waiting });
    });
  }

  /** Starts a batch of what was pushed before `ordinalEnd`, if it is due, or `now`, and none is under way. */
  flush(ordinalEnd: number, now: boolean): void {
    if (this.#queue.waitingBytes() === 0 || this.#queue.batchUnderWay()) return;
    const { config, after, traps } = this.#options;
    const trapped = traps.ordinalEnd();
    const much = this.#urgent > 0 || trapped < Infinity || this.#queue.waitingBytes() > config.batchBytesMax / 2;
    if (!much && !this.#due && !now) {
      this.#cancelFlush ??= after(config.stateFlushDelayMs, this.#onDue);
      return;
    }
    this.#queue.start(Math.min(ordinalEnd, trapped));
    if (!this.#queue.batchUnderWay()) return;
    this.stop();
    this.#due = false;
  }

  /** Nothing more becomes due by itself. */
  stop(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
  }

  /** Whoever waits is told of it: nothing will be durable any more. */
  failed(error: unknown): void {
    for (const waiting of this.#waiting) waiting.reject(error);
  }

  batchUnderWay(): boolean {
    return this.#queue.batchUnderWay();
  }

  isEmpty(): boolean {
    return this.#queue.isEmpty();
  }

  pendingBytes(): number {
    return this.#queue.pendingBytes();
  }

  readonly #onDue = (): void => {
    this.#cancelFlush = undefined;
    this.#due = true;
    this.#options.onDue();
  };

  #durable(items: readonly QueuedStateWrite[]): void {
    if (!this.#options.onSynced()) return;
    for (const item of items) {
      if (item.type === 'applied') {
        item.state.durable(item.change);
        continue;
      }
      if (item.write.urgent) this.#urgent -= 1;
      this.#waiting.delete(item.waiting);
      item.waiting.resolve();
    }
    this.#options.traps.durable(items.at(-1)?.ordinal ?? 0);
    this.#options.onSettled();
  }
}
