/** What the judge knows of one partition: who led which term by whose votes, and what is committed. */
import type { HardState, LogIndex, ReplicaId, Term } from '../../raft/types.ts';
import type { PartitionId, ReplicaDescriptor } from '../../replica/ports.ts';
import { Violation } from '../violation.ts';
import { AppliedSteps } from './applied-steps.ts';
import { beforeFirst, EntryTable, named, type KnownEntry } from './entries.ts';
import { FreshnessTable } from './freshness-table.ts';
import type { KnownConfiguration } from './known-configuration.ts';
import { highestWhere, type ReplicaRecord } from './replica-record.ts';
import { Roster } from './roster.ts';
import { VoteTable } from './vote-table.ts';

export interface LeaderRecord {
  readonly term: Term;
  readonly replica: ReplicaRecord;
  /** Which start of it. */
  readonly start: number;
  /** The end of its log when it was first seen leading. It only appends. */
  readonly last: KnownEntry;
  /** The highest commit index in its messages. */
  commit: number;
  /** The newest in its heartbeats, and their latest log time. */
  readRound: number;
  logTime: number;
  /** The commit index in its heartbeats, by receiver, and how often it went back there. */
  readonly heartbeats: Map<ReplicaId, { commit: number; returns: number }>;
}

/** An entry of the leader that committed it, and the term of that leader. Terms never fall along the row. */
interface Commitment {
  readonly entry: KnownEntry;
  term: number;
}

/** Of all partitions together. */
export interface Tally {
  elections: number;
  committed: number;
  checks: number;
}

export class PartitionRecord {
  readonly id: PartitionId;
  readonly entries: EntryTable;
  readonly steps: AppliedSteps;
  readonly roster: Roster;
  readonly freshness = new FreshnessTable();
  readonly tally: Tally;
  /** By ascending term. */
  readonly #leaders: LeaderRecord[] = [];
  readonly #votes = new VoteTable();
  /** By index. */
  readonly #committed: Commitment[] = [{ entry: beforeFirst, term: 0 }];

  constructor(
    id: PartitionId,
    founders: readonly ReplicaDescriptor[],
    { tally, wholeVotersMin }: { readonly tally: Tally; readonly wholeVotersMin: number },
  ) {
    this.id = id;
    this.tally = tally;
    this.steps = new AppliedSteps(id);
    this.roster = new Roster(id, founders, wholeVotersMin);
    this.entries = new EntryTable(id, (entry, previous, node) => this.roster.configured(entry, previous, node));
  }

  get committedIndex(): LogIndex {
    return (this.#committed.length - 1) as LogIndex;
  }

  /** The newest configuration that is known to be committed. */
  get committedConfiguration(): KnownConfiguration {
    return this.roster.inForce((this.#committed[this.committedIndex] as Commitment).entry);
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
  voteDurable(voter: ReplicaRecord, hardState: HardState): void {
    const before = this.#votes.add(voter.replicaId, hardState);
    if (before === undefined) return;
    const both = `for ${this.nameOf(before)}, then for ${this.nameOf(hardState.votedFor)}`;
    this.fail('durable term and vote', `${voter.name} votes twice in term ${hardState.currentTerm}: ${both}`);
  }

  hasDurableVote(voter: ReplicaRecord, term: Term, candidate: ReplicaId): boolean {
    return this.#votes.of(voter.replicaId, term) === candidate;
  }

  /**
   * First seen leading `term`. Election Safety (5.2): a majority has voted for it, durably, by the configuration that was
   * in force in its log when it campaigned. That is the one still in force: whoever campaigns appends nothing, and a
   * leader speaks before it may change the members. Leader Completeness (5.4.3).
   *
   * A voter that this configuration has just left out may lead, too, elected by the others alone (thesis 4.2.2): it need not know
   * that the entry is committed. Whoever does know leads no more, nor speaks.
   */
  newLeader(replica: ReplicaRecord, term: Term): LeaderRecord {
    const configuration = this.roster.inForce(replica.lastEntry);
    if (!configuration.isVoter(replica) && configuration.previous?.isVoter(replica) !== true) {
      this.fail('election safety', `${replica.name} leads term ${term} and is no voter; ${configuration.spelled}`);
    }
    if (!configuration.isQuorum((voter) => this.hasDurableVote(voter, term, replica.replicaId))) {
      const votes = this.#votes.in(term).map((vote) => vote.map((id) => this.nameOf(id)).join(' for '));
      const given = `durable votes: ${votes.join(', ')}; ${configuration.spelled}`;
      this.fail('election safety', `${replica.name} leads term ${term} without a majority; ${given}`);
    }
    const last = replica.lastEntry;
    let committed = this.committedIndex as number;
    while ((this.#committed[committed] as Commitment).term >= term && committed > 0) committed -= 1;
    const { entry } = this.#committed[committed] as Commitment;
    if (replica.log[committed] !== entry) this.#lacks(replica, term, entry);
    const leader = {
      term,
      replica,
      start: replica.starts,
      last,
      commit: 0,
      readRound: 0,
      logTime: 0,
      heartbeats: new Map(),
    };
    const position = this.#leaders.findLastIndex((other) => other.term < term) + 1;
    this.#leaders.splice(position, 0, leader);
    return leader;
  }

  /**
   * `replica`, which leads or led `term`, takes `index` for committed. Returns false when no majority holds what it
   * takes. Paper 5.4.2: one counts entries of one's own term, and all before come with it.
   */
  commit(replica: ReplicaRecord, index: number, term: number): boolean {
    const entry = replica.log[index];
    if (entry === undefined) return false;
    const known = this.#committed[index];
    if (known !== undefined) {
      if (known.entry !== entry) this.#differs(replica, entry, known.entry);
      return true;
    }
    if (!this.#isCommitted(replica, entry, term)) return false;
    const before = this.committedIndex;
    const { entry: end } = this.#committed[before] as Commitment;
    if (replica.log[before] !== end) this.#differs(replica, replica.log[before] as KnownEntry, end);
    for (let next = before + 1; next <= index; next += 1) {
      this.#committed.push({ entry: replica.log[next] as KnownEntry, term });
    }
    this.committedBy(index, term);
    this.tally.committed += index - before;
    return true;
  }

  /** Whether `entry` of its log is committed, known to all or only to `replica`, which leads or led `term`. */
  isCommitted(replica: ReplicaRecord, entry: KnownEntry, term: number): boolean {
    return this.committedAt(entry.index) === entry || this.#isCommitted(replica, entry, term);
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

  /** Why `entry` is not committed by `replica`, which leads or led `term`, for people. */
  whyUncommitted(replica: ReplicaRecord, entry: KnownEntry, term: number): string {
    const configuration = this.roster.inForce(replica.lastEntry);
    const holders = configuration.members.filter((member) => configuration.isVoter(member) && member.holds(entry));
    const durable = `durable ${holders.length === 0 ? 'on' : 'only on'} [${holders.map(({ name }) => name).join(', ')}]`;
    const voters = configuration.index === 0 ? '' : ` of ${configuration.spelled}`;
    if (!configuration.isQuorum((voter) => voter.holds(entry))) return `${durable}${voters}`;
    const rule = `no majority holds an entry of term ${term} there or above (paper 5.4.2)`;
    return `${durable.replace('only ', '')}${voters}, but ${rule}`;
  }

  nameOf(replica: ReplicaId): string {
    return this.roster.replica(replica)?.name ?? `replica ${replica}`;
  }

  fail(judge: string, message: string): never {
    throw new Violation(judge, message, this.id);
  }

  /**
   * Whether the leader of `term` may take `entry` for committed: an entry of its own term, there or above, is durable on
   * a quorum of the configuration by which it is counted.
   *
   * By which one? Entries are counted by the configuration in force in the leader's log at that moment, and the count
   * may come to light later, when the next configuration is already in its log. So all are tried that were in force while
   * it led: the one that it was elected with and those of its log after it, each for entries below the next one only.
   *
   * No false alarm: what a quorum held at the moment of the count it still holds, and the configuration that was
   * then in force is among those tried, for an entry that was then in the log and so lies below the next one.
   * No hole: a count by configuration C that first comes true when the next one, D, is in the log already is a count by
   * the wrong one, and yet as safe. It is for entries below D. Whoever is elected later by votes counted by C or D meets
   * that quorum of C, since quorums of neighbours intersect; and votes are counted by a later configuration only after
   * D was committed (`one change at a time`), and all entries below D with it. Of other leaders' configurations, which
   * its log may hold after it was deposed, none counts.
   */
  #isCommitted(replica: ReplicaRecord, entry: KnownEntry, term: number): boolean {
    const leader = this.leaderOf(term as Term);
    if (leader?.replica !== replica) return false;
    return this.#isCounted(replica, leader, entry) || this.#isCountedByNext(replica, leader, entry);
  }

  #isCounted(replica: ReplicaRecord, leader: LeaderRecord, entry: KnownEntry): boolean {
    const { log } = replica;
    const { term } = leader;
    const electedWith = this.roster.inForce(leader.last).index;
    let end = Infinity;
    let configuration: KnownConfiguration | undefined = this.roster.inForce(replica.lastEntry);
    while (configuration !== undefined && configuration.index >= electedWith && end >= entry.index) {
      if (configuration.term <= term) {
        if (entry.term === term && configuration.isQuorum((voter) => voter.holds(entry))) return true;
        const replicated = Math.min(
          end,
          configuration.quorumValue((voter) => voter.matchOf(log)),
        );
        if (covers(log, replicated, { entry, term })) return true;
      }
      end = configuration.index - 1;
      configuration = configuration.previous;
    }
    return false;
  }

  /**
   * A leader leaves a joint configuration in the very turn in which it commits it, and what is counted next in that turn is counted by
   * what follows. Its messages are heard before the entry that says so is handed over. No hole: once the joint one is committed,
   * nobody stays in it.
   */
  #isCountedByNext(replica: ReplicaRecord, leader: LeaderRecord, entry: KnownEntry): boolean {
    const { log } = replica;
    const joint = this.roster.inForce(replica.lastEntry);
    if (!joint.isJoint || joint.term > leader.term) return false;
    const begun = log[joint.index];
    const isOver =
      joint.index <= this.committedIndex || (begun !== undefined && this.#isCounted(replica, leader, begun));
    const replicated = joint.quorumValueOnceLeft((voter) => voter.matchOf(log));
    return isOver && covers(log, replicated, { entry, term: leader.term });
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
}

/** Whether so much of a log, replicated by the leader of `term`, is enough for `entry`: one of that very term is there or above (paper 5.4.2). */
function covers(
  log: readonly (KnownEntry | undefined)[],
  replicated: number,
  { entry, term }: { readonly entry: KnownEntry; readonly term: number },
): boolean {
  const counted = highestWhere(replicated, (index) => (log[index] as KnownEntry).term <= term);
  return counted >= entry.index && (log[counted] as KnownEntry).term === term;
}
