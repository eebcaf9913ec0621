/** What was done and seen over all runs: kept in a file, so that counts add up. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

export interface KindTotal {
  readonly count: number;
  /** Of each, the longest time without a write that began while it lasted, ms. The newest; so many that percentiles mean something. */
  readonly gapsMs: readonly number[];
  /** The longest of all. */
  readonly longestGapMs: number;
  /** The same of those that began after its end: while a node starts again and comes to itself. None in totals of earlier programs. */
  readonly afterMs?: readonly number[];
  readonly longestAfterMs?: number;
}

export interface Totals {
  readonly runs: number;
  readonly seconds: number;
  readonly writes: number;
  readonly reads: number;
  readonly unknown: number;
  /** Histories checked, and what was found. */
  readonly histories: number;
  readonly illegal: number;
  readonly undecided: number;
  /** Of replicas with one another, and how many of them differed. */
  readonly comparisons: number;
  readonly differing: number;
  readonly kinds: Readonly<Record<string, KindTotal>>;
}

export const noTotals: Totals = {
  runs: 0,
  seconds: 0,
  writes: 0,
  reads: 0,
  unknown: 0,
  histories: 0,
  illegal: 0,
  undecided: 0,
  comparisons: 0,
  differing: 0,
  kinds: {},
};

const gapsMax = 10_000;

export function added(one: Totals, other: Totals): Totals {
  const kinds: Record<string, KindTotal> = { ...one.kinds };
  for (const [kind, total] of Object.entries(other.kinds)) {
    kinds[kind] = sum(kinds[kind], total);
  }
  return {
    runs: one.runs + other.runs,
    seconds: one.seconds + other.seconds,
    writes: one.writes + other.writes,
    reads: one.reads + other.reads,
    unknown: one.unknown + other.unknown,
    histories: one.histories + other.histories,
    illegal: one.illegal + other.illegal,
    undecided: one.undecided + other.undecided,
    comparisons: one.comparisons + other.comparisons,
    differing: one.differing + other.differing,
    kinds,
  };
}

export function sum(one: KindTotal | undefined, other: KindTotal): KindTotal {
  if (one === undefined) return other;
  return {
    count: one.count + other.count,
    gapsMs: [...one.gapsMs, ...other.gapsMs].slice(-gapsMax),
    longestGapMs: Math.max(one.longestGapMs, other.longestGapMs),
    afterMs: [...(one.afterMs ?? []), ...(other.afterMs ?? [])].slice(-gapsMax),
    longestAfterMs: Math.max(one.longestAfterMs ?? 0, other.longestAfterMs ?? 0),
  };
}

/** None when there is no such file yet. Throws when it holds something else. */
export function readTotals(file: string): Totals {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return noTotals;
    throw error;
  }
  const parsed = JSON.parse(text) as Partial<Totals> | null;
  if (typeof parsed?.runs !== 'number' || typeof parsed.kinds !== 'object') {
    throw new Error(`${file} holds something else than the totals of earlier runs: name another file`);
  }
  return { ...noTotals, ...parsed };
}

/** Whole or not at all: a run may be interrupted at any time. */
export function writeTotals(file: string, totals: Totals): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(totals, undefined, 2)}\n`);
  renameSync(`${file}.new`, file);
}
