/** Storage snapshots of transfers that broke off: open for as long as their receiver keeps what it has of them. */
import type { ReplicaId } from '../raft/types.ts';
import type { HeldSnapshot } from './held-snapshot.ts';
import type { Clock, PartitionId } from './ports.ts';
import type { SnapshotTarget } from './snapshot-transfer.ts';

/** A replica among those of all groups. */
interface Receiver {
  readonly partition: PartitionId;
  readonly to: { readonly replicaId: ReplicaId };
}

interface Kept {
  readonly target: SnapshotTarget;
  readonly held: HeldSnapshot;
  readonly cancelTimer: () => void;
}

export class KeptSnapshots {
  readonly #clock: Clock;
  readonly #resumeMs: number;
  /** At most one for each replica. */
  readonly #byReplica = new Map<string, Kept>();

  constructor(clock: Clock, { resumeMs }: { readonly resumeMs: number }) {
    this.#clock = clock;
    this.#resumeMs = resumeMs;
  }

  /** Takes `held` over, and releases it `resumeMs` after the last sign that the receiver holds a part of it. */
  keep(target: SnapshotTarget, held: HeldSnapshot): void {
    this.drop(target);
    const leftMs = held.stagedAt === undefined ? 0 : held.stagedAt + this.#resumeMs - this.#clock.monotonicMs();
    if (leftMs <= 0) return held.release();
    const cancelTimer = this.#clock.after(leftMs, () => this.drop(target));
    this.#byReplica.set(keyOf(target), { target, held, cancelTimer });
  }

  /** Hands back what is kept for the very same sender, term and receiver; what is kept for another is released. */
  take(target: SnapshotTarget): HeldSnapshot | undefined {
    const kept = this.#byReplica.get(keyOf(target));
    if (kept === undefined) return undefined;
    const same =
      kept.target.term === target.term &&
      kept.target.from === target.from &&
      kept.target.to.nodeId === target.to.nodeId;
    kept.cancelTimer();
    this.#byReplica.delete(keyOf(target));
    if (same) return kept.held;
    kept.held.release();
    return undefined;
  }

  /** Releases what is kept for this replica. */
  drop(receiver: Receiver): void {
    const kept = this.#byReplica.get(keyOf(receiver));
    if (kept === undefined) return;
    kept.cancelTimer();
    this.#byReplica.delete(keyOf(receiver));
    kept.held.release();
  }

  all(): readonly { readonly target: SnapshotTarget; readonly held: HeldSnapshot }[] {
    return [...this.#byReplica.values()];
  }
}

export function keyOf({ partition, to }: Receiver): string {
  return `${partition}/${to.replicaId}`;
}
