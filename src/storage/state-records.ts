/** The records of the state machine's database but values. Golden bytes in `test/storage/records.test.ts` hold these layouts still. */
import type { Scratch } from '../bytes.ts';
import type { MachineState } from '../kv/types.ts';
import type { LogIndex } from '../raft/types.ts';
import type { PartitionId, StoredConfiguration } from '../replica/ports.ts';
import { partitionOfKey, RecordKind, type Area } from './keys.ts';
import {
  checksumBytes,
  damagedRecord,
  decodeNumbers,
  decodeNumbersAndBody,
  encodeNumbers,
  unseal,
  type EncodedRecord,
} from './sealing.ts';

/** What the machine-state record says: all of a state but its values and its configuration. */
export interface StateHead {
  readonly machineState: MachineState;
  /** Where the values are. */
  readonly area: Area;
  /**
   * Index of the configuration record that belongs to it; undefined when there is none, and the group has the configuration that it
   * was founded with. Named here so that a configuration that is lost, or an older one, is found out.
   */
  readonly configurationIndex: LogIndex | undefined;
}

/** A snapshot that is staged completely: what becomes of the group once it is installed. */
export interface StagedSnapshot {
  readonly machineState: MachineState;
  /** Where its values are staged. */
  readonly area: Area;
  readonly configuration: StoredConfiguration | undefined;
}

const stateFields = 7;
const headFields = stateFields + 3;

export function encodeMachineState(scratch: Scratch, partition: PartitionId, head: StateHead): EncodedRecord {
  const { machineState, area, configurationIndex } = head;
  const fields = [...fieldsOf(machineState), area, configurationIndex === undefined ? 0 : 1, configurationIndex ?? 0];
  return encodeNumbers(scratch, partition, RecordKind.machineState, fields);
}

export function decodeMachineState(key: Buffer, value: Buffer): StateHead {
  const what = (): string => 'machine state';
  const fields = decodeNumbers(key, value, headFields, what);
  const [area, configured, index] = fields.slice(stateFields);
  return {
    machineState: machineStateOf(fields),
    area: checkedFlag(key, what, area),
    configurationIndex: checkedFlag(key, what, configured) === 1 ? (index as LogIndex) : undefined,
  };
}

export function encodeConfigurationRecord(
  scratch: Scratch,
  partition: PartitionId,
  { index, body }: StoredConfiguration,
): EncodedRecord {
  return encodeNumbers(scratch, partition, RecordKind.configuration, [index], { body });
}

export function decodeConfigurationRecord(key: Buffer, value: Buffer): StoredConfiguration {
  const { fields, body } = decodeNumbersAndBody(key, value, 1, () => 'configuration');
  return { index: fields[0] as LogIndex, body };
}

/** An empty body says that the snapshot has no configuration of its own: those of entries are never empty. */
export function encodeStagedSnapshot(
  scratch: Scratch,
  partition: PartitionId,
  { machineState, area, configuration }: StagedSnapshot,
): EncodedRecord {
  const fields = [...fieldsOf(machineState), area, configuration?.index ?? 0];
  const options = configuration === undefined ? {} : { body: configuration.body };
  return encodeNumbers(scratch, partition, RecordKind.stagedSnapshot, fields, options);
}

export function decodeStagedSnapshot(key: Buffer, value: Buffer): StagedSnapshot {
  const what = (): string => 'staged snapshot';
  const { fields, body } = decodeNumbersAndBody(key, value, stateFields + 2, what);
  const [area, index] = fields.slice(stateFields);
  return {
    machineState: machineStateOf(fields),
    area: checkedFlag(key, what, area),
    configuration: body.length === 0 ? undefined : { index: index as LogIndex, body },
  };
}

/** There while the area that is not live may hold anything: only keys from `from` on. */
export function encodeUnswept(scratch: Scratch, partition: PartitionId, from: Uint8Array): EncodedRecord {
  return encodeNumbers(scratch, partition, RecordKind.unswept, [], { body: from });
}

export function decodeUnswept(key: Buffer, value: Buffer): Buffer {
  unseal(key, value, 1, () => 'sweeping mark');
  return value.subarray(1, value.length - checksumBytes);
}

function fieldsOf(state: MachineState): number[] {
  const { appliedIndex, appliedTerm, logTime, keys, bytes, expiring, remembered } = state;
  return [appliedIndex, appliedTerm, logTime, keys, bytes, expiring, remembered];
}

function machineStateOf(fields: readonly number[]): MachineState {
  const [appliedIndex = 0, appliedTerm = 0, logTime = 0, keys = 0, bytes = 0, expiring = 0, remembered = 0] = fields;
  return { appliedIndex, appliedTerm, logTime, keys, bytes, expiring, remembered };
}

/** An area, or whether there is something. */
function checkedFlag(key: Buffer, what: () => string, found: number | undefined): Area {
  if (found === 0 || found === 1) return found;
  throw damagedRecord(partitionOfKey(key), what(), `says ${found} where only 0 and 1 mean anything`);
}
