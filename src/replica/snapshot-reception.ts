/** One snapshot being received: what of it is staged. Memory only, so a new start of the node begins anew. */
import { asBuffer } from '../bytes.ts';
import { ConfigurationFormatError, decodeConfiguration } from '../raft/configuration.ts';
import type { MachineState } from '../kv/types.ts';
import type { Configuration, InstallSnapshot } from '../raft/types.ts';
import { idOf } from './message-fields.ts';
import type { Clock, NodeId, PartitionId, Storage } from './ports.ts';
import {
  refused,
  type BeginAnswer,
  type ChunkAnswer,
  type EndAnswer,
  type SnapshotBegin,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotId,
} from './snapshot-messages.ts';

export interface ReceptionOptions {
  /** That sends it. */
  readonly node: NodeId;
  readonly begin: SnapshotBegin;
  /** `begin.configuration`, decoded. */
  readonly configuration: Configuration;
}

/** The part of `Storage` that stages. */
export type SnapshotStaging = Pick<Storage, 'beginSnapshot' | 'stageSnapshotChunk' | 'completeSnapshot'>;

/** All of it is staged and durable. */
export interface StagedSnapshot {
  readonly partition: PartitionId;
  readonly request: InstallSnapshot;
  readonly machineState: MachineState;
}

/** `stopped`: the replica is no longer driven and has taken nothing. */
export type InstallOutcome = 'installed' | 'not_needed' | 'stopped';

export class SnapshotReception {
  readonly node: NodeId;
  readonly begin: SnapshotBegin;
  readonly #configuration: Configuration;
  readonly #clock: Clock;
  #nextSequence = 0;
  /** Of the last chunk that is staged. A copy, since the chunk is only lent. */
  #last: Uint8Array | null = null;
  #touchedAt: number;
  #underWay: { readonly last: Uint8Array; readonly answer: Promise<ChunkAnswer> } | undefined;
  #cancelExpiry: () => void = () => undefined;
  /** The answer to the end, once that has come. */
  ending: Promise<EndAnswer> | undefined;
  bytesStaged = 0;

  constructor(clock: Clock, { node, begin, configuration }: ReceptionOptions) {
    this.#clock = clock;
    this.node = node;
    // What came on the bulk lane is only lent.
    this.begin = { ...begin, configuration: new Uint8Array(begin.configuration) };
    this.#configuration = configuration;
    this.#touchedAt = clock.monotonicMs();
  }

  /** Of keys and values, roughly. */
  get outstandingBytes(): number {
    return Math.max(0, this.begin.machineState.bytes - this.bytesStaged);
  }

  get id(): SnapshotId {
    return idOf(this.begin);
  }

  /** Whether this is the very same snapshot from the same sender to the same stay of the replica. */
  is(node: NodeId, other: SnapshotId): boolean {
    const { from, to, term, index } = this.begin;
    return node === this.node && other.from === from && other.to === to && other.term === term && other.index === index;
  }

  /** Whether `other` is older, so a late one or of a leader that was: or, for the same term and index, another sender's. */
  supersedes(node: NodeId, other: SnapshotId): boolean {
    const { term, index, to } = this.begin;
    if (other.to !== to) return other.to < to;
    if (other.term !== term) return other.term < term;
    return other.index < index || (other.index === index && !this.is(node, other));
  }

  go(): BeginAnswer {
    return { type: 'go', after: this.#last, sequence: this.#nextSequence };
  }

  /** The answer to a chunk that is staged or being staged; undefined for one that is neither. */
  known(sequence: number, last: Uint8Array): Promise<ChunkAnswer> | undefined {
    if (sequence === this.#nextSequence && this.#underWay !== undefined) {
      return sameKey(this.#underWay.last, last) ? this.#underWay.answer : otherContent();
    }
    if (sequence >= this.#nextSequence) return undefined;
    if (sequence === this.#nextSequence - 1 && !sameKey(this.#last, last)) return otherContent();
    return Promise.resolve({ type: 'staged' });
  }

  continuesAt(sequence: number, after: Uint8Array | null): boolean {
    return this.ending === undefined && sequence === this.#nextSequence && sameKey(this.#last, after);
  }

  /** `answer` settles with a call of `staged`, or the reception is over. */
  staging({ last }: SnapshotChunk, answer: Promise<ChunkAnswer>): void {
    this.#underWay = { last: new Uint8Array(last), answer };
  }

  staged(last: Uint8Array, bytes: number): void {
    this.#nextSequence += 1;
    this.#last = new Uint8Array(last);
    this.#underWay = undefined;
    this.bytesStaged += bytes;
    this.touched();
  }

  isComplete({ last, keys, bytes }: SnapshotEnd): boolean {
    const { machineState } = this.begin;
    return sameKey(this.#last, last) && keys === machineState.keys && bytes === machineState.bytes;
  }

  /** For the replica to install. */
  stagedSnapshot(): StagedSnapshot {
    const { partition, from, to, term, index, snapshotTerm, configurationIndex, machineState } = this.begin;
    const configuration = { index: configurationIndex, configuration: this.#configuration };
    const request: InstallSnapshot = { type: 'InstallSnapshot', from, to, term, index, snapshotTerm, configuration };
    return { partition, request, machineState };
  }

  touched(): this {
    this.#touchedAt = this.#clock.monotonicMs();
    return this;
  }

  /** Since the sender was last heard of, or a chunk of it staged. */
  idleMs(): number {
    return this.#clock.monotonicMs() - this.#touchedAt;
  }

  expireAfter(delayMs: number, expire: () => void): void {
    this.cancelExpiry();
    this.#cancelExpiry = this.#clock.after(delayMs, expire);
  }

  cancelExpiry(): void {
    this.#cancelExpiry();
  }
}

/** Undefined for a version not known here, or for bytes that are none. */
export function configurationOf({ configuration }: SnapshotBegin): Configuration | undefined {
  try {
    return decodeConfiguration(configuration);
  } catch (error) {
    if (error instanceof ConfigurationFormatError) return undefined;
    throw error;
  }
}

function otherContent(): Promise<ChunkAnswer> {
  return Promise.resolve(refused('another chunk was staged under this sequence: begin again'));
}

function sameKey(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return asBuffer(a).equals(b);
}
