/**
 * One comparison of all replicas of a group, led by its leader. The index at which they are compared is the last one of the leader's log: nobody
 * can be beyond it when the leader asks, as nothing behind it exists, and in a group at rest everybody is there already. Each member opens its
 * state of exactly that index and reads it in its own time; the leader asks now and then who is done.
 *
 * The state at an index is the same in all replicas, whoever leads. So neither a change of leaders nor of members could make a false
 * alarm; a round over either is given up all the same, since then it is not clear any more who is a majority.
 */
import { unreachable } from '../assert.ts';
import type { ScrubConfig } from '../config.ts';
import { membersOf } from '../raft/configuration.ts';
import type { Configuration, LogIndex, ReplicaId, Term } from '../raft/types.ts';
import {
  decodeDigestBeginAnswer,
  decodeDigestResultAnswer,
  type DigestId,
  type DigestRequest,
  type DigestResultAnswer,
} from './digest-messages.ts';
import type { TakingStanding } from './digest-taking.ts';
import { isMajority, verdictOf, type TakenDigest, type Verdict } from './digest-verdict.ts';
import type { Clock, NodeId, PartitionId, StateDigest } from './ports.ts';

/** A group as its leader has it. */
export interface LedGroup {
  readonly self: ReplicaId;
  readonly term: Term;
  readonly lastIndex: LogIndex;
  readonly configuration: Configuration;
  /** Of the entry that brought the configuration. */
  readonly configurationIndex: LogIndex;
  /** The configuration is committed, and no change of it is under way. */
  readonly settled: boolean;
}

export interface OwnTaking {
  readonly standing: TakingStanding;
  cancel(): void;
}

export interface RoundPorts {
  readonly clock: Clock;
  readonly limits: Pick<ScrubConfig, 'timeoutMs' | 'askEveryMs' | 'askTimeoutMs' | 'silenceMs'>;
  readonly request: (to: NodeId, kind: DigestRequest, payload: unknown, timeoutMs: number) => Promise<unknown>;
  /** Undefined when this node does not lead it. */
  readonly group: () => LedGroup | undefined;
  readonly takeOwn: (index: LogIndex) => OwnTaking | 'busy' | 'passed';
}

export type RoundOutcome =
  /** Nothing was compared. */
  | { readonly type: 'void'; readonly reason: string }
  | {
      readonly type: 'compared';
      readonly verdict: Verdict;
      readonly group: LedGroup;
      /** Of this replica. */
      readonly digest: StateDigest;
      readonly digests: readonly TakenDigest[];
      /** Members that did not take part to the end, and why. */
      readonly leftOut: ReadonlyMap<ReplicaId, string>;
      readonly tookMs: number;
    };

interface Member {
  readonly id: DigestId;
  readonly node: NodeId;
  heardAt: number;
  standing: DigestResultAnswer | { readonly type: 'left_out'; readonly reason: string };
}

export class DigestRound {
  readonly #ports: RoundPorts;
  readonly #partition: PartitionId;
  readonly #startedAt: number;
  #cancelled = false;
  #endWait: () => void = () => undefined;

  constructor(ports: RoundPorts, partition: PartitionId) {
    this.#ports = ports;
    this.#partition = partition;
    this.#startedAt = ports.clock.monotonicMs();
  }

  /** Whoever waits for `run` learns soon that it came to nothing. */
  cancel(): void {
    this.#cancelled = true;
    this.#endWait();
  }

  /** Called once. */
  async run(): Promise<RoundOutcome> {
    const group = this.#ports.group();
    if (group === undefined || !group.settled) return nothing('its members are being changed');
    const own = this.#ports.takeOwn(group.lastIndex);
    if (own === 'busy' || own === 'passed') return nothing(`this node: ${own}`);
    const members = this.#membersOf(group);
    const outcome = await this.#led(group, own, members);
    own.cancel();
    this.#tellEnd(members, outcome.type === 'compared');
    return outcome;
  }

  async #led(group: LedGroup, own: OwnTaking, members: readonly Member[]): Promise<RoundOutcome> {
    const { limits } = this.#ports;
    const answers = await Promise.all(members.map((member) => this.#begin(member)));
    if (answers.includes('later')) return nothing('a member is busy, or was beyond the index');
    for (;;) {
      const standing = this.#standing(group, own, members);
      if (standing !== 'waiting') return standing;
      if (this.#now() - this.#startedAt > limits.timeoutMs)
        return nothing(`not all were done in ${limits.timeoutMs} ms`);
      await this.#pause(limits.askEveryMs);
      await Promise.all(members.filter(isReading).map((member) => this.#ask(member)));
    }
  }

  #standing(group: LedGroup, own: OwnTaking, members: readonly Member[]): RoundOutcome | 'waiting' {
    if (this.#cancelled) return nothing('it was broken off');
    if (!isSame(group, this.#ports.group())) return nothing('its leader or its members have changed');
    const newest = Math.max(...members.map(({ standing }) => (standing.type === 'taken' ? standing.term : 0)));
    if (newest > group.term) return nothing(`a member is in term ${newest} already`);
    if (own.standing.type === 'failed') return nothing(`this node: ${own.standing.reason}`);
    const { voters } = group.configuration;
    const present = members.filter(({ standing }) => standing.type === 'reading' || standing.type === 'taken');
    const presentVoters = [group.self, ...present.map(({ id }) => id.to)].filter((id) => voters.includes(id));
    if (!isMajority(presentVoters.length, voters.length)) return nothing('too few members take part');
    if (own.standing.type === 'reading' || members.some(isReading)) return 'waiting';
    return this.#compare(group, own.standing.digest, members);
  }

  #compare(group: LedGroup, digest: StateDigest, members: readonly Member[]): RoundOutcome {
    const digests: TakenDigest[] = [{ replicaId: group.self, sum: digest.sum }];
    const leftOut = new Map<ReplicaId, string>();
    for (const { id, standing } of members) {
      if (standing.type !== 'taken') leftOut.set(id.to, 'reason' in standing ? standing.reason : standing.type);
      else if (standing.version !== digest.version) leftOut.set(id.to, `it sums up by version ${standing.version}`);
      else digests.push({ replicaId: id.to, sum: standing.sum });
    }
    const verdict = verdictOf(group.configuration.voters, digests);
    const tookMs = Math.round(this.#now() - this.#startedAt);
    return { type: 'compared', verdict, group, digest, digests, leftOut, tookMs };
  }

  async #begin(member: Member): Promise<'begun' | 'later' | 'left_out'> {
    const answer = await this.#request(member, 'digest.begin', member.id, decodeDigestBeginAnswer);
    if (answer === undefined) return this.#leaveOut(member, 'it could not be asked');
    member.heardAt = this.#now();
    switch (answer.type) {
      case 'begun':
        return 'begun';
      case 'busy':
      case 'passed':
        return 'later';
      case 'refused':
        return this.#leaveOut(member, answer.reason);
      default:
        return unreachable(answer);
    }
  }

  async #ask(member: Member): Promise<void> {
    const { silenceMs } = this.#ports.limits;
    const answer = await this.#request(member, 'digest.result', member.id, decodeDigestResultAnswer);
    if (answer !== undefined) {
      member.heardAt = this.#now();
      member.standing = answer;
    } else if (this.#now() - member.heardAt > silenceMs) {
      this.#leaveOut(member, 'it does not answer any more');
    }
  }

  #leaveOut(member: Member, reason: string): 'left_out' {
    member.standing = { type: 'left_out', reason };
    return 'left_out';
  }

  /** Undefined when there is no answer, or none that makes sense. */
  async #request<Answer>(
    { node }: Member,
    kind: DigestRequest,
    payload: unknown,
    decode: (answer: unknown) => Answer | undefined,
  ): Promise<Answer | undefined> {
    try {
      return decode(await this.#ports.request(node, kind, payload, this.#ports.limits.askTimeoutMs));
    } catch {
      return undefined;
    }
  }

  /** Who is not told of it ends by itself after a while. */
  #tellEnd(members: readonly Member[], compared: boolean): void {
    for (const member of members) void this.#request(member, 'digest.end', { ...member.id, compared }, () => undefined);
  }

  #membersOf({ self, term, lastIndex, configuration }: LedGroup): Member[] {
    return membersOf(configuration)
      .filter((to) => to !== self)
      .map((to) => ({
        id: { partition: this.#partition, from: self, to, term, index: lastIndex },
        node: configuration.hosts.get(to) as NodeId,
        heardAt: this.#now(),
        standing: { type: 'reading' },
      }));
  }

  #now(): number {
    return this.#ports.clock.monotonicMs();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancelTimer = this.#ports.clock.after(ms, resolve);
      this.#endWait = () => {
        cancelTimer();
        resolve();
      };
      if (this.#cancelled) this.#endWait();
    });
  }
}

function isReading({ standing }: Member): boolean {
  return standing.type === 'reading';
}

/** The same leader in the same term, with the same members. */
function isSame(group: LedGroup, now: LedGroup | undefined): boolean {
  return now?.settled === true && now.term === group.term && now.configurationIndex === group.configurationIndex;
}

function nothing(reason: string): RoundOutcome {
  return { type: 'void', reason };
}
