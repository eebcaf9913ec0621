/** A configuration that some log holds or held, and what it decides: a majority, or two within a change (paper 6). */
import type { Configuration, LogIndex, ReplicaId, Term } from '../../raft/types.ts';
import type { ReplicaRecord } from './replica-record.ts';

interface Founded {
  /** Of the entry that brought it; 0 and 0 for the founding one. */
  readonly index: LogIndex;
  readonly term: Term;
  /** Of that entry; undefined for the founding one. */
  readonly body: Uint8Array | undefined;
  readonly content: Configuration;
  /** In force before it, in the log that holds it. */
  readonly previous: KnownConfiguration | undefined;
}

export class KnownConfiguration {
  readonly index: LogIndex;
  readonly term: Term;
  readonly body: Uint8Array | undefined;
  readonly content: Configuration;
  readonly previous: KnownConfiguration | undefined;
  /** Voters, outgoing ones too, and learners, each once. */
  readonly members: readonly ReplicaRecord[];
  readonly #voters: readonly ReplicaRecord[];
  readonly #outgoing: readonly ReplicaRecord[];

  constructor({ index, term, body, content, previous }: Founded, replica: (id: ReplicaId) => ReplicaRecord) {
    this.index = index;
    this.term = term;
    this.body = body;
    this.content = content;
    this.previous = previous;
    this.#voters = content.voters.map(replica);
    this.#outgoing = content.votersOutgoing.map(replica);
    this.members = [...new Set([...this.#voters, ...this.#outgoing, ...content.learners.map(replica)])];
  }

  isVoter(replica: ReplicaRecord): boolean {
    return this.#voters.includes(replica) || this.#outgoing.includes(replica);
  }

  /** It decides alone. */
  isSoleVoter(replica: ReplicaRecord): boolean {
    return this.#voters.length === 1 && this.#voters[0] === replica && this.#outgoing.length === 0;
  }

  /** Ids are never reused, so whom it does not name of those given out is gone for good. */
  leavesOut(replica: ReplicaRecord): boolean {
    return replica.replicaId <= this.content.replicaIdMax && !this.members.includes(replica);
  }

  isQuorum(holds: (voter: ReplicaRecord) => boolean): boolean {
    return isMajority(this.#voters, holds) && (this.#outgoing.length === 0 || isMajority(this.#outgoing, holds));
  }

  /** The highest value that a quorum has reached. */
  quorumValue(reached: (voter: ReplicaRecord) => number): number {
    const incoming = majorityValue(this.#voters, reached);
    return this.#outgoing.length === 0 ? incoming : Math.min(incoming, majorityValue(this.#outgoing, reached));
  }

  /** Voters, but for outgoing ones, that have not lost their disks, or have come behind `before`: of newcomers it may not be known yet. */
  wholeVoters(before: KnownConfiguration = this): number {
    return this.#voters.filter((voter) => !voter.gone || !before.isVoter(voter)).length;
  }

  get isJoint(): boolean {
    return this.#outgoing.length > 0;
  }

  /** The same for what follows a joint configuration: its incoming voters alone. */
  quorumValueOnceLeft(reached: (voter: ReplicaRecord) => number): number {
    return majorityValue(this.#voters, reached);
  }

  /** For people. */
  get spelled(): string {
    const names = (replicas: readonly ReplicaRecord[]): string => replicas.map(({ name }) => name).join(', ');
    const outgoing = this.#outgoing.length === 0 ? '' : ` and outgoing [${names(this.#outgoing)}]`;
    return `voters [${names(this.#voters)}]${outgoing}`;
  }
}

function isMajority(voters: readonly ReplicaRecord[], holds: (voter: ReplicaRecord) => boolean): boolean {
  let count = 0;
  for (const voter of voters) if (holds(voter)) count += 1;
  return count > voters.length / 2;
}

/** Values by falling size. Shared by all calls: a run counts majorities at every turn. */
const sorted: number[] = [];

function majorityValue(voters: readonly ReplicaRecord[], reached: (voter: ReplicaRecord) => number): number {
  for (let count = 0; count < voters.length; count += 1) {
    const value = reached(voters[count] as ReplicaRecord);
    let at = count;
    for (; at > 0 && (sorted[at - 1] as number) < value; at -= 1) sorted[at] = sorted[at - 1] as number;
    sorted[at] = value;
  }
  return voters.length === 0 ? 0 : (sorted[Math.floor(voters.length / 2)] as number);
}
