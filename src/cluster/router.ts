/**
 * Leads each request to its partition's leader: here, by a redirect, or by forwarding it.
 *
 * What it promises (**safety**: clients repeat what was "not applied")
 * - A write that some replica may apply comes out as `done` or `unknown`, never as anything else. So a write is tried
 *   again only after an answer or failure that rules out any effect, and `Journey.mayApply` is set before the write is
 *   handed to anyone and cleared only by such an answer.
 * - A read has no effect and is tried again after any failure; it never comes out `unknown`.
 * - No caller waits past its deadline, whatever replicas and peers do: one bound lies around the whole journey.
 *   After it nothing more is attempted, because every attempt begins with a look at the same, monotonic clock.
 */
import type { LimitsConfig } from '../config.ts';
import type { Clock, LeaderHint, PartitionId, Transport } from '../replica/ports.ts';
import { bestHint, guessLeader, type Knowledge } from './best-leader.ts';
import { Deadlines } from './deadlines.ts';
import { decodeForward, decodeOutcome, encodeForward, encodeOutcome, malformedForward } from './forwarding.ts';
import { keyHash } from './hash.ts';
import { beginJourney, giveUp, type Journey } from './journey.ts';
import { afterFailure, neverSent, patienceIsOver, peerToAsk, refute, type Next } from './leader-search.ts';
import { LeaderWatch } from './leader-watch.ts';
import { StaleReads } from './stale-reads.ts';
import type { PartitionMap } from './partition-map.ts';
import type { KvOutcome, KvRequest, LeaderRequest, PartitionDescriptor, RequestOptions } from './types.ts';

export type RouterLimits = Pick<
  LimitsConfig,
  | 'hopsMax'
  | 'staleReadTimeoutMs'
  | 'leaderWaitMsMax'
  | 'leaderRetryDelayMs'
  | 'forwardReturnMs'
  | 'deadlineSweepMs'
  | 'requestTimeoutMsMax'
>;

export interface RouterPorts extends Knowledge {
  readonly clock: Clock;
  readonly limits: RouterLimits;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
}

export class Router {
  readonly #ports: RouterPorts;
  readonly #deadlines: Deadlines;
  readonly #watch: LeaderWatch;
  readonly #stale: StaleReads;

  constructor(ports: RouterPorts) {
    this.#ports = ports;
    this.#deadlines = new Deadlines(ports.clock, ports.limits.deadlineSweepMs);
    this.#stale = new StaleReads(ports);
    this.#watch = new LeaderWatch(ports.clock, ports.limits.leaderRetryDelayMs);
  }

  /** Answers by `options.deadlineAt`, at most `deadlineSweepMs` late. Rejects only when the local replica breaks its contract. */
  execute(request: KvRequest, options: RequestOptions): Promise<KvOutcome> {
    const partition = partitionFor(this.#ports.map, request);
    if (partition === undefined) {
      const { partition: id } = request as Extract<KvRequest, { type: 'range' | 'point' }>;
      return Promise.resolve({ type: 'no_leader', partition: id, detail: `there is no partition ${id}` });
    }
    if (request.type === 'stale') return this.#stale.read(request, partition, options);
    const journey = beginJourney(request, options, partition);
    return this.#deadlines.bound(this.#travel(journey), options.deadlineAt, () => giveUp(journey));
  }

  /** Serves a peer's 'forward' request; returns what its `Transport.request` is answered. */
  async handleForward(payload: unknown): Promise<unknown> {
    const { map } = this.#ports;
    const forwarded = decodeForward(payload, (key) => map.partitionOf(keyHash(key)).id);
    if (forwarded === undefined) return malformedForward;
    const { clock, limits } = this.#ports;
    const deadlineAt = clock.monotonicMs() + Math.min(forwarded.remainingMs, limits.requestTimeoutMsMax);
    return encodeOutcome(await this.execute(forwarded.request, { route: 'forward', deadlineAt, hops: forwarded.hops }));
  }

  /** Told by the local replica whenever it learns of another leader or loses the one it knew. */
  leaderChanged(partition: PartitionId): void {
    const { hints, replicas } = this.#ports;
    if (replicas.leader(partition) !== undefined) return this.#watch.wake(partition);
    // The replica has just missed its leader: what this node heard of earlier is most likely the same one.
    const heard = hints.get(partition);
    if (heard !== undefined) hints.drop(partition, heard);
  }

  async #travel(journey: Journey): Promise<KvOutcome> {
    const { clock } = this.#ports;
    while (clock.monotonicMs() < journey.options.deadlineAt) {
      const next = await this.#attempt(journey);
      if (next === 'again') continue;
      if (next !== 'wait') return next;
      if (patienceIsOver(this.#ports, journey)) break;
      await this.#watch.wait(journey.partition.id);
    }
    return giveUp(journey);
  }

  #attempt(journey: Journey): Promise<KvOutcome | Next> | KvOutcome | Next {
    const { nodeId, limits } = this.#ports;
    const hint = bestHint(this.#ports, journey);
    if (hint?.nodeId === nodeId) return this.#executeHere(journey, hint);
    const { route, hops } = journey.options;
    if (route === 'forward' && hops < limits.hopsMax) return this.#forward(journey, hint);
    // A peer that forwarded to us waits and looks on by itself: it hears at once what we know.
    return hops > 0 ? this.#pointAtOnce(journey, hint) : this.#point(journey, hint);
  }

  async #executeHere(journey: Journey, hint: LeaderHint): Promise<KvOutcome | Next> {
    const { request, options, partition } = journey;
    journey.mayApply = request.type === 'write';
    const outcome = await this.#ports.replicas.execute(partition.id, forReplica(journey), options.deadlineAt);
    if (outcome.type === 'unknown' && request.type !== 'write') return 'wait';
    if (outcome.type !== 'not_leader') return outcome;
    journey.mayApply = false;
    return refute(this.#ports.hints, journey, { wrong: hint, newer: outcome.hint });
  }

  /** Tells the caller where to go: a redirect. While the leader can't be reached, a new one is waited for first. */
  #point(journey: Journey, hint: LeaderHint | undefined): KvOutcome | Next {
    const { replicas, transport, hints } = this.#ports;
    const hosted = replicas.hosts(journey.partition.id);
    const guess = (): KvOutcome => this.#notLeader(journey, guessLeader(this.#ports, journey.partition));
    if (hint === undefined) return hosted ? 'wait' : guess();
    if (transport.connected(hint.nodeId) || patienceIsOver(this.#ports, journey)) return this.#notLeader(journey, hint);
    hints.drop(journey.partition.id, hint);
    return hosted ? 'wait' : guess();
  }

  #pointAtOnce(journey: Journey, hint: LeaderHint | undefined): KvOutcome {
    if (hint !== undefined) return this.#notLeader(journey, hint);
    return this.#ports.replicas.hosts(journey.partition.id)
      ? giveUp(journey)
      : this.#notLeader(journey, guessLeader(this.#ports, journey.partition));
  }

  #forward(journey: Journey, hint: LeaderHint | undefined): Promise<KvOutcome | Next> | Next {
    const asked = peerToAsk(this.#ports, journey, hint);
    return asked === undefined ? 'wait' : this.#ask(journey, asked);
  }

  async #ask(journey: Journey, hint: LeaderHint): Promise<KvOutcome | Next> {
    const { request, options } = journey;
    const { clock, limits, transport } = this.#ports;
    const leftMs = Math.ceil(options.deadlineAt - clock.monotonicMs());
    const remainingMs = Math.max(1, leftMs - limits.forwardReturnMs);
    journey.mayApply = request.type === 'write';
    let answer: unknown;
    try {
      const payload = encodeForward({ request, hops: options.hops + 1, remainingMs });
      answer = await transport.request(hint.nodeId, 'forward', payload, leftMs);
    } catch (failure) {
      return this.#forwardFailed(journey, hint, failure);
    }
    const outcome = decodeOutcome(answer, request.type);
    if (outcome === undefined) {
      return this.#lost(journey, hint, `${hint.nodeId} answered what this node does not understand`);
    }
    return this.#forwardAnswered(journey, hint, outcome);
  }

  #forwardAnswered(journey: Journey, hint: LeaderHint, outcome: KvOutcome): KvOutcome | Next {
    const { id } = journey.partition;
    // (Two of them answer a kind of request that never gets here.)
    switch (outcome.type) {
      case 'value':
      case 'values':
      case 'point':
      case 'done':
        this.#ports.hints.learn(id, outcome.origin);
        return outcome;
      case 'unknown':
      case 'in_progress':
      case 'overloaded':
      case 'disk_full':
      case 'stale_value':
      case 'too_stale':
        return outcome;
      case 'not_leader':
        journey.mayApply = false;
        return refute(this.#ports.hints, journey, { wrong: hint, newer: outcome.hint });
      case 'no_leader':
      case 'shutting_down':
      case 'partition_stopped':
        // Not applied, and perhaps soon led by another.
        journey.mayApply = false;
        if (outcome.type !== 'no_leader') journey.refusal = outcome;
        return refute(this.#ports.hints, journey, { wrong: hint, newer: undefined });
    }
  }

  #forwardFailed(journey: Journey, hint: LeaderHint, failure: unknown): KvOutcome | Next {
    if (neverSent(failure)) {
      journey.mayApply = false;
      this.#ports.hints.drop(journey.partition.id, hint);
      return afterFailure(hint);
    }
    return this.#lost(journey, hint, `the connection to ${hint.nodeId} was lost before it answered`);
  }

  /** An attempt whose end nobody knows: final for a write, nothing to a read. */
  #lost(journey: Journey, hint: LeaderHint, detail: string): KvOutcome | Next {
    const { request, partition } = journey;
    this.#ports.hints.drop(partition.id, hint);
    if (request.type === 'write') return { type: 'unknown', partition: partition.id, detail };
    return afterFailure(hint);
  }

  #notLeader(journey: Journey, hint: LeaderHint): KvOutcome {
    const http = this.#ports.map.node(hint.nodeId)?.http;
    if (http === undefined) return giveUp(journey);
    return { type: 'not_leader', partition: journey.partition.id, hint, http };
  }
}

/** Undefined only for a range of a partition that the map does not have. */
function partitionFor(map: PartitionMap, request: KvRequest): PartitionDescriptor | undefined {
  return request.type === 'range' || request.type === 'point'
    ? map.partition(request.partition)
    : map.partitionOf(keyHash(request.key));
}

/**
 * **Safety**: a replica stamps a write in place as it appends it, and an entry is never written to again. One that gave way to another leader's
 * entry is tried again, and may still be in a message or in a disk write of the first time: so it goes in as a copy.
 */
function forReplica(journey: Journey): LeaderRequest {
  const { request } = journey;
  if (request.type !== 'write') return request;
  if (journey.bodyIsGiven) return { ...request, body: Buffer.from(request.body) };
  journey.bodyIsGiven = true;
  return request;
}
