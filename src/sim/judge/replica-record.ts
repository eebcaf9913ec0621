/** What the judge knows of one replica: its log in memory, what its disk surely holds, and the writes between the two. */
import {
  noReplica,
  type HardState,
  type LogIndex,
  type LogReader,
  type ReplicaId,
  type SnapshotPoint,
  type Term,
} from '../../raft/types.ts';
import type { LogWrite, NodeId } from '../../replica/ports.ts';
import { beforeFirst, type KnownEntry } from './entries.ts';

/** What a replica hands to its disk. */
export interface JudgedWrite extends LogWrite {
  /** The whole log gives way to the snapshot that ends here; before all else in the batch. */
  readonly install?: SnapshotPoint | undefined;
  /** Entries up to and with this one are forgotten. */
  readonly compactThrough?: LogIndex | undefined;
}

/** The entries of a write, as everybody knows them. */
export interface KnownWrite {
  readonly entries: readonly KnownEntry[];
  /** The last entry of the snapshot that it installs. */
  readonly installed: KnownEntry | undefined;
}

interface PendingWrite extends KnownWrite {
  readonly write: JudgedWrite;
  /** What the log held from here on gives way. */
  readonly cutFrom: number | undefined;
  readonly appliedMaxBefore: number;
}

export class ReplicaRecord {
  readonly replicaId: ReplicaId;
  /** Undefined until it comes into being: a configuration may name it earlier. */
  nodeId: NodeId | undefined;
  name: string;
  up = false;
  /** Starts until now. */
  starts = 0;

  /** In memory, by index, as far as it was handed to the disk. What it has forgotten, before `first`, is kept here. */
  readonly log: KnownEntry[] = [beforeFirst];
  first = 1;
  hardState: HardState = { currentTerm: 0 as Term, votedFor: noReplica };
  appliedIndex = 0;
  /** The term that it leads; 0 when it leads none, or has written a higher one since. */
  leading = 0;
  /** The last term that it led in this start. */
  led = 0;
  /** It has applied a configuration that leaves it out. */
  removed = false;
  /** Its destruction was begun in this start. */
  leaving = false;
  /** Its node knows that its records can't be believed: it says nothing any more, in no start. */
  inDoubt = false;
  /** Its node has started without it: nothing of it had reached the disk, so that it never was. */
  unstored = false;
  /** It was destroyed, down to the last record. */
  gone = false;
  /** A whole snapshot that lies beside its state, durable. */
  staged: SnapshotPoint | undefined;

  /** Entries at the end of its log that it has named to others and not yet handed to the disk: the next write has to bring them. */
  readonly claims: { readonly index: number; readonly term: number }[] = [];
  /** The last success it has sent: in that term, its log up to there is the leader's. */
  acknowledged = { term: 0, index: 0 };
  /** The highest index that it has applied in any start. */
  appliedMax = 0;
  /** The applied index that it came back with last. */
  recoveredApplied = 0;
  /** Its state up to here was said to be durable. */
  stateDurable = 0;
  /** Its stored entries up to here were read back and compared. */
  comparedTo = 0;

  /** What every crash leaves: all that was announced. By index. */
  readonly disk: KnownEntry[] = [beforeFirst];
  diskFirst = 1;
  diskHardState: HardState = this.hardState;
  /** Handed over, not announced, in order. `log` is `disk` with all of these. */
  readonly #pending: PendingWrite[] = [];
  /** Where the pending writes cut the log off, in order. */
  readonly #cuts: number[] = [];

  constructor(replicaId: ReplicaId) {
    this.replicaId = replicaId;
    this.name = `replica ${replicaId}`;
  }

  get lastEntry(): KnownEntry {
    return lastOf(this.log);
  }

  get pendingWrites(): number {
    return this.#pending.length;
  }

  /** The write changes the log in memory now. */
  handOver(write: JudgedWrite, { entries, installed }: KnownWrite): void {
    const cutFrom = installed === undefined ? write.truncateFrom : sharedEnd(this.log, installed) + 1;
    const pending = { write, entries, installed, cutFrom, appliedMaxBefore: this.appliedMax };
    this.#pending.push(pending);
    if (cutFrom !== undefined) {
      this.#cuts.push(cutFrom);
      this.comparedTo = Math.min(this.comparedTo, cutFrom - 1);
    }
    change(this.log, pending);
    this.first = firstAfter(this.first, write);
    this.hardState = write.hardState ?? this.hardState;
    if (installed === undefined) return;
    this.appliedIndex = installed.index;
    this.appliedMax = Math.max(this.appliedMax, installed.index);
  }

  /** The oldest pending write is durable. Returns false when `write` is another one. */
  announce(write: JudgedWrite): boolean {
    if (this.#pending[0]?.write !== write) return false;
    this.#completeOldest();
    return true;
  }

  /** Whether anything of it was ever said to be durable. */
  get isStored(): boolean {
    return this.diskHardState.currentTerm > 0 || this.diskFirst > 1 || this.disk.length > 1;
  }

  /** Whether `entry` and with it all before it would survive any crash from now on. */
  holds(entry: KnownEntry): boolean {
    return entry.index <= this.#settledIndex() && this.disk[entry.index] === entry;
  }

  /** How far `log` is surely on this disk. */
  matchOf(log: readonly KnownEntry[]): number {
    const end = Math.min(this.#settledIndex(), log.length - 1);
    if (this.disk[end] === log[end]) return end;
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
    for (const { cutFrom, entries } of this.#pending) {
      touched = Math.min(touched, cutFrom ?? touched, entries[0]?.index ?? touched);
    }
    for (let count = 0; count < survivors; count += 1) this.#completeOldest();
    // What was applied after an install that is gone is gone with it.
    const lost = this.#pending.find(({ installed }) => installed !== undefined);
    if (lost !== undefined) this.appliedMax = lost.appliedMaxBefore;
    this.#pending.length = 0;
    this.#cuts.length = 0;
    this.log.length = touched;
    for (let index = touched; index < this.disk.length; index += 1) this.log.push(this.disk[index] as KnownEntry);
    this.first = this.diskFirst;
    this.hardState = this.diskHardState;
    this.comparedTo = Math.min(this.comparedTo, this.log.length - 1);
    return true;
  }

  /** How many of the pending writes reached the disk, going by what it holds now. */
  #survivors(hardState: HardState, stored: LogReader): number | undefined {
    const index = stored.lastIndex();
    const term = stored.term(index);
    const storedFirst = stored.firstIndex();
    let state = this.diskHardState;
    let last = lastOf(this.disk);
    let first = this.diskFirst;
    for (let count = 0; ; count += 1) {
      const isSameLog = last.index === index && last.term === term && first === storedFirst;
      if (isSameLog && isSameHardState(state, hardState)) return count;
      const next = this.#pending[count];
      if (next === undefined) return undefined;
      state = next.write.hardState ?? state;
      last = lastAfter(last, next);
      first = firstAfter(first, next.write);
    }
  }

  #completeOldest(): void {
    const pending = this.#pending.shift();
    if (pending === undefined) return;
    change(this.disk, pending);
    this.diskFirst = firstAfter(this.diskFirst, pending.write);
    this.diskHardState = pending.write.hardState ?? this.diskHardState;
    if (pending.cutFrom !== undefined) this.#cuts.shift();
  }

  /** Up to here no pending write can take anything away. */
  #settledIndex(): LogIndex {
    let settled = this.disk.length - 1;
    for (const from of this.#cuts) settled = Math.min(settled, from - 1);
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

/** How far `log` is the log that ends with `entry`. */
export function sharedEnd(log: readonly KnownEntry[], entry: KnownEntry): LogIndex {
  let shared = entry;
  while (log[shared.index] !== shared) shared = shared.previous as KnownEntry;
  return shared.index;
}

function change(log: KnownEntry[], { write, entries, installed }: PendingWrite): void {
  if (installed !== undefined) replaceBy(log, installed);
  if (write.truncateFrom !== undefined && write.truncateFrom < log.length) log.length = write.truncateFrom;
  for (const entry of entries) log.push(entry);
}

function replaceBy(log: KnownEntry[], installed: KnownEntry): void {
  const shared = sharedEnd(log, installed);
  log.length = installed.index + 1;
  let entry = installed;
  for (let index = installed.index as number; index > shared; index -= 1) {
    log[index] = entry;
    entry = entry.previous as KnownEntry;
  }
}

function firstAfter(first: number, { install, compactThrough }: JudgedWrite): number {
  return Math.max(install === undefined ? first : install.index + 1, (compactThrough ?? 0) + 1);
}

function lastAfter(last: KnownEntry, { write, entries, installed }: PendingWrite): KnownEntry {
  const appended = entries.at(-1);
  if (appended !== undefined) return appended;
  let kept = installed ?? last;
  while (kept.previous !== undefined && kept.index >= (write.truncateFrom ?? Infinity)) kept = kept.previous;
  return kept;
}

function lastOf(log: readonly KnownEntry[]): KnownEntry {
  return log[log.length - 1] as KnownEntry;
}
