/** A configuration as one member sees it, worked out once and not once per message. */
import type { Configuration, ReplicaId } from './types.ts';

export interface Membership {
  readonly configuration: Configuration;
  /** This member votes and may campaign. */
  readonly selfVotes: boolean;
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
  return { configuration, selfVotes: voters.has(self), peers, voterPeers: peers.filter((id) => voters.has(id)), known };
}
