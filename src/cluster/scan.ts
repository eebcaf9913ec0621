/**
 * Keys of all partitions in one order. Every partition holds a part of the keys, anywhere in their order: so each is read in
 * pieces, and the pieces are merged. Each piece is linearizable; the whole is not one snapshot.
 *
 * A partition's next key is known whenever an item is given out, so none is passed over; and a piece begins right behind the
 * last key of the one before, so that none is given twice, whoever leads by then.
 */
import type { KvOutcome } from './types.ts';
import type { KeyRange, KeyValue } from '../kv/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { KeyHeap } from './key-heap.ts';

/** `from` <= key < `to`, by their bytes; without `to` there is no upper end. */
export interface ScanQuery {
  readonly from: Buffer;
  readonly to: Buffer | undefined;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
}

export interface ScanPorts {
  readonly partitions: readonly PartitionId[];
  read(partition: PartitionId, range: KeyRange): Promise<KvOutcome>;
  readonly limits: ScanLimits;
}

export interface ScanLimits {
  /** Of all pieces that one scan holds, together; each has one value at least. */
  readonly scanBytesMax: number;
  /** Keys in one piece. */
  readonly scanPieceKeysMax: number;
  /** Pieces of one scan that are asked for at a time. */
  readonly scanPiecesAtOnce: number;
}

export interface ScanItem extends KeyValue {
  /** Of the answer that it came with, ms: by it `expiresAt` becomes a time of day. */
  readonly logTime: number;
}

/** A partition did not answer: the scan goes no further. */
export class ScanFailure extends Error {
  override readonly name = 'ScanFailure';
  readonly outcome: KvOutcome;

  constructor(outcome: KvOutcome) {
    super(`a partition answered ${outcome.type}`);
    this.outcome = outcome;
  }
}

/** Fewer would make many small pieces of a scan that wants few keys. */
const pieceKeysMin = 8;
const pieceBytesMin = 16 * 1024;

/**
 * In the order asked for, as many at a time as are at hand: to wait for each by itself would cost more than all else. `wanted`: how many
 * will be taken, if that is known. Throws a ScanFailure.
 */
export async function* scan(
  query: ScanQuery,
  ports: ScanPorts,
  wanted = Infinity,
): AsyncGenerator<readonly ScanItem[]> {
  if (query.to !== undefined && Buffer.compare(query.from, query.to) >= 0) return;
  const { partitions, limits } = ports;
  // Keys are spread by their hashes: a fair share each and a third more suffices mostly.
  const share = Math.ceil((wanted / partitions.length) * 1.33) + pieceKeysMin;
  const size = {
    limit: Math.min(limits.scanPieceKeysMax, share),
    bytesMax: Math.max(pieceBytesMin, Math.floor(limits.scanBytesMax / partitions.length)),
  };
  const streams = partitions.map((partition) => new Stream(partition, query, { ports, ...size }));
  const heap = new KeyHeap<Head>(query.reverse);
  const add = (stream: Stream): void => {
    const head = stream.take();
    if (head !== undefined) heap.push(head);
  };
  await refill(streams, limits.scanPiecesAtOnce);
  streams.forEach(add);
  let ready: ScanItem[] = [];
  for (let head = heap.pop(); head !== undefined; head = heap.pop()) {
    ready.push(head.item);
    const { stream } = head;
    if (stream.isDry()) {
      // Whoever wants no more does not wait for what follows.
      yield ready;
      ready = [];
      // They run dry at about the same time: whoever soon will is read along.
      await refill(
        streams.filter((one) => one.isLow()),
        limits.scanPiecesAtOnce,
      );
    }
    add(stream);
  }
  if (ready.length > 0) yield ready;
}

/** Each has a key again, or none left. */
async function refill(streams: readonly Stream[], atOnce: number): Promise<void> {
  const waiting = streams.values();
  const work = async (): Promise<void> => {
    for (const stream of waiting) await stream.refill();
  };
  const done = await Promise.allSettled(Array.from({ length: Math.min(atOnce, streams.length) }, work));
  const failed = done.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** The next of one partition. */
interface Head {
  readonly key: Uint8Array;
  readonly item: ScanItem;
  readonly stream: Stream;
}

interface StreamOptions {
  readonly ports: ScanPorts;
  readonly limit: number;
  readonly bytesMax: number;
}

/** One partition's keys, piece by piece. */
class Stream {
  readonly #partition: PartitionId;
  readonly #options: StreamOptions;
  #range: KeyRange;
  #items: ScanItem[] = [];
  #next = 0;
  #ended = false;

  constructor(partition: PartitionId, { from, to, reverse, keysOnly }: ScanQuery, options: StreamOptions) {
    this.#partition = partition;
    this.#options = options;
    const { limit, bytesMax } = options;
    this.#range = { from, to, reverse, keysOnly, limit, bytesMax };
  }

  /** The next item; undefined at the end. There is one, or it is the end, after a `refill`. */
  take(): Head | undefined {
    const item = this.#items[this.#next];
    if (item === undefined) return undefined;
    this.#next += 1;
    return { key: item.key, item, stream: this };
  }

  /** Nothing is left here, and there may be more. */
  isDry(): boolean {
    return !this.#ended && this.#next === this.#items.length;
  }

  isLow(): boolean {
    return !this.#ended && this.#next >= this.#items.length - this.#options.limit / 4;
  }

  async refill(): Promise<void> {
    const left = this.#items.slice(this.#next);
    const more: ScanItem[] = [];
    // A piece may be empty though there is more: of what is due, for instance.
    while (more.length === 0 && !this.#ended) {
      const outcome = await this.#options.ports.read(this.#partition, this.#range);
      if (outcome.type !== 'values') throw new ScanFailure(outcome);
      const { values, moreAfter } = outcome.page;
      for (const { key, record } of values) more.push({ key, record, logTime: outcome.logTime });
      if (moreAfter === undefined) this.#ended = true;
      else this.#range = behind(this.#range, moreAfter);
    }
    this.#items = [...left, ...more];
    this.#next = 0;
  }
}

/** What is left of a range behind a key. */
function behind(range: KeyRange, key: Uint8Array): KeyRange {
  return range.reverse ? { ...range, to: Buffer.from(key) } : { ...range, from: successor(key) };
}

/** The lowest key above `key`. */
export function successor(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.alloc(1)]);
}

/** The lowest key above all that begin with `prefix`; undefined when there is none. */
export function prefixEnd(prefix: Uint8Array): Buffer | undefined {
  const end = Buffer.from(prefix);
  for (let last = end.length - 1; last >= 0; last -= 1) {
    const byte = end[last] as number;
    if (byte === 0xff) continue;
    end[last] = byte + 1;
    return end.subarray(0, last + 1);
  }
  return undefined;
}
