/** The definition, taken at its word: all orders are tried, without any shortcut that could share a mistake with the checker. */
import type { GetOutput, Operation, PutOutput } from '../../src/history/types.ts';

interface State {
  readonly value: string | null;
  /** Of the write that wrote the value: undefined while nobody has told it. */
  readonly revision: number | undefined;
  /** The highest that was told of a write so far. */
  readonly newest: number;
  /** By the log's time; Infinity for never. */
  readonly dueAt: number;
  /** When the latest that is gone was due: no answer that comes after that is of an earlier time. */
  readonly since: number;
}

type Due = ReadonlyMap<string, number>;

/** Whether the operations, all of one key, are linearizable. For a handful of them: the time is factorial. */
export function isLinearizable(operations: readonly Operation[]): boolean {
  const counting = operations.filter(({ outcome }) => outcome !== 'failed');
  if (tellsWrongTime(counting)) return false;
  return canFinish(
    counting,
    { value: null, revision: undefined, newest: -Infinity, dueAt: Infinity, since: -Infinity },
    told(counting),
  );
}

function canFinish(left: readonly Operation[], state: State, due: Due): boolean {
  const answered = left.filter(({ outcome }) => outcome === 'ok');
  if (answered.length === 0) return true;
  return left.some((next) => {
    if (answered.some((other) => other.return! < next.call) || (next.at ?? Infinity) < state.since) return false;
    const states = [state];
    // Whoever is answered later than it is due may have found it gone.
    if (next.outcome === 'ok' && state.dueAt < Infinity && (next.at ?? Infinity) >= state.dueAt)
      states.push({ ...state, value: null, revision: undefined, dueAt: Infinity, since: state.dueAt });
    return states.some((before) => {
      const after = next.outcome === 'ok' ? afterAnswered(next, before, due) : afterUnknown(next, before, due);
      const others = left.filter((other) => other !== next);
      return after !== undefined && canFinish(others, after, due);
    });
  });
}

/** When each value is due, as far as anyone was told; a time to live that nobody knows the end of may be over at once. */
function told(operations: readonly Operation[]): Due {
  const due = new Map<string, number>();
  for (const { op, input, ttl } of operations)
    if (op === 'put') due.set(input!, ttl === undefined ? Infinity : -Infinity);
  for (const { op, input, output } of operations) {
    const value = op === 'put' ? input! : output !== null && 'value' in output ? output.value : undefined;
    const expiresAt = output !== null && 'expiresAt' in output ? output.expiresAt : undefined;
    if (value !== undefined && expiresAt !== undefined && due.get(value) === -Infinity) due.set(value, expiresAt);
  }
  return due;
}

function tellsWrongTime(operations: readonly Operation[]): boolean {
  return operations.some(({ op, at, output }) => {
    const expiresAt = op === 'get' && output !== null && 'expiresAt' in output ? output.expiresAt : undefined;
    return expiresAt !== undefined && expiresAt !== 0 && at !== undefined && at >= expiresAt;
  });
}

/** The condition of a write of unknown outcome is passed over, as the checker does. */
function afterUnknown({ op, input }: Operation, state: State, due: Due): State {
  if (op === 'get') return state;
  const dueAt = op === 'put' ? due.get(input!)! : Infinity;
  return { ...state, value: op === 'put' ? input : null, revision: undefined, dueAt };
}

function afterAnswered({ op, input, output, condition }: Operation, state: State, due: Due): State | undefined {
  const isThere = state.value !== null;
  if (output !== null && 'refused' in output) {
    const { refused } = output;
    if (condition!.revision === 'any' ? refused !== null : condition!.revision === refused) return undefined;
    if (refused === null || !isThere) return refused === null && !isThere ? state : undefined;
    if (state.revision !== undefined || refused <= state.newest) return refused === state.revision ? state : undefined;
    return { ...state, revision: refused, newest: refused };
  }
  if (condition !== undefined) {
    const { revision } = condition;
    if (isThere === (revision === null)) return undefined;
    if (typeof revision === 'number' && state.revision !== undefined && state.revision !== revision) return undefined;
  }
  if (op === 'put') {
    const { created, revision } = output as PutOutput;
    if (created !== undefined && created === isThere) return undefined;
    if (revision !== undefined && revision <= state.newest) return undefined;
    return { ...state, value: input, revision, newest: revision ?? state.newest, dueAt: due.get(input!)! };
  }
  if (op === 'delete') {
    const { deleted } = output as { deleted: boolean };
    return deleted === isThere ? { ...state, value: null, revision: undefined, dueAt: Infinity } : undefined;
  }
  if (output === null) return isThere ? undefined : state;
  const { value, revision } = output as GetOutput;
  if (value !== state.value) return undefined;
  if (revision === undefined || revision === state.revision) return state;
  if (state.revision !== undefined || revision <= state.newest) return undefined;
  return { ...state, revision, newest: revision };
}
