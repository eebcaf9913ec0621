/**
 * How many bytes of the log lie where, without reading it: the running total is noted at coarse marks, and between two
 * marks the bytes are taken to be spread evenly. Adding an entry costs a constant; asking costs a binary search.
 */
import { assert } from '../assert.ts';
import type { Entry, LogIndex, Persist } from '../raft/types.ts';

/** A mark is set after so many bytes or entries: a question is answered to within about as much. */
const bytesBetweenMarks = 64 * 1024;
const entriesBetweenMarks = 256;

/** What an entry's record takes beside its body: key, checksums, term. */
export const entryOverheadBytes = 32;

interface Mark {
  /** All entries up to and with this one... */
  readonly index: number;
  /** ...have so many bytes together, counted from where the account began. */
  readonly total: number;
}

export class LogSizes {
  /** Ascending. The first one stands before the log's first entry; none is beyond its last. Never empty. */
  #marks: Mark[];
  #last: Mark;

  /** Of a log that was found at start only the whole is known. `bytes`: roughly. */
  constructor(log: { readonly firstIndex: LogIndex; readonly lastIndex: LogIndex; readonly bytes: number }) {
    const before = { index: log.firstIndex - 1, total: 0 };
    assert(log.lastIndex >= before.index, 'a log ends no earlier than before its first entry');
    const entries = log.lastIndex - before.index;
    this.#marks = [before];
    // The database may say 0 of what it has not merged into a table yet.
    this.#last = { index: log.lastIndex, total: entries === 0 ? 0 : Math.max(log.bytes, entries * entryOverheadBytes) };
    if (entries > 0) this.#marks.push(this.#last);
  }

  /** Of the whole log. */
  bytes(): number {
    return this.#last.total - this.#first().total;
  }

  firstIndex(): LogIndex {
    return (this.#first().index + 1) as LogIndex;
  }

  /** One less than `firstIndex` when the log is empty. */
  lastIndex(): LogIndex {
    return this.#last.index as LogIndex;
  }

  /** Bytes of the entries up to and with `index`. */
  bytesThrough(index: LogIndex): number {
    return this.#totalAt(index) - this.#first().total;
  }

  /** The first of the newest entries that have at most `bytesMax` together; `lastIndex() + 1` if the last alone has more. */
  firstOfNewest(bytesMax: number): LogIndex {
    const spare = this.#last.total - bytesMax;
    if (spare <= this.#first().total) return this.firstIndex();
    // The last mark at or below `spare`: what follows it is too much, or just fits.
    const position = this.#search((mark) => mark.total <= spare);
    const from = this.#marks[position] as Mark;
    const to = this.#marks[position + 1] ?? this.#last;
    if (to.index === from.index) return (from.index + 1) as LogIndex;
    const bytesPerEntry = (to.total - from.total) / (to.index - from.index);
    const entries = Math.min(Math.ceil((spare - from.total) / bytesPerEntry), to.index - from.index);
    return (from.index + entries + 1) as LogIndex;
  }

  /** What `persist` writes, in the order in which it is written. */
  written(persist: Pick<Persist, 'install' | 'truncateFrom' | 'entries' | 'compactThrough'>): void {
    const { install, truncateFrom, entries, compactThrough } = persist;
    if (install !== undefined) this.#reset(install.index);
    if (truncateFrom !== undefined) this.#truncate(truncateFrom);
    for (const entry of entries) this.#append(entry);
    if (compactThrough !== undefined) this.#compact(compactThrough);
  }

  #append({ index, body }: Entry): void {
    assert(index === this.#last.index + 1, () => `entry ${index} is accounted for after ${this.#last.index}`);
    const bytes = body.length + entryOverheadBytes;
    // A large one gets a mark on either side: its bytes are not spread over its neighbours.
    if (bytes >= bytesBetweenMarks) this.#mark();
    this.#last = { index, total: this.#last.total + bytes };
    const mark = this.#marks[this.#marks.length - 1] as Mark;
    if (this.#last.total - mark.total >= bytesBetweenMarks || index - mark.index >= entriesBetweenMarks) this.#mark();
  }

  #truncate(from: LogIndex): void {
    assert(from > this.#first().index, 'what was compacted is not truncated');
    if (from > this.#last.index) return;
    const end = { index: from - 1, total: this.#totalAt(from - 1) };
    while ((this.#marks[this.#marks.length - 1] as Mark).index > end.index) this.#marks.pop();
    this.#last = end;
    this.#mark();
  }

  #compact(through: LogIndex): void {
    assert(through <= this.#last.index, 'no more is compacted than there is');
    if (through <= this.#first().index) return;
    const before = { index: through, total: this.#totalAt(through) };
    const position = this.#search((mark) => mark.index <= through);
    this.#marks.splice(0, position + 1, before);
  }

  #reset(index: LogIndex): void {
    this.#last = { index, total: 0 };
    this.#marks = [this.#last];
  }

  /** Sets a mark at the end, unless there is one. */
  #mark(): void {
    if ((this.#marks[this.#marks.length - 1] as Mark).index < this.#last.index) this.#marks.push(this.#last);
  }

  #first(): Mark {
    return this.#marks[0] as Mark;
  }

  #totalAt(index: number): number {
    if (index <= this.#first().index) return this.#first().total;
    if (index >= this.#last.index) return this.#last.total;
    const position = this.#search((mark) => mark.index <= index);
    const from = this.#marks[position] as Mark;
    const to = this.#marks[position + 1] ?? this.#last;
    return from.total + ((to.total - from.total) * (index - from.index)) / (to.index - from.index);
  }

  /** Position of the last mark for which `holds`; it holds for the first, and for none after one for which it does not. */
  #search(holds: (mark: Mark) => boolean): number {
    let low = 0;
    let high = this.#marks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (holds(this.#marks[middle] as Mark)) low = middle;
      else high = middle;
    }
    return low;
  }
}
