/** The checker and the brute-force one give the same verdict on small histories of every kind, good and bad. */
import { expect, test } from 'vitest';
import { checkHistory } from '../../src/history/check.ts';
import type { Operation } from '../../src/history/types.ts';
import { isLinearizable } from './brute-force.ts';
import { linearizableHistory, seeded } from './generator.ts';

const histories = 10_000;
/** Too long for all orders, but linearizable because of how they were made. */
const longer = 4000;

test(`${histories} small random histories get the verdict that all orders tried one by one give`, () => {
  let good = 0;
  for (let seed = 1; seed <= histories; seed += 1) {
    const operations = smallHistory(seed);
    const expected = isLinearizable(operations) ? 'linearizable' : 'violation';
    const result = checkHistory(operations);
    expect(result.type, `seed ${seed}: ${JSON.stringify(operations, null, 1)}`).toBe(expected);
    if (result.type === 'linearizable') good += 1;
    else if (result.type === 'violation') {
      const shown = `seed ${seed}: the order shown explains what was answered before`;
      expect(isLinearizable(answeredBefore(result.linearized, result.unplaced[0]!)), shown).toBe(true);
      expect(operations, shown).toEqual(expect.arrayContaining([...result.unplaced, ...result.linearized]));
    }
  }
  expect(good / histories).toBeGreaterThan(0.3);
  expect(good / histories).toBeLessThan(0.7);
});

test(`${longer} longer histories of a register that keeps its word are accepted`, () => {
  for (let seed = 1; seed <= longer; seed += 1) {
    const random = seeded(seed);
    const shape = {
      operations: 10 + Math.floor(random() * 50),
      clients: 1 + Math.floor(random() * 6),
      keys: 1,
      unknownShare: random() * 0.6,
      deleteShare: random() * 0.6,
      revisionShare: [0, 0.2, 1][seed % 3]!,
      values: 1 + Math.floor(random() * 6),
    };
    const operations = linearizableHistory(shape, random);
    expect(checkHistory(operations).type, `seed ${seed}`).toBe('linearizable');
  }
});

/** With what was under way at the answer of `culprit` taken for unknown, as it was then. */
function answeredBefore(operations: readonly Operation[], culprit: Operation): Operation[] {
  return operations.map((operation) =>
    operation.return !== null && operation.return >= culprit.return!
      ? { ...operation, output: null, return: null, outcome: 'unknown' as const }
      : operation,
  );
}

/** One key, few values, whole times, so that many are equal; often with an answer or two changed. */
function smallHistory(seed: number): Operation[] {
  const random = seeded(seed);
  const operations = linearizableHistory(
    {
      operations: 3 + Math.floor(random() * 5),
      clients: 1 + Math.floor(random() * 4),
      keys: 1,
      unknownShare: random() * 0.5,
      failedShare: random() * 0.1,
      deleteShare: random() * 0.5,
      revisionShare: [0, 0.5, 1][Math.floor(random() * 3)]!,
      values: 1 + Math.floor(random() * 4),
    },
    random,
  ).map((operation) => ({
    ...operation,
    call: Math.floor(operation.call * 2),
    return: operation.return === null ? null : Math.floor(operation.return * 2),
  }));
  if (random() < 0.1) return operations;
  for (let changes = random() < 0.5 ? 1 : 2; changes > 0; changes -= 1) {
    const changed = Math.floor(random() * operations.length);
    operations[changed] = change(operations[changed]!, random);
  }
  return operations;
}

function change(operation: Operation, random: () => number): Operation {
  const { op, output, outcome } = operation;
  if (outcome !== 'ok') return { ...operation, outcome: random() < 0.5 ? 'failed' : 'unknown' };
  const drawn = random();
  if (drawn < 0.15) return { ...operation, outcome: 'failed', output: null };
  const revision = random() < 0.6 ? { revision: 1 + Math.floor(random() * 8) } : {};
  if (op === 'put')
    return { ...operation, output: random() < 0.3 ? revision : { created: random() < 0.5, ...revision } };
  if (op === 'delete') return { ...operation, output: { deleted: !(output as { deleted: boolean }).deleted } };
  if (random() < 0.3) return { ...operation, output: null };
  return { ...operation, output: { value: `v${Math.floor(random() * 4)}`, ...revision } };
}
