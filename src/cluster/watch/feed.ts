/**
 * The changes of one partition as they happen, for all watchers of this node together: read once, told to each. It runs while anybody watches.
 */
import type { ChangePoint } from '../../replica/change-log.ts';
import type { Clock, PartitionId } from '../../replica/ports.ts';
import type { ChangeSource } from './change-source.ts';
import type { Watcher } from './watcher.ts';

export interface FeedOptions {
  readonly partition: PartitionId;
  readonly source: Pick<ChangeSource, 'poll'>;
  readonly clock: Clock;
  readonly pollMs: number;
  /** Nobody could be asked, or it is too far behind: it is tried again after so long. */
  readonly retryMs: number;
  /** Whether a watcher has as much untaken as it may. */
  readonly isFull: (watcher: Watcher) => boolean;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #watchers = new Set<Watcher>();
  #position: ChangePoint;
  /** What the partition's leader had when it was last asked. */
  #goal: ChangePoint | undefined;
  #reached: (() => void)[] = [];
  /** The replica here does not come up to what its leader says it has. */
  #distrustLocal = false;
  #running = false;

  /** `position`: of the first who watches. */
  constructor(options: FeedOptions, position: ChangePoint) {
    this.#options = options;
    this.#position = position;
  }

  get partition(): PartitionId {
    return this.#options.partition;
  }

  get isIdle(): boolean {
    return this.#watchers.size === 0;
  }

  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
    if (!this.#catchesUp(watcher)) void this.#follow(watcher);
    if (!this.#running) void this.#run();
  }

  remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.isIdle) this.#settle();
  }

  /** Whether everything up to `goal` is told, within `withinMs`. If it is not, others are asked instead of the replica here. */
  async reaches(goal: ChangePoint, withinMs: number): Promise<boolean> {
    if (!this.#isAt(goal)) {
      this.#goal = goal;
      await new Promise<void>((resolve) => {
        const cancel = this.#options.clock.after(withinMs, resolve);
        this.#reached.push(() => {
          cancel();
          resolve();
        });
      });
    }
    const reached = this.#isAt(goal);
    this.#distrustLocal = !reached;
    return reached;
  }

  /** Nobody leads it that answers: the replica here may be the one that is cut off. */
  distrustLocal(): void {
    this.#distrustLocal = true;
  }

  async #run(): Promise<void> {
    const { source, partition, pollMs, retryMs, clock } = this.#options;
    this.#running = true;
    while (!this.isIdle) {
      const found = await source.poll(partition, this.#position, {
        waitMs: pollMs,
        distrustLocal: this.#distrustLocal,
      });
      if (found.type === 'changes') {
        const from = this.#position;
        this.#position = found.through;
        for (const watcher of this.#watchers) {
          if (watcher.behind.has(partition)) continue;
          if (watcher.at(partition).index < from.index || this.#options.isFull(watcher)) void this.#follow(watcher);
          else watcher.tell(partition, found.entries, found.through);
        }
        if (this.#goal !== undefined && this.#isAt(this.#goal)) this.#settle();
        continue;
      }
      if (found.type === 'too_old') this.#lost(found.detail);
      await new Promise<void>((resolve) => void clock.after(retryMs, resolve));
    }
    this.#running = false;
  }

  /** No log reaches back to where this is: who is further on, or comes anew, is told from there. */
  #lost(detail: string): void {
    let next: ChangePoint | undefined;
    for (const watcher of [...this.#watchers]) {
      const at = watcher.at(this.partition);
      if (at.incarnation === this.#position.incarnation && at.index <= this.#position.index)
        watcher.end({ type: 'too_old', detail });
      else if (next === undefined || at.index < next.index) next = at;
    }
    if (next !== undefined) this.#position = next;
  }

  /** Whether it is where the others are: told with them from now on. */
  #catchesUp(watcher: Watcher): boolean {
    const { index, incarnation } = watcher.at(this.partition);
    if (incarnation === this.#position.incarnation && index >= this.#position.index) {
      watcher.behind.delete(this.partition);
      return true;
    }
    watcher.behind.add(this.partition);
    return false;
  }

  /** Takes a watcher through the log, as fast as it takes what it is told, until it is where the others are. */
  async #follow(watcher: Watcher): Promise<void> {
    const { source, partition, retryMs, clock, isFull } = this.#options;
    watcher.behind.add(partition);
    // There is something to tell, so a replica here that has nothing is behind itself.
    let elsewhere = false;
    for (;;) {
      await watcher.sink.drained();
      if (this.#isOver(watcher) || this.#catchesUp(watcher)) return;
      if (!isFull(watcher)) {
        const distrustLocal = this.#distrustLocal || elsewhere;
        const found = await source.poll(partition, watcher.at(partition), { waitMs: 0, distrustLocal });
        if (this.#isOver(watcher)) return;
        if (found.type === 'too_old') return watcher.end(found);
        // Those of other partitions come at the same time, and may have filled it: then this is read again later.
        if (found.type === 'changes' && !isFull(watcher)) {
          if (found.through.index > watcher.at(partition).index) {
            watcher.tell(partition, found.entries, found.through);
            watcher.assuredAt = clock.monotonicMs();
            continue;
          }
          elsewhere = true;
        }
      }
      await new Promise<void>((resolve) => void clock.after(retryMs, resolve));
    }
  }

  #isOver(watcher: Watcher): boolean {
    return watcher.ended || !this.#watchers.has(watcher);
  }

  #isAt(goal: ChangePoint): boolean {
    const { incarnation, index } = this.#position;
    return incarnation === goal.incarnation && index >= goal.index;
  }

  #settle(): void {
    this.#goal = undefined;
    for (const resolve of this.#reached.splice(0)) resolve();
  }
}
