import type { LimitsConfig } from '../config.ts';

export interface WriteAdmissionOptions {
  readonly limits: Pick<LimitsConfig, 'writesUnderWayMin' | 'writeWaitMs'>;
  /** Monotonic, ms. */
  readonly now: () => number;
}

/** Fewer writes say little of what one costs: a batch of two may have waited for the disk's other work. */
const sampleWrites = 16;
/** Their median counts: a single stall of the disk changes nothing. */
const samplesKept = 9;
/** One by itself may have been that stall. Of two, the smaller is the median. */
const samplesMin = 2;
/** A flush that lasts longer than this part of `writeWaitMs` is a sign by itself that writes will have to wait. */
const longFlush = 1 / 3;
/** Fewer writes than this say nothing of what one of them takes, however long their flush lasts. */
const longFlushWrites = 64;
/** So many are taken on even so: one flush that lasts may be a stall, in which nobody gains by asking again. */
const longFlushUnderWayMin = 128;

/**
 * How many client writes a node takes on at a time. What waits for the log's disk is served in order and at the disk's pace, so that whoever
 * comes last waits as long as all before him need: once that is longer than `limits.writeWaitMs`, a write is refused before anything was done
 * for it. (Little's law; a queue bounded by how long one waits in it, as CoDel bounds it, RFC 8289.)
 *
 * All groups of a node share one disk, hence one count for all. What a write costs is measured only while writes queue, as flushes of the log
 * divided by writes answered meanwhile: then the disk is never idle for want of work. Before that nothing is known and nothing refused.
 *
 * A flood on a disk that just became slow is not to wait for its median: when that is known, the flush that tells of it has made the next one so long
 * that leaders seem to be stuck, and stand down. So while a flush is under way for long, it counts itself, and so does the last sample.
 *
 * A disk must not be held slow because this process was: the end of a flush is heard of when the event loop gets to it. So a flush is taken
 * to have lasted only until the turn before the last one began. Had it ended before that, the last turn had already known.
 */
export class WriteAdmission {
  readonly #options: WriteAdmissionOptions;
  #underWay = 0;
  #answered = 0;
  /** When the last turn of the event loop began, and the one before. */
  #turnAt = -Infinity;
  #turnBeforeAt = -Infinity;
  /** Of the sample being taken: flushes, ms, and `#answered` when it was begun. Undefined: no writes queue. */
  #sample: { ms: number; readonly answeredBefore: number } | undefined;
  /** ms of flush for one write, oldest first. */
  readonly #samples: number[] = [];
  #medianMs = 0;
  /** Of the flush under way: since when, and how many writes were then. */
  #flush: { readonly begunAt: number; readonly writes: number } | undefined;

  constructor(options: WriteAdmissionOptions) {
    this.#options = options;
  }

  /** Client writes taken on here and not answered. */
  get underWay(): number {
    return this.#underWay;
  }

  /** So many at most; Infinity as long as the disk was never seen to be slow. */
  get underWayMax(): number {
    const { writesUnderWayMin, writeWaitMs } = this.#options.limits;
    return Math.max(writesUnderWayMin, Math.floor(writeWaitMs / this.#msPerWrite()));
  }

  /** For how long what waits now keeps the disk busy, ms. */
  get waitMs(): number {
    return this.#underWay * this.#msPerWrite();
  }

  /** Whether a client's write that came now would be refused. */
  get isFull(): boolean {
    return this.#underWay >= this.underWayMax;
  }

  /** A client's write came in: why it is refused, or undefined. Then `end` is called once it is answered. */
  begin(): string | undefined {
    if (this.isFull) return this.reason();
    this.#underWay += 1;
    return undefined;
  }

  /** Why it is full, for people. */
  reason(): string {
    return `${this.#underWay} writes wait for the disk of this node, which takes ${this.#msPerWrite().toPrecision(2)} ms for each`;
  }

  end(): void {
    this.#underWay -= 1;
    this.#answered += 1;
  }

  /** A turn of the event loop begins. */
  turn(): void {
    this.#turnBeforeAt = this.#turnAt;
    this.#turnAt = this.#options.now();
  }

  /** A batch of the log begins to be written. Returns what to call once it is durable. */
  flushBegun(): () => void {
    const flush = { begunAt: this.#options.now(), writes: this.#underWay };
    this.#flush = flush;
    const isQueue = this.#underWay >= sampleWrites;
    if (!isQueue) this.#sample = undefined;
    return () => {
      this.#flush = undefined;
      if (!isQueue) return;
      // It begins with the end of a flush: what that one made durable is answered behind it.
      if (this.#sample === undefined) return this.#beginSample();
      this.#sample.ms += this.#lasted(flush.begunAt);
      this.#maybeConclude(this.#sample);
    };
  }

  /** At least, ms: as far as is known that it had not ended. */
  #lasted(begunAt: number): number {
    return Math.max(0, this.#turnBeforeAt - begunAt);
  }

  /** What the disk takes for one write as far as is known now. */
  #msPerWrite(): number {
    if (this.#flush === undefined) return this.#medianMs;
    const { begunAt, writes } = this.#flush;
    const lasted = this.#lasted(begunAt);
    const { writeWaitMs } = this.#options.limits;
    if (lasted <= writeWaitMs * longFlush) return this.#medianMs;
    const byItself = Math.min(lasted / Math.max(writes, longFlushWrites), writeWaitMs / longFlushUnderWayMin);
    return Math.max(this.#medianMs, byItself, this.#samples.at(-1) ?? 0);
  }

  #beginSample(): void {
    this.#sample = { ms: 0, answeredBefore: this.#answered };
  }

  #maybeConclude({ ms, answeredBefore }: { readonly ms: number; readonly answeredBefore: number }): void {
    const writes = this.#answered - answeredBefore;
    if (writes < sampleWrites) return;
    this.#beginSample();
    this.#samples.push(ms / writes);
    if (this.#samples.length > samplesKept) this.#samples.shift();
    if (this.#samples.length < samplesMin) return;
    this.#medianMs = this.#samples.toSorted((one, other) => one - other)[(this.#samples.length - 1) >> 1] ?? 0;
  }
}
