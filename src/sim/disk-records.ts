import type { DatabaseName } from '../storage/database.ts';

/** What one batch changes. Keys are latin1, one character a byte, so they sort as their bytes do; no value is a deletion. */
export interface Changes {
  readonly keys: readonly string[];
  readonly values: readonly (Buffer | undefined)[];
  readonly bytes: number;
  /** CRC-32 over keys and values in the order of the calls; 0 when nobody asks for it. */
  readonly checksum: number;
}

/** A batch that is still in the write-ahead log, with what it replaced: so it can be taken out again. */
interface Logged {
  readonly changes: Changes;
  readonly replaced: readonly (Buffer | undefined)[];
}

/** All that a database held at one moment, and how many batches had made it. */
export interface RecordsCopy {
  readonly records: ReadonlyMap<string, Buffer>;
  readonly batches: number;
}

/**
 * What one database has on disk: records, and the newest batches once more in the write-ahead log. Only these can vanish
 * one by one; what was folded into tables is there for good. No Buffer in here is ever written to.
 */
export class DiskRecords {
  readonly name: DatabaseName;
  /** Handed to the operating system when the process died, and not fsynced: the next start finds it, unless the power goes before. */
  cached: Changes | undefined;
  #records = new Map<string, Buffer>();
  #logged: Logged[] = [];
  #folded = 0;
  #sortedKeys: readonly string[] | undefined;

  constructor(name: DatabaseName) {
    this.name = name;
  }

  get(key: string): Buffer | undefined {
    return this.#records.get(key);
  }

  /** All that is there now, whatever comes later. */
  view(): ReadonlyMap<string, Buffer> {
    return new Map(this.#records);
  }

  /** The same array until the next change. */
  sortedKeys(): readonly string[] {
    this.#sortedKeys ??= [...this.#records.keys()].sort();
    return this.#sortedKeys;
  }

  /** Of all that the database was made of: the sequence number of its newest batch. */
  batches(): number {
    return this.#folded + this.#logged.length;
  }

  batchesLogged(): number {
    return this.#logged.length;
  }

  append(changes: Changes): void {
    const { keys, values } = changes;
    const replaced: (Buffer | undefined)[] = [];
    for (let at = 0; at < keys.length; at += 1) {
      const key = keys[at] as string;
      replaced.push(this.#records.get(key));
      this.#set(key, values[at]);
    }
    this.#sortedKeys = undefined;
    this.#logged.push({ changes, replaced });
  }

  /** The memory table is written out: no batch is in the write-ahead log any more. */
  fold(): void {
    this.#folded += this.#logged.length;
    this.#logged = [];
  }

  /** What was left to the operating system is as good as on disk. */
  keepCached(): void {
    if (this.cached !== undefined) this.append(this.cached);
    this.cached = undefined;
  }

  /** Takes batches out of the write-ahead log, counted from its beginning: older versions come back, younger batches stay. */
  lose(from: number, end: number): void {
    const younger = this.#logged.slice(end);
    for (const { changes, replaced } of this.#logged.splice(from).reverse()) {
      for (let at = changes.keys.length - 1; at >= 0; at -= 1) this.#set(changes.keys[at] as string, replaced[at]);
    }
    this.#sortedKeys = undefined;
    for (const { changes } of younger) this.append(changes);
  }

  /** Turns a bit of the value that is in a table under `key`; false when a batch of the write-ahead log wrote it. */
  flip(key: string, bit: number): boolean {
    return this.rot(key, (value) => {
      const turned = Buffer.from(value);
      const at = Math.floor(bit / 8) % turned.length;
      turned.writeUInt8(turned.readUInt8(at) ^ (1 << (bit % 8)), at);
      return turned;
    });
  }

  /** What is in a table under `key` becomes something else, or nothing; false when a batch of the write-ahead log wrote it. */
  rot(key: string, change: (value: Buffer) => Buffer | undefined): boolean {
    const value = this.#records.get(key);
    if (value === undefined || this.#logged.some(({ changes }) => changes.keys.includes(key))) return false;
    this.#set(key, change(value));
    this.#sortedKeys = undefined;
    return true;
  }

  copy(): RecordsCopy {
    return { records: new Map(this.#records), batches: this.batches() };
  }

  restore({ records, batches }: RecordsCopy): void {
    this.#records = new Map(records);
    this.#sortedKeys = undefined;
    this.#logged = [];
    this.#folded = batches;
  }

  /** As a new database. */
  empty(): void {
    this.cached = undefined;
    this.restore({ records: new Map(), batches: 0 });
  }

  #set(key: string, value: Buffer | undefined): void {
    if (value === undefined) this.#records.delete(key);
    else this.#records.set(key, value);
  }
}
