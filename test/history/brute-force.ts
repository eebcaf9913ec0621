/** The definition, taken at its word: all orders are tried, without any shortcut that could share a mistake with the checker. */
import type { GetOutput, Operation, PutOutput } from '../../src/history/types.ts';

interface State {
  readonly value: string | null;
  /** Of the write that wrote the value: undefined while nobody has told it. */
  readonly revision: number | undefined;
  /** The highest that was told of a write so far. */
  readonly newest: number;
}

/** Whether the operations, all of one key, are linearizable. For a handful of them: the time is factorial. */
export function isLinearizable(operations: readonly Operation[]): boolean {
  const counting = operations.filter(({ outcome }) => outcome !== 'failed');
  return canFinish(counting, { value: null, revision: undefined, newest: -Infinity });
}

function canFinish(left: readonly Operation[], state: State): boolean {
  const answered = left.filter(({ outcome }) => outcome === 'ok');
  if (answered.length === 0) return true;
  return left.some((next) => {
    if (answered.some((other) => other.return! < next.call)) return false;
    const after = next.outcome === 'ok' ? afterAnswered(next, state) : afterUnknown(next, state);
    return (
      after !== undefined &&
      canFinish(
        left.filter((other) => other !== next),
        after,
      )
    );
  });
}

function afterUnknown({ op, input }: Operation, state: State): State {
  if (op === 'get') return state;
  return { ...state, value: op === 'put' ? input : null, revision: undefined };
}

function afterAnswered({ op, input, output }: Operation, state: State): State | undefined {
  if (op === 'put') {
    const { created, revision } = output as PutOutput;
    if (created !== undefined && created !== (state.value === null)) return undefined;
    if (revision !== undefined && revision <= state.newest) return undefined;
    return { value: input, revision, newest: revision ?? state.newest };
  }
  if (op === 'delete') {
    const { deleted } = output as { deleted: boolean };
    return deleted === (state.value !== null) ? { ...state, value: null, revision: undefined } : undefined;
  }
  if (output === null) return state.value === null ? state : undefined;
  const { value, revision } = output as GetOutput;
  if (value !== state.value) return undefined;
  if (revision === undefined || revision === state.revision) return state;
  if (state.revision !== undefined || revision <= state.newest) return undefined;
  return { ...state, revision, newest: revision };
}
