/**
 * What the rest of the node says for `/metrics`, and in which words. Types alone: whoever counts something here knows nothing of Prometheus.
 * All words that become labels come from closed sets, or from who is a member of the cluster.
 */
import type { ReplicaStatus } from '../cluster/types.ts';
import type { ReplicaQueues } from '../replica/options.ts';
import type { ErrorCode } from '../api/errors.ts';

/** What was asked for; the simple routes count as what they do. `none`: answered before it was known. */
export type Operation =
  | 'get'
  | 'put'
  | 'delete'
  | 'scan'
  | 'delete_prefix'
  | 'batch'
  | 'txn'
  | 'watch'
  | 'cluster'
  | 'change_cluster'
  | 'health'
  | 'metrics'
  | 'page'
  | 'none';

/** What it came to, by the answer's status. `gone`: the client went away before its request was whole. */
export type RequestOutcome =
  | 'ok'
  | 'redirected'
  | 'refused'
  | 'not_found'
  | 'condition_failed'
  | 'overloaded'
  | 'unavailable'
  | 'unknown'
  | 'error'
  | 'gone';

/** Told of each request: nearly free. */
export interface RequestMeter {
  /** `ms`: from its headers until its answer was handed to the connection; of a stream, until that began. */
  answered(operation: Operation, outcome: RequestOutcome, ms: number): void;
  /** It was answered with a problem. */
  refused(code: ErrorCode): void;
  /** It took longer than `limits.slowRequestMs`. */
  slow(): void;
  /** A connection was not let in: too many are open. */
  connectionRefused(): void;
}

/** What the front knows at the moment of a scrape. */
export interface FrontReadings {
  readonly requests: number;
  readonly connections: number;
}

/** What `/metrics` answers. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/** All that the front has to do with metrics. */
export interface FrontMetrics {
  readonly requests: RequestMeter;
  /** Whom to ask at a scrape, from now on. */
  followFront(readings: () => FrontReadings): void;
  /** Everything as it is now. Asks nobody but this process. */
  scrape(): Promise<Exposition>;
}

/** Told of each synced batch of a database. */
export interface StorageMeter {
  /** A batch begins to be written. Returns what to call once it is durable. */
  batchBegun(database: 'log' | 'state', batch: { readonly items: number; readonly bytes: number }): () => void;
}

/** What the node below the front knows at the moment of a scrape. What is called a total has only ever grown since this start of the node. */
export interface NodeReadings {
  readonly ready: boolean;
  /** Of the replicas here, those in doubt and those being removed among them; with the metadata group. */
  readonly replicas: readonly ReplicaStatus[];
  /** Of all groups together. */
  readonly queues: ReplicaQueues;
  readonly electionsStarted: number;
  readonly electionsWon: number;
  readonly pendingBytes: number;
  /** Of clients, led here; and so many at most, Infinity as long as the disk keeps up. */
  readonly writesUnderWay: number;
  readonly writesUnderWayMax: number;
  readonly snapshots: SnapshotReadings;
  readonly watchers: number;
  readonly watchQueuedBytes: number;
  readonly peers: readonly PeerReading[];
}

export interface SnapshotReadings {
  readonly sending: number;
  readonly receiving: number;
  readonly sentBytes: number;
  /** Transfers that came to an end, by what came of them. */
  readonly ended: Readonly<Record<string, number>>;
  /** States that replicas here took over. */
  readonly installed: number;
}

export interface PeerReading {
  readonly nodeId: string;
  readonly connected: boolean;
  /** On both lanes. */
  readonly queuedBytes: number;
  readonly droppedMessages: number;
}
