/** The groups that this node leads: who is in them, and changes of that. */
import type { ChangeResult, ConfigurationChange, LogIndex } from '../raft/types.ts';
import type { GroupView, LocalGroups } from '../cluster/group-members.ts';
import type { PartitionId } from '../replica/ports.ts';
import type { HostedReplicas } from './hosted-replicas.ts';

export class LedGroups implements LocalGroups {
  readonly #hosted: HostedReplicas;

  constructor(hosted: HostedReplicas) {
    this.#hosted = hosted;
  }

  groupView(partition: PartitionId): GroupView | undefined {
    const replica = this.#hosted.replica(partition);
    const status = replica?.status();
    if (replica === undefined || status?.role !== 'leader') return undefined;
    const { progress, lastIndex, replicaId: leader } = status;
    const others = progress
      .filter(({ replicaId }) => replicaId !== leader)
      .map(({ replicaId, matchIndex, state, recentlyActive }) => ({ replicaId, matchIndex, state, recentlyActive }));
    return { ...replica.configuration(), leader, lastIndex, progress: others, bytes: replica.machineState().bytes };
  }

  changeMembers(partition: PartitionId, ifIndex: LogIndex, change: ConfigurationChange): ChangeResult | undefined {
    const replica = this.#hosted.replica(partition);
    if (replica === undefined || replica.status().role !== 'leader') return undefined;
    const { index } = replica.configuration();
    if (index === ifIndex) return replica.changeConfiguration(change);
    return { type: 'refused', reason: `the members have changed since: by entry ${index}, not ${ifIndex}` };
  }
}
