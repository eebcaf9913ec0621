/**
 * One request on its way: through one node after the other, until it is settled. A request with an idempotency key whose answer is
 * lost is asked again, as it is done only once.
 */
import type { KvOutcome } from '../cluster/types.ts';
import type { NodeId } from '../replica/ports.ts';
import type { Answered } from './answers.ts';
import type { Random } from './random.ts';
import type { Asked } from './requests.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimNode } from './sim-node.ts';

/** A client waits this much longer than it asked the node to, then takes the answer for lost. */
const patienceMs = 300;
const retryPauseMs = 40;
const redirectsMax = 3;
/** Between a client and a node, one way. */
const wayMsMin = 0.05;
const wayMsMax = 0.5;
/** After a lost answer. */
const repeatsMax = 3;

export type Settled =
  { readonly type: 'answered'; readonly answer: Answered } | { readonly type: 'unknown' | 'failed' };

export interface AttemptOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** All there are. */
  readonly nodes: readonly SimNode[];
  readonly timeoutMs: number;
}

export class Attempt {
  readonly #options: AttemptOptions;
  readonly #asked: Asked;
  readonly #settle: (settled: Settled) => void;
  #deadlineAt: number;
  /** Those that its client knows of. */
  #nodes: readonly SimNode[];
  #settled = false;
  /** Counts the nodes asked, so that the answer of an earlier one is told from that of the last. */
  #asks = 0;
  #repeats = 0;

  constructor(options: AttemptOptions, asked: Asked, nodes: readonly SimNode[], settle: (settled: Settled) => void) {
    this.#options = options;
    this.#asked = asked;
    this.#nodes = nodes;
    this.#deadlineAt = options.scheduler.now() + options.timeoutMs;
    this.#settle = settle;
  }

  /** Asks `to`, or any of its nodes. */
  go(to: NodeId | undefined, redirects: number): void {
    const { scheduler, random, nodes } = this.#options;
    const node = nodes.find((candidate) => candidate.nodeId === to) ?? random.pick(this.#nodes);
    this.#asks += 1;
    const asks = this.#asks;
    scheduler.after(random.between(wayMsMin, wayMsMax), () => {
      const facade = node.facade();
      const leftMs = this.#deadlineAt - scheduler.now();
      // What was asked before and got lost may have been done.
      if (leftMs <= 0) return this.#finish({ type: this.#repeats === 0 ? 'failed' : 'unknown' });
      // Nobody listens there: certainly nothing was done. It asks around.
      if (facade === undefined) {
        this.#nodes = nodes;
        return this.#again();
      }
      const lost = (): void => {
        if (this.#asks === asks) this.#lost();
      };
      const forget = node.onEnd(lost);
      const giveUp = scheduler.after(leftMs + patienceMs, () => {
        forget();
        lost();
      });
      node.run(() => {
        const options = {
          route: random.chance(0.5) ? ('forward' as const) : ('redirect' as const),
          deadlineAt: facade.nowMs() + leftMs,
          hops: 0,
        };
        void node.execute(this.#asked.encode(), options).then((outcome) => {
          scheduler.after(random.between(wayMsMin, wayMsMax), () => {
            forget();
            giveUp();
            if (!this.#settled && this.#asks === asks) this.#answered(outcome, redirects);
          });
        });
      });
    });
  }

  #answered(outcome: KvOutcome, redirects: number): void {
    switch (outcome.type) {
      case 'value':
      case 'done':
        return this.#finish({ type: 'answered', answer: outcome });
      case 'unknown':
      case 'in_progress':
        return this.#lost();
      case 'not_leader':
        if (redirects < redirectsMax) return this.go(outcome.hint.nodeId, redirects + 1);
        return this.#again();
      default:
        return this.#again();
    }
  }

  #again(): void {
    const { scheduler, random } = this.#options;
    this.#asks += 1;
    scheduler.after(random.between(retryPauseMs / 2, retryPauseMs * 2), () => {
      if (!this.#settled) this.go(undefined, 0);
    });
  }

  /** No answer will come: a write may have been done, or may yet be. */
  #lost(): void {
    const { scheduler, nodes, timeoutMs } = this.#options;
    if (!this.#asked.named || this.#repeats === repeatsMax) return this.#finish({ type: 'unknown' });
    this.#repeats += 1;
    this.#deadlineAt = scheduler.now() + timeoutMs;
    this.#nodes = nodes;
    this.#again();
  }

  #finish(settled: Settled): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#settle(settled);
  }
}
