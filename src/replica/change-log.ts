/**
 * What a replica's entries changed, told again from its log: the ring of events is the log itself, so it is there after a restart, and reaches
 * back as far as the log does. Newest entries come from memory.
 *
 * Safety: only what is applied here is told, so nothing that could still be truncated. What a snapshot has taken the place of can't be told: whoever
 * wants it hears so, and is not told what comes behind it as if there were nothing between.
 */
import { planted } from '../planted.ts';
import { changesOf, type Change } from '../kv/changes.ts';
import { EntryKind } from '../raft/types.ts';
import type { Entry, LogIndex } from '../raft/types.ts';
import type { PartitionId, Storage } from './ports.ts';

/** A place in the history of a partition. */
export interface ChangePoint {
  /** Of the partition: in another one, indexes mean something else. */
  readonly incarnation: number;
  /** All entries up to it. */
  readonly index: number;
}

/** All that one entry changed, in its order; none are left out. */
export interface EntryChanges {
  readonly index: number;
  readonly changes: readonly Change[];
}

export type ChangesOutcome =
  /** Entries that changed something, in their order; all others up to `through` changed nothing. */
  | { readonly type: 'changes'; readonly entries: readonly EntryChanges[]; readonly through: ChangePoint }
  /** The log begins behind it, or it is of another incarnation. */
  | { readonly type: 'too_old'; readonly detail: string };

export interface ChangeLogOptions {
  readonly partition: PartitionId;
  /** Whole entries with their newest in memory: at least one, about so many bytes. */
  readonly entries: (from: LogIndex, to: LogIndex, bytesMax: number) => readonly Entry[];
  readonly firstIndex: () => number;
  readonly now: () => ChangePoint;
  readonly storage: Pick<Storage, 'keptChanges'>;
}

export class ChangeLog {
  readonly #options: ChangeLogOptions;
  #waiting: (() => void)[] = [];

  constructor(options: ChangeLogOptions) {
    this.#options = options;
  }

  /** What came behind `after`, about `bytesMax` of it. Throws a StorageDamage. */
  read(after: ChangePoint, bytesMax: number): ChangesOutcome {
    const { partition, firstIndex, now, entries } = this.#options;
    const { incarnation, index: applied } = now();
    if (after.incarnation !== incarnation) {
      const detail = `partition ${partition} was begun anew since: it is of incarnation ${incarnation} now`;
      return { type: 'too_old', detail };
    }
    const next = (after.index + 1) as LogIndex;
    const from = planted('watch-over-snapshot') ? (Math.max(next, firstIndex()) as LogIndex) : next;
    if (from < firstIndex()) {
      return { type: 'too_old', detail: `the log of partition ${partition} begins at ${firstIndex()}` };
    }
    // Here it is behind where others have been.
    if (from > applied) return { type: 'changes', entries: [], through: after };
    const found = entries(from, applied as LogIndex, bytesMax);
    const last = found.at(-1);
    const told = planted('watch-gap-at-leader-change') ? found.filter(({ term }) => term === last?.term) : found;
    const through = last?.index ?? after.index;
    return {
      type: 'changes',
      entries: told.flatMap((entry) => this.#changesOf(entry)),
      through: { incarnation, index: through },
    };
  }

  /** Calls back once, when more is applied or will never be. Returns how to take that back. */
  onMore(callback: () => void): () => void {
    this.#waiting.push(callback);
    return () => {
      this.#waiting = this.#waiting.filter((one) => one !== callback);
    };
  }

  /** More is applied, or nothing will be any more. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    for (const callback of this.#waiting.splice(0)) callback();
  }

  #changesOf(entry: Entry): readonly EntryChanges[] {
    if (entry.kind !== EntryKind.command) return [];
    const { partition, storage } = this.#options;
    const kept = planted('watch-presumes-outcome') ? undefined : storage.keptChanges(partition, entry.index);
    const changes = changesOf(entry, kept);
    return changes.length === 0 ? [] : [{ index: entry.index, changes }];
  }
}
