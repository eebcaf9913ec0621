/** What a judge finds wrong. */
import { expect } from 'vitest';
import { Violation } from '../../src/sim/violation.ts';
import { partition } from './judge-history.ts';

/** The Violation that `act` ends in, by rule and with what it says. */
function judged(act: () => void): { readonly judge: string; readonly message: string } {
  try {
    act();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    expect(error.partition).toBe(partition);
    return { judge: error.judge, message: error.message };
  }
  throw new Error('nothing was found wrong');
}

/** `act` after `history` breaks the rule `judge`; without it nothing is wrong. */
export function expectViolation(judge: string, says: string, act: () => void): void {
  const violation = judged(act);
  expect(violation).toEqual({ judge, message: expect.stringContaining(says) as string });
}
