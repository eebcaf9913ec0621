/**
 * The sending side of a node's snapshot transfers, all its groups together: which go on at a time, at what rate, and which
 * storage snapshots stay open for transfers that broke off.
 */
import type { LogIndex, ReplicaId } from '../raft/types.ts';
import { unreachable } from '../assert.ts';
import { ByteRate } from './byte-rate.ts';
import { HeldSnapshot } from './held-snapshot.ts';
import { KeptSnapshots, keyOf } from './kept-snapshots.ts';
import type { PartitionId, StateSnapshot } from './ports.ts';
import {
  SnapshotTransfer,
  type SnapshotOutcome,
  type SnapshotTarget,
  type TransferPorts,
} from './snapshot-transfer.ts';

export interface SnapshotSenderOptions extends Omit<TransferPorts, 'rate' | 'onStaged'> {
  /** A consistent view of the durable state; this class closes it. */
  readonly openSnapshot: (partition: PartitionId) => StateSnapshot;
}

/** For metrics and for people. */
export interface SnapshotSending {
  readonly target: SnapshotTarget;
  /** `resumable`: broke off, and goes on where it was if it is asked for again in time. */
  readonly phase: 'queued' | 'sending' | 'pausing' | 'resumable';
  /** The rest is undefined while no snapshot is open. */
  readonly index: LogIndex | undefined;
  /** Bytes of records that the receiver holds, as they travel. */
  readonly bytesSent: number | undefined;
  /** Of the whole state. */
  readonly keys: number | undefined;
  readonly bytes: number | undefined;
}

interface Sending {
  readonly target: SnapshotTarget;
  readonly onEnded: (outcome: SnapshotOutcome) => void;
  state: SendingState;
}

type SendingState =
  | { readonly type: 'queued' }
  | { readonly type: 'sending'; readonly held: HeldSnapshot; readonly transfer: SnapshotTransfer }
  /** It came to nothing, which will be told in a while. */
  | { readonly type: 'pausing'; readonly cancelTimer: () => void };

const cancelled: SnapshotOutcome = { type: 'cancelled' };

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #ports: TransferPorts;
  /** In the order they were asked for; at most one for each replica. */
  readonly #sendings = new Map<string, Sending>();
  readonly #kept: KeptSnapshots;
  /** Released or not: until storage has closed them. */
  readonly #open = new Set<HeldSnapshot>();
  #bytesSent = 0;
  #stopped = false;

  constructor(options: SnapshotSenderOptions) {
    const { clock, limits } = options;
    this.#options = options;
    this.#kept = new KeptSnapshots(clock, limits);
    const rate = new ByteRate(clock, { bytesPerSecondMax: limits.bytesPerSecondMax, burstBytes: limits.chunkBytes });
    this.#ports = { ...options, rate, onStaged: (bytes) => (this.#bytesSent += bytes) };
  }

  /**
   * Sends the state of a partition to a replica once there is room. `onEnded` is called exactly once, never from within
   * this call; what came to nothing is told `retryDelayMs` later, so that whoever asks again at once does no harm. Returns
   * false, and calls nothing, while this replica's snapshot is queued, under way or not yet told of, and after `stop`. One
   * of an older term gives way.
   */
  send(target: SnapshotTarget, onEnded: (outcome: SnapshotOutcome) => void): boolean {
    const key = keyOf(target);
    const older = this.#sendings.get(key);
    if (this.#stopped || (older !== undefined && older.target.term >= target.term)) return false;
    if (older !== undefined) this.#abandon(older);
    this.#sendings.set(key, { target, onEnded, state: { type: 'queued' } });
    // Told last: it may ask for another, and finds this one.
    older?.onEnded(cancelled);
    this.#startNext();
    return true;
  }

  /** Ends what there is for this replica; it can't be gone on from. `onEnded` is called from within. */
  cancel(partition: PartitionId, replicaId: ReplicaId): void {
    const receiver = { partition, to: { replicaId } };
    this.#kept.drop(receiver);
    const sending = this.#sendings.get(keyOf(receiver));
    if (sending === undefined) return;
    this.#abandon(sending);
    this.#startNext();
    sending.onEnded(cancelled);
  }

  /** This node leads the partition no more: ends everything there is for it. */
  cancelPartition(partition: PartitionId): void {
    for (const { target } of [...this.#sendings.values(), ...this.#kept.all()]) {
      if (target.partition === partition) this.cancel(partition, target.to.replicaId);
    }
  }

  /**
   * The lowest index at which a snapshot of the partition is under way or can be gone on from: its receiver will need the
   * log from there on. Undefined when there is none.
   */
  pinnedIndex(partition: PartitionId): LogIndex | undefined {
    let lowest: LogIndex | undefined;
    const pin = (target: SnapshotTarget, { index }: HeldSnapshot) => {
      if (target.partition === partition && (lowest === undefined || index < lowest)) lowest = index;
    };
    for (const { target, state } of this.#sendings.values()) if (state.type === 'sending') pin(target, state.held);
    for (const { target, held } of this.#kept.all()) pin(target, held);
    return lowest;
  }

  /** For metrics and for people. `bytesSent`: staged by receivers, by all transfers since the start. */
  status(): { readonly bytesSent: number; readonly transfers: readonly SnapshotSending[] } {
    const sendings = [...this.#sendings.values()].map(({ target, state }) =>
      describe(target, state.type, state.type === 'sending' ? state.held : undefined),
    );
    const kept = [...this.#kept.all()].map(({ target, held }) => describe(target, 'resumable', held));
    return { bytesSent: this.#bytesSent, transfers: [...sendings, ...kept] };
  }

  /** Cancels everything. Resolves once all storage snapshots are closed: storage may be closed after it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { target } of [...this.#sendings.values(), ...this.#kept.all()]) {
      this.cancel(target.partition, target.to.replicaId);
    }
    await Promise.all([...this.#open].map((held) => held.closed));
  }

  #startNext(): void {
    let underWay = 0;
    for (const { state } of this.#sendings.values()) if (state.type === 'sending') underWay += 1;
    for (const sending of this.#sendings.values()) {
      if (this.#stopped || underWay >= this.#options.limits.transfersMax) return;
      if (sending.state.type !== 'queued') continue;
      if (this.#start(sending)) underWay += 1;
    }
  }

  /** Returns whether it is under way. */
  #start(sending: Sending): boolean {
    const { target } = sending;
    let held: HeldSnapshot;
    try {
      held = this.#kept.take(target) ?? this.#openSnapshot(target.partition);
    } catch (error) {
      this.#pause(sending, { type: 'unreadable', error });
      return false;
    }
    const transfer = new SnapshotTransfer(this.#ports, target, held);
    sending.state = { type: 'sending', held, transfer };
    void transfer.run().then((outcome) => {
      // Otherwise it was cancelled, and that was told.
      if (this.#sendings.get(keyOf(target)) === sending) this.#ended(sending, held, outcome);
    });
    return true;
  }

  #openSnapshot(partition: PartitionId): HeldSnapshot {
    const held = new HeldSnapshot(this.#options.openSnapshot(partition));
    this.#open.add(held);
    void held.closed.then(() => this.#open.delete(held));
    return held;
  }

  #ended(sending: Sending, held: HeldSnapshot, outcome: SnapshotOutcome): void {
    switch (outcome.type) {
      case 'installed':
      case 'not_needed':
        held.release();
        this.#sendings.delete(keyOf(sending.target));
        this.#startNext();
        sending.onEnded(outcome);
        break;
      case 'busy':
      case 'refused':
      case 'failed':
        this.#kept.keep(sending.target, held);
        this.#pause(sending, outcome);
        this.#startNext();
        break;
      case 'unreadable':
      case 'cancelled':
        held.release();
        this.#pause(sending, outcome);
        this.#startNext();
        break;
      default:
        unreachable(outcome);
    }
  }

  #pause(sending: Sending, outcome: SnapshotOutcome): void {
    const { clock, limits } = this.#options;
    const cancelTimer = clock.after(limits.retryDelayMs, () => {
      this.#sendings.delete(keyOf(sending.target));
      sending.onEnded(outcome);
    });
    sending.state = { type: 'pausing', cancelTimer };
  }

  /** Takes it out, wherever it stands; telling it is left to the caller. */
  #abandon(sending: Sending): void {
    const { target, state } = sending;
    this.#sendings.delete(keyOf(target));
    if (state.type === 'pausing') state.cancelTimer();
    if (state.type !== 'sending') return;
    state.transfer.cancel();
    state.held.release();
  }
}

function describe(
  target: SnapshotTarget,
  phase: SnapshotSending['phase'],
  held: HeldSnapshot | undefined,
): SnapshotSending {
  return {
    target,
    phase,
    index: held?.index,
    bytesSent: held?.bytesSent,
    keys: held?.machineState.keys,
    bytes: held?.machineState.bytes,
  };
}
