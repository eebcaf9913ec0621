/**
 * The deterministic state machine of one partition. Every replica applies the same entries in the same order and so
 * reaches the same state and the same results: nothing here may depend on clocks, randomness, locale or history of a map.
 */
import { asBuffer } from '../bytes.ts';
import { unreachable } from '../assert.ts';
import { decodeCommand, type DecodedCommand } from './command.ts';
import type {
  CommandResult,
  MachineState,
  RecordHeader,
  StateEvent,
  StateReader,
  StateWrite,
  ValueRecord,
} from './types.ts';

/** A partition before its first entry. */
export const emptyMachineState: MachineState = { appliedIndex: 0, appliedTerm: 0, logTime: 0, keys: 0, bytes: 0 };

/** Which range this state machine serves; a command routed under another epoch changes nothing. */
export interface RangeIdentity {
  readonly epoch: number;
}

/** A committed command as the log holds it. */
export interface AppliedEntry {
  readonly index: number;
  readonly term: number;
  readonly body: Uint8Array;
}

/** What applying one entry came to: `writes` and `state` belong in one batch. */
export interface Applied {
  readonly writes: readonly StateWrite[];
  readonly result: CommandResult;
  readonly events: readonly StateEvent[];
  readonly state: MachineState;
}

/** An entry that is no command (a term's no-op) moves only the applied index. */
export function applyNoop(state: MachineState, entry: { readonly index: number; readonly term: number }): MachineState {
  return { ...state, appliedIndex: entry.index, appliedTerm: entry.term };
}

/**
 * Applies one command. `reader` shows the state before it. Throws CommandFormatError for a version or operation not
 * known here: the replica must stop, since going on would let it differ from those that know it.
 */
export function applyCommand(
  range: RangeIdentity,
  reader: StateReader,
  state: MachineState,
  entry: AppliedEntry,
): Applied {
  const decoded = decodeCommand(asBuffer(entry.body));
  // Checked here and not only at the door: the range may have moved between routing and this moment.
  if (decoded.stamp.rangeEpoch !== range.epoch) {
    const unchanged = advanced(state, entry, decoded, { keys: 0, bytes: 0 });
    return { writes: [], events: [], result: { type: 'wrong_epoch', epoch: range.epoch }, state: unchanged };
  }
  return effect(decoded, reader.header(decoded.command.key), state, entry);
}

function effect(
  decoded: DecodedCommand,
  before: RecordHeader | undefined,
  state: MachineState,
  entry: AppliedEntry,
): Applied {
  const { command, stamp } = decoded;
  const { key } = command;
  const bytesBefore = before === undefined ? 0 : key.length + before.valueBytes;
  switch (command.type) {
    case 'put': {
      const record: ValueRecord = {
        value: command.value,
        contentType: command.contentType,
        revision: entry.index,
        incarnation: stamp.incarnation,
        expiresAt: 0,
      };
      const created = before === undefined;
      const change = { keys: created ? 1 : 0, bytes: key.length + record.value.length - bytesBefore };
      return {
        writes: [{ type: 'put', key, record }],
        result: { type: 'put', revision: entry.index, incarnation: stamp.incarnation, created },
        events: [{ type: 'put', key, record }],
        state: advanced(state, entry, decoded, change),
      };
    }
    case 'delete': {
      if (before === undefined) {
        const unchanged = advanced(state, entry, decoded, { keys: 0, bytes: 0 });
        return { writes: [], events: [], result: { type: 'not_found' }, state: unchanged };
      }
      return {
        writes: [{ type: 'delete', key }],
        result: { type: 'deleted', revision: entry.index },
        events: [{ type: 'delete', key, revision: entry.index }],
        state: advanced(state, entry, decoded, { keys: -1, bytes: -bytesBefore }),
      };
    }
    default:
      return unreachable(command);
  }
}

/** The state after `entry`, which changed the number of keys and the bytes held by `change`. Log time never goes back. */
function advanced(
  state: MachineState,
  { index, term }: AppliedEntry,
  { stamp }: DecodedCommand,
  change: { readonly keys: number; readonly bytes: number },
): MachineState {
  return {
    appliedIndex: index,
    appliedTerm: term,
    logTime: Math.max(state.logTime, stamp.logTime),
    keys: state.keys + change.keys,
    bytes: state.bytes + change.bytes,
  };
}
