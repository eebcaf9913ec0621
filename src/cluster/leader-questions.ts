/**
 * Questions that only a partition's leader answers, asked of it wherever it is. Only for what may be asked twice: an answer that is
 * lost is asked for again, of whoever leads then.
 */
import type { Clock, LeaderHint, PartitionId, Transport } from '../replica/ports.ts';
import type { LimitsConfig } from '../config.ts';
import { bestHint, type Knowledge } from './best-leader.ts';
import { Deadlines } from './deadlines.ts';
import { afterFailure, beginSearch, peerToAsk, refute, type LeaderSearch, type Next } from './leader-search.ts';
import { LeaderWatch } from './leader-watch.ts';
import { isCount, isFields, isNodeId, isPartitionId, isTerm, type Fields } from './shapes.ts';

export interface LeaderQuestionsPorts extends Knowledge {
  readonly clock: Clock;
  readonly limits: Pick<
    LimitsConfig,
    'leaderRetryDelayMs' | 'forwardReturnMs' | 'deadlineSweepMs' | 'requestTimeoutMsMax'
  >;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
}

/** A kind of question, what travels of it and of its answer as msgpack, and who answers it on the leader. */
export interface Question<Payload extends Fields, Answer extends Fields> {
  /** Of `Transport.request`. */
  readonly kind: string;
  /** Undefined when malformed. */
  decodePayload(fields: Fields): Payload | undefined;
  decodeAnswer(fields: Fields): Answer | undefined;
  /** Undefined: this node does not lead the partition, and nothing was done. Answers by `deadlineAt`. */
  answer(partition: PartitionId, payload: Payload, deadlineAt: number): Promise<Answer | undefined>;
}

export interface Asking<Payload> {
  readonly partition: PartitionId;
  readonly payload: Payload;
  /** On the monotonic clock. */
  readonly deadlineAt: number;
}

/** Nobody answered in time. It may have been acted upon all the same if `asked`. */
export interface Unanswered {
  readonly type: 'unanswered';
  readonly asked: boolean;
}

export function isUnanswered(answer: object): answer is Unanswered {
  return (answer as Fields)['type'] === 'unanswered';
}

interface Search extends LeaderSearch {
  /** Somebody may have acted upon it, or may still: this node itself while it is at it, or whoever was asked and was not heard. */
  handedOver: boolean;
}

export class LeaderQuestions {
  readonly #ports: LeaderQuestionsPorts;
  readonly #watch: LeaderWatch;
  readonly #deadlines: Deadlines;

  constructor(ports: LeaderQuestionsPorts) {
    this.#ports = ports;
    this.#watch = new LeaderWatch(ports.clock, ports.limits.leaderRetryDelayMs);
    this.#deadlines = new Deadlines(ports.clock, ports.limits.deadlineSweepMs);
  }

  /** Told by the local replica whenever it learns of another leader or loses the one it knew. */
  leaderChanged(partition: PartitionId): void {
    this.#watch.wake(partition);
  }

  /** Answers by `deadlineAt`, at most `deadlineSweepMs` late. */
  ask<Payload extends Fields, Answer extends Fields>(
    question: Question<Payload, Answer>,
    asking: Asking<Payload>,
  ): Promise<Answer | Unanswered> {
    const partition = this.#ports.map.partition(asking.partition);
    if (partition === undefined) return Promise.resolve({ type: 'unanswered', asked: false });
    const search: Search = { ...beginSearch(partition), handedOver: false };
    return this.#deadlines.bound<Answer | Unanswered>(this.#search(question, asking, search), asking.deadlineAt, () =>
      unanswered(search),
    );
  }

  /** Serves a peer's request of the question's kind, by this node's own replica alone: who asked looks on by itself. */
  async handle<Payload extends Fields, Answer extends Fields>(
    question: Question<Payload, Answer>,
    request: unknown,
  ): Promise<unknown> {
    const asked = isFields(request) ? request : {};
    const { partition, remainingMs, payload } = asked;
    const decoded = isFields(payload) ? question.decodePayload(payload) : undefined;
    if (!isPartitionId(partition) || !isCount(remainingMs) || decoded === undefined) return { type: 'malformed' };
    const { clock, limits, replicas, nodeId } = this.#ports;
    const deadlineAt = clock.monotonicMs() + Math.min(remainingMs, limits.requestTimeoutMsMax);
    const answer = await question.answer(partition, decoded, deadlineAt);
    if (answer !== undefined) return { type: 'answer', answer };
    const known = replicas.leader(partition);
    return { type: 'not_leader', hint: known === undefined || known.nodeId === nodeId ? null : { ...known } };
  }

  async #search<Payload extends Fields, Answer extends Fields>(
    question: Question<Payload, Answer>,
    asking: Asking<Payload>,
    search: Search,
  ): Promise<Answer | Unanswered> {
    while (this.#ports.clock.monotonicMs() < asking.deadlineAt) {
      const next = await this.#attempt(question, asking, search);
      if (next === 'again') continue;
      if (next !== 'wait') return next;
      await this.#watch.wait(asking.partition);
    }
    return unanswered(search);
  }

  async #attempt<Payload extends Fields, Answer extends Fields>(
    question: Question<Payload, Answer>,
    asking: Asking<Payload>,
    search: Search,
  ): Promise<Answer | Next> {
    const { nodeId, hints, replicas } = this.#ports;
    const { partition, payload, deadlineAt } = asking;
    const hint = bestHint(this.#ports, search);
    if (hint?.nodeId === nodeId) {
      const before = search.handedOver;
      search.handedOver = true;
      const answer = await question.answer(partition, payload, deadlineAt);
      if (answer !== undefined) return answer;
      search.handedOver = before;
      const known = replicas.leader(partition);
      return refute(hints, search, { wrong: hint, newer: known?.nodeId === nodeId ? undefined : known });
    }
    const asked = peerToAsk(this.#ports, search, hint);
    return asked === undefined ? 'wait' : this.#askPeer(question, asking, { search, hint: asked });
  }

  async #askPeer<Payload extends Fields, Answer extends Fields>(
    question: Question<Payload, Answer>,
    { partition, payload, deadlineAt }: Asking<Payload>,
    { search, hint }: { readonly search: Search; readonly hint: LeaderHint },
  ): Promise<Answer | Next> {
    const { clock, limits, transport, hints } = this.#ports;
    const leftMs = Math.ceil(deadlineAt - clock.monotonicMs());
    const remainingMs = Math.max(1, leftMs - limits.forwardReturnMs);
    search.handedOver = true;
    let response: unknown;
    try {
      response = await transport.request(hint.nodeId, question.kind, { partition, payload, remainingMs }, leftMs);
    } catch {
      hints.drop(partition, hint);
      return afterFailure(hint);
    }
    const fields = isFields(response) ? response : {};
    const answer =
      fields['type'] === 'answer' && isFields(fields['answer']) ? question.decodeAnswer(fields['answer']) : undefined;
    if (answer !== undefined) return answer;
    return refute(hints, search, { wrong: hint, newer: decodeHint(fields['hint']) });
  }
}

function unanswered({ handedOver }: Search): Unanswered {
  return { type: 'unanswered', asked: handedOver };
}

function decodeHint(hint: unknown): LeaderHint | undefined {
  if (!isFields(hint)) return undefined;
  const { nodeId, term } = hint;
  return isNodeId(nodeId) && isTerm(term) ? { nodeId, term } : undefined;
}
