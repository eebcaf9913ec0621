/** A group as its leader shows it to the controller, and one that does what it is asked to, by the rules of the core. */
import { expect } from 'vitest';
import type { GroupView, MemberProgress } from '../../../src/cluster/group-members.ts';
import type { Configuration, ConfigurationChange, LogIndex, ReplicaId } from '../../../src/raft/types.ts';

export const promotionLagMax = 10;

export type Hosts = Readonly<Record<number, string>>;

export interface ViewParts {
  readonly voters: Hosts;
  readonly outgoing?: Hosts;
  readonly learners?: Hosts;
  readonly committed?: boolean;
  readonly leader?: number;
  readonly lastIndex?: number;
  /** Of those that are not as a healthy member is: replicating, active, with all that the leader has. */
  readonly progress?: Readonly<Record<number, Partial<MemberProgress>>>;
  /** The leader knows nothing of these yet. */
  readonly unknown?: readonly number[];
}

export function configurationOf({ voters, outgoing = {}, learners = {} }: ViewParts): Configuration {
  const hosts = new Map(
    Object.entries({ ...voters, ...outgoing, ...learners }).map(([id, host]) => [Number(id) as ReplicaId, host]),
  );
  const ids = (of: Hosts): ReplicaId[] => Object.keys(of).map((id) => Number(id) as ReplicaId);
  const replicaIdMax = Math.max(0, ...hosts.keys()) as ReplicaId;
  const members = { voters: ids(voters), votersOutgoing: ids(outgoing), learners: ids(learners) };
  return { ...members, replicaIdMax, incarnation: 1, hosts };
}

export function viewOf(parts: ViewParts): GroupView {
  const { committed = true, lastIndex = 1000, progress = {}, unknown = [] } = parts;
  const configuration = configurationOf(parts);
  const leader = (parts.leader ?? configuration.voters[0] ?? 0) as ReplicaId;
  const others = [...configuration.hosts.keys()].filter((id) => id !== leader && !unknown.includes(id));
  return {
    index: 7 as LogIndex,
    configuration,
    committed,
    leader,
    lastIndex: lastIndex as LogIndex,
    progress: others.map((replicaId) => {
      const healthy = {
        replicaId,
        matchIndex: lastIndex as LogIndex,
        state: 'replicate',
        recentlyActive: true,
      } as const;
      return { ...healthy, ...progress[replicaId] };
    }),
    bytes: 0,
  };
}

/** A group that commits what it is asked for. Learners come empty and catch up as they are let. */
export class FakeGroup {
  voters = new Map<number, string>();
  learners = new Map<number, string>();
  readonly caughtUp = new Set<number>();
  /** Of the last change. */
  index = 1;
  leader = 1;
  committed = true;
  /** Newcomers have all at once. */
  quick = false;
  fewestVoters: number;
  #idMax = 0;

  constructor(hosts: readonly string[]) {
    for (const host of hosts) this.voters.set(++this.#idMax, host);
    this.fewestVoters = this.voters.size;
  }

  view(): GroupView {
    const progress = Object.fromEntries(
      [...this.learners.keys()].map((id) => [id, this.caughtUp.has(id) ? {} : { matchIndex: 0 as LogIndex }]),
    );
    const { committed, leader } = this;
    const members = { voters: Object.fromEntries(this.voters), learners: Object.fromEntries(this.learners) };
    return { ...viewOf({ ...members, progress, committed, leader }), index: this.index as LogIndex };
  }

  /** As the core would refuse it, it is a failure of the test. */
  apply(change: ConfigurationChange): void {
    this.index += 1;
    if (change.type === 'addLearner') {
      const present = [...this.voters.values(), ...this.learners.values()];
      expect(present, 'one replica of a group on each node').not.toContain(change.host);
      this.learners.set(++this.#idMax, change.host);
      if (this.quick) this.caughtUp.add(this.#idMax);
      return;
    }
    if (change.type === 'removeLearner') {
      expect(this.learners.delete(change.replicaId), 'only learners are removed like that').toBe(true);
      return;
    }
    const before = new Map([...this.voters, ...this.learners]);
    for (const id of change.voters) {
      if (this.voters.has(id)) continue;
      expect(this.learners.has(id) && this.caughtUp.has(id), `${id} was a learner that had caught up`).toBe(true);
      this.learners.delete(id);
    }
    this.voters = new Map(change.voters.map((id) => [id, before.get(id) ?? '']));
    this.fewestVoters = Math.min(this.fewestVoters, this.voters.size);
    if (!this.voters.has(this.leader)) this.leader = change.voters[0] ?? 0;
  }

  /** Where the voters are. */
  hosts(): string[] {
    return [...this.voters.values()].toSorted();
  }
}
