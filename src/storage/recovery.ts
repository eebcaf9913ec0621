/** What the databases hold of each group, read and judged before anything is served. */
import { emptyMachineState } from '../kv/machine.ts';
import type { LogIndex, ReplicaId, Term } from '../raft/types.ts';
import type { DeadReplicas, PartitionId, RecoveredGroup, StoredConfiguration } from '../replica/ports.ts';
import { noReplica } from '../raft/types.ts';
import { StorageDamage } from './damage.ts';
import type { Database, DatabaseReader, Databases } from './database.ts';
import { allOrNone } from './all-or-none.ts';
import { nobodyDead } from './destruction.ts';
import type { ChainPosition } from './group-log.ts';
import { recoverKept } from './kept-changes.ts';
import { groupKey, kindOfKey, nodePartition, partitionOfKey, RecordKind, type Area } from './keys.ts';
import { checkedOfEach, recoverLogEnd, storedLogBytes, type CheckedAtLeast } from './log-recovery.ts';
import {
  decodeDead,
  decodeHardState,
  decodeLogStart,
  decodeReplica,
  type DeadRecord,
  type LogStart,
} from './records.ts';
import {
  decodeConfigurationRecord,
  decodeMachineState,
  decodeStagedSnapshot,
  decodeUnswept,
  type StagedSnapshot,
} from './state-records.ts';

export interface StoredGroup extends RecoveredGroup {
  readonly partition: PartitionId;
  readonly start: LogStart;
  readonly last: ChainPosition;
  /** Where the values of `machineState` are. */
  readonly area: Area;
  /** Whether the state's database has a machine state of it. */
  readonly stateFounded: boolean;
  readonly durableAppliedIndex: LogIndex;
  /**
   * An installed snapshot that the log begins behind, and that is not yet the live state on disk. `machineState`, `configuration`
   * and `area` are its own.
   */
  readonly rollForward: StagedSnapshot | undefined;
  /** From where on the area that is not live may hold something. */
  readonly unswept: Buffer | undefined;
  /** Indexes of entries of which something is kept for watchers. */
  readonly kept: readonly LogIndex[];
  readonly dead: DeadReplicas;
  /** Set when there is no log behind it any more, and something is left to be destroyed. */
  readonly tombstone: DeadRecord | undefined;
}

/** A group never written to. */
export function emptyGroup(partition: PartitionId): StoredGroup {
  return {
    partition,
    replicaId: undefined,
    hardState: { currentTerm: 0 as Term, votedFor: noReplica },
    machineState: emptyMachineState,
    configuration: undefined,
    logBytes: 0,
    area: 0,
    stateFounded: false,
    durableAppliedIndex: 0 as LogIndex,
    rollForward: undefined,
    unswept: undefined,
    kept: [],
    dead: nobodyDead,
    tombstone: undefined,
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
  const checked = checkedOfEach(partitions.length);
  const groups: StoredGroup[] = [];
  for (let at = 0; at < partitions.length; at += recoveredAtOnce) {
    const some = partitions.slice(at, at + recoveredAtOnce);
    groups.push(...(await allOrNone(some.map((partition) => recoverGroup(databases, partition, checked)))));
  }
  return groups;
}

/** While one is judged the next are read. */
const recoveredAtOnce = 4;

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

function readReplica(log: Database, partition: PartitionId): ReplicaId | undefined {
  const key = groupKey(partition, RecordKind.replica);
  const value = log.get(key);
  return value === undefined ? undefined : decodeReplica(key, value);
}

/**
 * Behind a tombstone there is no log, or that of a replica with a higher id, and then no entry that the tombstone speaks of. Both are made sure
 * of: the one without the other was left by a loss.
 */
async function recoverGroup(
  databases: Databases,
  partition: PartitionId,
  checked: CheckedAtLeast,
): Promise<StoredGroup> {
  const { log } = databases;
  const tombstone = optional(log, partition, RecordKind.dead, decodeDead);
  if (tombstone === undefined) return recoverLiving(databases, partition, { dead: nobodyDead, checked });
  const hasLog = [RecordKind.hardState, RecordKind.logStart, RecordKind.replica].some(
    (kind) => log.get(groupKey(partition, kind)) !== undefined,
  );
  if (!hasLog) return recoverDead(databases, partition, tombstone);
  const { through, configuration, firstIndex, lastIndex } = tombstone;
  const replicaId = readReplica(log, partition);
  if (replicaId === undefined || replicaId <= through || firstIndex <= lastIndex) {
    const whose = replicaId === undefined ? 'that the map names' : `${replicaId}`;
    throw new StorageDamage(
      `partition ${partition}: replica ${through} is dead, and there is a log of the one ${whose}`,
      partition,
    );
  }
  return recoverLiving(databases, partition, { dead: { through, configuration, remains: false }, checked });
}

async function recoverDead({ state }: Databases, partition: PartitionId, tombstone: DeadRecord): Promise<StoredGroup> {
  const { through, configuration, firstIndex, lastIndex } = tombstone;
  const stateFounded = await isStateFounded(state, partition);
  const { machineState, area } = readDurableState(state, partition);
  const unswept = optional(state, partition, RecordKind.unswept, decodeUnswept);
  const remains = firstIndex <= lastIndex || machineState.appliedIndex > 0 || unswept !== undefined;
  return {
    ...emptyGroup(partition),
    dead: { through, configuration, remains },
    tombstone: remains ? tombstone : undefined,
    machineState,
    area,
    stateFounded,
    unswept,
    // Whatever there is: nobody knows any more where its log began.
    kept: machineState.appliedIndex > 0 ? await recoverKept(state, partition, 1 as LogIndex) : [],
  };
}

async function recoverLiving(
  { log, state }: Databases,
  partition: PartitionId,
  { dead, checked }: { readonly dead: DeadReplicas; readonly checked: CheckedAtLeast },
): Promise<StoredGroup> {
  const hardState = required(log, partition, RecordKind.hardState, decodeHardState, 'hard state');
  const start = required(log, partition, RecordKind.logStart, decodeLogStart, 'log start');
  const stateFounded = await isStateFounded(state, partition);
  const durable = readDurableState(state, partition);
  const rollForward = pendingInstall(state, partition, start, durable);
  const { machineState, area, configuration } = rollForward ?? durable;
  const last = await recoverLogEnd(log, partition, { start, applied: machineState, checked });
  // A vote or term that came back in an older version: no entry is stored before its term is (paper, figure 2).
  if (hardState.currentTerm < last.term) {
    const older = `hard state is of term ${hardState.currentTerm}, and the last log entry of term ${last.term}`;
    throw new StorageDamage(`partition ${partition}: ${older}`, partition);
  }
  return {
    partition,
    replicaId: readReplica(log, partition),
    hardState,
    machineState,
    configuration,
    logBytes: await storedLogBytes(log, partition, start, last.index),
    start,
    last,
    area,
    stateFounded,
    durableAppliedIndex: durable.machineState.appliedIndex as LogIndex,
    rollForward,
    unswept: optional(state, partition, RecordKind.unswept, decodeUnswept),
    kept: await recoverKept(state, partition, start.firstIndex),
    dead,
    tombstone: undefined,
  };
}

/**
 * The log's batch is what installs a snapshot; the state's that makes it live may have been lost in a crash, and is made up for.
 * Only for exactly the snapshot that the log begins behind. Any other one that is staged was never installed.
 */
function pendingInstall(
  state: Database,
  partition: PartitionId,
  { firstIndex, previousTerm }: LogStart,
  live: StagedSnapshot,
): StagedSnapshot | undefined {
  if (live.machineState.appliedIndex >= firstIndex - 1) return undefined;
  const staged = optional(state, partition, RecordKind.stagedSnapshot, decodeStagedSnapshot);
  if (staged === undefined || staged.area === live.area) return undefined;
  const { appliedIndex, appliedTerm } = staged.machineState;
  return appliedIndex === firstIndex - 1 && appliedTerm === previousTerm ? staged : undefined;
}

/** A group whose first state batch is still to come has no state at all; with any, its machine state was in the same batch. */
async function isStateFounded(state: Database, partition: PartitionId): Promise<boolean> {
  const from = groupKey(partition, RecordKind.machineState);
  const to = groupKey((partition + 1) as PartitionId, RecordKind.machineState);
  for await (const [key] of state.scan({ from, to, limit: 1 })) {
    if (partitionOfKey(key) !== partition) break;
    if (kindOfKey(key) === RecordKind.machineState) return true;
    throw new StorageDamage(`partition ${partition}: machine state is missing`, partition);
  }
  return false;
}

/** Machine state, where its values are, and the configuration that it names. Throws a StorageDamage when they don't fit. */
export function readDurableState(state: Pick<DatabaseReader, 'get'>, partition: PartitionId): StagedSnapshot {
  const head = optional(state, partition, RecordKind.machineState, decodeMachineState);
  if (head === undefined) return { machineState: emptyMachineState, area: 0, configuration: undefined };
  const { machineState, area, configurationIndex } = head;
  let configuration: StoredConfiguration | undefined;
  if (configurationIndex !== undefined) {
    const what = 'configuration';
    configuration = required(state, partition, RecordKind.configuration, decodeConfigurationRecord, what);
    if (configuration.index !== configurationIndex) {
      const problem = `configuration is of entry ${configuration.index}, and the machine state of ${configurationIndex}`;
      throw new StorageDamage(`partition ${partition}: ${problem}`, partition);
    }
  }
  return { machineState, area, configuration };
}

function optional<T>(
  database: Pick<DatabaseReader, 'get'>,
  partition: PartitionId,
  kind: RecordKind,
  decode: (key: Buffer, value: Buffer) => T,
): T | undefined {
  const key = groupKey(partition, kind);
  const value = database.get(key);
  return value === undefined ? undefined : decode(key, value);
}

/** For what some batch has always written before: not being there, it was lost. */
function required<T>(
  database: Pick<DatabaseReader, 'get'>,
  partition: PartitionId,
  kind: RecordKind,
  decode: (key: Buffer, value: Buffer) => T,
  what: string,
): T {
  const found = optional(database, partition, kind, decode);
  if (found === undefined) throw new StorageDamage(`partition ${partition}: ${what} is missing`, partition);
  return found;
}
