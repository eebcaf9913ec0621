/** What was committed at which log time, as the judge knows it. */
import type { LogIndex } from '../../raft/types.ts';

export class FreshnessTable {
  readonly #committedAt = new Map<number, LogIndex>();

  /**
   * A leader's heartbeat leaves at `logTime` of its own. Two who think that they lead may tell the same time at different moments: what
   * was committed at the earlier one is surely committed at the other.
   */
  noteCommitted(logTime: number, committedIndex: LogIndex): void {
    const noted = this.#committedAt.get(logTime) ?? committedIndex;
    this.#committedAt.set(logTime, Math.min(noted, committedIndex) as LogIndex);
  }

  /** Undefined for a time that no heartbeat told. */
  committedBy(logTime: number): LogIndex | undefined {
    return this.#committedAt.get(logTime);
  }
}
