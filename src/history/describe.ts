/** A history and what is wrong with it, in words for a person. */
import { revisionOf } from './register.ts';
import type { Violation } from './check.ts';
import type { Operation } from './types.ts';

/** As many as one can look through; the last ones matter most. */
const linesMax = 12;

/** One line, like `[12.5, 14.1] c3 get -> "v7", revision 12`: when it was called and returned, by whom, and the answer. */
export function describeOperation(operation: Operation): string {
  const { process, output, call, return: returned, outcome } = operation;
  const asked = askedWords(operation);
  return `[${call}, ${outcome === 'unknown' ? 'unknown' : (returned ?? '')}] ${process} ${asked} -> ${answer()}`;

  function answer(): string {
    if (outcome !== 'ok') return outcome;
    if (output === null) return 'not found';
    if ('refused' in output)
      return output.refused === null ? 'refused, nothing there' : `refused, revision ${output.refused}`;
    if ('deleted' in output) return output.deleted ? 'deleted' : 'nothing to delete';
    const words = 'value' in output ? [JSON.stringify(output.value)] : createdWords(output.created);
    const revision = revisionOf({ output });
    const due = output.expiresAt === undefined || output.expiresAt === 0 ? [] : [`due at ${output.expiresAt}`];
    const at = operation.at === undefined ? [] : [`told at ${operation.at}`];
    return [
      ...words,
      ...(revision === undefined ? [] : [`revision ${revision}`]),
      ...due,
      ...(due.length === 0 ? [] : at),
    ].join(', ');
  }
}

function askedWords({ op, input, condition, ttl }: Operation): string {
  const words = [input === null ? op : `${op} ${JSON.stringify(input)}`];
  if (ttl !== undefined) words.push(`for ${ttl} ms`);
  if (condition?.revision === null) words.push('if absent');
  else if (condition !== undefined) words.push(`if revision ${condition.revision}`);
  return words.join(' ');
}

function createdWords(created: boolean | undefined): string[] {
  if (created === undefined) return ['done'];
  return [created ? 'created' : 'replaced'];
}

/** The key, what could not be placed, and what came before it. */
export function describeViolation({ key, reason, unplaced, linearized, pending }: Violation): string[] {
  const [culprit, ...contradicted] = unplaced.map(describeOperation);
  return [
    `key ${JSON.stringify(key)} is not linearizable: ${reason}`,
    `  ${culprit ?? ''}`,
    ...section('against:', contradicted),
    ...section('until then all is explained by this order:', linearized.map(describeOperation)),
    ...section('not yet in effect, or never:', pending.map(describeOperation)),
  ];
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const left = lines.length - linesMax;
  return [title, ...(left > 0 ? [`  (${left} before)`] : []), ...lines.slice(-linesMax).map((line) => `  ${line}`)];
}
