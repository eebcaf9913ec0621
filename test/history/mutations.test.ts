/** Good histories with one answer made wrong, so that it is certainly wrong: all of them are refused. */
import { expect, test } from 'vitest';
import { checkHistory } from '../../src/history/check.ts';
import type { GetOutput, Operation, PutOutput } from '../../src/history/types.ts';
import { linearizableHistory, seeded } from './generator.ts';

const histories = 150;

type Mutation = (operations: readonly Operation[], random: () => number) => readonly [Operation, Operation] | undefined;

/** In histories with one key, a value of its own for each put, and without deletes. */
const mutations: Readonly<Record<string, Mutation>> = {
  'a get of a value that nobody put': (operations, random) => {
    const found = pick(operations.filter(isFound), random);
    return found && [found, { ...found, output: { value: 'never put' } }];
  },
  'a get of a value that was overwritten before': (operations, random) => {
    const late = pick(operations.filter(isFound).slice(-20), random);
    const [put, next] = operations.filter(isPut);
    if (late === undefined || put === undefined || next === undefined) return undefined;
    if (put.return! >= next.call || next.return! >= late.call) return undefined;
    return [late, { ...late, output: { ...put.output, value: put.input! } }];
  },
  'a get that finds nothing after a put': (operations, random) => {
    const put = operations.find(isPut);
    const later = operations.filter((one) => put !== undefined && isFound(one) && one.call > put.return!);
    const found = pick(later, random);
    return found && [found, { ...found, output: null }];
  },
  'a get of a value whose put failed': (operations, random) => {
    const read = new Set(operations.filter(isFound).map(({ output }) => (output as GetOutput).value));
    const put = pick(
      operations.filter((one) => isPut(one) && read.has(one.input!)),
      random,
    );
    return put && [put, { ...put, output: null, outcome: 'failed' }];
  },
  'a put that created what an earlier one had put': (operations, random) => {
    const first = operations.find(isPut);
    const later = operations.filter((one) => first !== undefined && isPut(one) && one.call > first.return!);
    const put = pick(later, random);
    return put && [put, { ...put, output: { ...(put.output as PutOutput), created: true } }];
  },
  'reads that go backwards': (operations, random) => {
    const gets = operations.filter((one) => isFound(one));
    const later = pick(gets.slice(-20), random);
    const before = gets.findLast(({ return: returned }) => later !== undefined && returned! < later.call);
    const older = gets.findLast(({ return: returned }) => before !== undefined && returned! < before.call);
    if (later === undefined || before === undefined || older === undefined) return undefined;
    const [seen, seenBefore] = [older.output as GetOutput, before.output as GetOutput];
    return seen.value === seenBefore.value ? undefined : [later, { ...later, output: seen }];
  },
  'a get with another revision': (operations, random) => {
    const put = pick(operations.filter(isPut), random);
    const read = operations.find((one) => isFound(one) && (one.output as GetOutput).value === put?.input);
    if (read === undefined || (put!.output as PutOutput).revision === undefined) return undefined;
    const { value, revision } = read.output as GetOutput;
    return [read, { ...read, output: { value, revision: revision! + (random() < 0.5 ? 1 : -1) } }];
  },
  'a put with the revision of a later one': (operations, random) => {
    const put = pick(operations.filter(isPut).slice(0, -10), random);
    const later = operations.filter(isPut).at(-1);
    if (put === undefined || (put.output as PutOutput).revision === undefined) return undefined;
    const { revision } = later!.output as PutOutput;
    return [put, { ...put, output: { ...(put.output as PutOutput), revision: revision! + 1 } }];
  },
};

test.each(Object.entries(mutations))('%s', (name, mutate) => {
  let refused = 0;
  for (let seed = 1; seed <= histories; seed += 1) {
    const random = seeded(seed);
    const operations = linearizableHistory(
      {
        operations: 200,
        clients: 1 + (seed % 8),
        keys: 1,
        unknownShare: (seed % 4) * 0.05,
        failedShare: 0.03,
        deleteShare: 0,
        revisionShare: seed % 3 === 0 && !name.includes('revision') ? 0 : 1,
      },
      random,
    );
    expect(checkHistory(operations).type, `seed ${seed} before`).toBe('linearizable');
    const mutation = mutate(operations, random);
    if (mutation === undefined) continue;
    const mutated = operations.map((operation) => (operation === mutation[0] ? mutation[1] : operation));
    expect(checkHistory(mutated).type, `seed ${seed}: ${JSON.stringify(mutation)}`).toBe('violation');
    refused += 1;
  }
  expect(refused).toBeGreaterThan(histories / 3);
});

function isFound({ op, output }: Operation): boolean {
  return op === 'get' && output !== null;
}

function isPut({ op, outcome }: Operation): boolean {
  return op === 'put' && outcome === 'ok';
}

function pick<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}
