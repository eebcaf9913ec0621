/**
 * The deterministic state machine of one partition. Every replica applies the same entries in the same order and so
 * reaches the same state and the same results: nothing here may depend on clocks, randomness, locale, configuration or
 * history of a map. Time is what the entries say.
 *
 * In this order: a repeat is answered with the first answer, a command for another range changes nothing, keys that the
 * command touches and that are due are taken out, conditions are checked, and then there is an effect.
 */
import { asBuffer } from '../bytes.ts';
import { planted } from '../planted.ts';
import { changesToKeep } from './changes.ts';
import { decodeCommand } from './command.ts';
import { conditionsHold, isVersion } from './conditions.ts';
import { EntryEffects } from './entry-effects.ts';
import { revisionOf } from './revision.ts';
import { unconditional } from './types.ts';
import type {
  BatchItem,
  Command,
  CommandResult,
  Comparison,
  Dedup,
  DeleteOperation,
  MachineState,
  Operation,
  OperationResult,
  PutOperation,
  StateEvent,
  StateReader,
  StateWrite,
  SweepCommand,
  TransactionCommand,
  Version,
} from './types.ts';

/** A partition before its first entry. */
export const emptyMachineState: MachineState = {
  appliedIndex: 0,
  appliedTerm: 0,
  logTime: 0,
  keys: 0,
  bytes: 0,
  expiring: 0,
  remembered: 0,
};

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
  /** The result is that of an earlier command, whose repeat this one is. */
  readonly replayed: boolean;
  readonly events: readonly StateEvent[];
  /** What has to be kept of them to tell them again from the entry; undefined when it did all that it says. */
  readonly kept: Uint8Array | undefined;
  readonly state: MachineState;
}

/**
 * What a transaction may read, in bytes of values: its result is kept for repeats and sent in one piece. Part of the
 * format: were it another number on one replica, it would differ from the others.
 */
export const transactionReadBytesMax = 2 * 1024 * 1024;

/** A result in bytes: what a transaction reads, and some hundred bytes for each of its operations. */
export const resultBytesMax = transactionReadBytesMax + 1024 * 1024;

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
  const { stamp, dedup, command } = decodeCommand(asBuffer(entry.body));
  // Log time never goes back, whatever a leader stamps.
  const logTime = Math.max(state.logTime, stamp.logTime);
  const { incarnation } = stamp;
  const revision = revisionOf(incarnation, entry.index);
  const effects = new EntryEffects(reader, { revision, logTime });
  const context = { effects, revision, incarnation, logTime };
  const moved = stamp.rangeEpoch === range.epoch ? undefined : range.epoch;
  const { result, replayed } = once(context, dedup, () => run(context, command, moved));
  const outcome = effects.outcome(state, entry);
  return { result, replayed, kept: changesToKeep(command, outcome.events), ...outcome };
}

interface Context {
  readonly effects: EntryEffects;
  readonly revision: number;
  readonly incarnation: number;
  readonly logTime: number;
}

/**
 * Runs what was not run under this name yet, and keeps what it came to for its repeats. Refusals are not kept: nothing
 * was decided.
 */
function once<Result extends CommandResult>(
  { effects, logTime }: Context,
  dedup: Dedup | undefined,
  effect: () => Result,
): { readonly result: Result | OperationResult; readonly replayed: boolean } {
  if (dedup === undefined) return { result: effect(), replayed: false };
  const { name, digest } = dedup;
  const before = effects.remembered(name);
  if (before === undefined) {
    const result = effect();
    if (result.type !== 'wrong_epoch' && result.type !== 'result_too_large')
      effects.remember(name, { digest, at: logTime, result });
    return { result, replayed: false };
  }
  if (Buffer.compare(before.digest, digest) !== 0) return { result: { type: 'key_reused' }, replayed: false };
  // Of the same request, so of the same type.
  return { result: before.result as Result, replayed: true };
}

/** `moved`: the epoch that the range has by now, when it is not the one under which the command was routed. */
function run(context: Context, command: Command, moved: number | undefined): CommandResult {
  // Checked here and not only at the door: the range may have moved between routing and this moment.
  if (moved !== undefined) return { type: 'wrong_epoch', epoch: moved };
  switch (command.type) {
    case 'put':
      return put(context, planted('condition-before-log') ? { ...command, conditions: unconditional } : command);
    case 'delete':
      return remove(context, command);
    case 'batch':
      return { type: 'batch', results: command.items.map((item) => runItem(context, item)) };
    case 'transaction':
      return transaction(context, command);
    case 'sweep':
      return sweep(context, command);
  }
}

function runItem(context: Context, { operation, dedup }: BatchItem): OperationResult {
  return once(context, dedup, () => operate(context, operation)).result;
}

function operate(context: Context, operation: Operation): OperationResult {
  switch (operation.type) {
    case 'put':
      return put(context, operation);
    case 'delete':
      return remove(context, operation);
    case 'get': {
      const record = context.effects.record(operation.key);
      return record === undefined ? { type: 'not_found' } : { type: 'value', record };
    }
  }
}

function put(context: Context, { key, value, contentType, ttlMs, conditions }: PutOperation): OperationResult {
  const { effects, revision, incarnation, logTime } = context;
  const current = effects.header(key);
  if (!conditionsHold(conditions, current)) return conditionFailed(current);
  const expiresAt = ttlMs === 0 ? 0 : logTime + ttlMs;
  effects.put(key, { value, contentType, revision, incarnation, expiresAt });
  return { type: 'put', revision, incarnation, created: current === undefined, expiresAt };
}

function remove({ effects, revision }: Context, { key, conditions }: DeleteOperation): OperationResult {
  const current = effects.header(key);
  if (!conditionsHold(conditions, current)) return conditionFailed(current);
  if (current === undefined) return { type: 'not_found' };
  effects.delete(key);
  return { type: 'deleted', revision };
}

function transaction(context: Context, { compare, then, otherwise }: TransactionCommand): CommandResult {
  const succeeded = compare.every((comparison) => compares(context, comparison));
  const operations = succeeded ? then : otherwise;
  const results = operations.map((operation) => operate(context, operation));
  const read = results.reduce((bytes, result) => bytes + (result.type === 'value' ? result.record.value.length : 0), 0);
  if (read <= transactionReadBytesMax) return { type: 'transaction', succeeded, results };
  context.effects.undo();
  return { type: 'result_too_large' };
}

function compares({ effects }: Context, { key, exists, revision, version, value }: Comparison): boolean {
  const current = effects.header(key);
  if (exists !== undefined && exists !== (current !== undefined)) return false;
  // An absent key has revision 0, which no value has: so it can be asked for in the same words.
  if (revision !== undefined && revision !== (current?.revision ?? 0)) return false;
  if (version !== undefined && !isVersion(current, version)) return false;
  return value === undefined || equal(effects.record(key)?.value, value);
}

function sweep({ effects }: Context, { expire, forget }: SweepCommand): CommandResult {
  const expired = expire.filter(({ key, version }) => {
    if (planted('late-expiry-deletes-renewed')) effects.delete(key);
    return effects.expire(key, version);
  }).length;
  const forgotten = forget.filter(({ name, at }) => effects.forget(name, at)).length;
  return { type: 'swept', expired, forgotten };
}

function conditionFailed(current: Version | undefined): OperationResult {
  if (current === undefined) return { type: 'condition_failed', current };
  const { revision, incarnation } = current;
  return { type: 'condition_failed', current: { revision, incarnation } };
}

function equal(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0;
}
