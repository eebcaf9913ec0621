/**
 * Two rules on digests. The state of an index comes to the same in all replicas whose disks are whole, whatever is written, moved or installed
 * meanwhile; so nobody who is whole is ever told that it differs. And who is not is told.
 */
import type { NodeId, PartitionId, StateDigest } from '../replica/ports.ts';
import { Violation } from './violation.ts';

interface Summed {
  readonly nodeId: NodeId;
  readonly sum: string;
}

export class DigestJudge {
  /** States that were summed up. */
  count = 0;
  /** Hears of each replica that is told that it differs. */
  onTold: (nodeId: NodeId, partition: PartitionId, reason: string) => void = () => undefined;
  readonly #violated: (violation: unknown) => void;
  /** The first that was known, by partition and index. */
  readonly #summed = new Map<string, Summed>();
  /** Replicas that were damaged. */
  damaged = 0;
  /** A value of the partition is not what it was on these nodes' disks, and they do not know it. */
  readonly #rotten = new Set<string>();

  constructor(violated: (violation: unknown) => void) {
    this.#violated = violated;
  }

  /** From now on one value of the partition is damaged on its disk, for good. */
  rotten(nodeId: NodeId, partition: PartitionId): void {
    this.damaged += 1;
    this.#rotten.add(`${nodeId}/${partition}`);
  }

  /** A replica has summed up its state of `index`. */
  summed(nodeId: NodeId, partition: PartitionId, { index, digest }: { index: number; digest: StateDigest }): void {
    this.count += 1;
    if (this.#rotten.has(`${nodeId}/${partition}`)) return;
    const sum = Buffer.from(digest.sum).toString('hex');
    const place = `${partition}/${index}`;
    const known = this.#summed.get(place);
    if (known === undefined) this.#summed.set(place, { nodeId, sum });
    else if (known.sum !== sum) {
      const what = `the state of index ${index} comes to ${known.sum} on ${known.nodeId}, and to ${sum} on ${nodeId}`;
      this.#violated(new Violation('digests', what, partition));
    }
    if (digest.miscounted === undefined) return;
    const what = `${nodeId} has stored something else than it has counted at index ${index}: ${digest.miscounted}`;
    this.#violated(new Violation('digests', what, partition));
  }

  told(nodeId: NodeId, partition: PartitionId, reason: string): void {
    this.onTold(nodeId, partition, reason);
    // From here on another replica is to live there, which is whole.
    if (this.#rotten.delete(`${nodeId}/${partition}`)) return;
    this.#violated(new Violation('digests', `${nodeId} is whole, and is told: ${reason}`, partition));
  }

  /** Some that are damaged and do not know it, in words; undefined when there are none. */
  unfound(): string | undefined {
    return this.#rotten.size === 0 ? undefined : [...this.#rotten].join(', ');
  }
}
