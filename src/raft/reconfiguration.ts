/**
 * Changing the members (paper, section 6; thesis, chapter 4), on a leader. Newcomers come as learners, who decide nothing;
 * voters change by joint consensus, in which each decision needs a majority of both sets.
 *
 * Safety: one change at a time, so that two configurations next to each other always share a quorum; and none before an entry
 * of the leader's own term is committed (Ongaro's note of July 2015 on single-server changes): until then an uncommitted
 * change of an earlier leader may still be alive elsewhere, and the two would not know of each other.
 */
import { planted } from '../planted.ts';
import { membersOf } from './configuration.ts';
import type { Leader, Member } from './member.ts';
import { type ChangeResult, type Configuration, type ConfigurationChange, noReplica, type ReplicaId } from './types.ts';

type Planned = { readonly type: 'planned'; readonly configuration: Configuration };
type Refused = Extract<ChangeResult, { readonly type: 'refused' }>;

/** What `change` makes of the configuration in force, or why it can't be made now. */
export function planChange(member: Member, role: Leader, change: ConfigurationChange): Planned | Refused {
  const { index, configuration } = member.configurations.newest;
  if (role.transfer !== undefined) return refused('leadership is being handed over');
  if (member.commitIndex < role.termStartIndex && !planted('change-before-noop')) {
    return refused('no entry of this term is committed yet');
  }
  if (configuration.votersOutgoing.length > 0) return refused('a change of voters is under way');
  if (index > member.commitIndex) return refused('the last change is not committed yet');
  switch (change.type) {
    case 'addLearner':
      return addLearner(configuration, change.host);
    case 'removeLearner':
      return removeLearner(configuration, change.replicaId);
    case 'changeVoters':
      return changeVoters(member, role, [...new Set(change.voters)]);
  }
}

function addLearner(configuration: Configuration, host: string): Planned | Refused {
  if ([...configuration.hosts.values()].includes(host)) return refused(`${host} has a replica already`);
  const id = (configuration.replicaIdMax + 1) as ReplicaId;
  return planned({
    ...configuration,
    learners: [...configuration.learners, id],
    replicaIdMax: id,
    hosts: new Map([...configuration.hosts, [id, host]]),
  });
}

function removeLearner(configuration: Configuration, id: ReplicaId): Planned | Refused {
  if (!configuration.learners.includes(id)) return refused(`replica ${id} is no learner`);
  return planned(withOwnHosts({ ...configuration, learners: configuration.learners.filter((other) => other !== id) }));
}

function changeVoters(member: Member, role: Leader, voters: readonly ReplicaId[]): Planned | Refused {
  const { configuration } = member.membership;
  if (voters.length === 0) return refused('a group has voters');
  const added = voters.filter((id) => !configuration.voters.includes(id));
  if (added.length === 0 && voters.length === configuration.voters.length) return refused('these are the voters');
  for (const id of added) {
    const problem = whyNoVoter(member, role, id);
    if (problem !== undefined) return refused(problem);
  }
  return planned({
    ...configuration,
    voters,
    votersOutgoing: configuration.voters,
    learners: configuration.learners.filter((id) => !added.includes(id)),
  });
}

/** One that lags or can't be reached would count in the majority and not help to make it. */
function whyNoVoter(member: Member, role: Leader, id: ReplicaId): string | undefined {
  const progress = role.progress.get(id);
  if (progress === undefined || !member.membership.configuration.learners.includes(id)) {
    return `replica ${id} is no learner`;
  }
  const lag = member.log.lastIndex - progress.matchIndex;
  if (progress.state !== 'replicate' || lag > member.limits.promotionLagMax) {
    return `replica ${id} lacks ${lag} entries`;
  }
  return progress.recentlyActive ? undefined : `replica ${id} has not answered lately`;
}

/** Out of the joint configuration, once it is committed: the outgoing voters that stay nothing else are gone. */
export function leaveJoint(configuration: Configuration): Configuration {
  return withOwnHosts({ ...configuration, votersOutgoing: [] });
}

/** Who was a member of `before` and is none of `after`. */
export function leftOut(before: Configuration, after: Configuration): readonly ReplicaId[] {
  const stay = new Set(membersOf(after));
  return membersOf(before).filter((id) => !stay.has(id) && id !== noReplica);
}

function withOwnHosts(configuration: Configuration): Configuration {
  const hosts = new Map(membersOf(configuration).map((id) => [id, configuration.hosts.get(id) ?? '']));
  return { ...configuration, hosts };
}

function planned(configuration: Configuration): Planned {
  return { type: 'planned', configuration };
}

function refused(reason: string): Refused {
  return { type: 'refused', reason };
}
