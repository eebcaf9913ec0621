/** What the search has been through, so that it goes nowhere twice: exact, a hash only finds the place to look. */

/**
 * The configurations met: each is a few whole numbers that must be equal, and two amounts of which less is as good. One that
 * has been met with at most these amounts need not be searched again: whatever would complete this one had completed that.
 */
export class Memory {
  /** For each slot the start of an entry in `#entries`, plus one; 0 for none. Its length is a power of two. */
  #slots = new Int32Array(1 << 8);
  /** One after the other: hash, length of the numbers, the amounts, the numbers. */
  #entries = new Int32Array(1 << 12);
  #end = 0;
  #count = 0;

  /** Whether it is new; then it is remembered. */
  add(numbers: readonly number[], amounts: readonly [number, number]): boolean {
    const hash = hashOf(numbers);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let start = this.#slots[slot] ?? 0; start !== 0; start = this.#slots[slot] ?? 0) {
      if (this.#covers(start - 1, hash, numbers, amounts)) return false;
      slot = (slot + 1) & mask;
    }
    this.#slots[slot] = this.#append(hash, numbers, amounts) + 1;
    this.#count += 1;
    if (this.#count * 2 > this.#slots.length) this.#grow();
    return true;
  }

  #covers(
    start: number,
    hash: number,
    numbers: readonly number[],
    [first, second]: readonly [number, number],
  ): boolean {
    const entries = this.#entries;
    if (entries[start] !== hash || entries[start + 1] !== numbers.length) return false;
    if ((entries[start + 2] ?? 0) > first || (entries[start + 3] ?? 0) > second) return false;
    for (let index = 0; index < numbers.length; index += 1) {
      if (entries[start + 4 + index] !== numbers[index]) return false;
    }
    return true;
  }

  #append(hash: number, numbers: readonly number[], amounts: readonly [number, number]): number {
    const start = this.#end;
    this.#end += 4 + numbers.length;
    if (this.#end > this.#entries.length) {
      const larger = new Int32Array(Math.max(this.#entries.length * 2, this.#end));
      larger.set(this.#entries);
      this.#entries = larger;
    }
    this.#entries[start] = hash;
    this.#entries[start + 1] = numbers.length;
    this.#entries.set(amounts, start + 2);
    this.#entries.set(numbers, start + 4);
    return start;
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let start = 0; start < this.#end; start += 4 + (this.#entries[start + 1] ?? 0)) {
      let slot = (this.#entries[start] ?? 0) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = start + 1;
    }
    this.#slots = slots;
  }
}

function hashOf(numbers: readonly number[]): number {
  let hash = numbers.length;
  for (const number of numbers) {
    hash = Math.imul(hash ^ number, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}

/**
 * How much of each pool was used, as one number: equal amounts have equal numbers. A list of cells from the highest pool
 * down, each kept once (hash-consing). Pools are used roughly in their order, so that a change is near the list's head.
 */
export class Amounts {
  readonly #cells: { readonly pool: number; readonly amount: number; readonly rest: number }[] = [];
  readonly #ids = new Map<string, number>();

  /** The number of what `before` (0: nothing) becomes when one more of `pool` is used. */
  add(before: number, pool: number): number {
    const passed: number[] = [];
    let at = before;
    let cell = this.#cells[at - 1];
    while (cell !== undefined && cell.pool > pool) {
      passed.push(at);
      at = cell.rest;
      cell = this.#cells[at - 1];
    }
    let list = cell?.pool === pool ? this.#list(pool, cell.amount + 1, cell.rest) : this.#list(pool, 1, at);
    for (const id of passed.reverse()) {
      const { pool, amount } = this.#cells[id - 1] ?? { pool: 0, amount: 0 };
      list = this.#list(pool, amount, list);
    }
    return list;
  }

  #list(pool: number, amount: number, rest: number): number {
    const name = `${pool} ${amount} ${rest}`;
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#cells.push({ pool, amount, rest });
    this.#ids.set(name, id);
    return id;
  }
}
