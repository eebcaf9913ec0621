/**
 * The receiving side of a node's snapshot transfers: takes chunks in order, has each staged durably beside the live
 * state, and at the end has the replica install the whole.
 *
 * Safety: storage is asked for one thing at a time for each partition, and everything else waits or is refused: a chunk
 * that is staged late never lands in the staging area of the transfer that came after it.
 */
import { unreachable } from '../assert.ts';
import { asBuffer } from '../bytes.ts';
import type { SnapshotConfig } from '../config.ts';
import type { Configuration } from '../raft/types.ts';
import { idOf } from './message-fields.ts';
import { OneAtATime } from './one-at-a-time.ts';
import type { Clock, NodeId, PartitionId } from './ports.ts';
import {
  configurationOf,
  SnapshotReception,
  type InstallOutcome,
  type SnapshotStaging,
  type StagedSnapshot,
} from './snapshot-reception.ts';
import {
  decodeBegin,
  decodeChunk,
  decodeEnd,
  refused,
  type BeginAnswer,
  type ChunkAnswer,
  type ChunkLimits,
  type EndAnswer,
  type SnapshotBegin,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotId,
  type SnapshotRefused,
} from './snapshot-messages.ts';

export type SnapshotWanted =
  | { readonly type: 'yes' }
  /** The replica has applied as much already. */
  | { readonly type: 'not_needed' }
  /** No such replica here, another stay of it, an old term, or a node that does not host `from`. */
  | { readonly type: 'refused'; readonly reason: string };

export interface SnapshotReceiverOptions {
  readonly clock: Clock;
  readonly limits: SnapshotConfig & ChunkLimits;
  readonly storage: SnapshotStaging;
  /** Why no more than so many bytes can be taken in now; undefined when they can. */
  readonly noRoom: (bytes: number) => string | undefined;
  readonly wants: (snapshot: SnapshotId & { readonly node: NodeId }) => SnapshotWanted;
  /**
   * Everything is staged and durable. Safety: settles only once storage no longer needs what is staged, so with
   * `installed` when the log write that installs it is durable; until then no other snapshot of the partition is begun.
   */
  readonly install: (snapshot: StagedSnapshot) => Promise<InstallOutcome>;
}

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  readonly #receptions = new Map<PartitionId, SnapshotReception>();
  /** What storage, or the replica at the end, was asked for. */
  readonly #busy = new OneAtATime();
  #stopped = false;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /** Answers whatever a peer sends; rejects only for a bug. */
  handle(from: NodeId, kind: string, payload: unknown): Promise<BeginAnswer | ChunkAnswer | EndAnswer> {
    if (this.#stopped) return Promise.resolve(refused('the node stops'));
    const { limits } = this.#options;
    switch (kind) {
      case 'snapshot.begin': {
        const begin = decodeBegin(payload);
        return begin === undefined ? malformed(kind) : this.#begin(from, begin);
      }
      case 'snapshot.chunk': {
        const chunk = decodeChunk(payload, limits);
        return chunk === undefined ? malformed(kind) : this.#chunk(from, chunk);
      }
      case 'snapshot.end': {
        const end = decodeEnd(payload, limits);
        return end === undefined ? malformed(kind) : this.#end(from, end);
      }
      default:
        return malformed(kind);
    }
  }

  /** For metrics and for people. `bytesStaged`: of records, as they travel. */
  status(): readonly { readonly snapshot: SnapshotId; readonly node: NodeId; readonly bytesStaged: number }[] {
    return [...this.#receptions.values()].map(({ id, node, bytesStaged }) => ({ snapshot: id, node, bytesStaged }));
  }

  /** The replica is no more. Resolves once storage is asked for nothing of its partition any more; undefined when nothing is under way. */
  end(partition: PartitionId): Promise<void> | undefined {
    const reception = this.#receptions.get(partition);
    if (reception !== undefined) this.#forget(reception);
    const busy = this.#busy.settled(partition);
    return busy?.then(() => this.end(partition));
  }

  stop(): void {
    this.#stopped = true;
    for (const reception of this.#receptions.values()) reception.cancelExpiry();
    this.#receptions.clear();
  }

  async #begin(node: NodeId, begin: SnapshotBegin): Promise<BeginAnswer> {
    const { partition } = begin;
    const configuration = configurationOf(begin);
    if (configuration === undefined) return refused('the configuration is of no version known to this node');
    for (;;) {
      const older = this.#receptions.get(partition);
      const settled = this.#judge(node, begin, older);
      if (settled !== undefined) return settled;
      const busy = this.#busy.settled(partition);
      if (busy !== undefined) {
        // Then all is asked anew: what was under way, or another begin that waited, may have changed the answer.
        await busy;
        continue;
      }
      if (this.#full(partition)) return { type: 'busy' };
      const noRoom = this.#options.noRoom(this.#outstandingBytes(node, begin));
      if (noRoom !== undefined) return refused(noRoom);
      if (older?.is(node, begin)) return older.touched().go();
      return this.#take(node, begin, configuration);
    }
  }

  /** The answer, when nothing is to be staged. */
  #judge(node: NodeId, begin: SnapshotBegin, older: SnapshotReception | undefined): BeginAnswer | undefined {
    if (this.#stopped) return refused('the node stops');
    if (older?.supersedes(node, begin)) return refused('a snapshot of a later term or index is being received');
    const wanted = this.#options.wants({ ...idOf(begin), node });
    switch (wanted.type) {
      case 'yes':
        return undefined;
      case 'not_needed':
        if (older !== undefined && older.begin.index <= begin.index && !this.#busy.has(begin.partition))
          this.#drop(older);
        return { type: 'not_needed' };
      case 'refused':
        return refused(wanted.reason);
      default:
        return unreachable(wanted);
    }
  }

  /** Starts from nothing; an older transfer of the partition is forgotten. */
  async #take(node: NodeId, begin: SnapshotBegin, configuration: Configuration): Promise<BeginAnswer> {
    const { clock, limits, storage } = this.#options;
    const { partition } = begin;
    this.#receptions.get(partition)?.cancelExpiry();
    const reception = new SnapshotReception(clock, { node, begin, configuration });
    this.#receptions.set(partition, reception);
    reception.expireAfter(limits.resumeMs, () => this.#expired(reception));
    const started = async (): Promise<BeginAnswer> => {
      await storage.beginSnapshot(partition);
      return reception.touched().go();
    };
    return this.#busy.run(partition, started, (reason) => this.#fail(reception, reason));
  }

  /** Not an async function: a repeated chunk is let go of while the first one is being staged. */
  #chunk(node: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> {
    const { partition, sequence, after, last } = chunk;
    const reception = this.#receptions.get(partition);
    if (!reception?.is(node, chunk)) return Promise.resolve(noSuchTransfer());
    const known = reception.known(sequence, last);
    if (known !== undefined) return known;
    if (this.#busy.has(partition)) return Promise.resolve(refused('the chunk before it is not staged yet'));
    if (!reception.continuesAt(sequence, after))
      return Promise.resolve(refused('the chunk is out of order: begin again'));
    if (this.#full(partition)) return Promise.resolve(refused('other transfers took its place: begin again'));
    const noRoom = this.#options.noRoom(0);
    if (noRoom !== undefined) return Promise.resolve(refused(noRoom));
    const staged = this.#stage(reception, chunk);
    reception.staging(chunk, staged);
    return staged;
  }

  #stage(reception: SnapshotReception, { partition, last, records }: SnapshotChunk): Promise<ChunkAnswer> {
    const staged = async (): Promise<ChunkAnswer> => {
      await this.#options.storage.stageSnapshotChunk(partition, asBuffer(records));
      reception.staged(last, records.length);
      return { type: 'staged' };
    };
    return this.#busy.run(partition, staged, (reason) => this.#fail(reception, reason));
  }

  async #end(node: NodeId, end: SnapshotEnd): Promise<EndAnswer> {
    const { partition } = end;
    const reception = this.#receptions.get(partition);
    if (!reception?.is(node, end)) return noSuchTransfer();
    if (reception.ending !== undefined) return reception.ending;
    if (this.#busy.has(partition)) return refused('the last chunk is not staged yet');
    if (!reception.isComplete(end)) return refused('chunks are missing: begin again');
    reception.ending = this.#complete(reception);
    return reception.ending;
  }

  #complete(reception: SnapshotReception): Promise<EndAnswer> {
    const { storage, install } = this.#options;
    const { partition, machineState, configurationIndex, configuration } = reception.begin;
    const completed = async (): Promise<EndAnswer> => {
      await storage.completeSnapshot(partition, machineState, { index: configurationIndex, body: configuration });
      const type = await install(reception.stagedSnapshot());
      // What is staged stays: there may be no time to empty it, and the next begin does.
      if (type === 'stopped') return this.#fail(reception, 'the replica has stopped');
      if (type === 'not_needed') await storage.beginSnapshot(partition);
      this.#forget(reception);
      return { type };
    };
    return this.#busy.run(partition, completed, (reason) => this.#fail(reception, reason));
  }

  /** What is staged may lack the chunk, or hold a part of it: the next begin starts over. */
  #fail(reception: SnapshotReception, reason: string): SnapshotRefused {
    this.#forget(reception);
    return refused(`not staged: ${reason}`);
  }

  #forget(reception: SnapshotReception): void {
    reception.cancelExpiry();
    const { partition } = reception.begin;
    if (this.#receptions.get(partition) === reception) this.#receptions.delete(partition);
  }

  /** Forgets it, and empties what it has staged on disk. */
  #drop(reception: SnapshotReception): void {
    const { partition } = reception.begin;
    this.#forget(reception);
    // If it fails, the next begin empties it.
    void this.#busy.run(
      partition,
      () => this.#options.storage.beginSnapshot(partition),
      () => undefined,
    );
  }

  #expired(reception: SnapshotReception): void {
    const { limits } = this.#options;
    const leftMs = this.#busy.has(reception.begin.partition) ? limits.resumeMs : limits.resumeMs - reception.idleMs();
    if (leftMs > 0) reception.expireAfter(leftMs, () => this.#expired(reception));
    else this.#drop(reception);
  }

  /** What is still to come, of this one and all that are being received. */
  #outstandingBytes(node: NodeId, begin: SnapshotBegin): number {
    const isOther = (one: SnapshotReception): boolean => one.begin.partition !== begin.partition;
    const older = this.#receptions.get(begin.partition);
    const own = older?.is(node, begin) === true ? older.outstandingBytes : begin.machineState.bytes;
    return [...this.#receptions.values()].filter(isOther).reduce((sum, one) => sum + one.outstandingBytes, own);
  }

  /**
   * Whether as many other transfers are taken as may be. One of which nothing was heard for longer than a sender waits for
   * a chunk has broken off: it can be gone on from, and holds nobody up.
   */
  #full(partition: PartitionId): boolean {
    const { chunkTimeoutMs, transfersMax } = this.#options.limits;
    let taken = 0;
    for (const [other, reception] of this.#receptions) {
      if (other !== partition && (this.#busy.has(other) || reception.idleMs() < chunkTimeoutMs)) taken += 1;
    }
    return taken >= transfersMax;
  }
}

function malformed(kind: string): Promise<SnapshotRefused> {
  return Promise.resolve(refused(`malformed: ${kind}`));
}

function noSuchTransfer(): SnapshotRefused {
  return refused('no such transfer is under way here: begin again');
}
