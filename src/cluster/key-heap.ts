/** A heap of what comes next in each of several sorted streams: a merge of k streams takes log k comparisons an item. */
export class KeyHeap<Item extends { readonly key: Uint8Array }> {
  readonly #items: Item[] = [];
  readonly #before: (one: Item, other: Item) => boolean;

  /** By the bytes of the keys, from the lowest on or, with `reverse`, from the highest. */
  constructor(reverse: boolean) {
    this.#before = reverse
      ? (one, other) => Buffer.compare(one.key, other.key) > 0
      : (one, other) => Buffer.compare(one.key, other.key) < 0;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: Item): void {
    const items = this.#items;
    let at = items.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent] as Item;
      if (!this.#before(item, above)) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  pop(): Item | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return first;
    let at = 0;
    for (let child = 1; child < items.length; child = 2 * at + 1) {
      const [left, right] = [items[child] as Item, items[child + 1]];
      const [next, lower] = right !== undefined && this.#before(right, left) ? [child + 1, right] : [child, left];
      if (!this.#before(lower, last)) break;
      items[at] = lower;
      at = next;
    }
    items[at] = last;
    return first;
  }
}
