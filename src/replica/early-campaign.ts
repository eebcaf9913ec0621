/**
 * When the leader's process is known to be gone, the voters that are left need not wait out their election timeouts. They
 * ask one after the other, so that mostly the first is through before the second begins; who comes first differs from
 * partition to partition, which spreads the leaderships of a dead node. Whoever noticed first may ask one that has not, or two may
 * split the votes: so an attempt that came to nothing is repeated a few times, at another pace on each voter.
 */
import { membersOf } from '../raft/configuration.ts';
import type { Raft } from '../raft/raft.ts';
import { noReplica, type ReplicaId, type Term } from '../raft/types.ts';
import type { Clock, PartitionId } from './ports.ts';

export interface EarlyCampaignOptions {
  readonly raft: Raft;
  readonly partition: PartitionId;
  readonly self: ReplicaId;
  readonly clock: Clock;
  /** Between one voter and the next. */
  readonly delayMs: number;
  readonly wake: () => void;
}

/** Then the election timeout does it. */
const attemptsMax = 8;

interface Planned {
  /** Of the leader that is gone. */
  readonly term: Term;
  /** 1 for the first. */
  readonly attempt: number;
  /** Until the next, which differs between voters. */
  readonly againMs: number;
  readonly cancel: () => void;
  isTurn: boolean;
}

export class EarlyCampaign {
  readonly #options: EarlyCampaignOptions;
  #planned: Planned | undefined;

  constructor(options: EarlyCampaignOptions) {
    this.#options = options;
  }

  /** `members` live where no process is any more: plans a campaign if one of them leads. */
  leaderGone(members: readonly ReplicaId[]): void {
    const { raft, delayMs } = this.#options;
    const leader = members.find((id) => raft.leaderGone(id));
    if (leader === undefined || this.#planned?.term === raft.status().term) return;
    this.cancel();
    const { rank, voters } = this.#rankWithout(leader);
    this.#plan({ term: raft.status().term, attempt: 1, againMs: (voters + rank) * 2 * delayMs }, rank * delayMs);
  }

  /** Campaigns when its turn has come, unless the leader was heard again, somebody else was elected, or is about to be. */
  maybeCampaign(): void {
    if (this.#planned?.isTurn !== true) return;
    const { raft } = this.#options;
    const { term, attempt, againMs } = this.#planned;
    this.#planned = undefined;
    const now = raft.status();
    const isDue = attempt === 1 ? raft.leaderIsGone && now.term === term : now.leader === noReplica;
    if (!isDue) return;
    raft.campaign();
    if (attempt < attemptsMax) this.#plan({ term, attempt: attempt + 1, againMs }, againMs);
  }

  #plan(campaign: Pick<Planned, 'term' | 'attempt' | 'againMs'>, inMs: number): void {
    const { clock, wake } = this.#options;
    const planned: Planned = {
      ...campaign,
      isTurn: false,
      cancel: clock.after(inMs, () => {
        planned.isTurn = true;
        wake();
      }),
    };
    this.#planned = planned;
  }

  cancel(): void {
    this.#planned?.cancel();
    this.#planned = undefined;
  }

  /** Among the voters that are left, counted from another one in each partition. */
  #rankWithout(leader: ReplicaId): { readonly rank: number; readonly voters: number } {
    const { raft, self, partition } = this.#options;
    const { configuration } = raft.configuration;
    const voters = membersOf(configuration).filter((id) => id !== leader && !configuration.learners.includes(id));
    return { rank: (voters.indexOf(self) + partition) % voters.length, voters: voters.length };
  }
}
