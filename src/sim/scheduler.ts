/**
 * Virtual time: a queue of events in the order of their times, and among equals of their planning. Nothing in the
 * simulated world happens but an event, and what follows from it through promises.
 */

interface Event {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** Resolves once all that follows from promises settled so far has run: Node runs its ticks after its microtasks. */
const promisesAtRest = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

export class Scheduler {
  readonly #heap: Event[] = [];
  #now = 0;
  #order = 0;
  #promisesMoved = false;
  #events = 0;

  /** Milliseconds since the world began. */
  now(): number {
    return this.#now;
  }

  /** So many events have run. */
  events(): number {
    return this.#events;
  }

  /** Plans `run`; returns how to cancel it. */
  after(delayMs: number, run: () => void): () => void {
    const event: Event = { at: this.#now + Math.max(0, delayMs), order: this.#order, run };
    this.#order += 1;
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** Says that the event that runs now may settle promises: what follows from them is awaited before the next event. */
  promisesMove(): void {
    this.#promisesMoved = true;
  }

  /** Runs all events up to `timeMs`, or until `stopped` says so. */
  async runUntil(timeMs: number, stopped: () => boolean = () => false): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.at <= timeMs; next = this.#heap[0]) {
      this.#pop();
      if (next.run === undefined) continue;
      this.#now = next.at;
      this.#events += 1;
      next.run();
      if (this.#promisesMoved) {
        this.#promisesMoved = false;
        await promisesAtRest();
      }
      if (stopped()) return;
    }
    this.#now = Math.max(this.#now, timeMs);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let hole = heap.push(event) - 1;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = heap[parent] as Event;
      if (isBefore(above, event)) break;
      heap[hole] = above;
      hole = parent;
    }
    heap[hole] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (isBefore(last, heap[child] as Event)) break;
      heap[hole] = heap[child] as Event;
      hole = child;
    }
    heap[hole] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
