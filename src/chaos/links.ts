/** What the network between the nodes is like at this moment: for each pair and each direction, as bytes travel. */

/** Of all bytes that travel from one node to another, over whichever connection. */
export interface Condition {
  /** Nothing arrives, and nobody is told: packets get lost. What TCP would send again arrives once this is over. */
  readonly lost: boolean;
  /** Added to what loopback takes, ms. */
  readonly delayMs: number;
  /** At most so much a second. Infinite: as fast as it goes. */
  readonly bytesPerSecond: number;
}

/** Done once to the next bytes on the way: a flipped bit, or the half of them and then the connection's end. */
export type Damage = 'flip' | 'cut';

const healthy: Condition = { lost: false, delayMs: 0, bytesPerSecond: Infinity };

export class Links {
  readonly #conditions = new Map<string, Condition>();
  readonly #damages = new Map<string, Damage>();
  readonly #listeners = new Set<() => void>();

  condition(from: string, to: string): Condition {
    return this.#conditions.get(`${from} ${to}`) ?? healthy;
  }

  set(from: string, to: string, change: Partial<Condition>): void {
    this.#conditions.set(`${from} ${to}`, { ...this.condition(from, to), ...change });
    this.#changed();
  }

  damageNext(from: string, to: string, damage: Damage): void {
    this.#damages.set(`${from} ${to}`, damage);
  }

  /** What is to be done to the bytes that travel now; asked for once. */
  takeDamage(from: string, to: string): Damage | undefined {
    const damage = this.#damages.get(`${from} ${to}`);
    this.#damages.delete(`${from} ${to}`);
    return damage;
  }

  heal(): void {
    this.#conditions.clear();
    this.#damages.clear();
    this.#changed();
  }

  /** Returns how to stop listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
