/** Histories as lines of JSON, one operation each. */
import type { Operation } from './types.ts';

export type HistoryRead =
  | { readonly type: 'ok'; readonly operations: readonly Operation[] }
  /** `line` counts from 1. */
  | { readonly type: 'malformed'; readonly line: number; readonly problem: string };

/** Reads decoded text as it comes, cut anywhere, and stops at the first line that is no operation. Empty lines are passed over. */
export async function readHistory(chunks: AsyncIterable<string> | Iterable<string>): Promise<HistoryRead> {
  const operations: Operation[] = [];
  let line = 0;
  for await (const text of lines(chunks)) {
    line += 1;
    if (text.trim() === '') continue;
    const parsed = parseOperation(text);
    if (parsed.type === 'malformed') return { type: 'malformed', line, problem: parsed.problem };
    operations.push(parsed.operation);
  }
  return { type: 'ok', operations };
}

/** One line, with its end. */
export function formatOperation({
  process,
  op,
  key,
  input,
  condition,
  ttl,
  output,
  at,
  call,
  return: returned,
  outcome,
}: Operation): string {
  const asked = { process, op, key, input, condition, ttl };
  return `${JSON.stringify({ ...asked, output, at, call, return: returned, outcome })}\n`;
}

export type ParsedLine =
  { readonly type: 'ok'; readonly operation: Operation } | { readonly type: 'malformed'; readonly problem: string };

export function parseOperation(text: string): ParsedLine {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { type: 'malformed', problem: 'not JSON' };
  }
  if (!isObject(parsed)) return { type: 'malformed', problem: 'not an object' };
  const problem = problemOf(parsed);
  if (problem !== undefined) return { type: 'malformed', problem };
  return { type: 'ok', operation: parsed as unknown as Operation };
}

type Fields = Readonly<Record<string, unknown>>;

function problemOf(fields: Fields): string | undefined {
  const { process, op, key, input, call, outcome } = fields;
  const returned = fields['return'];
  if (typeof process !== 'string' && !isNumber(process)) return '"process" must be a number or a string';
  if (op !== 'put' && op !== 'get' && op !== 'delete') return '"op" must be "put", "get" or "delete"';
  if (typeof key !== 'string') return '"key" must be a string';
  if (op === 'put' && typeof input !== 'string') return '"input" of a put must be a string';
  if (op !== 'put' && input !== null) return `"input" of a ${op} must be null`;
  const wrong = conditionProblem(op, fields['condition']) ?? timesProblem(op, fields);
  if (wrong !== undefined) return wrong;
  if (!isNumber(call)) return '"call" must be a number';
  if (returned !== null && !isNumber(returned)) return '"return" must be a number or null';
  if (returned !== null && returned < call) return '"return" must not be before "call"';
  if (outcome !== 'ok' && outcome !== 'unknown' && outcome !== 'failed') {
    return '"outcome" must be "ok", "unknown" or "failed"';
  }
  if (outcome === 'ok' && returned === null) return '"return" must be a number where "outcome" is "ok"';
  return outcome === 'ok' ? outputProblem(op, fields['output']) : unansweredProblem(fields['output']);
}

function conditionProblem(op: Operation['op'], condition: unknown): string | undefined {
  if (condition === undefined) return undefined;
  if (op === 'get') return '"condition" is for puts and deletes';
  const revision = isObject(condition) ? condition['revision'] : undefined;
  if (revision === null || revision === 'any' || Number.isSafeInteger(revision)) return undefined;
  return '"condition" must be { "revision": whole number, "any" or null }';
}

function timesProblem(op: Operation['op'], { ttl, at }: Fields): string | undefined {
  if (ttl !== undefined && (op !== 'put' || !isNumber(ttl) || ttl <= 0))
    return '"ttl" must be a number of ms, of a put';
  return at === undefined || isNumber(at) ? undefined : '"at" must be a number';
}

function unansweredProblem(output: unknown): string | undefined {
  return output === null ? undefined : '"output" must be null where "outcome" is not "ok"';
}

function outputProblem(op: Operation['op'], output: unknown): string | undefined {
  if (op !== 'get' && isObject(output) && 'refused' in output) {
    const { refused } = output;
    return refused === null || Number.isSafeInteger(refused) ? undefined : '"refused" must be a revision or null';
  }
  switch (op) {
    case 'put':
      if (!isObject(output) || 'value' in output || 'deleted' in output) {
        return '"output" of a put must be { "created": boolean, "revision": whole number }';
      }
      if (output['created'] !== undefined && typeof output['created'] !== 'boolean') {
        return '"created" must be a boolean';
      }
      return revisionProblem(output);
    case 'get':
      if (output === null) return undefined;
      if (!isObject(output) || typeof output['value'] !== 'string') {
        return '"output" of a get must be null or { "value": string, "revision": whole number }';
      }
      return revisionProblem(output);
    case 'delete':
      if (isObject(output) && typeof output['deleted'] === 'boolean') return undefined;
      return '"output" of a delete must be { "deleted": boolean }';
  }
}

function revisionProblem({ revision, expiresAt }: Fields): string | undefined {
  if (expiresAt !== undefined && !isNumber(expiresAt)) return '"expiresAt" must be a number';
  return revision === undefined || Number.isSafeInteger(revision) ? undefined : '"revision" must be a whole number';
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

async function* lines(chunks: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    const [first = '', ...others] = chunk.split('\n');
    rest += first;
    for (const other of others) {
      yield rest;
      rest = other;
    }
  }
  if (rest !== '') yield rest;
}
