/** The words of the state machine: values, commands, results, and what it reads and writes. */

/** A key's value as stored. */
export interface ValueRecord {
  /** 0 to valueBytesMax bytes. */
  readonly value: Uint8Array;
  /** Empty for `application/octet-stream`, which is never stored. */
  readonly contentType: string;
  /** Of the write that made it: its place in the partition's history (`revision.ts`). */
  readonly revision: number;
  /** The partition's incarnation at that write; with `revision` it makes the ETag. */
  readonly incarnation: number;
  /** Log time in ms at which it is due; 0 for never. */
  readonly expiresAt: number;
}

/** By then it is over, and the key is as good as absent. `logTime`: ms. */
export function isDue({ expiresAt }: { readonly expiresAt: number }, logTime: number): boolean {
  return expiresAt !== 0 && expiresAt <= logTime;
}

/** A record without its value: what most commands need to know of a key. */
export interface RecordHeader {
  readonly valueBytes: number;
  readonly revision: number;
  readonly incarnation: number;
  readonly expiresAt: number;
}

/** Which write made a value; as a header it is the ETag. No two writes to one partition share one. */
export interface Version {
  readonly incarnation: number;
  readonly revision: number;
}

/** What a command that was sent under an idempotency key came to, kept for its repeats. */
export interface RememberedResult {
  /** Of the request: a repeat has the same one. */
  readonly digest: Uint8Array;
  /** Log time in ms at which it was applied. */
  readonly at: number;
  readonly result: CommandResult;
}

/** A key and when it is due, in ms of log time; the version is the one that is due then. */
export interface DueKey extends Version {
  readonly key: Uint8Array;
  readonly expiresAt: number;
}

/** A result and since when it is kept, in ms of log time. */
export interface RememberedAt {
  readonly name: RequestName;
  readonly at: number;
}

/** What is read at once of the keys with `from` <= key < `to`, by their bytes; without `to` there is no upper end. */
export interface KeyRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array | undefined;
  /** From the end backwards. */
  readonly reverse: boolean;
  /** So many at most, 1 and up. */
  readonly limit: number;
  /** Keys and values together; the first one comes whatever it takes. */
  readonly bytesMax: number;
  /** Values are left out: they come with no bytes. */
  readonly keysOnly: boolean;
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly record: ValueRecord;
}

/** A part of a range, in the order of reading. */
export interface RangePage {
  readonly values: readonly KeyValue[];
  /** The key behind which there are more; undefined when there are none. There may be more though no value is here. */
  readonly moreAfter: Uint8Array | undefined;
}

/** A command's name among its repeats: the idempotency key, and behind it the position in a batch. */
export type RequestName = Uint8Array;

/** Reads the state as of everything applied so far, flushed or not. A corrupt record throws. */
export interface StateReader {
  get(key: Uint8Array): ValueRecord | undefined;
  /** Far cheaper than `get` for keys used lately. */
  header(key: Uint8Array): RecordHeader | undefined;
  remembered(name: RequestName): RememberedResult | undefined;
}

/** `expiresBefore`: when the record that gives way was due, 0 for never: the index of due times loses that entry. */
export type StateWrite =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly record: ValueRecord; readonly expiresBefore: number }
  | { readonly type: 'delete'; readonly key: Uint8Array; readonly expiresBefore: number }
  | { readonly type: 'remember'; readonly name: RequestName; readonly remembered: RememberedResult }
  | { readonly type: 'forget'; readonly name: RequestName; readonly at: number };

/** The part of the state that is not keys: written in the same batch as the writes it belongs to. */
export interface MachineState {
  /** The index and term of the last applied entry. */
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** Log time in ms of the newest applied entry that carries one; never goes back. */
  readonly logTime: number;
  /** How many keys, and the bytes of keys and values together. Keys that are due count until they are taken out. */
  readonly keys: number;
  readonly bytes: number;
  /** How many of the keys have a time at which they are due. */
  readonly expiring: number;
  /** Results that are kept for repeats. */
  readonly remembered: number;
}

/**
 * What must hold of a key for a command to change it (RFC 9110, section 13.1). `any`: that there is one. A list: that the
 * value is one of these versions.
 */
export interface Conditions {
  readonly match: 'any' | readonly Version[] | undefined;
  readonly noneMatch: 'any' | readonly Version[] | undefined;
}

export const unconditional: Conditions = { match: undefined, noneMatch: undefined };

export interface PutOperation {
  readonly type: 'put';
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Empty for `application/octet-stream`. */
  readonly contentType: string;
  /** Milliseconds of log time from its apply until the key is due; 0 for never. */
  readonly ttlMs: number;
  readonly conditions: Conditions;
}

export interface DeleteOperation {
  readonly type: 'delete';
  readonly key: Uint8Array;
  readonly conditions: Conditions;
}

/** Reads within a batch or a transaction: it sees what the operations before it did. */
export interface GetOperation {
  readonly type: 'get';
  readonly key: Uint8Array;
}

export type Operation = PutOperation | DeleteOperation | GetOperation;

export interface BatchItem {
  readonly operation: Operation;
  /** Names the operation among its repeats. */
  readonly dedup: Dedup | undefined;
}

/** All that it names must hold. */
export interface Comparison {
  readonly key: Uint8Array;
  readonly exists: boolean | undefined;
  readonly revision: number | undefined;
  readonly version: Version | undefined;
  readonly value: Uint8Array | undefined;
}

/** A command's idempotency key, and what tells its repeat from another request under the same one. */
export interface Dedup {
  readonly name: RequestName;
  /** `dedupDigestBytes` of them. */
  readonly digest: Uint8Array;
}

export interface BatchCommand {
  readonly type: 'batch';
  readonly items: readonly BatchItem[];
}

export interface TransactionCommand {
  readonly type: 'transaction';
  readonly compare: readonly Comparison[];
  readonly then: readonly Operation[];
  readonly otherwise: readonly Operation[];
}

/** Proposed by a leader for its partition: takes out what is due. */
export interface SweepCommand {
  readonly type: 'sweep';
  /** Safety: names the version that was found to be due; a value that has taken its place stays. */
  readonly expire: readonly { readonly key: Uint8Array; readonly version: Version }[];
  /** Results kept long enough; `at` tells one from a later one of the same name. */
  readonly forget: readonly { readonly name: RequestName; readonly at: number }[];
}

export type Command = PutOperation | DeleteOperation | BatchCommand | TransactionCommand | SweepCommand;

/** What one operation came to. */
export type OperationResult =
  | {
      readonly type: 'put';
      readonly revision: number;
      readonly incarnation: number;
      readonly created: boolean;
      /** Log time in ms; 0 for never. */
      readonly expiresAt: number;
    }
  | { readonly type: 'deleted'; readonly revision: number }
  | { readonly type: 'not_found' }
  | { readonly type: 'value'; readonly record: ValueRecord }
  /** `current`: undefined when the key is absent. */
  | { readonly type: 'condition_failed'; readonly current: Version | undefined }
  /** The same idempotency key was used for another request: nothing was changed. */
  | { readonly type: 'key_reused' };

/** What one command came to. */
export type CommandResult =
  | OperationResult
  | { readonly type: 'batch'; readonly results: readonly OperationResult[] }
  | { readonly type: 'transaction'; readonly succeeded: boolean; readonly results: readonly OperationResult[] }
  | { readonly type: 'swept'; readonly expired: number; readonly forgotten: number }
  /** A transaction that would have read more than `transactionReadBytesMax`: nothing was changed. */
  | { readonly type: 'result_too_large' }
  /** The range moved on between the door and apply: nothing was changed; ask again by the newer map. */
  | { readonly type: 'wrong_epoch'; readonly epoch: number };

/** A change that watchers will hear of. One entry changes a key once, whatever its operations did on the way. */
export type StateEvent =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly record: ValueRecord }
  | { readonly type: 'delete'; readonly key: Uint8Array; readonly revision: number }
  | { readonly type: 'expire'; readonly key: Uint8Array; readonly revision: number };
