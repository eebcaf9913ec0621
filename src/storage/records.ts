/** The records of Raft and of the node; those of the state machine are in `state-records.ts`. Golden bytes in `test/storage/records.test.ts` hold these layouts still. */
import { readU64, writeU64, type Scratch } from '../bytes.ts';
import type { Entry, EntryKind, HardState, LogIndex, ReplicaId, Term } from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import {
  indexKeyBytes,
  indexOfKey,
  keyPrefixBytes,
  nodePartition,
  partitionOfKey,
  RecordKind,
  writeKeyPrefix,
} from './keys.ts';
import {
  checksumBytes,
  damagedRecord,
  decodeNumbers,
  decodeNumbersAndBody,
  encodeNumbers,
  seal,
  unseal,
  version,
  type EncodedRecord,
} from './sealing.ts';

/** version, kind, term, predecessor's checksum */
const entryHeaderBytes = 1 + 1 + 8 + 4;
/** What a record adds to its body at most, for counting bytes before they are encoded. */
export const recordOverheadBytes = indexKeyBytes + entryHeaderBytes + checksumBytes;

/** The first entry still stored and what came before it, so that the chain and `term` reach one entry further back. */
export interface LogStart {
  readonly firstIndex: LogIndex;
  /** Of the entry at `firstIndex - 1`; 0 and 0 at the beginning of a log. */
  readonly previousTerm: Term;
  readonly previousChecksum: number;
}

/** A log entry as stored, with its place in the chain. */
export interface ChainedEntry {
  readonly entry: Entry;
  readonly previousChecksum: number;
  readonly checksum: number;
}

/** One per batch, under a key of its own. See `batch-sequence.ts`. */
export interface SequenceRecord {
  /** 1 for the first batch of a database. */
  readonly sequence: number;
  /** The oldest sequence record still stored once this batch is. */
  readonly firstSequence: number;
  /** The start of the node that wrote it. */
  readonly incarnation: number;
  /** Keys and values in the batch, this record left out. */
  readonly batchBytes: number;
  readonly previousChecksum: number;
}

export function encodeEntry(
  scratch: Scratch,
  partition: PartitionId,
  entry: Entry,
  previousChecksum: number,
): EncodedRecord {
  const end = indexKeyBytes + entryHeaderBytes + entry.body.length;
  const bytes = scratch.take(end + checksumBytes);
  writeKeyPrefix(bytes, partition, RecordKind.logEntry);
  writeU64(bytes, entry.index, keyPrefixBytes);
  bytes[indexKeyBytes] = version;
  bytes[indexKeyBytes + 1] = entry.kind;
  writeU64(bytes, entry.term, indexKeyBytes + 2);
  bytes.writeUInt32BE(previousChecksum, indexKeyBytes + 10);
  bytes.set(entry.body, indexKeyBytes + entryHeaderBytes);
  return seal(bytes, indexKeyBytes, end);
}

export function decodeEntry(key: Buffer, value: Buffer): ChainedEntry {
  const partition = partitionOfKey(key);
  const index = indexOfKey(key);
  const checksum = unseal(key, value, entryHeaderBytes, () => `log entry ${index}`);
  const kind = value[1] as EntryKind;
  if (kind > 2) throw damagedRecord(partition, `log entry ${index}`, `has the unknown kind ${kind}`);
  const term = readU64(value, 2) as Term;
  const body = value.subarray(entryHeaderBytes, value.length - checksumBytes);
  return { entry: { index, term, kind, body }, previousChecksum: value.readUInt32BE(10), checksum };
}

export function encodeHardState(scratch: Scratch, partition: PartitionId, state: HardState): EncodedRecord {
  return encodeNumbers(scratch, partition, RecordKind.hardState, [state.currentTerm, state.votedFor]);
}

export function decodeHardState(key: Buffer, value: Buffer): HardState {
  const [currentTerm, votedFor] = decodeNumbers(key, value, 2, () => 'hard state');
  return { currentTerm: currentTerm as Term, votedFor: votedFor as ReplicaId };
}

/** Which stay of the member a group's records belong to, where the partition map does not say. */
export function encodeReplica(scratch: Scratch, partition: PartitionId, replicaId: ReplicaId): EncodedRecord {
  return encodeNumbers(scratch, partition, RecordKind.replica, [replicaId]);
}

export function decodeReplica(key: Buffer, value: Buffer): ReplicaId {
  const [replicaId] = decodeNumbers(key, value, 1, () => 'replica');
  return replicaId as ReplicaId;
}

/** Which stays of the member are over on this node, for good. */
export interface DeadRecord {
  /** This one, and all before it. */
  readonly through: ReplicaId;
  /** What may still be stored of its log; nothing when the first is above the last. */
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  /** Body of a configuration that was committed, the newest that it knew. */
  readonly configuration: Uint8Array;
}

export function encodeDead(scratch: Scratch, partition: PartitionId, dead: DeadRecord): EncodedRecord {
  const fields = [dead.through, dead.firstIndex, dead.lastIndex];
  return encodeNumbers(scratch, partition, RecordKind.dead, fields, { body: dead.configuration });
}

export function decodeDead(key: Buffer, value: Buffer): DeadRecord {
  const { fields, body } = decodeNumbersAndBody(key, value, 3, () => 'tombstone');
  const [through, firstIndex, lastIndex] = fields;
  return {
    through: through as ReplicaId,
    firstIndex: firstIndex as LogIndex,
    lastIndex: lastIndex as LogIndex,
    configuration: body,
  };
}

export function encodeLogStart(scratch: Scratch, partition: PartitionId, start: LogStart): EncodedRecord {
  const fields = [start.firstIndex, start.previousTerm, start.previousChecksum];
  return encodeNumbers(scratch, partition, RecordKind.logStart, fields);
}

export function decodeLogStart(key: Buffer, value: Buffer): LogStart {
  const [firstIndex, previousTerm, previousChecksum] = decodeNumbers(key, value, 3, () => 'log start');
  return {
    firstIndex: firstIndex as LogIndex,
    previousTerm: previousTerm as Term,
    previousChecksum: previousChecksum as number,
  };
}

export function encodeSequence(scratch: Scratch, record: SequenceRecord): EncodedRecord {
  const fields = [record.firstSequence, record.incarnation, record.batchBytes, record.previousChecksum];
  return encodeNumbers(scratch, nodePartition, RecordKind.batchSequence, fields, { index: record.sequence });
}

export function decodeSequence(key: Buffer, value: Buffer): SequenceRecord & { readonly checksum: number } {
  const sequence: number = indexOfKey(key);
  const [firstSequence = 0, incarnation = 0, batchBytes = 0, previousChecksum = 0] = decodeNumbers(
    key,
    value,
    4,
    () => `batch sequence ${sequence}`,
  );
  const checksum = value.readUInt32BE(value.length - checksumBytes);
  return { sequence, firstSequence, incarnation, batchBytes, previousChecksum, checksum };
}
