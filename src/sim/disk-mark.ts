import type { HighWaterMark, Mark } from '../storage/high-water.ts';

type Slots = readonly [Mark | undefined, Mark | undefined];

/** The operating system writes pages back by itself, so what is older than so many writes is on disk. */
const writesInMemoryMax = 256;
const tornChance = 0.1;
const allWrittenBackChance = 0.3;

/** HIGHWATER: two slots in sectors of their own, never fsynced. A killed process leaves it exact, a power cut does not. */
export class DiskMark {
  #slots: Slots = [undefined, undefined];
  #onDisk: Slots = [undefined, undefined];
  /** Since `#onDisk`, the oldest first. */
  #written: Mark[] = [];

  read(): Mark | undefined {
    const [one, other] = this.#slots;
    if (one === undefined || other === undefined) return one ?? other;
    return one.sequence > other.sequence ? one : other;
  }

  /** One start's handle. */
  open(isDead: () => boolean): HighWaterMark {
    return {
      read: () => this.read(),
      write: (mark) => {
        if (!isDead()) this.#write(mark);
      },
      close: () => undefined,
    };
  }

  /** Each slot is what it was at some moment since it was last known to be on disk, or torn. */
  cutPower(random: () => number): void {
    const all = random() < allWrittenBackChance;
    const survivor = (slot: 0 | 1): Mark | undefined => {
      if (all) return this.#slots[slot];
      if (random() < tornChance) return undefined;
      const writtenBack = this.#written.slice(0, Math.floor(random() * (this.#written.length + 1)));
      return withWritten(this.#onDisk, writtenBack)[slot];
    };
    this.#slots = [survivor(0), survivor(1)];
    this.#onDisk = this.#slots;
    this.#written = [];
  }

  /** The file is gone. */
  empty(): void {
    this.#slots = [undefined, undefined];
    this.#onDisk = this.#slots;
    this.#written = [];
  }

  #write(mark: Mark): void {
    this.#slots = withWritten(this.#slots, [mark]);
    this.#written.push(mark);
    if (this.#written.length < 2 * writesInMemoryMax) return;
    this.#onDisk = withWritten(this.#onDisk, this.#written.slice(0, writesInMemoryMax));
    this.#written = this.#written.slice(writesInMemoryMax);
  }
}

function withWritten(slots: Slots, marks: readonly Mark[]): Slots {
  let [even, odd] = slots;
  for (const mark of marks) {
    if (mark.sequence % 2 === 0) even = mark;
    else odd = mark;
  }
  return [even, odd];
}
