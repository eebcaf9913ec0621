/**
 * What an entry changed, told from the entry itself and from the little that has to be kept beside it: so that watchers can be told again,
 * after a restart, from the log that is there.
 *
 * Most entries did all that they say. Only where one did not, because a condition did not hold, a key was not there, a repeat was answered
 * from memory, or a key that it touched was due, is what it did kept: which keys it changed and how, and for a put which of its operations gave the
 * value. Values are never kept twice. This format is final; integers are big-endian:
 *
 * ```
 * u8 version (1), then for each change: u8 type (1 put, 2 delete, 3 expire) | u16 key length | key | put: u16 operation
 * ```
 *
 * Operations are counted over the whole command; in a transaction those of `then` come before those of `otherwise`.
 */
import { asBuffer } from '../bytes.ts';
import { ByteReader, CommandFormatError } from './byte-reader.ts';
import { decodeCommand } from './command.ts';
import { revisionOf } from './revision.ts';
import type { Command, Operation, StateEvent } from './types.ts';

/** A change of a key, as watchers hear of it. */
export type Change =
  | {
      readonly type: 'put';
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      /** Empty for `application/octet-stream`. */
      readonly contentType: string;
      readonly revision: number;
      readonly incarnation: number;
    }
  | {
      readonly type: 'delete' | 'expire';
      readonly key: Uint8Array;
      readonly revision: number;
      readonly incarnation: number;
    };

/** Without values: those are in the entry. */
interface Outline {
  readonly type: Change['type'];
  readonly key: Uint8Array;
  /** Of a put. */
  readonly operation: number;
}

const version = 1;
const codes = { put: 1, delete: 2, expire: 3 } as const;
const types: readonly (Change['type'] | undefined)[] = [undefined, 'put', 'delete', 'expire'];

/** Of a command that was applied with these events: what has to be kept of it; undefined when it did all that it says. */
export function changesToKeep(command: Command, events: readonly StateEvent[]): Uint8Array | undefined {
  // Most commands by far, and nothing is made for them.
  const isOne = command.type === 'put' || command.type === 'delete';
  if (isOne && events.length === 1 && events[0]?.type === command.type) return undefined;
  const outlines = outlinesOf(command, events);
  return isSame(outlines, presumed(command)) ? undefined : encode(outlines);
}

/** What an entry changed, by what was kept of it. Keys and values are views of `body` and `kept`. Throws a CommandFormatError for what is neither. */
export function changesOf(
  { index, body }: { readonly index: number; readonly body: Uint8Array },
  kept: Uint8Array | undefined,
): readonly Change[] {
  const { command, stamp } = decodeCommand(asBuffer(body));
  const { incarnation } = stamp;
  const revision = revisionOf(incarnation, index);
  const operations = operationsOf(command);
  const outlines = kept === undefined ? presumed(command) : decode(asBuffer(kept));
  return outlines.map(({ type, key, operation }) => {
    if (type !== 'put') return { type, key, revision, incarnation };
    const put = operations[operation];
    if (put?.type !== 'put') throw new CommandFormatError(`operation ${operation} puts nothing`);
    return { type, key, value: put.value, contentType: put.contentType, revision, incarnation };
  });
}

function operationsOf(command: Command): readonly Operation[] {
  switch (command.type) {
    case 'put':
    case 'delete':
      return [command];
    case 'batch':
      return command.items.map(({ operation }) => operation);
    case 'transaction':
      return [...command.then, ...command.otherwise];
    case 'sweep':
      return [];
  }
}

/** All that it says, each key once and in the order in which it comes to them, as `EntryEffects` tells them. */
function presumed(command: Command): readonly Outline[] {
  if (command.type === 'sweep')
    return onceEach(command.expire.map(({ key }) => ({ type: 'expire', key, operation: 0 })));
  const looks = command.type === 'transaction' ? command.compare.map(({ key }) => ({ type: 'get', key }) as const) : [];
  const done = command.type === 'transaction' ? command.then : operationsOf(command);
  return onceEach([
    ...looks.map((look) => ({ ...look, operation: 0 })),
    ...done.map(({ type, key }, at) => ({ type, key, operation: type === 'put' ? at : 0 })),
  ]);
}

/** The last of each key, in the order of the first. What is only looked at changes nothing. */
function onceEach(
  steps: readonly { readonly type: Outline['type'] | 'get'; readonly key: Uint8Array; readonly operation: number }[],
): readonly Outline[] {
  const byKey = new Map<string, (typeof steps)[number]>();
  for (const step of steps) {
    const name = asBuffer(step.key).toString('latin1');
    if (step.type !== 'get' || !byKey.has(name)) byKey.set(name, step);
  }
  return [...byKey.values()].flatMap(({ type, key, operation }) => (type === 'get' ? [] : [{ type, key, operation }]));
}

function outlinesOf(command: Command, events: readonly StateEvent[]): readonly Outline[] {
  const puts = new Map<string, number[]>();
  const operations = operationsOf(command);
  for (const [at, { type, key }] of operations.entries()) {
    if (type !== 'put') continue;
    const name = asBuffer(key).toString('latin1');
    puts.set(name, [...(puts.get(name) ?? []), at]);
  }
  return events.map((event): Outline => {
    if (event.type !== 'put') return { type: event.type, key: event.key, operation: 0 };
    const { key, record } = event;
    // Two that put the same are the same.
    const operation = puts.get(asBuffer(key).toString('latin1'))?.findLast((at) => {
      const put = operations[at];
      return (
        put?.type === 'put' && put.contentType === record.contentType && Buffer.compare(put.value, record.value) === 0
      );
    });
    if (operation === undefined) throw new CommandFormatError('a value that no operation has put');
    return { type: 'put', key, operation };
  });
}

function isSame(some: readonly Outline[], others: readonly Outline[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ type, key, operation }, at) => {
      const other = others[at];
      return other?.type === type && other.operation === operation && Buffer.compare(other.key, key) === 0;
    })
  );
}

function encode(outlines: readonly Outline[]): Uint8Array {
  const bytes = outlines.reduce((sum, { type, key }) => sum + 3 + key.length + (type === 'put' ? 2 : 0), 1);
  const kept = Buffer.allocUnsafe(bytes);
  let at = kept.writeUInt8(version, 0);
  for (const { type, key, operation } of outlines) {
    at = kept.writeUInt16BE(key.length, kept.writeUInt8(codes[type], at));
    kept.set(key, at);
    at += key.length;
    if (type === 'put') at = kept.writeUInt16BE(operation, at);
  }
  return kept;
}

function decode(kept: Buffer): readonly Outline[] {
  const reader = new ByteReader(kept);
  const found = reader.u8();
  if (found !== version) throw new CommandFormatError(`changes of version ${found}: this node knows ${version}`);
  const outlines: Outline[] = [];
  while (!reader.isAtEnd()) {
    const type = types[reader.u8()];
    if (type === undefined) throw new CommandFormatError('a change of an unknown type');
    const key = reader.bytes(reader.u16());
    outlines.push({ type, key, operation: type === 'put' ? reader.u16() : 0 });
  }
  return outlines;
}
