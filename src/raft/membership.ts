/** Who is in the group: the configurations of the log, newest last, and the newest as one member sees it. */
import { assert } from '../assert.ts';
import { decodeConfiguration, membersOf } from './configuration.ts';
import {
  type Configuration,
  type ConfigurationAt,
  type Entry,
  EntryKind,
  type LogIndex,
  type ReplicaId,
} from './types.ts';

/** A configuration worked out once and not once per message. */
export interface Membership {
  readonly configuration: Configuration;
  /** All others who receive the log: voters, outgoing voters and learners. */
  readonly peers: readonly ReplicaId[];
  /** Those of `peers` who vote. */
  readonly voterPeers: readonly ReplicaId[];
  /** `peers`, to ask "do I know this sender?". */
  readonly known: ReadonlySet<ReplicaId>;
}

export function membershipOf(configuration: Configuration, self: ReplicaId): Membership {
  const voters = new Set([...configuration.voters, ...configuration.votersOutgoing]);
  const known = new Set([...voters, ...configuration.learners]);
  known.delete(self);
  const peers = [...known];
  return { configuration, peers, voterPeers: peers.filter((id) => voters.has(id)), known };
}

/**
 * A configuration is in force from the moment that its entry is in the log (paper, section 6), committed or not, and no
 * longer once that entry is truncated: then the one before it is in force again. So all are kept above the newest
 * committed one.
 */
export class Configurations {
  /** By ascending index; the first is committed. */
  #rows: readonly ConfigurationAt[];

  constructor(committed: ConfigurationAt) {
    this.#rows = [committed];
  }

  /** The one in force. */
  get newest(): ConfigurationAt {
    return this.#rows[this.#rows.length - 1] as ConfigurationAt;
  }

  /** The newest that can't be rolled back any more, as of the last `committed`. */
  get newestCommitted(): ConfigurationAt {
    return this.#rows[0] as ConfigurationAt;
  }

  /**
   * Whether `id` votes by any of them. One that the newest leaves out is needed until that is committed: its log may be
   * the only one that the others can't outdo (thesis 4.2.2).
   */
  hasVoter(id: ReplicaId): boolean {
    return this.#rows.some(({ configuration: { voters, votersOutgoing } }) => {
      return voters.includes(id) || votersOutgoing.includes(id);
    });
  }

  append({ index, body }: Entry): void {
    assert(index > this.newest.index, 'configurations follow each other');
    this.#rows = [...this.#rows, { index, configuration: decodeConfiguration(body) }];
  }

  /** Entries from `index` on are gone. Returns whether the configuration in force is another one now. */
  truncateFrom(index: LogIndex): boolean {
    const kept = this.#rows.filter((row) => row.index < index);
    assert(kept.length > 0, 'the committed configuration is never truncated');
    const changed = kept.length < this.#rows.length;
    this.#rows = kept;
    return changed;
  }

  /** Everything up to `commitIndex` is committed. Returns the configurations that this was true of for the first time. */
  committed(commitIndex: LogIndex): readonly ConfigurationAt[] {
    if (this.#rows.length === 1) return [];
    const position = this.#rows.findLastIndex((row) => row.index <= commitIndex);
    const added = this.#rows.slice(1, position + 1);
    this.#rows = this.#rows.slice(position);
    return added;
  }

  /** A snapshot's configuration takes the place of all, of later uncommitted ones too: their entries are gone with the log. */
  reset(installed: ConfigurationAt): void {
    this.#rows = [installed];
  }
}

export function isConfiguration(entry: Entry): boolean {
  return entry.kind === EntryKind.configuration;
}

/** Ids are never reused: whoever is named by no member list up to the highest id was left out for good. */
export function leavesOut(configuration: Configuration, id: ReplicaId): boolean {
  return id <= configuration.replicaIdMax && !membersOf(configuration).includes(id);
}
