/**
 * When this node compares the replicas of the groups that it leads, and what follows from it. One round at a time, of the partition that is due
 * longest. A group's silence is left alone: nothing is asked of Raft.
 */
import { unreachable } from '../assert.ts';
import type { ScrubConfig } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { LogIndex, ReplicaId } from '../raft/types.ts';
import { decodeDigestDiffersAnswer, type DigestDiffers, type DigestRequest } from '../replica/digest-messages.ts';
import { DigestRound, type LedGroup, type OwnTaking, type RoundOutcome } from '../replica/digest-round.ts';
import type { Clock, NodeId, PartitionId } from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';
import { reasonOf } from './digest-takings.ts';

export interface DigestRoundsOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly limits: ScrubConfig;
  readonly logger: Logger;
  readonly request: (to: NodeId, kind: DigestRequest, payload: unknown, timeoutMs: number) => Promise<unknown>;
  /** Those that this node leads, as far as it knows. */
  readonly led: () => readonly Replica[];
  readonly takeOwn: (replica: Replica, index: LogIndex) => OwnTaking | 'busy' | 'passed';
  /** The replica here is alone against a majority, some of which live on `heirs`, and leads. */
  readonly onLeaderDiffers: (replica: Replica, heirs: readonly NodeId[], reason: string) => Promise<void>;
  /** A bug. */
  readonly onFailure: (error: unknown) => void;
}

interface Due {
  /** Monotonic ms. */
  comparedAt: number;
  notBefore: number;
}

type Compared = Extract<RoundOutcome, { type: 'compared' }>;

/** Between two looks for partitions that this node has begun to lead, as a part of `everyMs`. */
const lookPart = 1 / 20;
/** A round in which not all took part is done again after this part of `everyMs`. */
const incompletePart = 1 / 8;

export class DigestRounds {
  readonly #options: DigestRoundsOptions;
  readonly #due = new Map<PartitionId, Due>();
  #round: DigestRound | undefined;
  #cancelLook: () => void = () => undefined;
  #stopped = false;

  constructor(options: DigestRoundsOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.limits.everyMs > 0) this.#lookAfter(0);
  }

  /** A round that is under way comes to nothing. */
  stop(): void {
    this.#stopped = true;
    this.#cancelLook();
    this.#round?.cancel();
  }

  /** By whoever led it: so who comes to lead it does not begin at once. */
  compared(partition: PartitionId): void {
    this.#due.set(partition, { comparedAt: this.#options.clock.monotonicMs(), notBefore: -Infinity });
  }

  forget(partition: PartitionId): void {
    this.#due.delete(partition);
  }

  #lookAfter(delayMs: number): void {
    if (this.#stopped) return;
    this.#cancelLook = this.#options.clock.after(delayMs, () => this.#look());
  }

  #look(): void {
    const { clock, limits, led } = this.#options;
    const now = clock.monotonicMs();
    let next: { readonly replica: Replica; readonly at: number } | undefined;
    for (const replica of led()) {
      const { comparedAt, notBefore } = this.#dueOf(replica.partition, now);
      const at = Math.max(comparedAt + limits.everyMs, notBefore);
      if (next === undefined || at < next.at) next = { replica, at };
    }
    if (next !== undefined && next.at <= now) {
      this.#compare(next.replica).then(() => this.#lookAfter(0), this.#options.onFailure);
      return;
    }
    this.#lookAfter(Math.min(limits.everyMs * lookPart, (next?.at ?? Infinity) - now));
  }

  /** Nobody knows when it was compared last: somewhere within the last `everyMs`, so that not all are due at once. */
  #dueOf(partition: PartitionId, now: number): Due {
    const known = this.#due.get(partition);
    if (known !== undefined) return known;
    const { random, limits } = this.#options;
    const due = { comparedAt: now - random() * limits.everyMs, notBefore: -Infinity };
    this.#due.set(partition, due);
    return due;
  }

  async #compare(replica: Replica): Promise<void> {
    const { clock, limits, request, takeOwn, logger } = this.#options;
    const { partition } = replica;
    const takeOwnNow = (index: LogIndex): ReturnType<typeof takeOwn> => takeOwn(replica, index);
    const group = (): LedGroup | undefined => ledGroup(replica);
    const round = new DigestRound({ clock, limits, request, group, takeOwn: takeOwnNow }, partition);
    this.#round = round;
    const outcome = await round.run();
    this.#round = undefined;
    if (this.#stopped) return;
    switch (outcome.type) {
      case 'void':
        logger.debug({ partition, reason: outcome.reason }, 'replicas were not compared');
        this.#postpone(partition, limits.retryMs);
        return;
      case 'compared':
        this.compared(partition);
        if (outcome.leftOut.size > 0) this.#postpone(partition, limits.everyMs * incompletePart);
        this.#tell(partition, outcome);
        await this.#act(replica, outcome);
        return;
      default:
        unreachable(outcome);
    }
  }

  /** By half more or less, so that two nodes that were in each other's way do not meet again. */
  #postpone(partition: PartitionId, delayMs: number): void {
    const { clock, random, limits } = this.#options;
    const notBefore = clock.monotonicMs() + delayMs * (0.5 + random());
    this.#due.set(partition, { comparedAt: notBefore - limits.everyMs, notBefore });
  }

  #tell(partition: PartitionId, { verdict, group, digest, digests, leftOut, tookMs }: Compared): void {
    const { logger } = this.#options;
    const { records, bytes } = digest;
    const round = { partition, index: group.lastIndex, records, bytes, ms: tookMs, replicas: digests.length };
    const fields = leftOut.size === 0 ? round : { ...round, leftOut: Object.fromEntries(leftOut) };
    if (verdict.type !== 'differ' && digest.miscounted !== undefined) {
      logger.error({ ...fields, miscounted: digest.miscounted }, 'a state is not as much as it counts');
    }
    switch (verdict.type) {
      case 'agree':
        logger.info(fields, 'replicas were compared: all that took part hold the same');
        return;
      case 'differ':
        logger.error(
          { ...fields, odd: verdict.odd, holders: verdict.holders },
          'replicas were compared: some differ from a majority',
        );
        return;
      case 'split': {
        const sums = Object.fromEntries(digests.map(({ replicaId, sum }) => [replicaId, hex(sum)]));
        logger.error({ ...fields, sums }, 'replicas were compared: they differ, and no majority holds the same');
        return;
      }
      default:
        unreachable(verdict);
    }
  }

  /** All others are told first: a leader that is in doubt itself has to go. */
  async #act(replica: Replica, { verdict, group, digest }: Compared): Promise<void> {
    if (verdict.type !== 'differ') return;
    const { partition } = replica;
    const { self, term, lastIndex: index, configuration } = group;
    const { sum, holders, odd } = verdict;
    const differs = { partition, from: self, term, index, version: digest.version, sum, holders };
    const others = odd.filter((to) => to !== self);
    await Promise.all(others.map((to) => this.#tellOdd(configuration.hosts.get(to) as NodeId, { ...differs, to })));
    if (!odd.includes(self)) return;
    const heirs = holders.map((holder: ReplicaId) => configuration.hosts.get(holder) as NodeId);
    await this.#options.onLeaderDiffers(replica, heirs, reasonOf(index, holders, digest.miscounted));
  }

  async #tellOdd(to: NodeId, differs: DigestDiffers): Promise<void> {
    const { request, limits, logger } = this.#options;
    const answer = await request(to, 'digest.differs', differs, limits.askTimeoutMs).then(
      decodeDigestDiffersAnswer,
      () => undefined,
    );
    if (answer?.type === 'believed') return;
    const { partition, to: replicaId } = differs;
    const reason = answer?.reason ?? 'no answer';
    logger.warn({ partition, replicaId, reason }, 'a replica that differs has not put itself in doubt');
    // It is found again.
    this.#postpone(partition, limits.retryMs);
  }
}

function ledGroup(replica: Replica): LedGroup | undefined {
  const { role, term, replicaId: self, lastIndex } = replica.status();
  if (role !== 'leader') return undefined;
  const { index: configurationIndex, configuration, committed } = replica.configuration();
  const settled = committed && configuration.votersOutgoing.length === 0;
  return { self, term, lastIndex, configuration, configurationIndex, settled };
}

function hex(sum: Uint8Array): string {
  return Buffer.from(sum).toString('hex');
}
