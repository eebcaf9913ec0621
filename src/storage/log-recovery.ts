/**
 * The end of a stored log, found and judged without walking over deleted entries. LevelDB keeps a deleted key as a tombstone until
 * its tables are merged, and an iterator steps over each one between where it begins and the first record that is there, and again over those behind
 * the last one asked for. A compacted or installed log has thousands of them right below its first entry. So:
 *
 * - Whether there is any entry is asked forwards from where the log starts: that first entry is right there, and in an empty log
 *   only what a truncation took off its end lies between there and the next group.
 * - Its last entry is asked for backwards from the end of all keys with `limit: 1`: what is there is found before anything
 *   deleted below the start, and there is no second step.
 * - All others lie between these two: they are read backwards from the last one, as many as there must be.
 */
import type { MachineState } from '../kv/types.ts';
import type { LogIndex } from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';
import type { Database } from './database.ts';
import { checkChain, type ChainPosition } from './group-log.ts';
import { indexKey, indexOfKey, RecordKind } from './keys.ts';
import { decodeEntry, type ChainedEntry, type LogStart } from './records.ts';

/**
 * So much is checked at the ends of all logs together, evenly, and at least so many entries of each; and always all above the applied
 * index. It is the third look at them: turned bits are found by the check of the tables, lost batches by the batch sequence; and
 * each record is checked again whenever it is read. So the start of a node with many groups need not wait for more.
 */
const checkedEntries = 1024;
const checkedEntriesOfEach = 16;
const checkedBytes = 4 * 1024 * 1024;
/** Read at once. */
const chunkEntries = 256;

export interface CheckedAtLeast {
  readonly entries: number;
  readonly bytes: number;
}

/** Of one of so many groups, whichever is reached first. */
export function checkedOfEach(groups: number): CheckedAtLeast {
  return { entries: Math.max(checkedEntriesOfEach, Math.ceil(checkedEntries / groups)), bytes: checkedBytes / groups };
}

/** Reads the log from its end backwards as far as must be checked. Returns its end; throws a StorageDamage. */
export async function recoverLogEnd(
  database: Database,
  partition: PartitionId,
  options: { readonly start: LogStart; readonly applied: MachineState; readonly checked: CheckedAtLeast },
): Promise<ChainPosition> {
  const { start, checked } = options;
  const { appliedIndex, appliedTerm } = options.applied;
  const beforeFirst = (start.firstIndex - 1) as LogIndex;
  const lastIndex = await lastStored(database, partition, start);
  if (appliedIndex > lastIndex || appliedIndex < beforeFirst) {
    throw damaged(partition, `applied up to ${appliedIndex}, and the log holds ${start.firstIndex} to ${lastIndex}`);
  }
  checkAppliedTerm(beforeFirst, start.previousTerm);
  let last: ChainPosition = { index: beforeFirst, term: start.previousTerm, checksum: start.previousChecksum };
  let next: ChainedEntry | undefined;
  let bytes = 0;
  for await (const { index, value } of entriesBackwards(database, partition, { first: start.firstIndex, lastIndex })) {
    const record = decodeEntry(indexKey(partition, RecordKind.logEntry, index), value);
    if (next === undefined) last = { index, term: record.entry.term, checksum: record.checksum };
    else checkChain(partition, record, next);
    next = record;
    bytes += value.length;
    checkAppliedTerm(index, record.entry.term);
    const enough = lastIndex - index + 1 >= checked.entries || bytes >= checked.bytes;
    if (index <= appliedIndex && enough) return last;
  }
  if (next !== undefined && next.previousChecksum !== start.previousChecksum) {
    throw damaged(partition, `log entry ${start.firstIndex} does not follow where the log starts`);
  }
  return last;

  function checkAppliedTerm(index: number, term: number): void {
    if (index !== appliedIndex || term === appliedTerm) return;
    throw damaged(partition, `log entry ${index} is of term ${term}, and one of term ${appliedTerm} was applied`);
  }
}

/** From the last to the first; throws a StorageDamage where one is missing. */
async function* entriesBackwards(
  database: Database,
  partition: PartitionId,
  { first, lastIndex }: { readonly first: LogIndex; readonly lastIndex: LogIndex },
): AsyncGenerator<{ readonly index: LogIndex; readonly value: Buffer }> {
  const keyOf = (index: number): Buffer => indexKey(partition, RecordKind.logEntry, index);
  let expected: number = lastIndex;
  for (let to: number = lastIndex; to >= first; to -= chunkEntries) {
    const from = Math.max(first, to - chunkEntries + 1);
    // As many as there must be: looking for one more would step over what was deleted below the first.
    const range = { from: keyOf(from), to: keyOf(to), reverse: true, limit: to - from + 1 };
    for await (const [key, value] of database.scan(range)) {
      const index = indexOfKey(key);
      if (index !== expected) throw damaged(partition, `log entries ${index + 1} to ${expected} are missing`);
      yield { index, value };
      expected -= 1;
    }
    if (expected >= from) throw damaged(partition, `log entries ${from} to ${expected} are missing`);
  }
}

/** Roughly the bytes of the entries up to `last`. */
export async function storedLogBytes(
  database: Database,
  partition: PartitionId,
  { firstIndex }: LogStart,
  last: LogIndex,
): Promise<number> {
  if (last < firstIndex) return 0;
  const from = indexKey(partition, RecordKind.logEntry, firstIndex);
  return database.approximateBytes(from, indexKey(partition, RecordKind.logEntry, last));
}

async function lastStored(database: Database, partition: PartitionId, { firstIndex }: LogStart): Promise<LogIndex> {
  const from = indexKey(partition, RecordKind.logEntry, firstIndex);
  const to = indexKey(partition, RecordKind.logEntry, Number.MAX_SAFE_INTEGER);
  const first = await firstOf(database.scan({ from, to, limit: 1 }));
  if (first === undefined) return (firstIndex - 1) as LogIndex;
  if (first > firstIndex) throw damaged(partition, `log entries ${firstIndex} to ${first - 1} are missing`);
  return (await firstOf(database.scan({ from, to, reverse: true, limit: 1 }))) ?? first;
}

async function firstOf(records: AsyncIterable<readonly [Buffer, Buffer]>): Promise<LogIndex | undefined> {
  for await (const [key] of records) return indexOfKey(key);
  return undefined;
}

function damaged(partition: PartitionId, problem: string): StorageDamage {
  return new StorageDamage(`partition ${partition}: ${problem}`, partition);
}
