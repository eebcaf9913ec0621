/** What the databases hold of each group, read and judged before anything is served. */
import type { MachineState } from '../kv/types.ts';
import type { LogIndex, Term } from '../raft/types.ts';
import type { PartitionId, RecoveredGroup } from '../replica/ports.ts';
import { noReplica } from '../raft/types.ts';
import { StorageDamage } from './damage.ts';
import type { Database, Databases } from './database.ts';
import { checkChain, type ChainPosition } from './group-log.ts';
import { groupKey, indexKey, kindOfKey, nodePartition, partitionOfKey, RecordKind } from './keys.ts';
import {
  decodeEntry,
  decodeHardState,
  decodeLogStart,
  decodeMachineState,
  type ChainedEntry,
  type LogStart,
} from './records.ts';

/** So much is checked at the end of each log, whichever is reached first, and always all above the applied index. */
const checkedEntries = 1000;
const checkedBytes = 4 * 1024 * 1024;

export interface StoredGroup extends RecoveredGroup {
  readonly partition: PartitionId;
  readonly start: LogStart;
  readonly last: ChainPosition;
}

/** A group never written to. */
export function emptyGroup(partition: PartitionId): StoredGroup {
  return {
    partition,
    hardState: { currentTerm: 0 as Term, votedFor: noReplica },
    machineState: { appliedIndex: 0, appliedTerm: 0, logTime: 0, keys: 0, bytes: 0 },
    start: { firstIndex: 1 as LogIndex, previousTerm: 0 as Term, previousChecksum: 0 },
    last: { index: 0 as LogIndex, term: 0 as Term, checksum: 0 },
  };
}

/** All groups with at least one record. Throws a StorageDamage that names the first record in doubt. */
export async function recoverGroups(databases: Databases): Promise<StoredGroup[]> {
  const partitions = await storedPartitions(databases.log);
  for (const partition of await storedPartitions(databases.state)) {
    if (!partitions.includes(partition)) {
      throw new StorageDamage(`partition ${partition}: there is state and no log`, partition);
    }
  }
  const groups: StoredGroup[] = [];
  for (const partition of partitions) groups.push(await recoverGroup(databases, partition));
  return groups;
}

/** In ascending order. */
async function storedPartitions(database: Database): Promise<PartitionId[]> {
  const partitions: PartitionId[] = [];
  const end = Buffer.alloc(5, 0xff);
  end.writeUInt32BE(nodePartition - 1, 0);
  let next = 0;
  for (;;) {
    const from = Buffer.alloc(5);
    from.writeUInt32BE(next, 0);
    const partition = await firstPartition(database, from, end);
    if (partition === undefined) return partitions;
    partitions.push(partition);
    next = partition + 1;
  }
}

async function firstPartition(database: Database, from: Buffer, to: Buffer): Promise<PartitionId | undefined> {
  for await (const [key] of database.scan({ from, to, limit: 1 })) return partitionOfKey(key);
  return undefined;
}

async function recoverGroup({ log, state }: Databases, partition: PartitionId): Promise<StoredGroup> {
  const hardState = required(log, partition, RecordKind.hardState, decodeHardState, 'hard state');
  const start = required(log, partition, RecordKind.logStart, decodeLogStart, 'log start');
  const machineState = await recoverMachineState(state, partition);
  const last = await checkLogEnd(log, partition, start, machineState);
  // A vote or term that came back in an older version: no entry is stored before its term is (paper, figure 2).
  if (hardState.currentTerm < last.term) {
    const older = `hard state is of term ${hardState.currentTerm}, and the last log entry of term ${last.term}`;
    throw new StorageDamage(`partition ${partition}: ${older}`, partition);
  }
  return { partition, hardState, machineState, start, last };
}

/** A group whose first state batch is still to come has no state at all; with any, its machine state was in the same batch. */
async function recoverMachineState(state: Database, partition: PartitionId): Promise<MachineState> {
  const from = groupKey(partition, RecordKind.machineState);
  const to = groupKey((partition + 1) as PartitionId, RecordKind.machineState);
  for await (const [key, value] of state.scan({ from, to, limit: 1 })) {
    if (partitionOfKey(key) !== partition) break;
    if (kindOfKey(key) === RecordKind.machineState) return decodeMachineState(key, value);
    throw new StorageDamage(`partition ${partition}: machine state is missing`, partition);
  }
  return emptyGroup(partition).machineState;
}

/** Reads the log from its end backwards as far as must be checked. Returns its end. */
async function checkLogEnd(
  database: Database,
  partition: PartitionId,
  start: LogStart,
  { appliedIndex, appliedTerm }: MachineState,
): Promise<ChainPosition> {
  const damaged = (problem: string): StorageDamage =>
    new StorageDamage(`partition ${partition}: ${problem}`, partition);
  const beforeFirst = (start.firstIndex - 1) as LogIndex;
  let last: ChainPosition = { index: beforeFirst, term: start.previousTerm, checksum: start.previousChecksum };
  let next: ChainedEntry | undefined;
  let bytes = 0;
  const from = indexKey(partition, RecordKind.logEntry, start.firstIndex);
  const to = indexKey(partition, RecordKind.logEntry, Number.MAX_SAFE_INTEGER);
  for await (const [key, value] of database.scan({ from, to, reverse: true })) {
    const record = decodeEntry(key, value);
    const { index, term } = record.entry;
    if (next === undefined) last = { index, term, checksum: record.checksum };
    else checkChain(partition, record, next);
    next = record;
    bytes += value.length;
    if (index === appliedIndex && term !== appliedTerm) {
      throw damaged(`log entry ${index} is of term ${term}, and one of term ${appliedTerm} was applied`);
    }
    const enough = last.index - index + 1 >= checkedEntries || bytes >= checkedBytes;
    if (index <= appliedIndex && enough) break;
  }
  if (appliedIndex > last.index || appliedIndex < beforeFirst) {
    throw damaged(`applied up to ${appliedIndex}, and the log holds ${start.firstIndex} to ${last.index}`);
  }
  if (next === undefined) return last;
  const { index } = next.entry;
  const complete = index <= appliedIndex || index === start.firstIndex;
  if (!complete) throw damaged(`log entries ${start.firstIndex} to ${index - 1} are missing`);
  if (index === start.firstIndex && next.previousChecksum !== start.previousChecksum) {
    throw damaged(`log entry ${index} does not follow where the log starts`);
  }
  return last;
}

/** A group's first log batch writes both, so one that is not there was lost. */
function required<T>(
  database: Database,
  partition: PartitionId,
  kind: (typeof RecordKind)[keyof typeof RecordKind],
  decode: (key: Buffer, value: Buffer) => T,
  what: string,
): T {
  const key = groupKey(partition, kind);
  const value = database.get(key);
  if (value === undefined) throw new StorageDamage(`partition ${partition}: ${what} is missing`, partition);
  return decode(key, value);
}
