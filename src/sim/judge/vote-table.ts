/** Votes that are or were durable, by term: a vote that a crash could take back was never one. */
import { noReplica, type HardState, type ReplicaId, type Term } from '../../raft/types.ts';

export class VoteTable {
  /** Voter to candidate, by term. */
  readonly #votes = new Map<Term, Map<ReplicaId, ReplicaId>>();

  /** Returns for whom `voter` has voted in that term before, when it was another one. */
  add(voter: ReplicaId, { currentTerm, votedFor }: HardState): ReplicaId | undefined {
    if (votedFor === noReplica) return undefined;
    let votes = this.#votes.get(currentTerm);
    if (votes === undefined) {
      votes = new Map<ReplicaId, ReplicaId>();
      this.#votes.set(currentTerm, votes);
    }
    const before = votes.get(voter);
    votes.set(voter, before ?? votedFor);
    return before === votedFor ? undefined : before;
  }

  of(voter: ReplicaId, term: Term): ReplicaId | undefined {
    return this.#votes.get(term)?.get(voter);
  }

  in(term: Term): readonly (readonly [voter: ReplicaId, candidate: ReplicaId])[] {
    return [...(this.#votes.get(term) ?? [])];
  }
}
