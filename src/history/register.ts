/**
 * The operations on one key, brought into the form that the search works on: numbers in arrays, in the order of their calls.
 * What no order of the operations could explain is found here already, without a search.
 */
import { assert } from '../assert.ts';
import { contradiction, type Contradiction } from './contradictions.ts';
import { dueTimes } from './due-times.ts';
import type { DeleteOutput, GetOutput, Operation, PutOutput, RefusedOutput } from './types.ts';

/** Stands for a value, or a rank, where there is none. */
export const none = -1;

/** What an answered operation asks of the state it meets, and does to it. */
export const Kind = {
  /** A get that found nothing, a delete that deleted nothing, a condition that failed as there was nothing. */
  seesAbsence: 0,
  seesValue: 1,
  writes: 2,
  removes: 3,
  /** A condition that failed: its answer names the revision that was there, and not the value. */
  seesRevision: 4,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** What a put's `created`, and a condition that held, say of the state before it. */
export const Before = { any: 0, absent: 1, present: 2 } as const;
export type Before = (typeof Before)[keyof typeof Before];

/** An answered operation. */
export interface Known {
  readonly operation: Operation;
  readonly call: number;
  readonly return: number;
  readonly kind: Kind;
  readonly before: Before;
  /** A number for each value ever put, or `none`. */
  value: number;
  readonly revision: number | undefined;
  /** The rank of the revision that must have been there, or `none`: then `before` says all. */
  requires: number;
  /** The log's time when it was answered, the greatest number where that is not known: what is due by then may be gone. */
  readonly at: number;
  /** The position of its revision among all that were answered, or `none`. */
  rank: number;
}

/** Writes of unknown outcome that are as good as each other, in the order of their calls: the first is always there first. */
export interface Pool {
  /** What they write, or `none`. */
  readonly value: number;
  readonly operations: Operation[];
}

/** The two pools that are always there, maybe empty; after them one for each value that has a reader. */
export const deletesPool = 0;
export const unreadPutsPool = 1;

export interface Register {
  /** By call. */
  readonly known: readonly Known[];
  readonly pools: readonly Pool[];
  readonly values: number;
  /** For each value, the log's time from which on it may be gone: Infinity for never. */
  readonly dueAt: Float64Array;
  /** For each rank whether an answered put had that revision; else only a put of unknown revision can have had it. */
  readonly rankIsOfPut: readonly boolean[];
}

export type Prepared =
  { readonly type: 'ready'; readonly register: Register } | ({ readonly type: 'impossible' } & Contradiction);

/** `operations` are of one key, in any order. */
export function prepare(operations: readonly Operation[]): Prepared {
  const byCall = operations.filter(mayTakeEffect).sort((one, other) => one.call - other.call);
  const puts = putsOf(byCall);
  const known: Known[] = [];
  for (const operation of byCall) if (operation.outcome === 'ok') known.push(knownFrom(operation, puts));
  const found = contradiction(known, puts);
  if (found !== undefined) return { type: 'impossible', ...found };
  nameSeenValues(known);
  const rankIsOfPut = rankRevisions(known);
  const dueAt = dueTimes(byCall, puts);
  const pools = poolsOf(byCall, known, puts);
  return { type: 'ready', register: { known, pools, values: puts.size, rankIsOfPut, dueAt } };
}

/** The puts of one value. */
export interface Puts {
  /** The value's number. */
  readonly value: number;
  count: number;
  /** The first by call, and the first whose revision nobody was told. */
  readonly first: Operation;
  firstWithoutRevision: Operation | undefined;
  /** When the last one returned, Infinity while one may still take effect. */
  returned: number;
}

function mayTakeEffect({ op, outcome }: Operation): boolean {
  return outcome === 'ok' || (outcome === 'unknown' && op !== 'get');
}

function putsOf(byCall: readonly Operation[]): Map<string, Puts> {
  const puts = new Map<string, Puts>();
  for (const operation of byCall) {
    if (operation.op !== 'put' || isRefused(operation.output)) continue;
    assert(operation.input !== null, 'a put has a value');
    let ofValue = puts.get(operation.input);
    if (ofValue === undefined) {
      ofValue = { value: puts.size, count: 0, first: operation, firstWithoutRevision: undefined, returned: -Infinity };
      puts.set(operation.input, ofValue);
    }
    ofValue.count += 1;
    const returned = operation.outcome === 'ok' ? operation.return : null;
    ofValue.returned = Math.max(ofValue.returned, returned ?? Infinity);
    if (revisionOf(operation) === undefined) ofValue.firstWithoutRevision ??= operation;
  }
  return puts;
}

function knownFrom(operation: Operation, puts: ReadonlyMap<string, Puts>): Known {
  const { op, input, output } = operation;
  let kind: Kind;
  let before: Before = Before.any;
  let written: string | null = null;
  if (isRefused(output)) kind = output.refused === null ? Kind.seesAbsence : Kind.seesRevision;
  else if (op === 'put') {
    const { created } = putOutput(output);
    kind = Kind.writes;
    written = input;
    if (created !== undefined) before = created ? Before.absent : Before.present;
    else if (operation.condition !== undefined)
      before = operation.condition.revision === null ? Before.absent : Before.present;
  } else if (op === 'delete') kind = deleteOutput(output).deleted ? Kind.removes : Kind.seesAbsence;
  else if (output === null) kind = Kind.seesAbsence;
  else {
    kind = Kind.seesValue;
    written = getOutput(output).value;
  }
  const returned = operation.return;
  assert(returned !== null && returned >= operation.call, 'an answered operation returned, after its call');
  const value = written === null ? none : (puts.get(written)?.value ?? none);
  const revision = revisionOf(operation);
  const at = operation.at ?? Number.MAX_VALUE;
  const unranked = { rank: none, requires: none };
  return { operation, call: operation.call, return: returned, kind, before, value, revision, at, ...unranked };
}

export function isRefused(output: Operation['output']): output is RefusedOutput {
  return output !== null && 'refused' in output;
}

function putOutput(output: Operation['output']): PutOutput {
  assert(
    output !== null && !('value' in output || 'deleted' in output || 'refused' in output),
    'an answered put has the answer of a put',
  );
  return output;
}

function getOutput(output: Operation['output']): GetOutput {
  assert(output !== null && 'value' in output, 'an answered get has the answer of a get');
  return output;
}

function deleteOutput(output: Operation['output']): DeleteOutput {
  assert(output !== null && 'deleted' in output, 'an answered delete has the answer of a delete');
  return output;
}

export function revisionOf({ output }: Pick<Operation, 'output'>): number | undefined {
  if (output === null || 'deleted' in output) return undefined;
  return 'refused' in output ? (output.refused ?? undefined) : output.revision;
}

/** Who was told a revision by a condition that failed has seen the value that others tell with it, if anyone does. */
function nameSeenValues(known: readonly Known[]): void {
  const values = new Map<number, number>();
  for (const { kind, value, revision } of known) {
    if (revision !== undefined && (kind === Kind.writes || kind === Kind.seesValue)) values.set(revision, value);
  }
  for (const one of known) {
    if (one.kind === Kind.seesRevision && one.revision !== undefined) one.value = values.get(one.revision) ?? none;
  }
}

/** Sets `rank`: every revision that anyone was told is of a write that took effect, and they took effect in this order. */
function rankRevisions(known: readonly Known[]): boolean[] {
  const ofPut = new Map<number, boolean>();
  for (const { kind, revision } of known) {
    if (revision !== undefined) ofPut.set(revision, kind === Kind.writes || ofPut.get(revision) === true);
  }
  const revisions = [...ofPut.keys()].sort((one, other) => one - other);
  const ranks = new Map<number, number>();
  for (const [rank, revision] of revisions.entries()) ranks.set(revision, rank);
  const toldAt = new Map<number, number>();
  for (const { revision, return: returned } of known) {
    if (revision !== undefined) toldAt.set(revision, Math.min(returned, toldAt.get(revision) ?? Infinity));
  }
  for (const one of known) {
    if (one.revision !== undefined) one.rank = ranks.get(one.revision) ?? none;
    // Only of a revision that somebody was told before: then the search knows it whenever it is there.
    const wanted =
      one.kind === Kind.writes || one.kind === Kind.removes ? one.operation.condition?.revision : undefined;
    if (typeof wanted === 'number' && (toldAt.get(wanted) ?? Infinity) < one.call)
      one.requires = ranks.get(wanted) ?? none;
  }
  return revisions.map((revision) => ofPut.get(revision) === true);
}

function poolsOf(byCall: readonly Operation[], known: readonly Known[], puts: ReadonlyMap<string, Puts>): Pool[] {
  const read = new Set<number>();
  for (const { kind, value } of known) {
    if (kind === Kind.seesValue || (kind === Kind.seesRevision && value !== none)) read.add(value);
  }
  const deletes: Pool = { value: none, operations: [] };
  const unreadPuts: Pool = { value: none, operations: [] };
  const ofValue = new Map<number, Pool>();
  for (const operation of byCall) {
    if (operation.outcome !== 'unknown') continue;
    // Its value may be gone again before anyone sees it: then it has done what a delete does.
    if (operation.op === 'put' && operation.ttl !== undefined) deletes.operations.push(operation);
    const value = operation.op === 'delete' ? none : (puts.get(operation.input ?? '')?.value ?? none);
    let pool = operation.op === 'delete' ? deletes : read.has(value) ? ofValue.get(value) : unreadPuts;
    if (pool === undefined) {
      pool = { value, operations: [] };
      ofValue.set(value, pool);
    }
    pool.operations.push(operation);
  }
  return [deletes, unreadPuts, ...ofValue.values()];
}
