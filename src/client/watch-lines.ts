/**
 * What the nodes tell a watch, as one sequence without gaps or repeats, whichever of them tells it: when one is lost, ends it, refuses it or falls
 * silent, the next one is asked to go on behind the last cursor.
 *
 * Until it has begun once it ends within its deadline, as any call: the address may be wrong. Then it goes on for as long as it takes.
 */
import { performance } from 'node:perf_hooks';
import type { Problem } from '../api/errors.ts';
import { gaveUp, judge, refusalOf, type Refusal } from './answers.ts';
import { FlotillaError } from './flotilla-error.ts';
import type { HttpFailure } from './http-exchange.ts';
import { clientLimits } from './limits.ts';
import type { Nodes } from './nodes.ts';
import { openLines, type LineStream } from './stream-exchange.ts';

/** As nodes write it. */
export interface WatchLine {
  readonly event: string;
  /** Absent where there is nothing to go on from. */
  readonly cursor?: string;
  readonly data?: unknown;
}

export interface WatchParts {
  readonly nodes: Nodes;
  readonly failFast: boolean;
  /** The node has just answered: it may know others by now. */
  readonly learnNodes: (node: string) => void;
}

export interface WatchRequest {
  /** With its query. */
  readonly path: string;
  /** Undefined: from now on. */
  readonly from: string | undefined;
  /** Within which it has to begin. */
  readonly timeoutMs: number;
}

export class WatchLines {
  readonly #parts: WatchParts;
  readonly #request: WatchRequest;
  readonly #signal: AbortSignal;
  readonly #deadlineAtMs: number;
  /** Of the last line that was given out. */
  #cursor: string | undefined;
  #begun = false;
  /** Since one of them told more than where it begins. */
  #attempts = 0;
  readonly #refusedBy = new Set<string>();
  #last: Refusal | undefined;

  /** Once `signal` is aborted, its connection is closed and it ends. */
  constructor(parts: WatchParts, request: WatchRequest, signal: AbortSignal) {
    this.#parts = parts;
    this.#request = request;
    this.#signal = signal;
    this.#cursor = request.from;
    this.#deadlineAtMs = performance.now() + request.timeoutMs;
  }

  /** All but `end`. Throws a FlotillaError for what is not repeated. */
  async *all(): AsyncGenerator<WatchLine, void, undefined> {
    while (!this.#stopped()) {
      const node = this.#parts.nodes.next(this.#refusedBy);
      const answer = await this.#open(node);
      let askedMs = 0;
      if (answer.type === 'stream') yield* this.#told(node, answer);
      else if (answer.type === 'failure') this.#failed(node, answer);
      else askedMs = answer.retryAfterMs;
      if (this.#stopped()) return;
      this.#refusedBy.add(node);
      await this.#pause(askedMs);
    }
  }

  async #open(node: string): Promise<LineStream | HttpFailure | { readonly type: 'refused'; retryAfterMs: number }> {
    const { nodes, learnNodes } = this.#parts;
    const { attemptShare, answerReturnShare, connectTimeoutMs } = clientLimits;
    const { path, timeoutMs: whole } = this.#request;
    const leftMs = this.#begun ? whole : Math.max(1, this.#deadlineAtMs - performance.now());
    const timeoutMs = nodes.count === 1 ? leftMs : Math.min(leftMs, whole * attemptShare);
    const headers: Record<string, string> = {
      Accept: 'application/x-ndjson',
      'Flotilla-Timeout-Ms': String(Math.max(1, Math.floor(timeoutMs * answerReturnShare))),
    };
    // A header has room for the cursor of a cluster of many partitions, the address may not.
    if (this.#cursor !== undefined) headers['Last-Event-ID'] = this.#cursor;
    const request = { method: 'GET', node, path, headers, body: undefined, timeoutMs, connectTimeoutMs };
    const answer = await openLines(request, this.#signal);
    if (answer.type === 'failure') return answer;
    const whatCame = answer.type === 'answer' ? answer : { ...answer, type: 'answer' as const, body: Buffer.alloc(0) };
    const verdict = judge(whatCame, node);
    if (answer.headers['flotilla-node'] !== undefined) nodes.answered(node);
    if (answer.type === 'stream' && verdict.type === 'result') {
      learnNodes(node);
      this.#begun = true;
      return answer;
    }
    if (verdict.type === 'result') throw new FlotillaError(noWatch(node, answer.status));
    if (verdict.type === 'refused' && !verdict.again) throw new FlotillaError(verdict.refusal);
    const { refusal } = verdict;
    this.#last = refusal;
    if (refusal.code === 'shutting_down') nodes.restFor(node, refusal.retryAfterMs ?? 0);
    return { type: 'refused', retryAfterMs: refusal.retryAfterMs ?? 0 };
  }

  /** Ends when this node tells no more. */
  async *#told(node: string, { lines, broken }: LineStream): AsyncGenerator<WatchLine, void, undefined> {
    let count = 0;
    for await (const text of lines) {
      if (this.#stopped()) return;
      const line = parse(text, node);
      if (line.event === 'end') return this.#ended(node, line.data as Problem);
      count += 1;
      // One that begins and ends at once, again and again, is not to be asked without a pause.
      if (count > 1) this.#attempts = 0;
      if (count > 1) this.#refusedBy.clear();
      if (line.cursor !== undefined) this.#cursor = line.cursor;
      yield line;
    }
    const reason = broken();
    if (reason !== undefined && !this.#stopped()) this.#parts.nodes.failed(node, reason);
  }

  #ended(node: string, problem: Problem): void {
    if (!problem.retryable) throw new FlotillaError(refusalOf(problem));
    if (problem.code === 'shutting_down') this.#parts.nodes.restFor(node, clientLimits.coolDownMsMin);
  }

  #failed(node: string, { reason, timedOut, neverSent, cause }: HttpFailure): void {
    if (this.#stopped()) return;
    this.#parts.nodes.failed(node, reason);
    const code = timedOut && !neverSent ? 'deadline_exceeded' : 'unreachable';
    // What a node said tells more than that another one said nothing.
    if (timedOut && this.#last?.status !== undefined) return;
    this.#last = { code, detail: '', outcome: 'not_applied', retryable: true, cause };
  }

  /** Always a little: many may have watched at the node that was lost. As long as a node asks only if no other is left. */
  async #pause(askedMs: number): Promise<void> {
    const { nodes, failFast } = this.#parts;
    const fresh = nodes.hasRested(this.#refusedBy);
    if (!fresh) this.#refusedBy.clear();
    this.#attempts += 1;
    const { backOffMsMin, watchBackOffMsMax } = clientLimits;
    const longest = Math.min(watchBackOffMsMax, backOffMsMin * 2 ** this.#attempts);
    const waitMs = Math.max(fresh ? 0 : askedMs, longest * (0.5 + Math.random() / 2));
    if (!this.#begun) {
      const late = performance.now() + waitMs >= this.#deadlineAtMs;
      if (late || (failFast && nodes.allFailed())) throw this.#giveUp();
    }
    await this.#sleep(waitMs);
  }

  #stopped(): boolean {
    return this.#signal.aborted;
  }

  #giveUp(): FlotillaError {
    const { timeoutMs } = this.#request;
    return new FlotillaError(gaveUp(this.#last, { tried: this.#parts.nodes.describe(), timeoutMs }));
  }

  #sleep(ms: number): Promise<void> {
    const signal = this.#signal;
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake);
    });
  }
}

function parse(text: string, node: string): WatchLine {
  try {
    const line = JSON.parse(text) as WatchLine | null;
    if (typeof line?.event === 'string') return line;
  } catch {
    // Told below.
  }
  throw new FlotillaError(noWatch(node, 200));
}

function noWatch(node: string, status: number): Refusal {
  const detail = `${node} answered with something that is no watch. Is there a proxy between that changes answers?`;
  return { code: 'unexpected_answer', detail, outcome: 'not_applied', retryable: false, status };
}
