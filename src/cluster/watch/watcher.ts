/**
 * One who watches: where it is in each partition, and what it is told. It never holds anything up: whoever takes changes more slowly than they come
 * goes its own way through the log until it has caught up, and is cut off, with the cursor of what it was told last, when it takes nothing at all.
 */
import type { Change } from '../../kv/changes.ts';
import type { ChangePoint, EntryChanges } from '../../replica/change-log.ts';
import type { PartitionId } from '../../replica/ports.ts';
import { formatCursor, nameOf, type Positions, type WatchPosition, type WatchTarget } from './cursor.ts';

/** Why a watch ended; it goes on from its last cursor, at this node or another one, but for `too_old`. */
export type WatchEnd =
  | { readonly type: 'no_contact'; readonly detail: string }
  /** The logs do not reach back to where it was. */
  | { readonly type: 'too_old'; readonly detail: string }
  | { readonly type: 'shutting_down' };

/** Where it goes. None of these may throw. */
export interface WatchSink {
  event(change: Change, partition: PartitionId, cursor: string): void;
  /** Everything that was acknowledged before it was asked for was told. */
  bookmark(cursor: string): void;
  end(end: WatchEnd): void;
  /** Bytes that were told and not taken. */
  queuedBytes(): number;
  /** Resolves once most of it is taken, or when nobody is there any more. */
  drained(): Promise<void>;
}

export class Watcher {
  readonly target: WatchTarget;
  readonly sink: WatchSink;
  readonly #name: Uint8Array;
  readonly #cluster: number;
  readonly #positions: Map<PartitionId, WatchPosition>;
  /** Partitions in which it goes its own way. */
  readonly behind = new Set<PartitionId>();
  /** Monotonic ms: so far it was certain that it was told everything. */
  assuredAt: number;
  ended = false;

  constructor(options: {
    readonly target: WatchTarget;
    readonly positions: Positions;
    /** As cursors name it. */
    readonly cluster: number;
    readonly sink: WatchSink;
    readonly nowMs: number;
  }) {
    this.target = options.target;
    this.sink = options.sink;
    this.#name = nameOf(options.target);
    this.#cluster = options.cluster;
    this.#positions = new Map(options.positions);
    this.assuredAt = options.nowMs;
  }

  partitions(): Iterable<PartitionId> {
    return this.#positions.keys();
  }

  at(partition: PartitionId): ChangePoint {
    return this.#position(partition);
  }

  cursor(): string {
    return formatCursor(this.#name, { cluster: this.#cluster, positions: this.#positions });
  }

  /** Tells what it has not heard of these, all of one partition and in their order; then it has heard everything up to `through`. */
  tell(partition: PartitionId, entries: readonly EntryChanges[], through: ChangePoint): void {
    for (const { index, changes } of entries) {
      const { index: told, done, incarnation } = this.#position(partition);
      if (index <= told) continue;
      for (const [at, change] of changes.entries()) {
        if (index === told + 1 && at < done) continue;
        if (!this.#concerns(change.key)) continue;
        // Behind the last one there is nothing of the entry to come back for.
        const isLast = at === changes.length - 1;
        this.#positions.set(
          partition,
          isLast ? { incarnation, index, done: 0 } : { incarnation, index: index - 1, done: at + 1 },
        );
        this.sink.event(change, partition, this.cursor());
      }
      this.#positions.set(partition, { incarnation, index, done: 0 });
    }
    const { index, incarnation } = this.#position(partition);
    if (through.index > index) this.#positions.set(partition, { incarnation, index: through.index, done: 0 });
  }

  end(end: WatchEnd): void {
    if (this.ended) return;
    this.ended = true;
    this.sink.end(end);
  }

  #concerns(key: Uint8Array): boolean {
    const { type, bytes } = this.target;
    if (key.length < bytes.length || (type === 'key' && key.length !== bytes.length)) return false;
    for (let at = 0; at < bytes.length; at += 1) if (key[at] !== bytes[at]) return false;
    return true;
  }

  #position(partition: PartitionId): WatchPosition {
    return this.#positions.get(partition) ?? { incarnation: 0, index: 0, done: 0 };
  }
}
