/** Histories of a register that keeps its word, from a seed: linearizable by construction. */
import type { Operation } from '../../src/history/types.ts';

/** Uniform in [0, 1), from a whole number (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface HistoryShape {
  readonly operations: number;
  readonly clients: number;
  readonly keys: number;
  readonly unknownShare: number;
  readonly failedShare?: number;
  /** Of the operations; half of the others are puts. */
  readonly deleteShare: number;
  /** Default: every put has a value of its own. */
  readonly values?: number;
  /** Share of the answers that tell it; default: all. */
  readonly revisionShare?: number;
}

interface Planned {
  readonly operation: Omit<Operation, 'output'>;
  /** When it takes effect; Infinity: never. */
  readonly at: number;
}

/** In the order of the calls. */
export function linearizableHistory(shape: HistoryShape, random: () => number): Operation[] {
  const planned = plan(shape, random);
  const answers = new Map<Planned, Operation['output']>();
  const state = new Map<string, { readonly value: string; readonly revision: number }>();
  let revision = 0;
  for (const step of planned.filter(({ at }) => at < Infinity).toSorted((one, other) => one.at - other.at)) {
    const { op, key, input } = step.operation;
    const before = state.get(key);
    const told = random() < (shape.revisionShare ?? 1);
    revision += 1 + Math.floor(random() * 3);
    if (op === 'put') {
      state.set(key, { value: input!, revision });
      answers.set(step, { created: before === undefined, ...(told && { revision }) });
    } else if (op === 'delete') {
      state.delete(key);
      answers.set(step, { deleted: before !== undefined });
    } else if (before === undefined) answers.set(step, null);
    else answers.set(step, { value: before.value, ...(told && { revision: before.revision }) });
  }
  return planned
    .map((step) => ({ ...step.operation, output: answered(step) }))
    .toSorted((one, other) => one.call - other.call);

  function answered(step: Planned): Operation['output'] {
    return step.operation.outcome === 'ok' ? (answers.get(step) ?? null) : null;
  }
}

function plan(shape: HistoryShape, random: () => number): Planned[] {
  const planned: Planned[] = [];
  const freeAt = Array.from({ length: shape.clients }, () => random());
  for (let number = 1; number <= shape.operations; number += 1) {
    const client = freeAt.indexOf(Math.min(...freeAt));
    const call = freeAt[client]! + random() * 0.2;
    const end = call + 0.1 + random() * 2;
    freeAt[client] = end;
    const drawn = random();
    const op = drawn < shape.deleteShare ? 'delete' : drawn < (1 + shape.deleteShare) / 2 ? 'put' : 'get';
    const key = `k${Math.floor(random() * shape.keys)}`;
    const outcome = drawOutcome();
    const input = op === 'put' ? `v${shape.values === undefined ? number : Math.floor(random() * shape.values)}` : null;
    const operation = { process: client, op, key, input, call, return: outcome === 'unknown' ? null : end, outcome };
    planned.push({ operation: operation as Omit<Operation, 'output'>, at: effectAt(outcome, call, end) });
  }
  return planned;

  function drawOutcome(): Operation['outcome'] {
    const drawn = random();
    if (drawn < shape.unknownShare) return 'unknown';
    return drawn < shape.unknownShare + (shape.failedShare ?? 0) ? 'failed' : 'ok';
  }

  /** Of those of unknown outcome a third soon, a third much later, a third never. */
  function effectAt(outcome: Operation['outcome'], call: number, end: number): number {
    if (outcome === 'failed') return Infinity;
    if (outcome === 'ok') return call + random() * (end - call);
    const drawn = random();
    if (drawn < 1 / 3) return Infinity;
    return call + random() * (drawn < 2 / 3 ? 3 : 300);
  }
}
