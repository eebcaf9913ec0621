/** Who waits for an answer: proposals by their place in the log, reads by the round that confirms them. */
import type { KeyRange } from '../kv/types.ts';
import type { LogIndex, Term } from '../raft/types.ts';

export interface Waiting<Outcome> {
  /** Monotonic ms; answered by then, whatever happens. */
  readonly deadlineAt: number;
  readonly answer: (outcome: Outcome) => void;
}

interface Proposal<Outcome> extends Waiting<Outcome> {
  readonly term: Term;
}

/** Proposals appended here and not yet answered. */
export class PendingProposals<Outcome> {
  readonly #byIndex = new Map<LogIndex, Proposal<Outcome>>();

  get size(): number {
    return this.#byIndex.size;
  }

  /**
   * Returns whom this displaces: an older proposal for the same index, truncated here by a later leader. It may still
   * stand in another log and be committed by a third leader, so its outcome is unknown, not "not applied".
   */
  add(index: LogIndex, term: Term, waiting: Waiting<Outcome>): Waiting<Outcome> | undefined {
    const replaced = this.#byIndex.get(index);
    this.#byIndex.set(index, { term, deadlineAt: waiting.deadlineAt, answer: waiting.answer });
    return replaced;
  }

  /**
   * The entry at `index` is committed in `term`. Whoever waited there is returned: `own` when it is their entry; when not,
   * another leader's entry took the place, and by state machine safety (paper 5.4.3) theirs can never be applied.
   */
  settle(index: LogIndex, term: Term): { readonly waiting: Waiting<Outcome>; readonly own: boolean } | undefined {
    const proposal = this.#byIndex.get(index);
    if (proposal === undefined) return undefined;
    this.#byIndex.delete(index);
    return { waiting: proposal, own: proposal.term === term };
  }

  /** Takes out everyone who waits for an entry up to and with `index`. */
  takeUpTo(index: LogIndex): readonly Waiting<Outcome>[] {
    const taken: Waiting<Outcome>[] = [];
    for (const [at, proposal] of this.#byIndex) {
      if (at > index) continue;
      this.#byIndex.delete(at);
      taken.push(proposal);
    }
    return taken;
  }

  /** Takes out everyone whose deadline has passed. */
  expire(nowMs: number): readonly Waiting<Outcome>[] {
    const expired: Waiting<Outcome>[] = [];
    for (const [index, proposal] of this.#byIndex) {
      if (proposal.deadlineAt > nowMs) continue;
      this.#byIndex.delete(index);
      expired.push(proposal);
    }
    return expired;
  }

  /** Takes out everyone. */
  drain(): readonly Waiting<Outcome>[] {
    const all = [...this.#byIndex.values()];
    this.#byIndex.clear();
    return all;
  }
}

/** What is read: a key, or a range of them. */
export type ReadQuery =
  { readonly type: 'key'; readonly key: Uint8Array } | { readonly type: 'range'; readonly range: KeyRange };

export interface WaitingRead<Outcome> extends Waiting<Outcome> {
  readonly query: ReadQuery;
}

/** Reads: first gathered, then all of a turn share one ReadIndex context, then they wait for apply. */
export class PendingReads<Outcome> {
  #gathered: WaitingRead<Outcome>[] = [];
  #context = 0;
  #size = 0;
  readonly #unconfirmed = new Map<number, WaitingRead<Outcome>[]>();
  #confirmed: { readonly index: LogIndex; readonly reads: readonly WaitingRead<Outcome>[] }[] = [];

  get size(): number {
    return this.#size;
  }

  add(read: WaitingRead<Outcome>): void {
    this.#size += 1;
    this.#gathered.push(read);
  }

  /** The context under which all gathered reads now wait; undefined when none was gathered. A context is never used twice. */
  seal(): number | undefined {
    if (this.#gathered.length === 0) return undefined;
    this.#context += 1;
    this.#unconfirmed.set(this.#context, this.#gathered);
    this.#gathered = [];
    return this.#context;
  }

  /** Leadership was confirmed for `context`: its reads may be answered once `index` is applied. */
  confirm(context: number, index: LogIndex): void {
    const reads = this.#unconfirmed.get(context);
    if (reads === undefined) return; // all of them met their deadline
    this.#unconfirmed.delete(context);
    this.#confirmed.push({ index, reads });
  }

  refuse(context: number): readonly WaitingRead<Outcome>[] {
    const reads = this.#unconfirmed.get(context) ?? [];
    this.#unconfirmed.delete(context);
    this.#size -= reads.length;
    return reads;
  }

  /** Takes out the confirmed reads that `appliedIndex` satisfies. */
  takeAnswerable(appliedIndex: number): readonly WaitingRead<Outcome>[] {
    if (this.#confirmed.length === 0) return [];
    const answerable: WaitingRead<Outcome>[] = [];
    this.#confirmed = this.#confirmed.filter(({ index, reads }) => {
      if (index > appliedIndex) return true;
      answerable.push(...reads);
      return false;
    });
    this.#size -= answerable.length;
    return answerable;
  }

  /** Takes out every read whose deadline has passed. */
  expire(nowMs: number): readonly WaitingRead<Outcome>[] {
    const expired: WaitingRead<Outcome>[] = [];
    const keep = (reads: readonly WaitingRead<Outcome>[]) =>
      reads.filter((read) => read.deadlineAt > nowMs || (expired.push(read), false));
    this.#gathered = keep(this.#gathered);
    for (const [context, reads] of this.#unconfirmed) {
      const left = keep(reads);
      if (left.length === 0) this.#unconfirmed.delete(context);
      else this.#unconfirmed.set(context, left);
    }
    this.#confirmed = this.#confirmed.map(({ index, reads }) => ({ index, reads: keep(reads) }));
    this.#size -= expired.length;
    return expired;
  }

  drain(): readonly WaitingRead<Outcome>[] {
    return this.expire(Infinity);
  }
}
