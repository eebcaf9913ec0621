/** The replicas of this node, read at a scrape. */
import { Gauge, type Registry } from 'prom-client';
import type { ReplicaStatus } from '../cluster/types.ts';
import type { NodeReadings } from './ports.ts';

const roles = ['leader', 'follower', 'learner'] as const;
const states = ['ok', 'snapshot', 'in_doubt', 'stopped'] as const;

export class ReplicaGauges {
  readonly #partitionsMax: number;
  readonly #hosted: Gauge;
  readonly #leading: Gauge;
  readonly #leftOut: Gauge;
  readonly #replicas: Gauge<'state'>;
  readonly #each: PartitionGauges;

  /** With more partitions than `partitionsMax` none has series of its own: which of them would be missing nobody could tell. */
  constructor(registry: Registry, partitionsMax: number) {
    const registers = [registry];
    this.#partitionsMax = partitionsMax;
    this.#hosted = new Gauge({
      name: 'flotilla_partitions_hosted',
      help: 'Gauge, partitions: of which a replica lives here, one in doubt or being removed too; the metadata group (0) among them.',
      registers,
    });
    this.#leading = new Gauge({
      name: 'flotilla_partitions_led',
      help: 'Gauge, partitions: that this node leads, the metadata group (0) among them.',
      registers,
    });
    this.#leftOut = new Gauge({
      name: 'flotilla_partitions_left_out',
      help: 'Gauge, partitions: hosted here and without series of their own, as they are more than metrics.partitionsMax; then none has any.',
      registers,
    });
    this.#replicas = new Gauge({
      name: 'flotilla_replicas',
      help: 'Gauge, replicas: of this node, by their state.',
      labelNames: ['state'],
      registers,
    });
    this.#each = new PartitionGauges(registry);
  }

  take({ replicas }: NodeReadings): void {
    this.#hosted.set(replicas.length);
    this.#leading.set(replicas.filter(({ role }) => role === 'leader').length);
    for (const state of states) {
      this.#replicas.set({ state }, replicas.filter((replica) => replica.state === state).length);
    }
    const leftOut = replicas.length > this.#partitionsMax;
    this.#leftOut.set(leftOut ? replicas.length : 0);
    // One in doubt or being destroyed says nothing any more: zeros in its place would look like an outage.
    const speaking = replicas.filter(({ state }) => state === 'ok' || state === 'snapshot');
    this.#each.take(leftOut ? [] : speaking);
  }
}

/** One value of each for every partition that is hosted here now: those of a replica that has gone go with it. */
class PartitionGauges {
  readonly #role: Gauge<'partition' | 'role'>;
  readonly #followerLag: Gauge<'partition' | 'peer'>;
  readonly #plain: readonly { readonly gauge: Gauge<'partition'>; readonly of: (replica: ReplicaStatus) => number }[];

  constructor(registry: Registry) {
    const registers = [registry];
    this.#role = new Gauge({
      name: 'flotilla_partition_role',
      help: 'Gauge, 1 or 0: whether this is the role of the replica here.',
      labelNames: ['partition', 'role'],
      registers,
    });
    this.#followerLag = new Gauge({
      name: 'flotilla_partition_follower_lag_entries',
      help: 'Gauge, log entries: that the peer lacks of what the leader has; told by the leader alone.',
      labelNames: ['partition', 'peer'],
      registers,
    });
    const plain = (name: string, help: string): Gauge<'partition'> =>
      new Gauge({ name: `flotilla_partition_${name}`, help, labelNames: ['partition'], registers });
    this.#plain = [
      {
        gauge: plain('term', 'Gauge, Raft term: of the replica here; grows with elections.'),
        of: ({ term }) => term,
      },
      {
        gauge: plain('commit_index', 'Gauge, log index: known here to be committed.'),
        of: ({ commitIndex }) => commitIndex,
      },
      {
        gauge: plain('applied_index', 'Gauge, log index: applied to the state here.'),
        of: ({ appliedIndex }) => appliedIndex,
      },
      {
        gauge: plain('apply_lag_entries', 'Gauge, log entries: known here to be committed and not applied yet.'),
        of: ({ commitIndex, appliedIndex }) => Math.max(0, commitIndex - appliedIndex),
      },
      {
        gauge: plain('leader_known', 'Gauge, 1 or 0: whether the replica here knows who leads.'),
        of: ({ leader }) => (leader === undefined ? 0 : 1),
      },
    ];
  }

  take(replicas: readonly ReplicaStatus[]): void {
    this.#role.reset();
    this.#followerLag.reset();
    for (const { gauge } of this.#plain) gauge.reset();
    for (const replica of replicas) this.#takeOne(String(replica.partition), replica);
  }

  #takeOne(partition: string, replica: ReplicaStatus): void {
    for (const role of roles) this.#role.set({ partition, role }, replica.role === role ? 1 : 0);
    for (const { gauge, of } of this.#plain) gauge.set({ partition }, of(replica));
    if (replica.role !== 'leader') return;
    for (const { nodeId, matchIndex } of replica.followers) {
      this.#followerLag.set({ partition, peer: nodeId }, Math.max(0, replica.lastIndex - matchIndex));
    }
  }
}
