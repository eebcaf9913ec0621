/** Where a watch is, as text: it says the same when it comes back, and whatever else comes is refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatCursor,
  nameOf,
  parseCursor,
  type Positions,
  type WatchCursor,
  type WatchPosition,
  type WatchTarget,
} from '../../../src/cluster/watch/cursor.ts';
import type { PartitionId } from '../../../src/replica/ports.ts';

const orders: WatchTarget = { type: 'prefix', bytes: Buffer.from('orders/') };

function positionsOf(...list: (readonly [number, WatchPosition])[]): Positions {
  return new Map(list.map(([id, position]) => [id as PartitionId, position]));
}

const cluster = 7;
const of = (positions: Positions): WatchCursor => ({ cluster, positions });

const target: fc.Arbitrary<WatchTarget> = fc.record({
  type: fc.constantFrom('prefix', 'key'),
  bytes: fc.uint8Array({ maxLength: 20 }),
});
const number = fc.oneof(fc.maxSafeNat(), fc.nat(300), fc.constantFrom(127, 128, 2 ** 32, 2 ** 49, 2 ** 53 - 1));
const positions = fc
  .uniqueArray(fc.tuple(fc.nat(4095), fc.record({ incarnation: number, index: number, done: number })), {
    selector: ([id]) => id,
    maxLength: 8,
  })
  .map((list) => positionsOf(...list));

/** A cursor of `orders` with these bytes behind its name. */
function cursorWith(...bytes: number[]): string {
  return Buffer.from([1, ...nameOf(orders), cluster, ...bytes]).toString('base64url');
}

describe('a cursor', () => {
  test('comes back as it went', () => {
    fc.assert(
      fc.property(target, positions, (watched, places) => {
        expect(parseCursor(watched, formatCursor(nameOf(watched), of(places)))).toEqual(of(places));
      }),
    );
  });

  // Clients keep them across new versions: what is written here is read for ever.
  test('is this text', () => {
    const places = positionsOf(
      [1, { incarnation: 1, index: 5, done: 0 }],
      [300, { incarnation: 2, index: 2 ** 53 - 1, done: 3 }],
    );
    const cursor = 'AcDT8fwu8QurBwEBBQCsAgL_________DwM';
    expect(formatCursor(nameOf(orders), of(places))).toBe(cursor);
    expect(parseCursor(orders, cursor)).toEqual(of(places));
  });

  test.each([
    [0, [0x00]],
    [127, [0x7f]],
    [128, [0x80, 0x01]],
    [2 ** 53 - 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])('has the number %d as these bytes', (index, bytes) => {
    const places = positionsOf([1, { incarnation: 1, index, done: 0 }]);
    expect(formatCursor(nameOf(orders), of(places))).toBe(cursorWith(1, 1, ...bytes, 0));
    expect(parseCursor(orders, cursorWith(1, 1, ...bytes, 0))).toEqual(of(places));
  });

  test('belongs to what is watched, and to nothing else', () => {
    fc.assert(
      fc.property(target, target, positions, (one, other, places) => {
        fc.pre(one.type !== other.type || Buffer.compare(one.bytes, other.bytes) !== 0);
        expect(parseCursor(other, formatCursor(nameOf(one), of(places)))).toBe('of_another');
      }),
    );
  });
});

describe('what is no cursor', () => {
  test.each([
    ['nothing', ''],
    ['a version alone', 'AQ'],
    ['another version', Buffer.from([2, ...nameOf(orders)]).toString('base64url')],
    ['half a name', Buffer.from([1, ...nameOf(orders).subarray(0, 7)]).toString('base64url')],
    ['another spelling of the same bytes', `${cursorWith(1, 1, 5, 0)}=`],
    ['characters of the other base64', cursorWith(1, 1, 0xff, 0x7f, 0xff, 0x7f).replaceAll('_', '/')],
    ['three numbers', cursorWith(1, 1, 5)],
    ['five numbers', cursorWith(1, 1, 5, 0, 1)],
    ['a number that is cut short', cursorWith(1, 1, 5, 0, 0x80)],
    ['2^53', cursorWith(1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0)],
    ['a number without an end', cursorWith(1, 1, ...Array<number>(40).fill(0x80), 0, 0)],
    ['characters that are none', 'AfW3 JqI'],
  ])('is refused: %s', (_what, text) => {
    expect(parseCursor(orders, text)).toBe('malformed');
  });

  test('never throws, and gives no number that is not exact', () => {
    const bytes = fc.uint8Array({ maxLength: 60 });
    const texts = fc.oneof(
      fc.string(),
      bytes.map((some) => Buffer.from(some).toString('base64url')),
      bytes.map((some) => cursorWith(...some)),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseCursor(orders, text);
        if (typeof parsed === 'string') return;
        for (const numbers of parsed.positions.values()) {
          expect(Object.values(numbers).every((one) => Number.isSafeInteger(one) && one >= 0)).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
