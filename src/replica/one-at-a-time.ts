/** One thing at a time for each partition. */
import { AssertionError, assert } from '../assert.ts';
import type { PartitionId } from './ports.ts';

export class OneAtATime {
  readonly #underWay = new Map<PartitionId, Promise<void>>();

  has(partition: PartitionId): boolean {
    return this.#underWay.has(partition);
  }

  /** Resolves, and never rejects, once what is under way has settled; undefined when nothing is. */
  settled(partition: PartitionId): Promise<void> | undefined {
    return this.#underWay.get(partition);
  }

  /**
   * Runs `work`, and `failed` with the reason if it rejects; whoever waits comes after both. Nothing else may be under way.
   * A broken assertion is no failure: it is passed on.
   */
  async run<T>(partition: PartitionId, work: () => Promise<T>, failed: (reason: string) => T): Promise<T> {
    assert(!this.#underWay.has(partition), () => `partition ${partition}: two things are asked for at once`);
    let settle: () => void = () => undefined;
    this.#underWay.set(partition, new Promise<void>((resolve) => (settle = resolve)));
    try {
      return await work();
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      return failed(error instanceof Error ? error.message : String(error));
    } finally {
      this.#underWay.delete(partition);
      settle();
    }
  }
}
