/** What the judge knows of one partition: its replicas, who led which term by whose votes, and what is committed. */
import type { HardState, LogIndex, ReplicaId, Term } from '../../raft/types.ts';
import { noReplica } from '../../raft/types.ts';
import type { PartitionId, ReplicaDescriptor } from '../../replica/ports.ts';
import { Violation } from '../violation.ts';
import { AppliedSteps } from './applied-steps.ts';
import { beforeFirst, EntryTable, named, type KnownEntry } from './entries.ts';
import { highestWhere, ReplicaRecord } from './replica-record.ts';

export interface LeaderRecord {
  readonly term: Term;
  readonly replica: ReplicaRecord;
  /** Which start of it. */
  readonly start: number;
  /** The end of its log when it was first seen leading. It only appends. */
  readonly last: KnownEntry;
  /** The highest commit index in its messages. */
  commit: number;
  /** The same in its heartbeats, by receiver, and how often it went back there. */
  readonly heartbeats: Map<ReplicaId, { commit: number; returns: number }>;
}

/** An entry of the leader that committed it, and the term of that leader. Terms never fall along the row. */
interface Commitment {
  readonly entry: KnownEntry;
  term: number;
}

export class PartitionRecord {
  readonly id: PartitionId;
  readonly replicas: ReadonlyMap<ReplicaId, ReplicaRecord>;
  readonly entries: EntryTable;
  readonly steps: AppliedSteps;
  readonly #voters: readonly ReplicaRecord[];
  /** By ascending term. */
  readonly #leaders: LeaderRecord[] = [];
  /** Votes that are or were durable: voter to candidate, by term. */
  readonly #votes = new Map<Term, Map<ReplicaId, ReplicaId>>();
  /** By index. */
  readonly #committed: Commitment[] = [{ entry: beforeFirst, term: 0 }];

  constructor(id: PartitionId, members: readonly ReplicaDescriptor[]) {
    this.id = id;
    this.#voters = members.map((member) => new ReplicaRecord(member));
    this.replicas = new Map(this.#voters.map((record) => [record.descriptor.replicaId, record]));
    this.entries = new EntryTable(id);
    this.steps = new AppliedSteps(id);
  }

  get committedIndex(): LogIndex {
    return (this.#committed.length - 1) as LogIndex;
  }

  get isAlone(): boolean {
    return this.#voters.length === 1;
  }

  committedAt(index: number): KnownEntry | undefined {
    return this.#committed[index]?.entry;
  }

  leaderOf(term: Term): LeaderRecord | undefined {
    for (let position = this.#leaders.length - 1; position >= 0; position -= 1) {
      const leader = this.#leaders[position] as LeaderRecord;
      if (leader.term <= term) return leader.term === term ? leader : undefined;
    }
    return undefined;
  }

  /** Paper 5.2: one vote per term, which no crash makes another one. */
  voteDurable(voter: ReplicaRecord, { currentTerm, votedFor }: HardState): void {
    if (votedFor === noReplica) return;
    let votes = this.#votes.get(currentTerm);
    if (votes === undefined) {
      votes = new Map<ReplicaId, ReplicaId>();
      this.#votes.set(currentTerm, votes);
    }
    const before = votes.get(voter.descriptor.replicaId);
    if (before !== undefined && before !== votedFor) {
      const both = `for ${this.nameOf(before)}, then for ${this.nameOf(votedFor)}`;
      this.fail('durable term and vote', `${voter.name} votes twice in term ${currentTerm}: ${both}`);
    }
    votes.set(voter.descriptor.replicaId, votedFor);
  }

  hasDurableVote(voter: ReplicaRecord, term: Term, candidate: ReplicaId): boolean {
    return this.#votes.get(term)?.get(voter.descriptor.replicaId) === candidate;
  }

  /** First seen leading `term`. Election Safety (5.2): a majority has voted for it, durably. Leader Completeness (5.4.3). */
  newLeader(replica: ReplicaRecord, term: Term): LeaderRecord {
    const { replicaId } = replica.descriptor;
    if (!this.#isQuorum((voter) => this.hasDurableVote(voter, term, replicaId))) {
      const votes = [...(this.#votes.get(term) ?? [])];
      const given = votes.map(([voter, candidate]) => `${this.nameOf(voter)} for ${this.nameOf(candidate)}`).join(', ');
      this.fail('election safety', `${replica.name} leads term ${term} without a majority; durable votes: ${given}`);
    }
    const last = replica.lastEntry;
    let committed = this.committedIndex as number;
    while ((this.#committed[committed] as Commitment).term >= term && committed > 0) committed -= 1;
    const { entry } = this.#committed[committed] as Commitment;
    if (replica.log[committed] !== entry) this.#lacks(replica, term, entry);
    const leader = { term, replica, start: replica.starts, last, commit: 0, heartbeats: new Map() };
    const position = this.#leaders.findLastIndex((other) => other.term < term) + 1;
    this.#leaders.splice(position, 0, leader);
    return leader;
  }

  /**
   * `replica`, which leads or led `term`, takes `index` for committed. Returns how many entries that adds, or undefined
   * when no majority holds what it takes. Paper 5.4.2: one counts entries of one's own term, and all before come with it.
   */
  commit(replica: ReplicaRecord, index: number, term: number): number | undefined {
    const entry = replica.log[index];
    if (entry === undefined) return undefined;
    const known = this.#committed[index];
    if (known !== undefined) {
      if (known.entry !== entry) this.#differs(replica, entry, known.entry);
      return 0;
    }
    if (!this.#isCommitted(replica, entry, term)) return undefined;
    const before = this.committedIndex;
    const { entry: end } = this.#committed[before] as Commitment;
    if (replica.log[before] !== end) this.#differs(replica, replica.log[before] as KnownEntry, end);
    for (let next = before + 1; next <= index; next += 1) {
      this.#committed.push({ entry: replica.log[next] as KnownEntry, term });
    }
    this.committedBy(index, term);
    return index - before;
  }

  /**
   * The leader of `term` has committed all up to `index`, which others may have seen earlier: the leaders of all later
   * terms must have begun with it.
   */
  committedBy(index: number, term: number): void {
    const { entry } = this.#committed[index] as Commitment;
    for (let at = index; at > 0 && (this.#committed[at] as Commitment).term > term; at -= 1) {
      (this.#committed[at] as Commitment).term = term;
    }
    for (let position = this.#leaders.length - 1; position >= 0; position -= 1) {
      const leader = this.#leaders[position] as LeaderRecord;
      if (leader.term <= term) return;
      let had: KnownEntry | undefined = leader.last;
      while (had !== undefined && had.index > index) had = had.previous;
      if (had !== entry) this.#lacks(leader.replica, leader.term, entry);
    }
  }

  /** Why `entry` is not committed in `term`, for people. */
  whyUncommitted(entry: KnownEntry, term: number): string {
    const holders = this.#voters.filter((voter) => voter.holds(entry)).map((voter) => voter.name);
    if (!this.#isQuorum((voter) => voter.holds(entry))) return `durable only on [${holders.join(', ')}]`;
    const rule = `no majority holds an entry of term ${term} there or above (paper 5.4.2)`;
    return `durable on [${holders.join(', ')}], but ${rule}`;
  }

  nameOf(replica: ReplicaId): string {
    return this.replicas.get(replica)?.name ?? `replica ${replica}`;
  }

  fail(judge: string, message: string): never {
    throw new Violation(judge, message, this.id);
  }

  /** A leader's commit is right when an entry of its own term, there or above, is durable on a majority. */
  #isCommitted(replica: ReplicaRecord, entry: KnownEntry, term: number): boolean {
    if (entry.term === term && this.#isQuorum((voter) => voter.holds(entry))) return true;
    const { log } = replica;
    const replicated = this.#quorumValue((voter) => voter.matchOf(log));
    const counted = highestWhere(replicated, (index) => (log[index] as KnownEntry).term <= term);
    return counted >= entry.index && (log[counted] as KnownEntry).term === term;
  }

  #lacks(leader: ReplicaRecord, term: Term, entry: KnownEntry): never {
    const own = leader.log[entry.index];
    const instead = own === undefined ? `its log ends at ${named(leader.lastEntry)}` : `it has ${named(own)} there`;
    this.fail(
      'leader completeness',
      `${leader.name} leads term ${term} without the committed entry ${named(entry)}: ${instead}`,
    );
  }

  #differs(replica: ReplicaRecord, entry: KnownEntry, committed: KnownEntry): never {
    const message = `${replica.name} takes ${named(entry)} for committed, but ${named(committed)} was committed there`;
    this.fail('state machine safety', message);
  }

  /** The one place that knows what a majority is. */
  #quorumValue(reached: (voter: ReplicaRecord) => number): number {
    const values = this.#voters.map(reached).sort((a, b) => b - a);
    return values[Math.floor(values.length / 2)] ?? 0;
  }

  #isQuorum(holds: (voter: ReplicaRecord) => boolean): boolean {
    return this.#quorumValue((voter) => (holds(voter) ? 1 : 0)) === 1;
  }
}
