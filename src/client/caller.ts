/**
 * Brings one call to its end: finds the node to ask, follows redirects, and tries again until one deadline.
 *
 * What it promises (**safety**: users repeat what was `not_applied`)
 * - A write is sent again only under the idempotency key of its first sending, so that it is applied at most once. One that is to be
 *   sent `once` has none.
 * - `mayApply` is set by every sending of a write that could have had an effect unseen, and cleared by none but an answer
 *   that comes through the partition's log under the same key: that one tells what came of all of them.
 */
import { performance } from 'node:perf_hooks';
import { closedRefusal, gaveUp, judge, numberHeader, type Refusal } from './answers.ts';
import { FlotillaError } from './flotilla-error.ts';
import { HttpExchanger, type HttpAnswer, type HttpFailure } from './http-exchange.ts';
import { Leaders } from './leaders.ts';
import { clientLimits } from './limits.ts';
import { MapLoader } from './map-loader.ts';
import { Nodes } from './nodes.ts';

export interface Call {
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'POST';
  readonly path: string;
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Leads to its partition's leader. Without it any node will do. */
  readonly key?: Uint8Array;
  /** Of a write, and of nothing else. */
  readonly idempotencyKey?: string;
  /** A change that has no idempotency key: sent again only after what certainly had no effect. */
  readonly once?: true;
}

interface Target {
  readonly node: string;
  /** The leader's address does not work from here: the node asked is to fetch the answer. */
  readonly forward: boolean;
}

/** One call under way. */
interface Journey {
  readonly call: Call;
  readonly deadlineAtMs: number;
  target: Target;
  redirects: number;
  attempts: number;
  /** It was sent once on a connection that was just being closed. */
  metOldConnection: boolean;
  mayApply: boolean;
  /** Nodes that refused since the last wait. */
  readonly refusedBy: Set<string>;
  last: Refusal | undefined;
}

/** What to do next: a wait of so many ms comes first, and `look` means to choose a node anew. */
type Next = { readonly type: 'follow' } | { readonly type: 'look'; readonly waitMs: number };

/** Codes that come through the partition's log, where a repeat is known by its idempotency key. */
const decidedByLog: ReadonlySet<string> = new Set(['key_not_found', 'precondition_failed', 'idempotency_key_reused']);

/** The others would only send us back to the one that has too much to do or no room, or that still works at the first sending. */
const refusedByLeader: ReadonlySet<string> = new Set(['overloaded', 'disk_full', 'request_in_progress']);

export interface CallerOptions {
  readonly servers: readonly string[];
  readonly connectionsPerNode: number;
  readonly failFast: boolean;
}

export class Caller {
  readonly #exchanger: HttpExchanger;
  readonly #nodes: Nodes;
  readonly #leaders = new Leaders();
  readonly #loader: MapLoader;
  readonly #failFast: boolean;
  readonly #sleepers = new Set<() => void>();
  #closed = false;

  constructor({ servers, connectionsPerNode, failFast }: CallerOptions) {
    const nowMs = (): number => performance.now();
    this.#exchanger = new HttpExchanger(connectionsPerNode);
    this.#nodes = new Nodes(servers, nowMs);
    this.#loader = new MapLoader({ exchanger: this.#exchanger, nodes: this.#nodes, leaders: this.#leaders, nowMs });
    this.#failFast = failFast;
  }

  /** Shared with what has an exchange of its own: whom to ask, and who failed lately. */
  get nodes(): Nodes {
    return this.#nodes;
  }

  /** `node` has just answered: it may know others by now. */
  learnNodes(node: string): void {
    this.#loader.maybeLoad(node);
  }

  /** The answer with the result (2xx). Throws a FlotillaError for everything else. */
  async call(call: Call): Promise<HttpAnswer> {
    const journey = this.#begin(call);
    for (;;) {
      if (this.#closed) throw this.#error(journey, closedRefusal);
      const leftMs = journey.deadlineAtMs - performance.now();
      if (leftMs <= 0) throw this.#giveUp(journey);
      const { node } = journey.target;
      const answer = await this.#send(journey, leftMs);
      const next = answer.type === 'failure' ? this.#failed(journey, answer, leftMs) : this.#answered(journey, answer);
      if (next === 'result') return answer as HttpAnswer;
      if (next.type === 'follow') continue;
      journey.refusedBy.add(node);
      if (this.#failFast && this.#nodes.allFailed()) throw this.#giveUp(journey);
      await this.#pause(journey, next.waitMs);
      journey.target = this.#choose(journey);
    }
  }

  /** Calls under way fail with `closed`. */
  close(): void {
    this.#closed = true;
    this.#exchanger.close();
    for (const wake of this.#sleepers) wake();
  }

  #begin(call: Call): Journey {
    const journey: Journey = {
      call,
      deadlineAtMs: performance.now() + call.timeoutMs,
      target: { node: '', forward: false },
      redirects: 0,
      attempts: 0,
      metOldConnection: false,
      mayApply: false,
      refusedBy: new Set(),
      last: undefined,
    };
    journey.target = this.#choose(journey);
    return journey;
  }

  #choose({ call, refusedBy }: Journey): Target {
    if (call.key === undefined) return { node: this.#nodes.next(refusedBy), forward: false };
    const partition = this.#leaders.partitionOf(call.key);
    const leader = partition === undefined ? undefined : this.#leaders.leaderOf(partition);
    const known = leader !== undefined && !refusedBy.has(leader);
    if (known && !this.#nodes.isCooling(leader)) return { node: leader, forward: false };
    return { node: this.#nodes.any(refusedBy), forward: known };
  }

  #send({ call, target }: Journey, leftMs: number): Promise<HttpAnswer | HttpFailure> {
    const { attemptShare, answerReturnShare, connectTimeoutMs } = clientLimits;
    // With nobody else to ask, or no second asking, there is nothing to keep time for.
    const timeoutMs =
      this.#nodes.count === 1 || call.once === true ? leftMs : Math.min(leftMs, call.timeoutMs * attemptShare);
    const headers: Record<string, string> = {
      ...call.headers,
      'Flotilla-Timeout-Ms': String(Math.max(1, Math.floor(timeoutMs * answerReturnShare))),
    };
    if (target.forward) headers['Flotilla-Route'] = 'forward';
    if (call.idempotencyKey !== undefined) headers['Idempotency-Key'] = call.idempotencyKey;
    const { method, path, body } = call;
    return this.#exchanger.send({ method, node: target.node, path, headers, body, timeoutMs, connectTimeoutMs });
  }

  /** `leftMs`: of the call's time, as the attempt began. */
  #failed(journey: Journey, failure: HttpFailure, leftMs: number): Next {
    const { node } = journey.target;
    const { reason, neverSent, timedOut, onOldConnection, cause } = failure;
    if (isWrite(journey) && !neverSent) journey.mayApply = true;
    if (journey.call.once === true && journey.mayApply) {
      this.#nodes.failed(node, reason);
      const detail = `No answer came from ${node}: ${reason}.`;
      const code = timedOut ? 'deadline_exceeded' : 'unreachable';
      throw this.#error(journey, { code, detail, outcome: 'unknown', retryable: false, cause });
    }
    if (onOldConnection && !journey.metOldConnection) {
      journey.metOldConnection = true;
      return { type: 'follow' };
    }
    // Who had less time than others get has not failed, and what had come of earlier attempts tells more.
    const cutShort = timedOut && leftMs < journey.call.timeoutMs * clientLimits.attemptShare;
    if (cutShort && journey.last !== undefined) return { type: 'look', waitMs: 0 };
    this.#nodes.failed(node, reason);
    this.#leaders.dropNode(node);
    const code = timedOut && !neverSent ? 'deadline_exceeded' : 'unreachable';
    // What a node said tells more than that another one said nothing.
    if (timedOut && journey.last?.status !== undefined) return { type: 'look', waitMs: 0 };
    journey.last = { code, detail: '', outcome: 'not_applied', retryable: true, cause };
    return { type: 'look', waitMs: 0 };
  }

  #answered(journey: Journey, answer: HttpAnswer): Next | 'result' {
    const { node } = journey.target;
    const verdict = judge(answer, node);
    const { headers } = answer;
    if (headers['flotilla-node'] !== undefined) this.#nodes.answered(node);
    if (verdict.type === 'redirect') return this.#redirected(journey, verdict, headers);
    const final = verdict.type === 'result' || !verdict.again;
    if (final) this.#learn(journey, answer);
    if (verdict.type === 'result') return 'result';
    const { refusal, again } = verdict;
    if (!again) throw this.#error(journey, refusal);
    if (isWrite(journey) && refusal.outcome === 'unknown') journey.mayApply = true;
    if (journey.call.once === true && journey.mayApply) throw this.#error(journey, refusal);
    journey.last = refusal;
    const retryAfterMs = refusal.retryAfterMs ?? 0;
    if (refusal.code === 'shutting_down') this.#nodes.restFor(node, retryAfterMs);
    const elsewhere = !refusedByLeader.has(refusal.code);
    const partition = numberHeader(headers, 'flotilla-partition');
    if (elsewhere && partition !== undefined) this.#leaders.drop(partition, node);
    const othersLeft = this.#nodes.hasRested(new Set([...journey.refusedBy, node]));
    return { type: 'look', waitMs: elsewhere && othersLeft ? 0 : retryAfterMs };
  }

  #redirected(
    journey: Journey,
    { node: leader, refusal }: { readonly node: string; readonly refusal: Refusal },
    headers: HttpAnswer['headers'],
  ): Next {
    const { node: asked } = journey.target;
    journey.redirects += 1;
    if (journey.redirects > clientLimits.redirectsMax) {
      journey.redirects = 0;
      journey.last = { ...refusal, detail: 'The nodes do not agree on who leads this key. Try again in a moment.' };
      return { type: 'look', waitMs: refusal.retryAfterMs ?? 0 };
    }
    const partition = numberHeader(headers, 'flotilla-partition');
    const term = numberHeader(headers, 'flotilla-term') ?? 0;
    this.#nodes.add(leader);
    if (!this.#leaders.hasMap) this.#loader.maybeLoad(asked);
    const unreachable = this.#nodes.isCooling(leader) || leader === asked;
    if (partition !== undefined) {
      this.#leaders.drop(partition, asked);
      if (!unreachable) this.#leaders.learn(partition, { node: leader, term });
    }
    journey.target = unreachable ? { node: asked, forward: true } : { node: leader, forward: false };
    return { type: 'follow' };
  }

  /** Who answered a key leads it, unless it says who does. */
  #learn({ call, target }: Journey, { headers }: HttpAnswer): void {
    const partition = numberHeader(headers, 'flotilla-partition');
    const term = numberHeader(headers, 'flotilla-term');
    if (partition === undefined || term === undefined || call.key === undefined) return;
    if (headers['flotilla-leader'] === undefined) this.#leaders.learn(partition, { node: target.node, term });
    // Ranges have moved since the map was fetched.
    const expected = this.#leaders.partitionOf(call.key);
    if (expected !== undefined && expected !== partition) this.#loader.maybeLoad(target.node);
  }

  /** Waits as asked, or as long as its attempts call for when nobody fresh is left; throws when the deadline comes first. */
  async #pause(journey: Journey, askedMs: number): Promise<void> {
    journey.attempts += 1;
    const fresh = this.#nodes.hasRested(journey.refusedBy);
    const waitMs = Math.max(askedMs, fresh ? 0 : backOffMs(journey.attempts));
    if (!fresh || askedMs > 0) journey.refusedBy.clear();
    if (waitMs === 0) return;
    if (performance.now() + waitMs >= journey.deadlineAtMs) throw this.#giveUp(journey);
    await this.#sleep(waitMs);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }

  #giveUp(journey: Journey): FlotillaError {
    if (this.#closed) return this.#error(journey, closedRefusal);
    const { last, call } = journey;
    return this.#error(journey, gaveUp(last, { tried: this.#nodes.describe(), timeoutMs: call.timeoutMs }));
  }

  #error(journey: Journey, refusal: Refusal): FlotillaError {
    const decided = decidedByLog.has(refusal.code);
    const unknown = isWrite(journey) && ((journey.mayApply && !decided) || refusal.outcome === 'unknown');
    const { idempotencyKey } = journey.call;
    const doubt =
      journey.call.once === true
        ? ' The change may have been decided: look at the cluster before you ask again.'
        : ' The write may be applied, now or later: repeat it with the idempotencyKey of this error to be sure.';
    const { detail, retryable } = refusal;
    return new FlotillaError({
      ...refusal,
      detail: unknown ? `${detail}${doubt}` : detail,
      outcome: unknown ? 'unknown' : 'not_applied',
      retryable: retryable && !unknown,
      idempotencyKey,
    });
  }
}

function isWrite({ call }: Journey): boolean {
  return call.idempotencyKey !== undefined || call.once === true;
}

function backOffMs(attempts: number): number {
  const { backOffMsMin, backOffMsMax } = clientLimits;
  return Math.min(backOffMsMax, backOffMsMin * 2 ** attempts) * (0.5 + Math.random() / 2);
}
