/** What users give to `store.cluster` and get from it. */
import type { CallOptions } from './options.ts';

export interface ChangeOptions extends CallOptions {
  /** Changes nothing: gives the plan that would be followed. Default false. */
  readonly dryRun?: boolean;
}

export interface NewNode {
  readonly nodeId: string;
  /** Where it serves clients: `http://host:port`. */
  readonly http: string;
  /** Where it listens for the other nodes: `host:port`. */
  readonly peer: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Its share relative to others: above 0, at most 1,000. Default 1. */
  readonly weight?: number;
}

export interface PlannedMove {
  readonly partition: number;
  /** Null: one replica more. */
  readonly from: string | null;
  /** Null: one replica fewer. */
  readonly to: string | null;
  /** Keys and values of the partition, as far as they are known. */
  readonly bytes: number;
}

export interface Plan {
  readonly moves: readonly PlannedMove[];
  /** Replicas that move. */
  readonly replicas: number;
  readonly bytes: number;
  /** Of all replicas, 0 to 1: those that move, and those that any plan has to move. */
  readonly fraction: number;
  readonly ideal: number;
  /** For people: what is less safe meanwhile, or afterwards. */
  readonly risks: readonly string[];
}

/** A move that is under way or waits. */
export interface Operation {
  readonly partition: number;
  readonly reason: 'join' | 'drain' | 'replace' | 'repair' | 'balance' | 'purge';
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly step: 'waiting' | 'learner' | 'catch_up' | 'voters' | 'leave' | 'record';
  /** 0 to 1: how much of what the newcomers need they have. */
  readonly progress: number;
  /** Entries that they lack. */
  readonly lag: number;
  readonly since: Date;
  /** For people: why it does not go on. */
  readonly blockedBy: string | undefined;
}

export interface LeaderMoved {
  readonly leader: string;
  readonly term: number;
}
