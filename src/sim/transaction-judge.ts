/**
 * What the history of single keys can't tell: that a command on several keys is one. A pair of keys is always written together, to the
 * same value, and so is never found apart; and a counter that grows by one where nobody else has changed it ends at the number of
 * those who were told that they did so, and no more than those who never heard.
 */
import { countOf, type Asked } from './requests.ts';
import type { Told } from './answers.ts';
import { Violation } from './violation.ts';

interface Count {
  readonly answered: Set<number>;
  unknown: number;
}

export class TransactionJudge {
  readonly #counts = new Map<string, Count>();

  settled({ what }: Asked, told: readonly Told[]): void {
    if (what === 'pair') judgePair(told);
    if (what === 'count') for (const one of told) this.#count(one);
  }

  /** `value` is what a counter had in the end. */
  ended(key: string, value: string | undefined): void {
    const count = this.#counts.get(key);
    if (count === undefined) return;
    const [is, least] = [countOf(value), count.answered.size];
    if (is >= least && is <= least + count.unknown) return;
    const bounds = `${least} were acknowledged and ${count.unknown} may have been done`;
    throw new Violation('transactions', `${key} was counted up to ${is}, but ${bounds}`);
  }

  #count({ part, outcome }: Told): void {
    if (part.op !== 'put' || outcome === 'failed') return;
    let count = this.#counts.get(part.key);
    if (count === undefined) this.#counts.set(part.key, (count = { answered: new Set(), unknown: 0 }));
    if (outcome === 'unknown') {
      count.unknown += 1;
      return;
    }
    const number = countOf(part.input ?? undefined);
    if (count.answered.has(number)) throw new Violation('transactions', `${part.key} became ${number} twice`);
    count.answered.add(number);
  }
}

function judgePair(told: readonly Told[]): void {
  const [left, right] = told.map(({ output, outcome }) => (outcome === 'ok' ? JSON.stringify(output) : outcome));
  if (left === right) return;
  const keys = told.map(({ part }) => part.key).join(' and ');
  throw new Violation('transactions', `${keys} were found apart: ${left} and ${right}`);
}
