/**
 * What the storage needs of a sorted key-value database: LevelDB in a node, a map in memory for tests and the
 * simulator. Everything above it (formats, chains, order, recovery) is the same code for both.
 */
export interface Database extends DatabaseReader {
  batch(): DatabaseBatch;
  /** Of this moment: what is written later does not show. To be closed. */
  snapshot(): DatabaseSnapshot;
  /** Bytes of the records with from <= key <= to; roughly, and LevelDB leaves out what is not in tables yet. */
  approximateBytes(from: Buffer, to: Buffer): Promise<number>;
  close(): Promise<void>;
}

export interface DatabaseReader {
  /** The newest value that a completed batch wrote. The caller owns what it gets. Believed behind `expectWhole`, or where the caller knows better. */
  get(key: Buffer): Buffer | undefined;
  /**
   * For after a read: throws a StorageDamage unless all files that can hold a record with from <= key <= to are as they were written. A
   * scan that comes to its end has done so.
   */
  expectWhole(from: Buffer, to: Buffer): void;
  /** Records with from <= key <= to, in key order, or against it, as they are when it begins. */
  scan(range: ScanRange): AsyncIterable<DatabaseRecord>;
  /** The same in pieces, for whoever reads many: to wait for each record by itself costs more than to read it. */
  scanPieces(range: ScanRange): AsyncIterable<readonly DatabaseRecord[]>;
}

export type DatabaseRecord = readonly [key: Buffer, value: Buffer];

export interface DatabaseSnapshot extends DatabaseReader {
  /** Resolves once no scan of it is under way any more. */
  close(): Promise<void>;
}

/** Changes that become durable together or not at all. */
export interface DatabaseBatch {
  /** Copies both before it returns. */
  put(key: Buffer, value: Buffer): void;
  delete(key: Buffer): void;
  /** Resolves once the batch has been fsynced. After a rejection nothing is known of it. */
  write(): Promise<void>;
}

/** Raft's records and the state machine's have a database each: in one, every merge of LevelDB would rewrite the one for the other's sake. */
export const databaseNames = ['log', 'state'] as const;
export type DatabaseName = (typeof databaseNames)[number];
export type Databases = Readonly<Record<DatabaseName, Database>>;

const pieceRecords = 3;

/** For databases that have each record at hand: small pieces, so that what stands at their borders is tried. */
export async function* inPieces<Item>(items: AsyncIterable<Item>): AsyncGenerator<readonly Item[]> {
  let piece: Item[] = [];
  for await (const item of items) {
    piece.push(item);
    if (piece.length < pieceRecords) continue;
    yield piece;
    piece = [];
  }
  if (piece.length > 0) yield piece;
}

export async function* flatten<Item>(pieces: AsyncIterable<readonly Item[]>): AsyncGenerator<Item> {
  for await (const piece of pieces) yield* piece;
}

export interface ScanRange {
  readonly from: Buffer;
  readonly to: Buffer;
  readonly reverse?: boolean;
  readonly limit?: number;
  /** So many are read ahead, if the database wishes: about as many as will be taken. What is read and not taken costs as much. */
  readonly atOnce?: number;
  /** True: values are not wanted and may come out empty. */
  readonly keysOnly?: boolean;
}
