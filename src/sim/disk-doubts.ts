/** Which replicas of a machine are in doubt: durable at once, like all that is written and fsynced in one go. */
import type { PartitionId, ReplicaDoubt, ReplicaDoubts } from '../replica/ports.ts';

export class SimDoubts implements ReplicaDoubts {
  readonly #doubts = new Map<PartitionId, ReplicaDoubt>();

  all(): readonly ReplicaDoubt[] {
    return [...this.#doubts.values()];
  }

  put(doubt: ReplicaDoubt): void {
    this.#doubts.set(doubt.partition, doubt);
  }

  forget(partition: PartitionId): void {
    this.#doubts.delete(partition);
  }

  empty(): void {
    this.#doubts.clear();
  }
}
