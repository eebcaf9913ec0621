/** The words of the state machine: values, commands, results, and what it reads and writes. */

/** A key's value as stored. */
export interface ValueRecord {
  /** 0 to valueBytesMax bytes. */
  readonly value: Uint8Array;
  /** Empty for `application/octet-stream`, which is never stored. */
  readonly contentType: string;
  /** The Raft index of the write that made it. */
  readonly revision: number;
  /** The partition's incarnation at that write; with `revision` it makes the ETag. */
  readonly incarnation: number;
  /** Log time in ms at which it is due; 0 for never. */
  readonly expiresAt: number;
}

/** A record without its value: what most commands need to know of a key. */
export interface RecordHeader {
  readonly valueBytes: number;
  readonly revision: number;
  readonly incarnation: number;
  readonly expiresAt: number;
}

/** Reads the state as of everything applied so far, flushed or not. A corrupt record throws. */
export interface StateReader {
  get(key: Uint8Array): ValueRecord | undefined;
  /** Far cheaper than `get` for keys used lately. */
  header(key: Uint8Array): RecordHeader | undefined;
}

export type StateWrite =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly record: ValueRecord }
  | { readonly type: 'delete'; readonly key: Uint8Array };

/** The part of the state that is not keys: written in the same batch as the writes it belongs to. */
export interface MachineState {
  /** The index and term of the last applied entry. */
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** Log time in ms of the newest applied entry that carries one; never goes back. */
  readonly logTime: number;
  /** How many keys, and the bytes of keys and values together. */
  readonly keys: number;
  readonly bytes: number;
}

export type Command =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array; readonly contentType: string }
  | { readonly type: 'delete'; readonly key: Uint8Array };

/** What one command came to. */
export type CommandResult =
  | { readonly type: 'put'; readonly revision: number; readonly incarnation: number; readonly created: boolean }
  | { readonly type: 'deleted'; readonly revision: number }
  | { readonly type: 'not_found' }
  /** The range moved on between the door and apply: nothing was changed; ask again by the newer map. */
  | { readonly type: 'wrong_epoch'; readonly epoch: number };

/** A change that watchers will hear of. */
export type StateEvent =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly record: ValueRecord }
  | { readonly type: 'delete'; readonly key: Uint8Array; readonly revision: number };
