/** What the judge knows of one replica: its log in memory, what its disk surely holds, and the writes between the two. */
import { noReplica, type HardState, type LogIndex, type LogReader, type Term } from '../../raft/types.ts';
import type { LogWrite, ReplicaDescriptor } from '../../replica/ports.ts';
import { beforeFirst, type KnownEntry } from './entries.ts';

interface PendingWrite {
  readonly write: LogWrite;
  readonly entries: readonly KnownEntry[];
}

export class ReplicaRecord {
  readonly descriptor: ReplicaDescriptor;
  up = false;
  /** Starts until now. */
  starts = 0;

  /** In memory, by index, as far as it was handed to the disk. */
  readonly log: KnownEntry[] = [beforeFirst];
  hardState: HardState = { currentTerm: 0 as Term, votedFor: noReplica };
  appliedIndex = 0;
  /** The term that it leads; 0 when it leads none, or has written a higher one since. */
  leading = 0;
  /** The last term that it led in this start. */
  led = 0;

  /** The last success it has sent: in that term, its log up to there is the leader's. */
  acknowledged = { term: 0, index: 0 };
  /** The highest index that it has applied in any start. */
  appliedMax = 0;
  /** The applied index that it came back with last. */
  recoveredApplied = 0;
  /** Its stored entries up to here were read back and compared. */
  comparedTo = 0;

  /** What every crash leaves: all that was announced. By index. */
  readonly disk: KnownEntry[] = [beforeFirst];
  diskHardState: HardState = this.hardState;
  /** Handed over, not announced, in order. `log` is `disk` with all of these. */
  readonly #pending: PendingWrite[] = [];
  /** Where the pending writes truncate, in order. */
  readonly #truncations: number[] = [];

  constructor(descriptor: ReplicaDescriptor) {
    this.descriptor = descriptor;
  }

  get name(): string {
    return this.descriptor.nodeId;
  }

  get lastEntry(): KnownEntry {
    return lastOf(this.log);
  }

  get pendingWrites(): number {
    return this.#pending.length;
  }

  /** The write changes the log in memory now. */
  handOver(write: LogWrite, entries: readonly KnownEntry[]): void {
    const pending = { write, entries };
    this.#pending.push(pending);
    if (write.truncateFrom !== undefined) {
      this.#truncations.push(write.truncateFrom);
      this.comparedTo = Math.min(this.comparedTo, write.truncateFrom - 1);
    }
    change(this.log, pending);
    this.hardState = write.hardState ?? this.hardState;
  }

  /** The oldest pending write is durable. Returns false when `write` is another one. */
  announce(write: LogWrite): boolean {
    if (this.#pending[0]?.write !== write) return false;
    this.#completeOldest();
    return true;
  }

  /** Whether `entry` and with it all before it would survive any crash from now on. */
  holds(entry: KnownEntry): boolean {
    return entry.index <= this.#settledIndex() && this.disk[entry.index] === entry;
  }

  /** How far `log` is surely on this disk. */
  matchOf(log: readonly KnownEntry[]): number {
    const end = Math.min(this.#settledIndex(), log.length - 1);
    return highestWhere(end, (index) => this.disk[index] === log[index]);
  }

  /**
   * It came back with this. Returns false when the disk can't have held it: neither all that was announced, nor that
   * and the first few of the writes that were pending.
   */
  recover(hardState: HardState, stored: LogReader): boolean {
    const survivors = this.#survivors(hardState, stored);
    if (survivors === undefined) return false;
    let touched = this.log.length;
    for (const { write, entries } of this.#pending) {
      touched = Math.min(touched, write.truncateFrom ?? touched, entries[0]?.index ?? touched);
    }
    for (let count = 0; count < survivors; count += 1) this.#completeOldest();
    this.#pending.length = 0;
    this.#truncations.length = 0;
    this.log.length = touched;
    for (let index = touched; index < this.disk.length; index += 1) this.log.push(this.disk[index] as KnownEntry);
    this.hardState = this.diskHardState;
    this.comparedTo = Math.min(this.comparedTo, this.log.length - 1);
    return true;
  }

  /** How many of the pending writes reached the disk, going by what it holds now. */
  #survivors(hardState: HardState, stored: LogReader): number | undefined {
    const index = stored.lastIndex();
    const term = stored.term(index);
    let state = this.diskHardState;
    let last = lastOf(this.disk);
    for (let count = 0; ; count += 1) {
      if (isSameHardState(state, hardState) && last.index === index && last.term === term) return count;
      const next = this.#pending[count];
      if (next === undefined) return undefined;
      state = next.write.hardState ?? state;
      last = lastAfter(last, next);
    }
  }

  #completeOldest(): void {
    const pending = this.#pending.shift();
    if (pending === undefined) return;
    change(this.disk, pending);
    this.diskHardState = pending.write.hardState ?? this.diskHardState;
    if (pending.write.truncateFrom !== undefined) this.#truncations.shift();
  }

  /** Up to here no pending truncation can take anything away. */
  #settledIndex(): LogIndex {
    let settled = this.disk.length - 1;
    for (const from of this.#truncations) settled = Math.min(settled, from - 1);
    return settled as LogIndex;
  }
}

/** The highest index in [0, end] for which `holds` is true. It is true at 0, and once false it stays so. */
export function highestWhere(end: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = end;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function isSameHardState(a: HardState, b: HardState): boolean {
  return a.currentTerm === b.currentTerm && a.votedFor === b.votedFor;
}

function change(log: KnownEntry[], { write, entries }: PendingWrite): void {
  if (write.truncateFrom !== undefined && write.truncateFrom < log.length) log.length = write.truncateFrom;
  for (const entry of entries) log.push(entry);
}

function lastAfter(last: KnownEntry, { write, entries }: PendingWrite): KnownEntry {
  const appended = entries.at(-1);
  if (appended !== undefined) return appended;
  let kept = last;
  while (kept.previous !== undefined && kept.index >= (write.truncateFrom ?? Infinity)) kept = kept.previous;
  return kept;
}

function lastOf(log: readonly KnownEntry[]): KnownEntry {
  return log[log.length - 1] as KnownEntry;
}
