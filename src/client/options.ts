/** What users give to the client and get from it. */
import type { FlotillaError } from './flotilla-error.ts';

/** 1 to 1,024 bytes. A string stands for its UTF-8. */
export type Key = string | Uint8Array;

/** Up to 1 MiB. A string stands for its UTF-8. */
export type Value = string | Uint8Array;

export interface ConnectOptions {
  /** For a whole call, redirects and retries included: 1 to 60,000 ms. Default 5,000. */
  readonly timeoutMs?: number;
  /** Connections open to one node at a time. Default 64. */
  readonly connectionsPerNode?: number;
  /** Fail as soon as every known node has refused, rather than try until the deadline. Default false. */
  readonly failFast?: boolean;
}

export interface CallOptions {
  /** For this call, instead of the store's. */
  readonly timeoutMs?: number;
}

export interface GetOptions extends CallOptions {
  /**
   * `linearizable` (the default): sees every write that was answered before. `stale`: what any replica has, at once and even
   * without a leader; the entry says how old that may be.
   */
  readonly consistency?: 'linearizable' | 'stale';
  /** With `stale`: fails with `too_stale` where no replica in reach is as young as that. Whole ms. */
  readonly maxStalenessMs?: number;
  /** `stale`: answer so when no leader answers in time, and not otherwise. */
  readonly fallback?: 'stale';
}

export interface Conditions {
  /** Change only what has this ETag, quotes included; `*`: what exists. Otherwise the call fails with `precondition_failed`. */
  readonly ifMatch?: string;
  /** `*`: create only. Otherwise the call fails with `precondition_failed`. */
  readonly ifNoneMatch?: string;
}

export interface WriteOptions extends CallOptions, Conditions {
  /**
   * Names this write among its repeats: 1 to 128 visible ASCII characters. Default: a new one for each call, so that the
   * client's own retries write once. Give `error.idempotencyKey` to repeat a call whose outcome was unknown.
   */
  readonly idempotencyKey?: string;
}

export interface SetOptions extends WriteOptions {
  /** How long the key is to live: seconds as a number, or a text such as `1500ms`, `60s`, `1h30m`. Without it the key stays. */
  readonly ttl?: number | string;
  /** Kept with the value and given back. Default `application/octet-stream`. */
  readonly contentType?: string;
}

export interface SetResult {
  /** Of this write; grows with every write of the key's partition. */
  readonly revision: number;
  /** For `ifMatch`, quotes included. */
  readonly etag: string;
  /** False when it replaced a value. */
  readonly created: boolean;
  readonly expiresAt: Date | undefined;
}

export interface DeleteResult {
  /** False when there was nothing to delete. */
  readonly deleted: boolean;
  /** Of the deletion; undefined when there was nothing to delete. */
  readonly revision: number | undefined;
}

export interface Entry {
  readonly value: Uint8Array;
  /** The value as UTF-8. */
  readonly text: () => string;
  readonly revision: number;
  /** For `ifMatch`, quotes included. */
  readonly etag: string;
  readonly contentType: string;
  readonly expiresAt: Date | undefined;
  /** Of a stale read: everything that was written so long ago is in it, ms. Undefined for a linearizable one. */
  readonly stalenessMs: number | undefined;
}

export type BatchOperation =
  | { readonly op: 'get'; readonly key: Key }
  | ({ readonly op: 'delete'; readonly key: Key } & Conditions)
  | ({
      readonly op: 'put';
      readonly key: Key;
      readonly value: Value;
      /** As for `set`. */
      readonly ttl?: number | string;
      readonly contentType?: string;
    } & Conditions);

/** Of one operation. `failed`: the others are not touched by it. */
export type BatchResult =
  | ({ readonly type: 'put' } & SetResult)
  | { readonly type: 'get'; readonly entry: Entry | undefined }
  | ({ readonly type: 'delete' } & DeleteResult)
  | { readonly type: 'failed'; readonly error: FlotillaError };

export interface BatchOptions extends CallOptions {
  readonly idempotencyKey?: string;
}

export interface ScanOptions extends CallOptions {
  /** Only keys that begin so. Together with `start` or `end`: both hold. */
  readonly prefix?: Key;
  /** The lowest key, itself included. Means the same when reversed. */
  readonly start?: Key;
  /** The key above the highest, itself excluded. */
  readonly end?: Key;
  /** At most so many in all. Default: no limit. */
  readonly limit?: number;
  /** From the highest key down. Default false. */
  readonly reverse?: boolean;
  /** Default: 100 items a request, 1,000 with `keysOnly`; at most 10,000. */
  readonly pageSize?: number;
}

export interface ScanKey {
  /** Text where its bytes are UTF-8, else the bytes: either way what the other calls take. */
  readonly key: Key;
  readonly revision: number;
  readonly etag: string;
  readonly expiresAt: Date | undefined;
}

export interface ScanEntry extends ScanKey {
  readonly value: Uint8Array;
  /** The value as UTF-8. */
  readonly text: () => string;
}

export interface NodeStatus {
  readonly nodeId: string;
  /** Where it serves, as it tells others. */
  readonly http: string;
  /** Where it listens for the other nodes. */
  readonly peer: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'up' | 'down' | 'joining' | 'draining' | 'removed';
  /** Partitions that it leads, and that it has a replica of. */
  readonly leads: number;
  readonly replicas: number;
}

export interface PartitionStatus {
  readonly id: number;
  /** Of key hashes, both ends included. */
  readonly range: readonly [number, number];
  readonly leader: string | null;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly replicas: readonly ReplicaStatus[];
  readonly keys?: number;
  readonly bytes?: number;
}

export interface ReplicaStatus {
  readonly nodeId: string;
  readonly role: 'leader' | 'follower' | 'learner';
  readonly matchIndex: number;
  /** Entries that it lacks. */
  readonly lag: number;
  readonly state: 'ok' | 'snapshot' | 'in_doubt' | 'stopped' | 'unreachable';
}

/** As one node sees it. */
export interface StoreStatus {
  readonly clusterId: string;
  readonly name: string;
  readonly nodes: readonly NodeStatus[];
  readonly partitions: readonly PartitionStatus[];
}
