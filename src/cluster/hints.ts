/** Who leads which partition, as far as this node has heard. Only ever a hint: a wrong one costs time, never safety. */
import type { LeaderHint, PartitionId } from '../replica/ports.ts';

export class LeaderHints {
  readonly #hints = new Map<PartitionId, LeaderHint>();

  get(partition: PartitionId): LeaderHint | undefined {
    return this.#hints.get(partition);
  }

  /**
   * Takes a hint of a newer term than the one known; a term has one leader at most (paper 5.2), so an equal one says
   * nothing new. Term 0 is a guess from the map and never stored. Returns whether it was taken.
   */
  learn(partition: PartitionId, hint: LeaderHint): boolean {
    if (hint.term <= (this.#hints.get(partition)?.term ?? 0)) return false;
    this.#hints.set(partition, { nodeId: hint.nodeId, term: hint.term });
    return true;
  }

  /** Forgets a hint that proved wrong, unless a newer one has taken its place since. */
  drop(partition: PartitionId, wrong: LeaderHint): void {
    const known = this.#hints.get(partition);
    if (known?.nodeId === wrong.nodeId && known.term === wrong.term) this.#hints.delete(partition);
  }
}
