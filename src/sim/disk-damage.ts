import { unreachable } from '../assert.ts';
import type { DiskRecords, RecordsCopy } from './disk-records.ts';

/**
 * What a disk does to the files of a node that is down. Each is found for certain, or loses nothing that was promised.
 *
 * - `lostRun`: a bit turned or a run lost in a write-ahead log. Batches before its last vanish, and older versions of
 *   their records are back. Found at opening: a gap in the batch sequence.
 * - `lostTail`: a write-ahead log cut short. Of the log's: found at opening, since it ends short of HIGHWATER; not done
 *   where HIGHWATER does not know of the first lost batch. Of the state's: nothing is lost where the log has the rest, and
 *   found at opening where the log was compacted since.
 * - `flippedBit`: one bit in a value of a table. Found at opening or when the record is read: its checksum does not
 *   cover it. (A node's own table check would find all of them at opening.)
 * - `rollBack`: both databases are as they were at an earlier start; HIGHWATER and identity are not. Found at opening, as `lostTail` is.
 * - `stateRollBack`: the same of the state alone. As with the state's lost tail.
 */
export const damageKinds = ['lostRun', 'lostTail', 'flippedBit', 'rollBack', 'stateRollBack'] as const;
export type DamageKind = (typeof damageKinds)[number];

export interface DamageTarget {
  readonly log: DiskRecords;
  readonly state: DiskRecords;
  /** The newest log batch that HIGHWATER names; 0 for none. */
  readonly marked: number;
  readonly copies: { readonly log: RecordsCopy; readonly state: RecordsCopy } | undefined;
  readonly random: () => number;
}

const flipAttempts = 16;

/** Returns what was lost; undefined when there was nothing to lose that is certain to be found. */
export function damageRecords(kind: DamageKind, target: DamageTarget): string | undefined {
  const { log, state, copies, random } = target;
  const drawn = random() < 0.5 ? [log, state] : [state, log];
  switch (kind) {
    case 'lostRun':
      return firstLoss(drawn, (records) => loseRun(records, random));
    case 'lostTail':
      return firstLoss(drawn, (records) => loseTail(records, records === log ? target.marked : Infinity, random));
    case 'flippedBit':
      return firstLoss(drawn, (records) => flipBit(records, random));
    case 'rollBack': {
      if (copies === undefined || copies.log.batches >= target.marked) return undefined;
      state.restore(copies.state);
      return rollBack(log, copies.log);
    }
    case 'stateRollBack': {
      if (copies === undefined || copies.state.batches >= state.batches()) return undefined;
      return rollBack(state, copies.state);
    }
    default:
      return unreachable(kind);
  }
}

function firstLoss(
  drawn: readonly DiskRecords[],
  damage: (records: DiskRecords) => string | undefined,
): string | undefined {
  for (const records of drawn) {
    const lost = damage(records);
    if (lost !== undefined) return lost;
  }
  return undefined;
}

function loseRun(records: DiskRecords, random: () => number): string | undefined {
  const logged = records.batchesLogged();
  if (logged < 2) return undefined;
  const from = whole(0, logged - 2, random);
  const end = whole(from + 1, logged - 1, random);
  return lose(records, from, end);
}

/** The first batch that is lost is one up to `knownUpTo`. */
function loseTail(records: DiskRecords, knownUpTo: number, random: () => number): string | undefined {
  const logged = records.batchesLogged();
  const folded = records.batches() - logged;
  const fromMax = Math.min(logged, knownUpTo - folded) - 1;
  if (fromMax < 0) return undefined;
  return lose(records, whole(0, fromMax, random), logged);
}

function lose(records: DiskRecords, from: number, end: number): string {
  const before = records.batches() - records.batchesLogged();
  records.lose(from, end);
  return `${records.name} batches ${before + from + 1} to ${before + end}`;
}

function flipBit(records: DiskRecords, random: () => number): string | undefined {
  const keys = records.sortedKeys();
  for (let attempt = 0; attempt < flipAttempts && keys.length > 0; attempt += 1) {
    const key = keys[whole(0, keys.length - 1, random)] as string;
    if (!records.flip(key, whole(0, 2 ** 31, random))) continue;
    return `a bit of the ${records.name}'s record ${Buffer.from(key, 'latin1').toString('hex')}`;
  }
  return undefined;
}

function rollBack(records: DiskRecords, copy: RecordsCopy): string {
  const batches = records.batches();
  records.restore(copy);
  return `${records.name} batches ${copy.batches + 1} to ${batches}`;
}

/** In [min, max]. */
function whole(min: number, max: number, random: () => number): number {
  return min + Math.floor(random() * (max - min + 1));
}
