/**
 * What a configuration decides: a majority of its voters, and within a change (joint consensus, paper section 6) also
 * a majority of the outgoing ones. All functions only compute, in O(voters).
 */
import type { Configuration, ReplicaId } from './types.ts';

/**
 * The highest value that a quorum has reached, given what each replica has reached (higher values include lower ones).
 * With `matchIndex` it is the committed index (paper 5.3), with acknowledged rounds the confirmed ReadIndex round.
 */
export function quorumValue(configuration: Configuration, reached: (replica: ReplicaId) => number): number {
  const incoming = majorityValue(configuration.voters, reached);
  if (configuration.votersOutgoing.length === 0) return incoming;
  return Math.min(incoming, majorityValue(configuration.votersOutgoing, reached));
}

/** True when the replicas for which `holds` is true make a quorum. */
export function isQuorum(configuration: Configuration, holds: (replica: ReplicaId) => boolean): boolean {
  return quorumValue(configuration, (replica) => (holds(replica) ? 1 : 0)) === 1;
}

export type VoteResult = 'won' | 'lost' | 'pending';

/** `votes` has true for a granted vote and false for a refused one. Lost: the missing votes can no longer turn it. */
export function voteResult(configuration: Configuration, votes: ReadonlyMap<ReplicaId, boolean>): VoteResult {
  if (isQuorum(configuration, (voter) => votes.get(voter) === true)) return 'won';
  return isQuorum(configuration, (voter) => votes.get(voter) !== false) ? 'pending' : 'lost';
}

/** The highest value that more than half have reached. Of no voters: 0, so that nobody decides nothing. */
function majorityValue(voters: readonly ReplicaId[], reached: (replica: ReplicaId) => number): number {
  const values = voters.map(reached).sort((a, b) => a - b);
  const majority = Math.floor(values.length / 2) + 1;
  return values[values.length - majority] ?? 0;
}
