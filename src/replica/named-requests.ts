/**
 * Requests with idempotency keys that were proposed here and not yet answered. A repeat of one is proposed like the first: applied
 * behind it, it comes to the same result. Here it is only told apart, so that a client whose repeat runs out of time hears that the
 * request itself is still under way; and nothing new is begun once no more results can be kept (safety: none is ever
 * forgotten early, as its repeat would be applied a second time).
 */
import { requestNames } from '../kv/command.ts';
import type { RequestName, StateReader } from '../kv/types.ts';
import type { ReplicaOutcome } from './options.ts';
import type { Waiting } from './pending.ts';

export interface NamedRequestsOptions {
  readonly state: Pick<StateReader, 'remembered'>;
  /** Results that are kept now. */
  readonly kept: () => number;
  readonly limits: {
    readonly idempotencyEntriesMax: number;
    readonly tickMs: number;
  };
}

type Answered = Waiting<ReplicaOutcome>;

export class NamedRequests {
  readonly #options: NamedRequestsOptions;
  /** How often each name is under way. */
  readonly #underWay = new Map<string, number>();

  constructor(options: NamedRequestsOptions) {
    this.#options = options;
  }

  /** What is to wait for the answer to `body`, or why it is not taken. The answer of what it returns must be called in the end. */
  admit(body: Buffer, waiting: Answered): Answered | { readonly refused: string } {
    const names = requestNames(body);
    if (names.length === 0) return waiting;
    if (this.#isFull(names)) {
      const { idempotencyEntriesMax } = this.#options.limits;
      return {
        refused: `${idempotencyEntriesMax} results are kept for repeats; send it without Idempotency-Key, or later`,
      };
    }
    const isRepeat = names.map((name) => this.#enter(text(name))).some((before) => before > 0);
    const leave = (): void => names.forEach((name) => this.#leave(text(name)));
    if (!isRepeat) return { ...waiting, answer: (outcome) => (leave(), waiting.answer(outcome)) };
    return {
      // Whoever asked this replica gives up by itself at the deadline, and knows less.
      deadlineAt: waiting.deadlineAt - 2 * this.#options.limits.tickMs,
      answer: (outcome) => {
        leave();
        waiting.answer(outcome.type === 'unknown' ? { type: 'in_progress', detail: outcome.detail } : outcome);
      },
    };
  }

  /** As long as there is room for all that is under way, nothing is looked up. */
  #isFull(names: readonly RequestName[]): boolean {
    const { state, kept, limits } = this.#options;
    if (kept() + this.#underWay.size + names.length <= limits.idempotencyEntriesMax) return false;
    return names.some((name) => !this.#underWay.has(text(name)) && state.remembered(name) === undefined);
  }

  /** How often it was under way before. */
  #enter(name: string): number {
    const before = this.#underWay.get(name) ?? 0;
    this.#underWay.set(name, before + 1);
    return before;
  }

  #leave(name: string): void {
    const left = (this.#underWay.get(name) ?? 0) - 1;
    if (left > 0) this.#underWay.set(name, left);
    else this.#underWay.delete(name);
  }
}

function text(name: RequestName): string {
  return Buffer.from(name).toString('latin1');
}
