/**
 * Whether a history is linearizable: whether one order of its operations, in which each takes effect once between its call and
 * its return, explains every answer. Keys are independent of each other, so each is checked by itself (P-compositionality,
 * Horn and Kroening, "Faster linearizability checking via P-compositionality", 2015). `search.ts` says how.
 */
import { prepare } from './register.ts';
import { Search } from './search.ts';
import type { Operation } from './types.ts';

export interface CheckOptions {
  /** Moves tried on one key before giving up; default 2,000,000, some seconds. The same on every machine. */
  readonly stepsMax?: number;
  /** Gives up `msMax` after the start, by a clock in ms; default: never. */
  readonly time?: { readonly nowMs: () => number; readonly msMax: number };
}

export type CheckResult =
  | { readonly type: 'linearizable'; readonly keys: number; readonly operations: number; readonly steps: number }
  | Violation
  /** Neither shown nor refuted within the bounds: not a pass. */
  | { readonly type: 'undecided'; readonly keys: readonly string[]; readonly steps: number };

/** The first key, by appearance, that has no order, and the smallest prefix of its history that has none. */
export interface Violation {
  readonly type: 'violation';
  readonly key: string;
  readonly reason: string;
  /** The answer that no order explains, first, and others that it contradicts, if it does so by itself. */
  readonly unplaced: readonly Operation[];
  /** What happened until just before that answer, in an order that explains it; writes of unknown outcome only if they are needed. */
  readonly linearized: readonly Operation[];
  /** Writes under way or of unknown outcome then that `linearized` does without. */
  readonly pending: readonly Operation[];
}

const stepsMaxDefault = 2_000_000;

/** `operations` may come in any order. The same operations give the same result, unless time runs out. */
export function checkHistory(operations: Iterable<Operation>, options: CheckOptions = {}): CheckResult {
  const budget = new Budget(options);
  const undecided: string[] = [];
  const byKey = groupByKey(operations);
  let count = 0;
  for (const [key, ofKey] of byKey) {
    count += ofKey.length;
    const outcome = attempt(ofKey, budget);
    if (outcome.type === 'impossible') return violation(key, ofKey, outcome, budget);
    if (outcome.type === 'undecided') undecided.push(key);
  }
  const { steps } = budget;
  if (undecided.length > 0) return { type: 'undecided', keys: undecided, steps };
  return { type: 'linearizable', keys: byKey.size, operations: count, steps };
}

function groupByKey(operations: Iterable<Operation>): Map<string, Operation[]> {
  const byKey = new Map<string, Operation[]>();
  for (const operation of operations) {
    const ofKey = byKey.get(operation.key);
    if (ofKey === undefined) byKey.set(operation.key, [operation]);
    else ofKey.push(operation);
  }
  return byKey;
}

type Attempt =
  { readonly type: 'linearizable'; readonly order: readonly Operation[] } | Impossible | { readonly type: 'undecided' };

interface Impossible {
  readonly type: 'impossible';
  readonly reason: string;
  readonly operations: readonly Operation[];
  /** Where to look first for the answer that is too much: it is seldom another one than that of this time. */
  readonly at: number;
}

function attempt(operations: readonly Operation[], budget: Budget): Attempt {
  const prepared = prepare(operations);
  if (prepared.type === 'impossible') return prepared;
  const search = new Search(prepared.register);
  budget.beginKey();
  const verdict = search.run(() => budget.maySpend());
  if (verdict === 'linearizable') return { type: verdict, order: search.order() };
  if (verdict === 'undecided') return { type: verdict };
  return {
    type: verdict,
    reason: 'no order of what came before explains its answer',
    operations: [],
    at: search.reached(),
  };
}

/**
 * A prefix of a linearizable history is linearizable, so the shortest one that isn't is found by halving. A prefix that the
 * budget does not suffice for counts as one that might be: then a longer one is named than there had to be.
 */
function violation(key: string, operations: readonly Operation[], failure: Impossible, budget: Budget): Violation {
  const answered = operations
    .filter(({ outcome }) => outcome === 'ok')
    .toSorted((one, other) => returned(one) - returned(other));
  let bad = { answers: answered.length, failure };
  let good: { readonly answers: number; readonly order: readonly Operation[] } = { answers: 0, order: [] };
  const likely = answered.findLastIndex((operation) => returned(operation) <= failure.at) + 1;
  const hints = [likely, likely - 1];
  while (good.answers + 1 < bad.answers) {
    const hint = hints.pop();
    const answers = hint ?? (good.answers + bad.answers) >> 1;
    if (answers <= good.answers || answers >= bad.answers) continue;
    const originals = prefix(operations, answered, answers);
    const outcome = attempt([...originals.keys()], budget);
    if (outcome.type === 'impossible') bad = { answers, failure: outcome };
    else if (outcome.type === 'undecided') good = { ...good, answers };
    else good = { answers, order: outcome.order.map((operation) => originals.get(operation) ?? operation) };
  }
  const culprits = answered.slice(bad.answers - 1, bad.answers);
  const unplaced = [...new Set([...culprits, ...bad.failure.operations])];
  const shown = new Set([...good.order, ...unplaced]);
  const pending = [...prefix(operations, answered, bad.answers).values()].filter(
    (operation) => operation.op !== 'get' && operation.outcome !== 'failed' && !shown.has(operation),
  );
  return { type: 'violation', key, reason: bad.failure.reason, unplaced, linearized: good.order, pending };
}

/** What was known when so many answers were there, each with its original: what was under way then has an unknown outcome. */
function prefix(
  operations: readonly Operation[],
  answered: readonly Operation[],
  answers: number,
): Map<Operation, Operation> {
  const known = new Set(answered.slice(0, answers));
  const end = Math.max(...answered.slice(answers - 1, answers).map(returned));
  const begun = operations.filter(({ call }) => call <= end);
  return new Map(
    begun.map((operation) => {
      if (operation.outcome !== 'ok' || known.has(operation)) return [operation, operation];
      return [{ ...operation, output: null, return: null, outcome: 'unknown' }, operation];
    }),
  );
}

function returned(operation: Operation): number {
  return operation.return ?? Infinity;
}

class Budget {
  steps = 0;
  readonly #stepsMax: number;
  readonly #isOver: () => boolean;
  #stepsOfKey = 0;

  constructor({ stepsMax = stepsMaxDefault, time }: CheckOptions) {
    this.#stepsMax = stepsMax;
    const endMs = time === undefined ? Infinity : time.nowMs() + time.msMax;
    this.#isOver = () => time !== undefined && time.nowMs() > endMs;
  }

  beginKey(): void {
    this.#stepsOfKey = 0;
  }

  /** Looks at the clock at the first step of a key, and then now and again. */
  maySpend(): boolean {
    if (this.#stepsOfKey >= this.#stepsMax || (this.#stepsOfKey % 512 === 0 && this.#isOver())) return false;
    this.#stepsOfKey += 1;
    this.steps += 1;
    return true;
  }
}
