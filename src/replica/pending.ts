/** Who waits for an answer: proposals by their place in the log, reads by the round that confirms them. */
import type { KeyRange } from '../kv/types.ts';
import type { LogIndex, Term } from '../raft/types.ts';

export interface Waiting<Outcome> {
  /** Monotonic ms; answered by then, whatever happens. */
  readonly deadlineAt: number;
  readonly answer: (outcome: Outcome) => void;
}

interface Proposal<Outcome> {
  readonly term: Term;
  /** Undefined once it is taken out: what a map has held may outlive it for long, and no answer is to hang on that. */
  waiting: Waiting<Outcome> | undefined;
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
    const replaced = this.#take(index)?.waiting;
    this.#byIndex.set(index, { term, waiting });
    return replaced;
  }

  /**
   * The entry at `index` is committed in `term`. Whoever waited there is returned: `own` when it is their entry; when not,
   * another leader's entry took the place, and by state machine safety (paper 5.4.3) theirs can never be applied.
   */
  settle(index: LogIndex, term: Term): { readonly waiting: Waiting<Outcome>; readonly own: boolean } | undefined {
    const taken = this.#take(index);
    return taken && { waiting: taken.waiting, own: taken.term === term };
  }

  /** Takes out everyone who waits for an entry up to and with `index`. */
  takeUpTo(index: LogIndex): readonly Waiting<Outcome>[] {
    return this.#takeAll((at) => at <= index);
  }

  /** Takes out everyone whose deadline has passed. */
  expire(nowMs: number): readonly Waiting<Outcome>[] {
    return this.#takeAll((_, { waiting }) => waiting !== undefined && waiting.deadlineAt <= nowMs);
  }

  /** Takes out everyone. */
  drain(): readonly Waiting<Outcome>[] {
    return this.#takeAll(() => true);
  }

  #takeAll(isMeant: (index: LogIndex, proposal: Proposal<Outcome>) => boolean): readonly Waiting<Outcome>[] {
    const taken: Waiting<Outcome>[] = [];
    for (const [index, proposal] of this.#byIndex) {
      if (!isMeant(index, proposal)) continue;
      const one = this.#take(index);
      if (one !== undefined) taken.push(one.waiting);
    }
    return taken;
  }

  #take(index: LogIndex): { readonly term: Term; readonly waiting: Waiting<Outcome> } | undefined {
    const proposal = this.#byIndex.get(index);
    if (proposal?.waiting === undefined) return undefined;
    const { term, waiting } = proposal;
    this.#byIndex.delete(index);
    proposal.waiting = undefined;
    return { term, waiting };
  }
}

/** What is read. */
export type ReadQuery =
  | { readonly type: 'key'; readonly key: Uint8Array }
  | { readonly type: 'range'; readonly range: KeyRange }
  /** How far the partition is. */
  | { readonly type: 'point' };

export interface WaitingRead<Outcome> extends Waiting<Outcome> {
  readonly query: ReadQuery;
}

interface Unconfirmed<Outcome> {
  readonly context: number;
  readonly reads: readonly WaitingRead<Outcome>[];
}

/** Reads: first gathered, then all of a turn share one ReadIndex context, then they wait for apply. */
export class PendingReads<Outcome> {
  #gathered: WaitingRead<Outcome>[] = [];
  #context = 0;
  #size = 0;
  /** Few, in the order of their contexts. No map: what one has held may outlive it for long, with the answers. */
  #unconfirmed: Unconfirmed<Outcome>[] = [];
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
    this.#unconfirmed.push({ context: this.#context, reads: this.#gathered });
    this.#gathered = [];
    return this.#context;
  }

  /** Leadership was confirmed for `context`: its reads may be answered once `index` is applied. */
  confirm(context: number, index: LogIndex): void {
    const reads = this.#takeUnconfirmed(context);
    // Otherwise all of them met their deadline.
    if (reads.length > 0) this.#confirmed.push({ index, reads });
  }

  refuse(context: number): readonly WaitingRead<Outcome>[] {
    const reads = this.#takeUnconfirmed(context);
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
    this.#unconfirmed = this.#unconfirmed
      .map(({ context, reads }) => ({ context, reads: keep(reads) }))
      .filter(({ reads }) => reads.length > 0);
    this.#confirmed = this.#confirmed.map(({ index, reads }) => ({ index, reads: keep(reads) }));
    this.#size -= expired.length;
    return expired;
  }

  drain(): readonly WaitingRead<Outcome>[] {
    return this.expire(Infinity);
  }

  #takeUnconfirmed(context: number): readonly WaitingRead<Outcome>[] {
    const at = this.#unconfirmed.findIndex((one) => one.context === context);
    return at < 0 ? [] : (this.#unconfirmed.splice(at, 1)[0]?.reads ?? []);
  }
}
