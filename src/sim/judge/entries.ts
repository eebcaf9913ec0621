/**
 * Every entry that any replica of one partition ever held or sent, each once. Log Matching (paper 5.3, figure 3) makes
 * this possible: index and term name one entry, and with it the whole log before it. So a log is a row of references,
 * and two logs that hold the same object at one index are the same up to there. What replicas forget stays known here.
 */
import { EntryKind, type Entry, type LogIndex, type Term } from '../../raft/types.ts';
import type { PartitionId } from '../../replica/ports.ts';
import { Violation } from '../violation.ts';
import type { KnownConfiguration } from './known-configuration.ts';

export interface KnownEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  readonly body: Uint8Array;
  /** The entry before it; undefined only at index 0. */
  readonly previous: KnownEntry | undefined;
  /** In force in a log that ends here; undefined for the founding one. So it is rolled back along with its entry. */
  readonly configuration: KnownConfiguration | undefined;
  /** Who was first seen with it. */
  readonly seenAt: string;
  /** Another entry of the same index and another term. */
  readonly rival: KnownEntry | undefined;
}

/** Stands at index 0 of every log. */
export const beforeFirst: KnownEntry = {
  index: 0 as LogIndex,
  term: 0 as Term,
  kind: 0,
  body: new Uint8Array(0),
  previous: undefined,
  configuration: undefined,
  seenAt: '',
  rival: undefined,
};

/** What a configuration entry means in a log that ends before it with `previous`. Throws when it may not follow. */
export type Configure = (entry: Entry, previous: KnownEntry, node: string) => KnownConfiguration;

export class EntryTable {
  readonly #partition: PartitionId;
  readonly #configure: Configure;
  /** By index, the newest of its rivals first. */
  readonly #entries: KnownEntry[] = [beforeFirst];

  constructor(partition: PartitionId, configure: Configure) {
    this.#partition = partition;
    this.#configure = configure;
  }

  find(index: LogIndex, term: Term): KnownEntry | undefined {
    for (let known = this.#entries[index]; known !== undefined; known = known.rival) {
      if (known.term === term) return known;
    }
    return undefined;
  }

  /** `entry` as `node` holds or sends it after `previous`. Throws when it is not what others have there. */
  known(entry: Entry, previous: KnownEntry, node: string): KnownEntry {
    const known = this.find(entry.index, entry.term);
    if (known === undefined) return this.#add(entry, previous, node);
    if (!isSameContent(known, entry)) {
      this.#fail(`entry ${named(entry)} is not the same on ${node} as on ${known.seenAt}`);
    }
    if (known.previous !== previous) {
      const before = known.previous === undefined ? 'nothing' : named(known.previous);
      this.#fail(`entry ${named(entry)} follows ${named(previous)} on ${node} and ${before} on ${known.seenAt}`);
    }
    return known;
  }

  #add(entry: Entry, previous: KnownEntry, seenAt: string): KnownEntry {
    const { index, term, kind, body } = entry;
    if (index !== previous.index + 1) this.#fail(`${seenAt} has entry ${named(entry)} right after ${named(previous)}`);
    if (term < previous.term) this.#fail(`terms fall on ${seenAt}: ${named(entry)} follows ${named(previous)}`);
    const configuration =
      kind === EntryKind.configuration ? this.#configure(entry, previous, seenAt) : previous.configuration;
    const known: KnownEntry = { index, term, kind, body, previous, configuration, seenAt, rival: this.#entries[index] };
    this.#entries[index] = known;
    return known;
  }

  #fail(message: string): never {
    throw new Violation('log matching', message, this.#partition);
  }
}

/** An entry, for people: index and term. */
export function named({ index, term }: { readonly index: number; readonly term: number }): string {
  return `${index} of term ${term}`;
}

export function isSameContent(known: KnownEntry, entry: Entry): boolean {
  return known.kind === entry.kind && isSameBytes(known.body, entry.body);
}

export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || Buffer.compare(a, b) === 0;
}
