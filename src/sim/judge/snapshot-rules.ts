/** The rules about what a replica forgets (paper 7): its log's beginning, or all of it in favour of a snapshot. */
import { encodeConfiguration } from '../../raft/configuration.ts';
import type { MachineState } from '../../kv/types.ts';
import type { LogIndex } from '../../raft/types.ts';
import { isSameBytes, named, type KnownEntry } from './entries.ts';
import type { KnownConfiguration } from './known-configuration.ts';
import type { PartitionRecord } from './partition-record.ts';
import { sharedEnd, type JudgedWrite, type ReplicaRecord } from './replica-record.ts';

/** As a replica stores it beside its state: the last configuration entry that the state covers. */
export interface StoredConfiguration {
  readonly index: LogIndex;
  /** Of that entry. */
  readonly body: Uint8Array;
}

/** A snapshot is whole, beside the replica's state: it is the state that others had there. */
export function checkSnapshot(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { machineState, configuration }: { machineState: MachineState; configuration: StoredConfiguration | undefined },
): void {
  const point = { index: machineState.appliedIndex, term: machineState.appliedTerm };
  const entry = committedPoint(partition, replica, point);
  partition.steps.reached(replica.name, machineState, 'was sent a snapshot of');
  checkStoredConfiguration(partition, replica, { covered: entry, configuration });
}

/** The entry that an install ends at, if the write holds one. Figure 13: only ever forward, to what is committed. */
export function checkInstall(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { install }: JudgedWrite,
): KnownEntry | undefined {
  if (install === undefined) return undefined;
  const { name, staged, appliedIndex } = replica;
  const fail = (why: string): never =>
    partition.fail('snapshot point', `${name} installs a snapshot up to ${named(install)}, ${why}`);
  const entry = committedPoint(partition, replica, install);
  if (staged?.index !== install.index || staged.term !== install.term) {
    fail(staged === undefined ? 'of which nothing is staged' : `and ${named(staged)} is what is staged`);
  }
  if (install.index <= appliedIndex) fail(`and has applied ${appliedIndex}`);
  return entry;
}

/** Figure 13, step 6: a log that holds the snapshot's last entry keeps what follows, which may be committed. */
export function checkRetained(partition: PartitionRecord, replica: ReplicaRecord, installed: KnownEntry): void {
  const { log, lastEntry, name } = replica;
  if (lastEntry.index <= installed.index || sharedEnd(log, installed) < installed.index) return;
  const what = `drops what follows in its log up to ${named(lastEntry)}`;
  partition.fail(
    'snapshot point',
    `${name} installs a snapshot up to ${named(installed)}, which it holds, and ${what}`,
  );
}

/** Nothing is forgotten that a start could still need: all that goes is covered by durable state. */
export function checkCompaction(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { write, installed }: { readonly write: JudgedWrite; readonly installed: KnownEntry | undefined },
): void {
  const { compactThrough } = write;
  if (compactThrough === undefined) return;
  const [applied, durable] = [replica.appliedIndex, replica.stateDurable].map((at) =>
    Math.max(at, installed?.index ?? 0),
  );
  const fail = (why: string): never =>
    partition.fail('compaction', `${replica.name} forgets its log up to ${compactThrough}, ${why}`);
  if (compactThrough > partition.committedIndex) fail(`and ${partition.committedIndex} is committed`);
  if (compactThrough > (applied as number)) fail(`and has applied ${applied}`);
  if (compactThrough > (durable as number)) fail(`and its state is durable up to ${durable}`);
}

/** State and the configuration that it covers are stored together: a start after compaction knows no other. */
export function checkStoredConfiguration(
  partition: PartitionRecord,
  { name }: ReplicaRecord,
  { covered, configuration }: { covered: KnownEntry; configuration: StoredConfiguration | undefined },
): void {
  const expected = partition.roster.inForce(covered);
  if (isSameConfiguration(expected, configuration)) return;
  const stored =
    configuration === undefined ? 'the founding configuration' : `the configuration of ${configuration.index}`;
  const right = expected.index === 0 ? 'the founding one' : `that of ${named(expected)}`;
  const what = `${stored} for the one after ${named(covered)}`;
  partition.fail('stored configuration', `${name} takes ${what}, and ${right} is, or its content differs`);
}

function isSameConfiguration(expected: KnownConfiguration, configuration: StoredConfiguration | undefined): boolean {
  if (configuration === undefined) return expected.body === undefined;
  // No entry brought the founding one: a snapshot spells it out, since a newcomer can't know it.
  if (expected.body === undefined) {
    return configuration.index === 0 && isSameBytes(encodeConfiguration(expected.content), configuration.body);
  }
  return expected.index === configuration.index && isSameBytes(expected.body, configuration.body);
}

function committedPoint(
  partition: PartitionRecord,
  { name }: ReplicaRecord,
  point: { readonly index: number; readonly term: number },
): KnownEntry {
  const entry = partition.committedAt(point.index);
  if (entry?.term === point.term) return entry;
  const committed =
    entry === undefined ? `only ${partition.committedIndex} is committed` : `${named(entry)} is committed`;
  partition.fail('snapshot point', `${name} is given a snapshot up to ${named(point)}, and ${committed}`);
}
