/** The command format is final: what is written today must be read by every later version. */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { CommandFormatError, decodeCommand, encodeCommand, stampCommand } from '../../src/kv/command.ts';
import type { Command } from '../../src/kv/types.ts';

const stamp = { logTime: 1_790_000_000_123, rangeEpoch: 7, incarnation: 3 };

function stamped(command: Command, dedup?: Parameters<typeof encodeCommand>[1]): Buffer {
  const body = encodeCommand(command, dedup);
  stampCommand(body, stamp);
  return body;
}

describe('golden bytes', () => {
  test('a put with a content type', () => {
    const put = stamped({
      type: 'put',
      key: Buffer.from('k/1'),
      contentType: 'text/plain',
      value: Buffer.from('hello'),
    });
    expect(put.toString('hex')).toBe(
      '01000000' +
        '000001a0c4506c7b' +
        '00000007' +
        '00000003' +
        '0100' +
        '0003' +
        '6b2f31' +
        '000a' +
        '746578742f706c61696e' +
        '68656c6c6f',
    );
  });

  test('a delete', () => {
    const command = stamped({ type: 'delete', key: Buffer.from('k') });
    expect(command.toString('hex')).toBe(
      '01000000' + '000001a0c4506c7b' + '00000007' + '00000003' + '0200' + '0001' + '6b',
    );
  });

  test('a put under an idempotency key', () => {
    const dedup = { idempotencyKey: 'a-1', digest: Buffer.alloc(16, 0xee) };
    const put = stamped({ type: 'put', key: Buffer.from('k'), contentType: '', value: Buffer.alloc(0) }, dedup);
    expect(put.toString('hex')).toBe(
      '01010000' +
        '000001a0c4506c7b' +
        '00000007' +
        '00000003' +
        '03' +
        '612d31' +
        'ee'.repeat(16) +
        '0100' +
        '0001' +
        '6b' +
        '0000',
    );
  });
});

const bytes = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const commands: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    type: fc.constant('put' as const),
    key: bytes(1, 1024),
    value: bytes(0, 2048),
    contentType: fc.string({ maxLength: 100 }).filter((text) => Buffer.from(text).toString() === text),
  }),
  fc.record({ type: fc.constant('delete' as const), key: bytes(1, 1024) }),
);

test('every command comes back as it went in', () => {
  fc.assert(
    fc.property(commands, (command) => {
      expect(decodeCommand(stamped(command))).toEqual({ stamp, dedup: undefined, command });
    }),
  );
});

test('a command that was cut short or padded is refused or is another command, never read beyond its end', () => {
  const whole = stamped(
    { type: 'delete', key: Buffer.from('some key') },
    { idempotencyKey: 'x', digest: Buffer.alloc(16) },
  );
  for (let length = 0; length < whole.length; length += 1) {
    expect(() => decodeCommand(whole.subarray(0, length))).toThrow(CommandFormatError);
  }
  expect(() => decodeCommand(Buffer.concat([whole, Buffer.alloc(1)]))).toThrow(CommandFormatError);
});

test('a version, flag or operation from the future is refused by name', () => {
  const future = (offset: number, value: number) => {
    const body = stamped({ type: 'delete', key: Buffer.from('k') });
    body[offset] = value;
    return () => decodeCommand(body);
  };
  expect(future(0, 2)).toThrow('command version 2: this node knows 1');
  expect(future(1, 2)).toThrow('unknown command flags');
  expect(future(20, 9)).toThrow('operation 9 is not known here');
  expect(future(21, 1)).toThrow('unknown operation flags');
});
