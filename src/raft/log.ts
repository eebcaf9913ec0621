/**
 * The log as the core sees it: its newest entries in memory, older ones read through the LogReader.
 *
 * In memory is at least everything not yet durable (nobody else has it) and everything not yet handed out to apply
 * (it is about to be read). What is older stays until `cacheBytesMax` is exceeded, for followers that lag a little.
 */
import { assert } from '../assert.ts';
import type { Entry, LogIndex, LogReader, SnapshotPoint, Term } from './types.ts';

/** What an entry costs in memory besides its body, roughly: small commands must not make the cache a large one. */
const entryOverheadBytes = 128;

export class RaftLog {
  readonly #stored: LogReader;
  readonly #cacheBytesMax: number;
  /** Consecutive entries from `#cacheFirst` up to and with `#lastIndex`. */
  #cache: Entry[] = [];
  #cacheFirst: LogIndex;
  #cacheBytes = 0;
  /** What the core still has of the log begins here; what is stored begins there too, once it was told. */
  #firstIndex: LogIndex;
  /** Of the entry before `#firstIndex`; 0 at the beginning of a log. */
  #termBefore: Term;
  #lastIndex: LogIndex;
  #lastTerm: Term;

  /** `stored` must be durable as it stands. `cacheBytesMax` in bytes, 0 and up. */
  constructor(stored: LogReader, cacheBytesMax: number) {
    this.#stored = stored;
    this.#cacheBytesMax = cacheBytesMax;
    this.#firstIndex = stored.firstIndex();
    this.#termBefore = this.#storedTerm((this.#firstIndex - 1) as LogIndex);
    this.#lastIndex = Math.max(stored.lastIndex(), this.#firstIndex - 1) as LogIndex;
    this.#cacheFirst = (this.#lastIndex + 1) as LogIndex;
    this.#lastTerm = this.#storedTerm(this.#lastIndex);
  }

  get firstIndex(): LogIndex {
    return this.#firstIndex;
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  get lastTerm(): Term {
    return this.#lastTerm;
  }

  /** The term at `index`, `firstIndex - 1` included (0 at index 0); undefined outside. */
  term(index: LogIndex): Term | undefined {
    if (index === this.#lastIndex) return this.#lastTerm;
    if (index > this.#lastIndex) return undefined;
    if (index < this.#firstIndex) return index === this.#firstIndex - 1 ? this.#termBefore : undefined;
    if (index >= this.#cacheFirst) return this.#cached(index).term;
    return this.#storedTerm(index);
  }

  /** Adds one entry, which follows the last one. */
  append(entry: Entry): void {
    assert(entry.index === this.#lastIndex + 1, 'entries are appended without a gap');
    assert(entry.term >= this.#lastTerm, 'terms never fall along a log');
    this.#cache.push(entry);
    this.#cacheBytes += costBytes(entry);
    this.#lastIndex = entry.index;
    this.#lastTerm = entry.term;
  }

  /** Forgets `index` and all that follows. The caller has checked that nothing of it is committed. */
  truncateFrom(index: LogIndex): void {
    assert(index >= this.#firstIndex && index <= this.#lastIndex, () => `no entry ${index} to truncate from`);
    const lastTerm = this.term((index - 1) as LogIndex);
    assert(lastTerm !== undefined, 'the entry before a truncation has a term');
    for (const entry of this.#cache.splice(Math.max(0, index - this.#cacheFirst))) this.#cacheBytes -= costBytes(entry);
    this.#cacheFirst = Math.min(this.#cacheFirst, index) as LogIndex;
    this.#lastIndex = (index - 1) as LogIndex;
    this.#lastTerm = lastTerm;
  }

  /**
   * Consecutive entries from `from` towards `to`, both included, bodies of at most `bytesMax` bytes together but
   * always one entry. May end early where memory begins: whoever wants more asks again.
   */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
    assert(from >= this.#firstIndex && from <= to && to <= this.#lastIndex, () => `no entries ${from}..${to}`);
    if (from < this.#cacheFirst) {
      const entries = this.#stored.entries(from, Math.min(to, this.#cacheFirst - 1) as LogIndex, bytesMax);
      assert(entries[0]?.index === from, () => `stored log has no entry ${from}`);
      return entries;
    }
    const start = from - this.#cacheFirst;
    const endMax = to - this.#cacheFirst + 1;
    let end = start + 1;
    let bytes = this.#cached(from).body.length;
    while (end < endMax) {
      bytes += (this.#cache[end] as Entry).body.length;
      if (bytes > bytesMax) break;
      end++;
    }
    return this.#cache.slice(start, end);
  }

  /** Forgets all up to and with `through`, of which the last entry stays known by its term. At least one entry is left. */
  compact(through: LogIndex): void {
    assert(through >= this.#firstIndex && through < this.#lastIndex, () => `can't compact the log through ${through}`);
    const term = this.term(through);
    assert(term !== undefined, 'what is compacted has a term');
    this.#firstIndex = (through + 1) as LogIndex;
    this.#termBefore = term;
    const count = this.#firstIndex - this.#cacheFirst;
    if (count <= 0) return;
    for (const entry of this.#cache.splice(0, count)) this.#cacheBytes -= costBytes(entry);
    this.#cacheFirst = this.#firstIndex;
  }

  /** The whole log gives way to a snapshot that ends at `point`. */
  reset({ index, term }: SnapshotPoint): void {
    this.#firstIndex = (index + 1) as LogIndex;
    this.#termBefore = term;
    this.#cache = [];
    this.#cacheBytes = 0;
    this.#cacheFirst = this.#firstIndex;
    this.#lastIndex = index;
    this.#lastTerm = term;
  }

  /** Body bytes of the entries `from`..`to`, both included; all must still be in memory. O(entries named). */
  bodyBytes(from: LogIndex, to: LogIndex): number {
    let bytes = 0;
    for (let index = from; index <= to; index++) bytes += this.#cached(index).body.length;
    return bytes;
  }

  /**
   * Lets go of the oldest entries up to `to` when memory holds more than it may: down to half of it, so that the cost
   * of moving the rest is spread over many appends. The caller names only what is durable and handed out to apply.
   */
  evict(to: LogIndex): void {
    if (this.#cacheBytes <= this.#cacheBytesMax) return;
    const countMax = to - this.#cacheFirst + 1;
    let count = 0;
    while (count < countMax && this.#cacheBytes > this.#cacheBytesMax / 2) {
      this.#cacheBytes -= costBytes(this.#cache[count] as Entry);
      count++;
    }
    if (count === 0) return;
    this.#cache.splice(0, count);
    this.#cacheFirst = (this.#cacheFirst + count) as LogIndex;
  }

  /** The election restriction (paper 5.4.1): a log that ends like this is at least as up to date as ours. */
  isUpToDate(last: { readonly index: LogIndex; readonly term: Term }): boolean {
    return last.term > this.#lastTerm || (last.term === this.#lastTerm && last.index >= this.#lastIndex);
  }

  /**
   * Fast back-up (paper 5.3, in the form of etcd's findConflictByTerm): the highest index in [floor, at] whose term is
   * not above `term`, or `floor` if there is none. Two logs can only agree at or below it when the other one has
   * `term` at `at`. Terms never fall along a log, so a binary search finds it.
   */
  lastIndexUpToTerm(at: LogIndex, term: Term, floor: LogIndex): LogIndex {
    let low = floor;
    let high = Math.min(at, this.#lastIndex) as LogIndex;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2) as LogIndex;
      const found = this.term(middle);
      assert(found !== undefined, () => `no term at ${middle}`);
      if (found <= term) low = middle;
      else high = (middle - 1) as LogIndex;
    }
    return low;
  }

  #cached(index: LogIndex): Entry {
    const entry = this.#cache[index - this.#cacheFirst];
    assert(entry !== undefined, 'the entry is in memory');
    return entry;
  }

  #storedTerm(index: LogIndex): Term {
    if (index === 0) return 0 as Term;
    const term = this.#stored.term(index);
    assert(term !== undefined, () => `stored log has no term at ${index}`);
    return term;
  }
}

function costBytes(entry: Entry): number {
  return entry.body.length + entryOverheadBytes;
}
