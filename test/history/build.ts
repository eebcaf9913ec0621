/** Operations of one key, written down shortly. */
import type { Operation } from '../../src/history/types.ts';

type Times = readonly [number, number];

const common = { process: 1, key: 'k' };
const timed = ([call, returned]: Times): Pick<Operation, 'call' | 'return'> => ({ call, return: returned });

export function put(input: string, times: Times, output: Operation['output'] = {}): Operation {
  return { ...common, op: 'put', input, output, ...timed(times), outcome: 'ok' };
}

/** What it read, with or without its revision; null: nothing. */
export function get(read: string | readonly [string, number] | null, times: Times): Operation {
  const [value, revision] = typeof read === 'string' ? [read] : (read ?? []);
  const output = value === undefined ? null : revision === undefined ? { value } : { value, revision };
  return { ...common, op: 'get', input: null, output, ...timed(times), outcome: 'ok' };
}

export function remove(deleted: boolean, times: Times): Operation {
  return { ...common, op: 'delete', input: null, output: { deleted }, ...timed(times), outcome: 'ok' };
}

export function unknown(operation: Operation): Operation {
  return { ...operation, output: null, return: null, outcome: 'unknown' };
}

export function failed(operation: Operation): Operation {
  return { ...operation, output: null, outcome: 'failed' };
}
