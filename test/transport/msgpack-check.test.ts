/** The walk over msgpack that comes before decoding: it accepts what the encoder makes and bounds what the decoder takes. */
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkMsgpack } from '../../src/transport/msgpack-check.ts';
import { WireError } from '../../src/transport/wire.ts';

const check = (...bytes: number[]): void => checkMsgpack(Buffer.from(bytes));

it('accepts all that the encoder writes', () => {
  const value = fc.anything({
    withBigInt: false,
    withDate: true,
    withTypedArray: false,
    key: fc.string(),
    maxDepth: 4,
  });
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(fc.oneof(value, bytes, fc.array(bytes), fc.string({ minLength: 250, maxLength: 300 })), (any) => {
      checkMsgpack(Buffer.from(encode(any)));
    }),
  );
});

it('accepts each width of length', () => {
  for (const size of [0, 15, 16, 31, 32, 255, 256, 65_536]) {
    for (const value of [
      'x'.repeat(size),
      Buffer.alloc(size),
      new Array(size).fill(0),
      Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}`, i])),
    ]) {
      checkMsgpack(Buffer.from(encode(value)));
    }
  }
});

it('agrees with the decoder on what is a complete value', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 12 }), (bytes) => {
      const accepted = succeeds(() => checkMsgpack(Buffer.from(bytes)));
      // The decoder refuses more: map keys that are no strings, times that are none.
      if (succeeds(() => decode(bytes))) expect(accepted).toBe(true);
      if (!accepted) expect(succeeds(() => decode(bytes))).toBe(false);
    }),
    { numRuns: 2000 },
  );
});

describe('refuses', () => {
  it('counts that the bytes cannot hold, at any level', () => {
    expect(() => check(0xdd, 0xff, 0xff, 0xff, 0xff)).toThrow('4294967295 values announced');
    expect(() => check(0xdf, 0xff, 0xff, 0xff, 0xff)).toThrow(WireError);
    expect(() => check(0x91, 0xdc, 0xff, 0xff, 0)).toThrow(WireError);
    expect(() => check(0x81, 0xa1, 0x61, 0xdd, 0, 1, 0, 0, 0)).toThrow(WireError);
  });

  it('lengths beyond the end', () => {
    for (const head of [0xc4, 0xc7, 0xd9]) expect(() => check(head, 0xff, 1)).toThrow('cut short');
    for (const head of [0xc6, 0xc9, 0xdb]) expect(() => check(head, 0xff, 0xff, 0xff, 0xff, 1)).toThrow('cut short');
    expect(() => check(0xd8, 0)).toThrow('cut short');
    expect(() => check(0xa5, 0x61)).toThrow('cut short');
  });

  it('nothing, more than one value, and the byte that is never used', () => {
    expect(() => check()).toThrow(WireError);
    expect(() => check(0xc0, 0xc0)).toThrow('1 bytes too many');
    expect(() => check(0xc1)).toThrow('never used');
  });

  it('nesting deeper than 100', () => {
    checkMsgpack(Buffer.concat([Buffer.alloc(100, 0x91), Buffer.from([0xc0])]));
    expect(() => checkMsgpack(Buffer.concat([Buffer.alloc(101, 0x91), Buffer.from([0xc0])]))).toThrow('deeper');
  });
});

function succeeds(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
