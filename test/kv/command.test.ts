/** The command format is final: what is written today must be read by every later version. */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { CommandFormatError, decodeCommand, encodeCommand, stampCommand } from '../../src/kv/command.ts';
import type { Command, Conditions, Operation } from '../../src/kv/types.ts';
import { del, get, match, named, put } from './partition.ts';

const stamp = { logTime: 1_790_000_000_123, rangeEpoch: 7, incarnation: 3 };
const stampBytes = '000001a0c4506c7b' + '00000007' + '00000003';

function stamped(command: Command, dedup?: Parameters<typeof encodeCommand>[1]): Buffer {
  const body = encodeCommand(command, dedup);
  stampCommand(body, stamp);
  return body;
}

const hex = (...parts: string[]) => parts.join('');
const version = (revision: number) => `00000004${revision.toString(16).padStart(16, '0')}`;

describe('golden bytes', () => {
  test.each<[string, Command, Parameters<typeof encodeCommand>[1], string]>([
    [
      'a put with a content type',
      put('k/1', 'hello'),
      undefined,
      hex('01000000', stampBytes, '0100', '0003', '6b2f31', '000a', '746578742f706c61696e', '68656c6c6f'),
    ],
    ['a delete', del('k'), undefined, hex('01000000', stampBytes, '0200', '0001', '6b')],
    [
      'a put under an idempotency key',
      put('k', '', { contentType: '' }),
      { ...named('a-1', 0xee) },
      hex('01010000', stampBytes, '03', '612d31', 'ee'.repeat(16), '0100', '0001', '6b', '0000'),
    ],
    [
      'a put with a time to live and conditions',
      put('k', 'v', {
        contentType: '',
        ttlMs: 60_000,
        conditions: { match: 'any', noneMatch: [{ incarnation: 4, revision: 9 }] },
      }),
      undefined,
      hex('01000000', stampBytes, '0107', '0001', '6b', '000000000000ea60', '00', '01', version(9), '0000', '76'),
    ],
    [
      'a delete of one of two versions',
      del('k', { match: [5, 6].map((revision) => ({ incarnation: 4, revision })), noneMatch: undefined }),
      undefined,
      hex('01000000', stampBytes, '0202', '0001', '6b', '02', version(5), version(6)),
    ],
    [
      'a batch',
      {
        type: 'batch',
        items: [
          { operation: get('k'), dedup: undefined },
          { operation: del('l'), dedup: named('b', 1) },
        ],
      },
      undefined,
      hex(
        '01000000',
        stampBytes,
        '1000',
        '00',
        '00000005',
        '0300',
        '0001',
        '6b',
        '01',
        '62',
        '01'.repeat(16),
        '00000005',
        '0200',
        '0001',
        '6c',
      ),
    ],
    [
      'a transaction',
      {
        type: 'transaction',
        compare: [
          {
            key: Buffer.from('k'),
            exists: false,
            revision: 2,
            version: { incarnation: 4, revision: 3 },
            value: Buffer.from('x'),
          },
        ],
        then: [del('k')],
        otherwise: [],
      },
      undefined,
      hex(
        '01000000',
        stampBytes,
        '1100',
        '0001',
        '1e',
        '0001',
        '6b',
        '0000000000000002',
        version(3),
        '00000001',
        '78',
        '0001',
        '00000005',
        '0200',
        '0001',
        '6b',
        '0000',
      ),
    ],
    [
      'a sweep',
      {
        type: 'sweep',
        expire: [{ key: Buffer.from('k'), version: { incarnation: 4, revision: 3 } }],
        forget: [{ name: Buffer.from('r'), at: 258 }],
      },
      undefined,
      hex('01000000', stampBytes, '1200', '0001', version(3), '0001', '6b', '0001', '0000000000000102', '01', '72'),
    ],
  ])('%s', (_name, command, dedup, expected) => {
    const body = stamped(command, dedup);
    expect(body.toString('hex')).toBe(expected);
    expect(decodeCommand(body)).toEqual({ stamp, dedup, command });
  });
});

const bytes = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const key = bytes(1, 1024);
const count = fc.maxSafeNat();
const versions = fc.record({ incarnation: fc.nat(0xffff_ffff), revision: count });
const wanted = fc.option(fc.oneof(fc.constant('any' as const), fc.array(versions, { minLength: 1, maxLength: 5 })), {
  nil: undefined,
});
const conditions: fc.Arbitrary<Conditions> = fc.record({ match: wanted, noneMatch: wanted });
const putArbitrary = fc.record({
  type: fc.constant('put' as const),
  key,
  value: bytes(0, 2048),
  contentType: fc.string({ maxLength: 100 }).filter((text) => Buffer.from(text).toString() === text),
  ttlMs: count,
  conditions,
});
const deleteArbitrary = fc.record({ type: fc.constant('delete' as const), key, conditions });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  putArbitrary,
  deleteArbitrary,
  fc.record({ type: fc.constant('get' as const), key }),
);
const dedups = fc.option(fc.record({ name: bytes(1, 255), digest: bytes(16, 16) }), { nil: undefined });
const operations = fc.array(operation, { maxLength: 4 });
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const commands: fc.Arbitrary<Command> = fc.oneof(
  putArbitrary,
  deleteArbitrary,
  fc.record({
    type: fc.constant('batch' as const),
    items: fc.array(fc.record({ operation, dedup: dedups }), { maxLength: 4 }),
  }),
  fc.record({
    type: fc.constant('transaction' as const),
    compare: fc.array(
      fc.record({
        key,
        exists: optional(fc.boolean()),
        revision: optional(count),
        version: optional(versions),
        value: optional(bytes(0, 64)),
      }),
      { maxLength: 3 },
    ),
    then: operations,
    otherwise: operations,
  }),
  fc.record({
    type: fc.constant('sweep' as const),
    expire: fc.array(fc.record({ key, version: versions }), { maxLength: 3 }),
    forget: fc.array(fc.record({ name: bytes(1, 255), at: count }), { maxLength: 3 }),
  }),
);

test('every command comes back as it went in', () => {
  fc.assert(
    fc.property(commands, dedups, (command, dedup) => {
      expect(decodeCommand(stamped(command, dedup))).toEqual({ stamp, dedup, command });
    }),
  );
});

test('a command that was cut short or padded is refused or is another command, never read beyond its end', () => {
  const whole = stamped(del('some key', match(1, 2)), named('x'));
  for (let length = 0; length < whole.length; length += 1) {
    expect(() => decodeCommand(whole.subarray(0, length))).toThrow(CommandFormatError);
  }
  expect(() => decodeCommand(Buffer.concat([whole, Buffer.alloc(1)]))).toThrow(CommandFormatError);
});

test('a version, flag or operation from the future is refused by name', () => {
  const future = (offset: number, value: number) => {
    const body = stamped(del('k'));
    body[offset] = value;
    return () => decodeCommand(body);
  };
  expect(future(0, 2)).toThrow('command version 2: this node knows 1');
  expect(future(1, 2)).toThrow('unknown command flags');
  expect(future(20, 9)).toThrow('operation 9 is not known here');
  expect(future(21, 8)).toThrow('unknown operation flags');
});
