/** What one entry has done to its partition so far: its later operations see what the earlier ones did. */
import { asBuffer } from '../bytes.ts';
import {
  isDue,
  type MachineState,
  type RecordHeader,
  type RememberedResult,
  type RequestName,
  type StateEvent,
  type StateReader,
  type StateWrite,
  type ValueRecord,
  type Version,
} from './types.ts';

/** A key that the entry has looked at. */
interface Touched {
  readonly key: Uint8Array;
  /** Before the entry. */
  readonly original: RecordHeader | undefined;
  /** Was due when the entry came to it: since then it counts as absent. */
  readonly expired: boolean;
  /** Now; `'original'` while it is what it was. */
  current: ValueRecord | 'original' | undefined;
}

/** What an operation needs to know of a key. */
export type KeyHeader = Version;

export class EntryEffects {
  readonly #reader: StateReader;
  readonly #revision: number;
  readonly #logTime: number;
  /** Most entries touch one key, and need no table to find it again. */
  #only: Touched | undefined;
  #touched: Map<string, Touched> | undefined;
  /** Of names, which few entries have; in the order in which they changed. */
  #tableWrites: StateWrite[] | undefined;
  #names: Map<string, RememberedResult | undefined> | undefined;
  #remembered = 0;

  /** `logTime`: what is due by then is gone. */
  constructor(reader: StateReader, { revision, logTime }: { readonly revision: number; readonly logTime: number }) {
    this.#reader = reader;
    this.#revision = revision;
    this.#logTime = logTime;
  }

  /** Undefined for a key that is absent, or due. */
  header(key: Uint8Array): KeyHeader | undefined {
    const { current, original } = this.#touch(key);
    return current === 'original' ? original : current;
  }

  record(key: Uint8Array): ValueRecord | undefined {
    const { current } = this.#touch(key);
    return current === 'original' ? this.#reader.get(key) : current;
  }

  put(key: Uint8Array, record: ValueRecord): void {
    this.#touch(key).current = record;
  }

  delete(key: Uint8Array): void {
    this.#touch(key).current = undefined;
  }

  /** Takes out a key if `version` of it is due. False when it is not, or when another value has taken its place. */
  expire(key: Uint8Array, version: Version): boolean {
    const { expired, original } = this.#touch(key);
    return expired && original?.revision === version.revision && original.incarnation === version.incarnation;
  }

  remembered(name: RequestName): RememberedResult | undefined {
    const text = nameOf(name);
    return this.#names?.has(text) === true ? this.#names.get(text) : this.#reader.remembered(name);
  }

  remember(name: RequestName, remembered: RememberedResult): void {
    this.#changeName(name, remembered, { type: 'remember', name, remembered });
    this.#remembered += 1;
  }

  forget(name: RequestName, at: number): boolean {
    if (this.remembered(name)?.at !== at) return false;
    this.#changeName(name, undefined, { type: 'forget', name, at });
    this.#remembered -= 1;
    return true;
  }

  #changeName(name: RequestName, now: RememberedResult | undefined, write: StateWrite): void {
    (this.#names ??= new Map()).set(nameOf(name), now);
    (this.#tableWrites ??= []).push(write);
  }

  /** Nothing was changed after all. What is due and was touched is taken out all the same. */
  undo(): void {
    for (const touched of this.#all()) touched.current = touched.expired ? undefined : 'original';
  }

  /** All that the entry comes to. */
  outcome(
    state: MachineState,
    entry: { readonly index: number; readonly term: number },
  ): {
    readonly writes: readonly StateWrite[];
    readonly events: readonly StateEvent[];
    readonly state: MachineState;
  } {
    const writes: StateWrite[] = [];
    const events: StateEvent[] = [];
    let { keys, bytes, expiring } = state;
    for (const { key, original, expired, current } of this.#all()) {
      if (current === 'original') continue;
      const expiresBefore = original?.expiresAt ?? 0;
      if (expired) events.push({ type: 'expire', key, revision: this.#revision });
      if (original !== undefined) {
        keys -= 1;
        bytes -= key.length + original.valueBytes;
        if (expiresBefore !== 0) expiring -= 1;
      }
      if (current !== undefined) {
        keys += 1;
        bytes += key.length + current.value.length;
        if (current.expiresAt !== 0) expiring += 1;
        writes.push({ type: 'put', key, record: current, expiresBefore });
        events.push({ type: 'put', key, record: current });
      } else if (original !== undefined) {
        writes.push({ type: 'delete', key, expiresBefore });
        if (!expired) events.push({ type: 'delete', key, revision: this.#revision });
      }
    }
    if (this.#tableWrites !== undefined) writes.push(...this.#tableWrites);
    const { index, term } = entry;
    const remembered = state.remembered + this.#remembered;
    const after = { appliedIndex: index, appliedTerm: term, logTime: this.#logTime, keys, bytes, expiring, remembered };
    return { writes, events, state: after };
  }

  #touch(key: Uint8Array): Touched {
    if (this.#only === undefined) return (this.#only = this.#look(key));
    if (this.#touched === undefined) {
      if (asBuffer(this.#only.key).equals(key)) return this.#only;
      this.#touched = new Map([[nameOf(this.#only.key), this.#only]]);
    }
    const name = nameOf(key);
    const known = this.#touched.get(name);
    if (known !== undefined) return known;
    const touched = this.#look(key);
    this.#touched.set(name, touched);
    return touched;
  }

  /** A key that is due is taken out before anything else is done to it. */
  #look(key: Uint8Array): Touched {
    const original = this.#reader.header(key);
    const expired = original !== undefined && isDue(original, this.#logTime);
    return { key, original, expired, current: expired ? undefined : 'original' };
  }

  #all(): Iterable<Touched> {
    if (this.#touched !== undefined) return this.#touched.values();
    return this.#only === undefined ? [] : [this.#only];
  }
}

/** One character a byte: no two names share one. */
function nameOf(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1');
}
