/** Snapshots between this node and others: which replica needs one, which is sent one, and what is kept for them. */
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { SnapshotReadings } from '../metrics/ports.ts';
import { requestNameBytesMax } from '../kv/command.ts';
import { resultBytesMax } from '../kv/machine.ts';
import { encodeConfiguration } from '../raft/configuration.ts';
import type { LogIndex } from '../raft/types.ts';
import { foundingConfiguration } from '../replica/founding.ts';
import type { SnapshotDue } from '../replica/options.ts';
import type { Clock, NodeId, PartitionId, Storage, Transport } from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';
import type { SnapshotId } from '../replica/snapshot-messages.ts';
import { SnapshotReceiver, type SnapshotWanted } from '../replica/snapshot-receiver.ts';
import { SnapshotSender } from '../replica/snapshot-sender.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type { DiskWatch } from './disk-watch.ts';

export interface SnapshotHostOptions {
  readonly config: Config;
  readonly map: PartitionMap;
  readonly storage: Storage;
  readonly transport: Pick<Transport, 'request'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly replica: (partition: PartitionId) => Replica | undefined;
  readonly disks: Pick<DiskWatch, 'refusal'>;
  /** A record of this node's own could not be believed. */
  readonly onFailure: (error: unknown) => void;
}

/** Space and time, before a name. */
const timedPrefixBytes = 9;

/** What a record takes in a chunk beside key, value and content type, and the chunk itself: generous. */
const overheadBytes = 1024;

export class SnapshotHost {
  readonly #options: SnapshotHostOptions;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  /** Why followers did not take the last one. */
  readonly #refused = new Map<string, string>();
  /** Transfers from here that came to an end, by what came of them. */
  readonly #ended = { installed: 0, not_needed: 0, busy: 0, refused: 0, failed: 0, unreadable: 0, cancelled: 0 };
  #installed = 0;

  constructor(options: SnapshotHostOptions) {
    const { config, map, storage, transport, clock } = options;
    const { keyBytesMax, valueBytesMax, contentTypeBytesMax } = config.limits;
    const nameBytesMax = Math.max(keyBytesMax, requestNameBytesMax) + timedPrefixBytes;
    // A value, or the result of a transaction.
    const contentBytesMax = Math.max(valueBytesMax + contentTypeBytesMax, resultBytesMax);
    const recordBytesMax = nameBytesMax + contentBytesMax + overheadBytes;
    this.#options = options;
    this.#sender = new SnapshotSender({
      clock,
      limits: { ...config.snapshots, bytesPerSecondMax: config.placement.moveBytesPerSecondMax },
      request: (to, kind, payload, timeoutMs) => transport.request(to, kind, payload, timeoutMs, 'bulk'),
      openSnapshot: (partition) => storage.openSnapshot(partition),
      foundingConfiguration: (partition) =>
        encodeConfiguration(foundingConfiguration(map.partition(partition)?.replicas ?? [])),
    });
    this.#receiver = new SnapshotReceiver({
      clock,
      limits: {
        ...config.snapshots,
        nameBytesMax,
        recordsBytesMax: config.snapshots.chunkBytes + recordBytesMax,
      },
      storage,
      noRoom: (bytes) => options.disks.refusal(bytes),
      wants: (snapshot) => this.#wants(snapshot),
      install: async (snapshot) => {
        const outcome = await options.replica(snapshot.partition)?.install(snapshot);
        if (outcome === 'installed') this.#installed += 1;
        return outcome ?? 'not_needed';
      },
    });
  }

  /** A follower needs what the log of a leader here no longer has. */
  due(due: SnapshotDue): void {
    const { logger, replica, onFailure } = this.#options;
    const { partition, to } = due;
    const target = `${partition} ${to.replicaId}`;
    const refusedBefore = this.#refused.get(target);
    if (refusedBefore === undefined) logger.info({ partition, to: to.nodeId }, 'a follower needs a snapshot');
    this.#sender.send(due, (outcome) => {
      this.#ended[outcome.type] += 1;
      const reason = 'reason' in outcome ? outcome.reason : undefined;
      if (outcome.type === 'refused') this.#refused.set(target, outcome.reason);
      else this.#refused.delete(target);
      // It asks again all the time, and what stands in its way may last: a disk with too little room, say.
      if (reason === undefined || reason !== refusedBefore)
        logger.info({ partition, to: to.nodeId, outcome: outcome.type, reason }, 'the snapshot has ended');
      if (outcome.type === 'unreadable') onFailure(outcome.error);
      else replica(partition)?.snapshotEnded(to.replicaId);
    });
  }

  handle(from: NodeId, kind: string, payload: unknown): Promise<unknown> {
    return this.#receiver.handle(from, kind, payload);
  }

  /** Leadership was lost: the next leader sends what is needed. */
  leadershipLost(partition: PartitionId): void {
    this.#refused.clear();
    this.#sender.cancelPartition(partition);
  }

  /** The replica here is no more. Resolves once storage is asked for nothing of its partition any more; undefined when nothing is under way. */
  end(partition: PartitionId): Promise<void> | undefined {
    this.#sender.cancelPartition(partition);
    return this.#receiver.end(partition);
  }

  readings(): SnapshotReadings {
    const { bytesSent, transfers } = this.#sender.status();
    return {
      sending: transfers.filter(({ phase }) => phase !== 'resumable').length,
      receiving: this.#receiver.status().length,
      sentBytes: bytesSent,
      ended: { ...this.#ended },
      installed: this.#installed,
    };
  }

  pinnedIndex(partition: PartitionId): LogIndex | undefined {
    return this.#sender.pinnedIndex(partition);
  }

  /** Resolves once storage may be closed. */
  async stop(): Promise<void> {
    this.#receiver.stop();
    await this.#sender.stop();
  }

  #wants({ partition, from, to, term, index, node }: SnapshotId & { readonly node: NodeId }): SnapshotWanted {
    const replica = this.#options.replica(partition);
    if (replica === undefined) return { type: 'refused', reason: `partition ${partition} has no replica here` };
    if (!replica.speaksFor(from, node)) {
      return { type: 'refused', reason: `replica ${from} of partition ${partition} does not live on ${node}` };
    }
    return replica.wantsSnapshot({ to, term, index });
  }
}
