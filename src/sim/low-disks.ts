/**
 * Disks come to have little room left, and have room again after a while: so little that a node says so, not so little that it would have
 * to stop. What is refused meanwhile was not written, as the history of all that was answered shows.
 */
import type { Random } from './random.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';

export interface LowDisksOptions {
  readonly world: World;
  readonly random: Random;
  readonly nodes: readonly SimNode[];
  /** Between two of them on average, ms; 0 for none. */
  readonly everyMs: number;
}

const lowMsMin = 50;
const lowMsMax = 4000;

export class LowDisks {
  /** How often a disk came to have little room. */
  count = 0;
  readonly #options: LowDisksOptions;
  #stopped = false;

  constructor(options: LowDisksOptions) {
    this.#options = options;
  }

  start(): void {
    const { world, random, everyMs } = this.#options;
    if (everyMs === 0) return;
    world.scheduler.after(random.exponential(everyMs), () => {
      if (this.#stopped) return;
      this.#fill();
      this.start();
    });
  }

  /** All have room from now on. */
  stop(): void {
    this.#stopped = true;
    for (const { disk } of this.#options.nodes) disk.setFreeBytes();
  }

  #fill(): void {
    const { world, random, nodes } = this.#options;
    const { diskFreeBytesMin, diskFreeBytesStop } = world.config.storage;
    const { disk } = random.pick(nodes);
    disk.setFreeBytes(Math.floor(random.between(diskFreeBytesStop, diskFreeBytesMin)));
    this.count += 1;
    world.scheduler.after(random.magnitude(lowMsMin, lowMsMax), () => disk.setFreeBytes());
  }
}
