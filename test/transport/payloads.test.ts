/** What requests carry: the same value whichever way it is encoded and decoded, and no copy where none is wanted. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asBuffer } from '../../src/bytes.ts';
import {
  arrived,
  decodeInPlace,
  decodePayload,
  encodeInPlace,
  encodePayload,
  payloadBytes,
  takeBack,
} from '../../src/transport/payloads.ts';
import { WireReader } from '../../src/transport/wire.ts';

const chunk = { partition: 7, last: Buffer.from('key'), records: Buffer.from('records') };

describe('a payload that is encoded in place', () => {
  const ending: readonly (readonly [string, unknown, string])[] = [
    ['an object', { a: 1, b: chunk.records }, '82 a161 01 a162 c600000007 7265636f726473'],
    ['a byte string', chunk.records, 'c600000007 7265636f726473'],
    ['an empty byte string', { b: Buffer.alloc(0) }, '81 a162 c600000000'],
  ];

  it.each(ending)('is these bytes: %s', (_, payload, hex) => {
    expect(arrived(encodeInPlace(payload)).toString('hex')).toBe(hex.replaceAll(' ', ''));
  });

  it('ends in the very memory of its last byte string, and in a copy of no other', () => {
    const { head, tail } = encodeInPlace(chunk);
    expect(tail).toBe(chunk.records);
    expect(asBuffer(head).includes('records')).toBe(true); // the name
    expect(asBuffer(head).subarray(-5).toString('hex')).toBe('c600000007');
    expect(payloadBytes({ head, tail })).toBe(head.length + 7);
  });

  it.each<unknown>([
    1,
    null,
    [Buffer.from('in an array')],
    { a: Buffer.from('first'), b: 1 },
    { a: undefined },
    new Map(),
  ])('is copied when it does not end in a byte string: %j', (payload) => {
    expect(encodeInPlace(payload)).toEqual({ head: encodePayload(payload), tail: Buffer.alloc(0) });
  });

  it('is read as what it would have been', () => {
    const bytes = fc.uint8Array({ maxLength: 300, size: 'max' });
    const name = fc.string().filter((text) => text !== '__proto__');
    const payloads = fc.oneof(bytes, fc.dictionary(name, fc.oneof(bytes, fc.integer(), fc.constant(undefined))));
    fc.assert(
      fc.property(payloads, (payload) => {
        const expected = decodePayload(new WireReader(asBuffer(encodePayload(payload)), 0));
        expect(decodePayload(new WireReader(arrived(encodeInPlace(payload)), 0))).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a payload that is decoded', () => {
  it('in place shares its byte strings with the frame, and otherwise does not', () => {
    const frame = arrived(encodeInPlace(chunk));
    const lent = decodeInPlace(new WireReader(frame, 0));
    const copied = decodePayload(new WireReader(frame, 0));
    expect([lent, copied]).toEqual([chunk, chunk]);
    takeBack(frame);
    expect(lent).not.toEqual(chunk);
    expect(copied).toEqual(chunk);
  });
});
