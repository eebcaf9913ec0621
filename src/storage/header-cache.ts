import type { RecordHeader } from '../kv/types.ts';

/** What an entry costs besides its key, roughly: two map slots, a string, two small objects. */
const entryOverheadBytes = 160;

/**
 * How much the caches of all groups hold together. Two generations: what is read or written lives in the young one, and
 * once that has half of the bytes it becomes the old one and the former old one is forgotten. So what was not touched for
 * a whole generation goes, without any list to keep in order.
 */
export class HeaderCacheBudget {
  readonly #bytesMax: number;
  #youngBytes = 0;
  #generation = 0;

  /** 0 switches the caches off. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get enabled(): boolean {
    return this.#bytesMax > 0;
  }

  get generation(): number {
    return this.#generation;
  }

  grew(bytes: number): void {
    this.#youngBytes += bytes;
    if (this.#youngBytes <= this.#bytesMax / 2) return;
    this.#youngBytes = 0;
    this.#generation += 1;
  }
}

/** What is known of a key: its record's header, or that it has none. */
export interface Known {
  readonly header: RecordHeader | undefined;
}

/**
 * The headers of one group's newest records, and keys known to be absent. Every change of the state passes through here,
 * so what is found is what a read of the database, verified, would find. A write needs to know what it replaces; read
 * from LevelDB each time, that was the largest cost of a write: 300 µs of processor time on all three nodes, against
 * 215 without. Values are left out: they would take most of the memory, and V8's collector would walk them.
 */
export class HeaderCache {
  readonly #budget: HeaderCacheBudget;
  #young = new Map<string, Known>();
  #old = new Map<string, Known>();
  #generation: number;

  constructor(budget: HeaderCacheBudget) {
    this.#budget = budget;
    this.#generation = budget.generation;
  }

  /** `key` is the key's bytes as latin1. */
  get(key: string): Known | undefined {
    this.#age();
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.put(key, old.header);
    return old;
  }

  put(key: string, header: RecordHeader | undefined): void {
    if (!this.#budget.enabled) return;
    this.#age();
    if (!this.#young.has(key)) this.#budget.grew(key.length + entryOverheadBytes);
    this.#young.set(key, { header });
  }

  #age(): void {
    const behind = this.#budget.generation - this.#generation;
    if (behind === 0) return;
    this.#old = behind === 1 ? this.#young : new Map<string, Known>();
    this.#young = new Map<string, Known>();
    this.#generation = this.#budget.generation;
  }
}
