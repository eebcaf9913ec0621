/**
 * The metadata group's records as the replica on this node has applied them. A follower's may be a little old; whoever decides by
 * them leads the group, and every write of his compares revisions.
 */
import type { StateWrite } from '../../kv/types.ts';
import type { NodeId, PartitionId, Storage } from '../../replica/ports.ts';
import {
  decodeRecord,
  metadataPartition,
  type BalanceRecord,
  type MapChange,
  type MoveRecord,
  type NodeRecord,
  type PartitionRecord,
  type Revised,
} from './records.ts';

export interface MetadataStateOptions {
  readonly storage: Pick<Storage, 'values'>;
  /** Records of the map are here that were not before. */
  readonly onMapChange: (change: MapChange) => void;
  /** A record can't be understood, or the storage failed. */
  readonly onFailure: (error: unknown) => void;
}

const pageKeys = 1000;
const pageBytes = 1024 * 1024;

export class MetadataState {
  readonly nodes = new Map<NodeId, Revised<NodeRecord>>();
  readonly partitions = new Map<PartitionId, Revised<PartitionRecord>>();
  readonly moves = new Map<PartitionId, Revised<MoveRecord>>();
  balance: Revised<BalanceRecord> | undefined;
  readonly #options: MetadataStateOptions;
  /** What is applied while the stored records are read: it comes after them. */
  #waiting: StateWrite[] | undefined;
  #loading = 0;
  #notify: () => void = () => undefined;

  constructor(options: MetadataStateOptions) {
    this.#options = options;
  }

  /** Who hears that something was applied, of whatever kind. */
  onApplied(notify: () => void): void {
    this.#notify = notify;
  }

  /** False while the stored records are read. */
  get loaded(): boolean {
    return this.#waiting === undefined;
  }

  /** The replica has started here, or its state was replaced by a snapshot: all is read anew. */
  replaced(): void {
    this.#waiting = [];
    this.#loading += 1;
    this.#load(this.#loading).catch(this.#options.onFailure);
  }

  /** The replica is gone. */
  dropped(): void {
    this.#loading += 1;
    this.#waiting = undefined;
    this.#clear();
  }

  applied(writes: readonly StateWrite[]): void {
    if (this.#waiting !== undefined) {
      this.#waiting.push(...writes);
      return;
    }
    this.#take(writes);
    this.#notify();
  }

  async #load(loading: number): Promise<void> {
    const writes: StateWrite[] = [];
    let from: Uint8Array = Buffer.alloc(1);
    for (let more = true; more;) {
      const page = await this.#options.storage.values(metadataPartition, {
        from,
        to: undefined,
        reverse: false,
        limit: pageKeys,
        bytesMax: pageBytes,
        keysOnly: false,
        dueBy: 0,
        dueMax: 1,
      });
      if (loading !== this.#loading) return;
      for (const { key, record } of page.values) writes.push({ type: 'put', key, record, expiresBefore: 0 });
      more = page.moreAfter !== undefined;
      if (page.moreAfter !== undefined) from = Buffer.concat([page.moreAfter, Buffer.alloc(1)]);
    }
    this.#clear();
    const applied = this.#waiting ?? [];
    this.#waiting = undefined;
    // Some of these writes may be in the pages already, and a page may hold what comes after them: the last word is the same.
    this.#take([...writes, ...applied]);
    this.#notify();
  }

  #clear(): void {
    this.nodes.clear();
    this.partitions.clear();
    this.moves.clear();
    this.balance = undefined;
  }

  #take(writes: readonly StateWrite[]): void {
    const change = { nodes: [] as Revised<NodeRecord>[], partitions: [] as Revised<PartitionRecord>[] };
    for (const write of writes) {
      if (write.type === 'delete') this.#forget(write.key);
      if (write.type !== 'put') continue;
      const { revision, value } = write.record;
      const decoded = decodeRecord(write.key, value);
      if (decoded === undefined) continue;
      if (decoded.type === 'balance') {
        this.balance = { record: decoded.record, revision };
      } else if (decoded.type === 'move') {
        this.moves.set(decoded.record.partition, { record: decoded.record, revision });
      } else if (decoded.type === 'node') {
        this.nodes.set(decoded.record.nodeId, { record: decoded.record, revision });
        change.nodes.push({ record: decoded.record, revision });
      } else {
        this.partitions.set(decoded.record.id, { record: decoded.record, revision });
        change.partitions.push({ record: decoded.record, revision });
      }
    }
    if (change.nodes.length + change.partitions.length > 0) this.#options.onMapChange(change);
  }

  /** Moves and the balancing come to an end; nodes and partitions stay known for good. */
  #forget(key: Uint8Array): void {
    const [kind, id] = Buffer.from(key).toString().split('/');
    if (kind === 'move') this.moves.delete(Number(id) as PartitionId);
    if (kind === 'balance') this.balance = undefined;
  }
}
