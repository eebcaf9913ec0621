/**
 * Digests that this node takes of its replicas' states, for itself or for a leader elsewhere: one at a time, as each holds back LevelDB's merging
 * and shares one rate. What came of the last one of each partition is kept: a replica that is told that it differs believes that only of
 * a digest which it took itself.
 */
import { unreachable } from '../assert.ts';
import type { ScrubConfig } from '../config.ts';
import type { LogIndex, ReplicaId } from '../raft/types.ts';
import { ByteRate } from '../replica/byte-rate.ts';
import {
  decodeDigestDiffers,
  decodeDigestEnd,
  decodeDigestId,
  encodeDigestResult,
  refusedDigest,
  type DigestAnswer,
  type DigestBeginAnswer,
  type DigestDiffers,
  type DigestDiffersAnswer,
  type DigestEnd,
  type DigestEndAnswer,
  type DigestId,
  type DigestRefused,
  type DigestResultAnswer,
} from '../replica/digest-messages.ts';
import { DigestTaking } from '../replica/digest-taking.ts';
import { isMajority } from '../replica/digest-verdict.ts';
import type { Clock, NodeId, PartitionId, Storage } from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';

export interface DigestTakingsOptions {
  readonly clock: Clock;
  readonly limits: ScrubConfig;
  readonly storage: Pick<Storage, 'trapState'>;
  readonly replica: (partition: PartitionId) => Replica | undefined;
  /** A leader has compared all replicas of the partition. */
  readonly onCompared: (partition: PartitionId) => void;
  /** The replica here holds something else than a majority. */
  readonly onDiffers: (partition: PartitionId, reason: string) => void;
  readonly onFailure: (error: unknown) => void;
}

interface Taken {
  readonly replicaId: ReplicaId;
  readonly taking: DigestTaking;
}

interface UnderWay {
  readonly partition: PartitionId;
  readonly taking: DigestTaking;
  /** Nobody has asked for it for a while. */
  cancelTimer: () => void;
}

export class DigestTakings {
  readonly #options: DigestTakingsOptions;
  readonly #rate: ByteRate;
  readonly #newest = new Map<PartitionId, Taken>();
  #underWay: UnderWay | undefined;
  #stopped = false;

  constructor(options: DigestTakingsOptions) {
    const { clock, limits } = options;
    this.#options = options;
    this.#rate = new ByteRate(clock, { bytesPerSecondMax: limits.bytesPerSecondMax, burstBytes: limits.pieceBytes });
  }

  /** For a round of this node. */
  take(replica: Pick<Replica, 'partition' | 'replicaId'>, index: LogIndex): DigestTaking | 'busy' | 'passed' {
    const { clock, limits, storage, onFailure } = this.#options;
    const { partition, replicaId } = replica;
    if (this.#underWay !== undefined || this.#stopped) return 'busy';
    const trap = storage.trapState(partition, index);
    if (trap === undefined) return 'passed';
    const taking = new DigestTaking({ clock, limits, rate: this.#rate, onFailure }, index, trap);
    const underWay = { partition, taking, cancelTimer: () => undefined };
    this.#underWay = underWay;
    this.#newest.set(partition, { replicaId, taking });
    void taking.ended.then(() => this.#ended(underWay));
    return taking;
  }

  /** Answers whatever a peer sends. */
  handle(from: NodeId, kind: string, payload: unknown): unknown {
    return this.#stopped ? refusedDigest('the node stops') : this.#answer(from, kind, payload);
  }

  /** The replica here is no more. */
  end(partition: PartitionId): void {
    if (this.#underWay?.partition === partition) this.#underWay.taking.cancel();
    this.#newest.delete(partition);
  }

  /** Resolves once storage is asked for nothing any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const taking = this.#underWay?.taking;
    taking?.cancel();
    await taking?.ended;
  }

  #answer(from: NodeId, kind: string, payload: unknown): DigestAnswer | object {
    switch (kind) {
      case 'digest.begin':
        return this.#checked(from, decodeDigestId(payload), (id) => this.#begin(id));
      case 'digest.result':
        return encodeDigestResult(this.#checked(from, decodeDigestId(payload), (id) => this.#result(id)));
      case 'digest.end':
        return this.#checked(from, decodeDigestEnd(payload), (end) => this.#end(end));
      case 'digest.differs':
        return this.#checked(from, decodeDigestDiffers(payload), (differs) => this.#differs(differs));
      default:
        return refusedDigest(`this node knows no request of kind ${JSON.stringify(kind)}`);
    }
  }

  /** Only for the replica that lives here, by who may lead it. */
  #checked<Asked extends DigestId, Answer>(
    node: NodeId,
    asked: Asked | undefined,
    answer: (asked: Asked) => Answer,
  ): Answer | DigestRefused {
    if (asked === undefined) return refusedDigest('what was sent makes no sense');
    const { partition, from, to, term } = asked;
    const replica = this.#options.replica(partition);
    if (replica?.replicaId !== to || replica.removed) return refusedDigest(`replica ${to} is not here`);
    if (replica.hostOf(from) !== node) return refusedDigest(`replica ${from} does not live on ${node}`);
    const { term: current } = replica.status();
    if (term < current) return refusedDigest(`term ${term} is over: this is term ${current}`);
    return answer(asked);
  }

  #begin(id: DigestId): DigestBeginAnswer {
    const { partition, to: replicaId, index } = id;
    const known = this.#takingOf(id);
    if (known !== undefined && known === this.#underWay?.taking) return { type: 'begun' };
    // Of a round that its leader has given up: the word of that was lost.
    if (this.#underWay?.partition === partition) this.#underWay.taking.cancel();
    const taking = this.take({ partition, replicaId }, index);
    if (taking === 'busy' || taking === 'passed') return { type: taking };
    this.#asked(taking);
    return { type: 'begun' };
  }

  #result(id: DigestId): DigestResultAnswer {
    const taking = this.#takingOf(id);
    if (taking === undefined) return refusedDigest(`nothing is known here of a digest of index ${id.index}`);
    this.#asked(taking);
    const { standing } = taking;
    switch (standing.type) {
      case 'reading':
        return { type: 'reading' };
      case 'failed':
        return refusedDigest(standing.reason);
      case 'taken':
        return { type: 'taken', term: this.#options.replica(id.partition)?.status().term ?? 0, ...standing.digest };
      default:
        return unreachable(standing);
    }
  }

  #end(end: DigestEnd): DigestEndAnswer {
    this.#takingOf(end)?.cancel();
    if (end.compared) this.#options.onCompared(end.partition);
    return { type: 'ended' };
  }

  #differs(differs: DigestDiffers): DigestDiffersAnswer {
    const { partition, to, index, sum, version, holders } = differs;
    const standing = this.#takingOf(differs)?.standing;
    if (standing?.type !== 'taken') return refusedDigest(`this replica has no digest of index ${index}`);
    const { digest } = standing;
    if (digest.version !== version) return refusedDigest(`this node sums up by version ${digest.version}`);
    if (Buffer.compare(digest.sum, sum) === 0) return refusedDigest('this replica holds the very same');
    const { voters = [], votersOutgoing = [] } = this.#options.replica(partition)?.committedConfiguration() ?? {};
    const agreeing = voters.filter((voter) => voter !== to && holders.includes(voter));
    if (votersOutgoing.length > 0 || !isMajority(agreeing.length, voters.length)) {
      return refusedDigest(`replicas ${holders.join(', ')} are no majority, as far as is known here`);
    }
    this.#options.onDiffers(partition, reasonOf(index, agreeing, digest.miscounted));
    return { type: 'believed' };
  }

  #takingOf({ partition, to, index }: DigestId): DigestTaking | undefined {
    const taken = this.#newest.get(partition);
    return taken?.replicaId === to && taken.taking.index === index ? taken.taking : undefined;
  }

  /** Somebody wants it still. */
  #asked(taking: DigestTaking): void {
    const underWay = this.#underWay;
    if (underWay?.taking !== taking) return;
    underWay.cancelTimer();
    const { clock, limits } = this.#options;
    underWay.cancelTimer = clock.after(limits.silenceMs, () => taking.cancel());
  }

  #ended(underWay: UnderWay): void {
    underWay.cancelTimer();
    if (this.#underWay === underWay) this.#underWay = undefined;
  }
}

/** For people. */
export function reasonOf(index: LogIndex, holders: readonly ReplicaId[], miscounted: string | undefined): string {
  const counted = miscounted === undefined ? '' : `; ${miscounted}`;
  return `its state of index ${index} is not that which replicas ${holders.join(', ')} hold, all the same${counted}`;
}
