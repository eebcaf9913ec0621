/**
 * What the two ends of a snapshot transfer say to each other, and its checks: nothing has vouched yet for the shape of
 * what a peer sends. Carried by `Transport.request`, with these kinds.
 *
 * Safety: a snapshot is known by (from, term, index). One leader's state at one index is one sequence of records, so a
 * part that was staged under the same three can be gone on from, and nothing else can.
 */
import type { MachineState } from '../kv/types.ts';
import type { LogIndex, Term } from '../raft/types.ts';
import {
  idOf,
  isBetweenReplicas,
  isBytes,
  isCount,
  isFields,
  type BetweenReplicas,
  type Fields,
} from './message-fields.ts';

export type SnapshotRequest = 'snapshot.begin' | 'snapshot.chunk' | 'snapshot.end';

/** Stands in every request. `index`: of the last entry that the snapshot covers. */
export type SnapshotId = BetweenReplicas;

/** 'snapshot.begin'. */
export interface SnapshotBegin extends SnapshotId {
  /** Of the entry at `index`; not above `term`. */
  readonly snapshotTerm: Term;
  /** The configuration in force at `index`, and the entry that brought it: 0 for the one that the group was founded with. */
  readonly configurationIndex: LogIndex;
  readonly configuration: Uint8Array;
  readonly machineState: MachineState;
}

/** 'snapshot.chunk'. The next one is sent when this one is answered. */
export interface SnapshotChunk extends SnapshotId {
  /** Counts the chunks of this snapshot from 0; goes on where `go` said. */
  readonly sequence: number;
  /** The last key of the chunk before; null for the first. */
  readonly after: Uint8Array | null;
  /** The last key of this one. */
  readonly last: Uint8Array;
  /** Made, checksummed and read by storage alone. Stands last: so the bulk lane does not copy it. */
  readonly records: Uint8Array;
}

/** 'snapshot.end': all of it was staged. */
export interface SnapshotEnd extends SnapshotId {
  /** The last key of the last chunk, null when the state is empty: a late one finds another there and ends nothing. */
  readonly last: Uint8Array | null;
  /** As the machine state has them. */
  readonly keys: number;
  readonly bytes: number;
}

/** Nothing was taken; `reason` is for people. */
export interface SnapshotRefused {
  readonly type: 'refused';
  readonly reason: string;
}

export type BeginAnswer =
  /** Chunks are to follow from `sequence` on, with the records after the key `after`; null: from the first. */
  | { readonly type: 'go'; readonly after: Uint8Array | null; readonly sequence: number }
  /** The receiver's replica has got so far by itself. */
  | { readonly type: 'not_needed' }
  /** The receiver takes as many transfers as it may: ask again later. */
  | { readonly type: 'busy' }
  | SnapshotRefused;

/** `staged`: durable at the receiver. */
export type ChunkAnswer = { readonly type: 'staged' } | SnapshotRefused;

export type EndAnswer = { readonly type: 'installed' } | { readonly type: 'not_needed' } | SnapshotRefused;

/** A configuration names each member in a few dozen bytes: room for more than a thousand. */
const configurationBytesMax = 64 * 1024;
const reasonCharactersMax = 500;

export function decodeBegin(payload: unknown): SnapshotBegin | undefined {
  if (!isFields(payload) || !isBetweenReplicas(payload)) return undefined;
  const { snapshotTerm, configurationIndex, configuration, machineState } = payload as Fields;
  if (!isCount(snapshotTerm) || snapshotTerm > payload.term) return undefined;
  if (!isCount(configurationIndex) || configurationIndex > payload.index) return undefined;
  if (!isBytes(configuration, configurationBytesMax) || !isMachineState(machineState)) return undefined;
  const { appliedIndex, appliedTerm, logTime, keys, bytes, expiring, remembered } = machineState;
  if (appliedIndex !== payload.index || appliedTerm !== snapshotTerm) return undefined;
  return {
    ...idOf(payload),
    snapshotTerm: snapshotTerm as Term,
    configurationIndex: configurationIndex as LogIndex,
    configuration,
    machineState: { appliedIndex, appliedTerm, logTime, keys, bytes, expiring, remembered },
  };
}

export interface ChunkLimits {
  readonly nameBytesMax: number;
  readonly recordsBytesMax: number;
}

export function decodeChunk(payload: unknown, limits: ChunkLimits): SnapshotChunk | undefined {
  if (!isFields(payload) || !isBetweenReplicas(payload)) return undefined;
  const { sequence, after, last, records } = payload as Fields;
  if (!isCount(sequence) || !isBytes(last, limits.nameBytesMax)) return undefined;
  if (after !== null && !isBytes(after, limits.nameBytesMax)) return undefined;
  if (!isBytes(records, limits.recordsBytesMax) || records.length === 0) return undefined;
  return { ...idOf(payload), sequence, after, last, records };
}

export function decodeEnd(payload: unknown, { nameBytesMax }: ChunkLimits): SnapshotEnd | undefined {
  if (!isFields(payload) || !isBetweenReplicas(payload)) return undefined;
  const { last, keys, bytes } = payload as Fields;
  if (last !== null && !isBytes(last, nameBytesMax)) return undefined;
  if (!isCount(keys) || !isCount(bytes)) return undefined;
  return { ...idOf(payload), last, keys, bytes };
}

export function decodeBeginAnswer(answer: unknown): BeginAnswer | undefined {
  if (!isFields(answer)) return undefined;
  const { type, after, sequence } = answer;
  if (type === 'not_needed' || type === 'busy') return { type };
  if (type !== 'go') return decodeRefused(answer);
  if (!isCount(sequence) || (after !== null && !(after instanceof Uint8Array))) return undefined;
  return { type, after, sequence };
}

export function decodeChunkAnswer(answer: unknown): ChunkAnswer | undefined {
  if (!isFields(answer)) return undefined;
  return answer['type'] === 'staged' ? { type: 'staged' } : decodeRefused(answer);
}

export function decodeEndAnswer(answer: unknown): EndAnswer | undefined {
  if (!isFields(answer)) return undefined;
  const { type } = answer;
  return type === 'installed' || type === 'not_needed' ? { type } : decodeRefused(answer);
}

export function refused(reason: string): SnapshotRefused {
  return { type: 'refused', reason: reason.slice(0, reasonCharactersMax) };
}

function decodeRefused({ type, reason }: Fields): SnapshotRefused | undefined {
  return type === 'refused' && typeof reason === 'string' ? refused(reason) : undefined;
}

function isMachineState(value: unknown): value is MachineState {
  if (!isFields(value)) return false;
  return ['appliedIndex', 'appliedTerm', 'logTime', 'keys', 'bytes', 'expiring', 'remembered'].every((field) =>
    isCount(value[field]),
  );
}
