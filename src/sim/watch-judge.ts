/**
 * What watchers are told, against what was applied: of each partition every change from where the watch began, in the order of the log, each
 * key of an entry once, nothing left out and nothing twice, wherever the watcher goes on; and a bookmark or cursor says no more than was told.
 */
import type { Positions } from '../cluster/watch/cursor.ts';
import type { Change } from '../kv/changes.ts';
import type { StateWrite } from '../kv/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { Violation } from './violation.ts';

const rule = 'watches';

/** Keys that an entry changed, as text, and whether there is a value afterwards. */
type Entry = ReadonlyMap<string, boolean>;

export class WatchJudge {
  readonly #partitions = new Map<PartitionId, Map<number, Entry>>();
  /** The highest index that changed something. */
  readonly #last = new Map<PartitionId, number>();

  /** Some replica has applied the entry at `index`. */
  applied(partition: PartitionId, index: number, writes: readonly StateWrite[]): void {
    const entries = this.#entriesOf(partition);
    if (entries.has(index)) return;
    const changed = writes.flatMap((write): [string, boolean][] =>
      write.type === 'put' || write.type === 'delete' ? [[textOf(write.key), write.type === 'put']] : [],
    );
    if (changed.length === 0) return;
    entries.set(index, new Map(changed));
    this.#last.set(partition, Math.max(index, this.#last.get(partition) ?? 0));
  }

  last(partition: PartitionId): number {
    return this.#last.get(partition) ?? 0;
  }

  entry(partition: PartitionId, index: number): Entry | undefined {
    return this.#entriesOf(partition).get(index);
  }

  /** The first entry with changes behind `after` and before `to`. */
  firstBetween(partition: PartitionId, after: number, to: number): number | undefined {
    const entries = this.#entriesOf(partition);
    for (let index = after + 1; index < to; index += 1) if (entries.has(index)) return index;
    return undefined;
  }

  #entriesOf(partition: PartitionId): Map<number, Entry> {
    const known = this.#partitions.get(partition);
    if (known !== undefined) return known;
    const entries = new Map<number, Entry>();
    this.#partitions.set(partition, entries);
    return entries;
  }
}

/** What one watcher has been told so far. */
export class Told {
  readonly #judge: WatchJudge;
  readonly #at = new Map<PartitionId, { index: number; keys: Set<string> }>();
  count = 0;

  /** Begins where the first bookmark says. */
  constructor(judge: WatchJudge, from: Positions) {
    this.#judge = judge;
    for (const [partition, { index }] of from) this.#at.set(partition, { index, keys: new Set() });
  }

  /** Throws a Violation. */
  event(partition: PartitionId, change: Change): void {
    const at = this.#place(partition);
    const { revision: index, type } = change;
    const key = textOf(change.key);
    if (index < at.index) throw new Violation(rule, `entry ${index} is told after ${at.index}`, partition);
    if (index > at.index) {
      this.#expectWhole(partition, at, index);
      at.index = index;
      at.keys = new Set();
    }
    const entry = this.#judge.entry(partition, index);
    const hasValue = entry?.get(key);
    // A key that was due and is put in the same entry is told of twice: that it expired, and that it was put.
    const isRight = hasValue === (type === 'put') || (type === 'expire' && hasValue === true);
    if (hasValue === undefined || !isRight) {
      throw new Violation(
        rule,
        `${type} of ${JSON.stringify(key)} is told of entry ${index}, which did no such thing`,
        partition,
      );
    }
    const name = type === 'expire' && hasValue ? `expired ${key}` : key;
    if (at.keys.has(name))
      throw new Violation(rule, `${type} of ${JSON.stringify(key)} in entry ${index} is told twice`, partition);
    at.keys.add(name);
    this.count += 1;
  }

  /** All up to there was told, by the word of the node. Throws a Violation. */
  bookmark(positions: Positions): void {
    for (const [partition, { index, done }] of positions) {
      const at = this.#place(partition);
      const through = done > 0 ? index : index + 1;
      this.#expectWhole(partition, at, through);
      if (index > at.index) {
        at.index = index;
        at.keys = new Set(this.#judge.entry(partition, index)?.keys());
      }
    }
  }

  /** Whether it has heard of everything that is known to have been applied. */
  missing(partitions: readonly PartitionId[]): PartitionId | undefined {
    return partitions.find((partition) => {
      const { index } = this.#place(partition);
      return index < this.#judge.last(partition);
    });
  }

  /** The entry where it is was told wholly, and between it and `to` there is nothing. */
  #expectWhole(
    partition: PartitionId,
    at: { readonly index: number; readonly keys: ReadonlySet<string> },
    to: number,
  ): void {
    const entry = to > at.index ? this.#judge.entry(partition, at.index) : undefined;
    const untold = at.keys.size === 0 ? undefined : [...(entry?.keys() ?? [])].find((key) => !at.keys.has(key));
    if (untold !== undefined) {
      throw new Violation(
        rule,
        `${JSON.stringify(untold)} of entry ${at.index} is not told, and what lies behind it is`,
        partition,
      );
    }
    const skipped = this.#judge.firstBetween(partition, at.index, to);
    if (skipped !== undefined) {
      throw new Violation(rule, `entry ${skipped} is not told, and what lies behind it is`, partition);
    }
  }

  #place(partition: PartitionId): { index: number; keys: Set<string> } {
    const at = this.#at.get(partition);
    if (at === undefined) throw new Violation(rule, 'a partition is told of that is not watched', partition);
    return at;
  }
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}
