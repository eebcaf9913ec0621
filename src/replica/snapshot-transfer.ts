/** One attempt to carry one snapshot to one replica: begin, chunk after chunk, end. */
import { assert, unreachable } from '../assert.ts';
import { Scratch } from '../bytes.ts';
import type { SnapshotConfig } from '../config.ts';
import type { LogIndex, ReplicaId, Term } from '../raft/types.ts';
import type { ByteRate } from './byte-rate.ts';
import type { HeldSnapshot } from './held-snapshot.ts';
import type { Clock, NodeId, PartitionId, ReplicaDescriptor } from './ports.ts';
import {
  decodeBeginAnswer,
  decodeChunkAnswer,
  decodeEndAnswer,
  type SnapshotBegin,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotId,
  type SnapshotRequest,
} from './snapshot-messages.ts';

/** Who needs a snapshot of what, and who leads and so sends it. */
export interface SnapshotTarget {
  readonly partition: PartitionId;
  readonly from: ReplicaId;
  readonly to: ReplicaDescriptor;
  readonly term: Term;
}

export type SnapshotOutcome =
  | { readonly type: 'installed'; readonly index: LogIndex }
  /** The replica has got so far by itself. */
  | { readonly type: 'not_needed' }
  /** Its node takes as many transfers as it may. */
  | { readonly type: 'busy' }
  | { readonly type: 'refused'; readonly reason: string }
  /** No answer, or none that makes sense. */
  | { readonly type: 'failed'; readonly reason: string }
  /** This node's own storage could not be read: what that means for the node is for its owner to say. */
  | { readonly type: 'unreadable'; readonly error: unknown }
  | { readonly type: 'cancelled' };

export interface TransferPorts {
  readonly clock: Clock;
  readonly limits: SnapshotConfig & {
    /** Of all transfers of this node together. */
    readonly bytesPerSecondMax: number;
  };
  readonly rate: ByteRate;
  /** `Transport.request` on the bulk lane. */
  readonly request: (to: NodeId, kind: SnapshotRequest, payload: unknown, timeoutMs: number) => Promise<unknown>;
  /** Body of the configuration that the group was founded with: a newcomer can't know it. */
  readonly foundingConfiguration: (partition: PartitionId) => Uint8Array;
  /** Hears how many bytes of records a receiver has staged. */
  readonly onStaged: (bytes: number) => void;
}

/** What a step came to when the attempt is not over by it. */
type Step<Next> =
  { readonly type: 'next'; readonly next: Next } | { readonly type: 'over'; readonly outcome: SnapshotOutcome };

/** Where the next chunk begins; `done`: nothing is left for one. */
interface Place {
  readonly sequence: number;
  readonly after: Uint8Array | null;
  readonly done: boolean;
}

const cancelled: SnapshotOutcome = { type: 'cancelled' };

export class SnapshotTransfer {
  readonly #ports: TransferPorts;
  readonly #target: SnapshotTarget;
  readonly #held: HeldSnapshot;
  readonly #id: SnapshotId;
  /**
   * Each chunk is put together here, and sent from here without another copy. Safety: when the next one is, this one has been
   * answered, so none of its bytes is still to be sent (who answers what it has not read gets a frame with a wrong checksum). One that
   * was not answered in time may be sent for long: it ends this attempt, and with it the use of this memory.
   */
  readonly #chunkMemory = new Scratch(0);
  #cancelled = false;
  /** Before the next chunk. */
  #pauseMs = 0;
  #endWait: () => void = () => undefined;

  constructor(ports: TransferPorts, target: SnapshotTarget, held: HeldSnapshot) {
    this.#ports = ports;
    this.#target = target;
    this.#held = held;
    const { partition, from, to, term } = target;
    this.#id = { partition, from, to: to.replicaId, term, index: held.index };
  }

  /** Nothing is read or sent any more; `run` returns once what it waits for has settled. */
  cancel(): void {
    this.#cancelled = true;
    this.#endWait();
  }

  /** Holds one chunk at a time. Called once; rejects only for a bug. */
  async run(): Promise<SnapshotOutcome> {
    const begun = await this.#begin();
    if (begun.type === 'over') return begun.outcome;
    let place = begun.next;
    while (!place.done) {
      const sent = await this.#sendChunk(place);
      if (sent.type === 'over') return sent.outcome;
      place = sent.next;
    }
    return this.#end(place.after);
  }

  #isCancelled(): boolean {
    return this.#cancelled;
  }

  async #begin(): Promise<Step<Place>> {
    const { machineState, configuration } = this.#held;
    const begin: SnapshotBegin = {
      ...this.#id,
      snapshotTerm: machineState.appliedTerm as Term,
      configurationIndex: configuration?.index ?? (0 as LogIndex),
      configuration: configuration?.body ?? this.#ports.foundingConfiguration(this.#target.partition),
      machineState,
    };
    const answer = await this.#ask('snapshot.begin', begin, decodeBeginAnswer);
    switch (answer.type) {
      case 'go':
        // The receiver may have been started anew, or hold a chunk whose answer was lost: it says what it has.
        this.#held.stagedAt = answer.after === null ? undefined : this.#ports.clock.monotonicMs();
        if (answer.after === null) this.#held.bytesSent = 0;
        return { type: 'next', next: { sequence: answer.sequence, after: answer.after, done: false } };
      case 'not_needed':
      case 'busy':
      case 'refused':
      case 'failed':
      case 'cancelled':
        return { type: 'over', outcome: answer };
      default:
        return unreachable(answer);
    }
  }

  async #sendChunk({ sequence, after }: Place): Promise<Step<Place>> {
    const { rate, limits, clock, onStaged } = this.#ports;
    await this.#pause();
    if (this.#isCancelled()) return { type: 'over', outcome: cancelled };
    const grant = rate.take(limits.chunkBytes);
    this.#endWait = grant.cancel;
    await grant.granted;
    if (this.#isCancelled()) return { type: 'over', outcome: cancelled };
    const begunAt = clock.monotonicMs();
    let part: Awaited<ReturnType<HeldSnapshot['read']>>;
    try {
      part = await this.#held.read(after ?? undefined, limits.chunkBytes, this.#chunkMemory);
    } catch (error) {
      return { type: 'over', outcome: { type: 'unreadable', error } };
    }
    const { records, last, done } = part;
    rate.correct(records.length - limits.chunkBytes);
    assert(done || last !== undefined, 'a part of a snapshot without records is the last');
    if (last === undefined) return { type: 'next', next: { sequence, after, done: true } };
    const chunk: SnapshotChunk = { ...this.#id, sequence, after, last, records };
    const answer = await this.#ask('snapshot.chunk', chunk, decodeChunkAnswer);
    if (answer.type !== 'staged') return { type: 'over', outcome: answer };
    this.#held.bytesSent += records.length;
    onStaged(records.length);
    this.#held.stagedAt = clock.monotonicMs();
    this.#pauseMs = Math.min(limits.pauseFactor * (this.#held.stagedAt - begunAt), limits.chunkTimeoutMs);
    return { type: 'next', next: { sequence: sequence + 1, after: last, done } };
  }

  /**
   * Leaves the machines at both ends to the others for a while. What a chunk took grows with what else they have to do: so a transfer
   * gives way by itself, as a scavenger does that goes by delay (LEDBAT, RFC 6817).
   */
  async #pause(): Promise<void> {
    if (this.#pauseMs === 0) return;
    await new Promise<void>((resolve) => {
      const cancelTimer = this.#ports.clock.after(this.#pauseMs, resolve);
      this.#endWait = () => {
        cancelTimer();
        resolve();
      };
    });
  }

  async #end(last: Uint8Array | null): Promise<SnapshotOutcome> {
    const { keys, bytes } = this.#held.machineState;
    const end: SnapshotEnd = { ...this.#id, last, keys, bytes };
    const answer = await this.#ask('snapshot.end', end, decodeEndAnswer);
    return answer.type === 'installed' ? { type: 'installed', index: this.#id.index } : answer;
  }

  async #ask<Answer extends { readonly type: string }>(
    kind: SnapshotRequest,
    payload: SnapshotBegin | SnapshotChunk | SnapshotEnd,
    decode: (answer: unknown) => Answer | undefined,
  ): Promise<Answer | { readonly type: 'failed'; readonly reason: string } | { readonly type: 'cancelled' }> {
    if (this.#isCancelled()) return { type: 'cancelled' };
    const { request, limits } = this.#ports;
    let answer: unknown;
    try {
      answer = await request(this.#target.to.nodeId, kind, payload, limits.chunkTimeoutMs);
    } catch (failure) {
      return { type: 'failed', reason: `${kind}: ${reasonOf(failure)}` };
    }
    if (this.#isCancelled()) return { type: 'cancelled' };
    return decode(answer) ?? { type: 'failed', reason: `${kind}: the answer makes no sense` };
  }
}

/** `Transport.request` rejects with a `RequestFailure`. */
function reasonOf(failure: unknown): string {
  return typeof failure === 'object' && failure !== null && 'reason' in failure
    ? String(failure.reason)
    : String(failure);
}
