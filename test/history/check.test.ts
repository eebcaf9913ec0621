/** What a store that keeps its word can have answered, and what it can't. */
import { describe, expect, it } from 'vitest';
import { checkHistory, type Violation } from '../../src/history/check.ts';
import { describeViolation } from '../../src/history/describe.ts';
import type { Operation } from '../../src/history/types.ts';
import { isLinearizable } from './brute-force.ts';
import { failed, get, put, remove, unknown } from './build.ts';

const first = put('one', [0, 1], { created: true, revision: 1 });
const second = put('two', [2, 3], { created: false, revision: 4 });

const good: readonly (readonly [string, readonly Operation[]])[] = [
  ['nothing at all', []],
  ['a get before the first put, one after it', [get(null, [-2, -1]), first, get(['one', 1], [2, 3])]],
  ['gets that overlap a put and see either state', [first, second, get('two', [2, 2.5]), get('one', [2, 3])]],
  [
    'two puts at once, seen in the order that is not that of their calls',
    [put('a', [0, 9]), put('b', [1, 9]), get('b', [2, 3]), get('a', [4, 5])],
  ],
  ['an operation that begins at the instant at which another ends', [put('a', [0, 1]), get(null, [1, 2])]],
  [
    'an unknown put that takes effect late',
    [first, unknown(put('late', [1, 2])), get('one', [3, 4]), second, get('late', [7, 8])],
  ],
  ['an unknown put that never does', [first, unknown(put('never', [1, 2])), get('one', [90, 91])]],
  [
    'an unknown put whose revision a get tells',
    [first, unknown(put('x', [1, 2])), get(['x', 3], [2, 3]), put('y', [4, 5], { revision: 5 })],
  ],
  [
    'an unknown put that only shows in what a put is told',
    [unknown(put('x', [0, 1])), put('a', [2, 3], { created: false })],
  ],
  ['an unknown delete between two gets', [first, unknown(remove(true, [1, 2])), get('one', [3, 4]), get(null, [5, 6])]],
  [
    'an unknown delete that makes a put create',
    [first, unknown(remove(true, [1, 2])), put('b', [3, 4], { created: true })],
  ],
  [
    'two unknown puts of one value, used one after the other',
    [
      unknown(put('x', [0, 1])),
      get(['x', 1], [2, 3]),
      remove(true, [4, 5]),
      unknown(put('x', [6, 7])),
      get(['x', 3], [8, 9]),
    ],
  ],
  ['a failed put that nobody saw', [first, failed(put('x', [2, 3])), get('one', [4, 5])]],
  ['a get without an answer', [first, unknown(get('gone', [2, 3])), failed(get('gone', [2, 3]))]],
  ['a delete of nothing', [remove(false, [0, 1]), first, remove(true, [2, 3]), remove(false, [4, 5])]],
  [
    'puts and deletes that were told in one order only',
    [
      put('a', [0, 9], { created: true }),
      remove(true, [0, 9]),
      put('b', [0, 9], { created: true }),
      get('b', [10, 11]),
    ],
  ],
  [
    'a put on an unknown one, of which another is still to be read',
    [
      ...['a', 'b', 'b'].map((value) => unknown(put(value, [0, 1]))),
      put('c', [2, 3], { created: false }),
      get('a', [4, 5]),
      get('b', [6, 7]),
    ],
  ],
  [
    'a put on an unknown one, of which two others are still to be read',
    [
      ...['a', 'a', 'b', 'b'].map((value) => unknown(put(value, [0, 1]))),
      put('c', [2, 3], { created: false }),
      get('a', [4, 5]),
      put('d', [6, 7]),
      get('a', [8, 9]),
      get('b', [10, 11]),
    ],
  ],
];

const bad: readonly (readonly [string, readonly Operation[], Operation])[] = [
  ['a stale read', [first, second, get('one', [4, 5])], get('one', [4, 5])],
  ['a read of nothing after a put', [first, get(null, [2, 3])], get(null, [2, 3])],
  ['a lost update', [first, second, get(['two', 4], [4, 5]), get(['one', 1], [6, 7])], get(['one', 1], [6, 7])],
  [
    'reads that go backwards under one put',
    [first, put('two', [2, 9]), get('two', [3, 4]), get('one', [5, 6])],
    get('one', [5, 6]),
  ],
  [
    'reads that disagree about the order of two puts',
    [put('a', [0, 9]), put('b', [0, 9]), get('a', [10, 11]), get('b', [12, 13])],
    get('b', [12, 13]),
  ],
  ['a value from nowhere', [first, get('three', [2, 3])], get('three', [2, 3])],
  ['a value from the future', [get('one', [-3, -2]), first], get('one', [-3, -2])],
  ['a put applied twice', [first, second, get('two', [4, 5]), get('one', [6, 7])], get('one', [6, 7])],
  [
    'an unknown put applied twice',
    [unknown(put('x', [0, 1])), get('x', [2, 3]), put('a', [4, 5]), get('a', [6, 7]), get('x', [8, 9])],
    get('x', [8, 9]),
  ],
  [
    'an unknown put that is seen and then unseen',
    [first, unknown(put('x', [2, 3])), get('x', [4, 5]), get('one', [6, 7])],
    get('one', [6, 7]),
  ],
  ['an unknown put seen before its call', [get('x', [0, 1]), unknown(put('x', [2, 3]))], get('x', [0, 1])],
  [
    'an unknown delete applied twice',
    [first, unknown(remove(true, [1, 2])), get(null, [3, 4]), put('b', [5, 6]), get(null, [7, 8])],
    get(null, [7, 8]),
  ],
  ['a failed put that is seen', [first, failed(put('x', [2, 3])), get('x', [4, 5])], get('x', [4, 5])],
  ['a failed delete that is seen', [first, failed(remove(true, [2, 3])), get(null, [4, 5])], get(null, [4, 5])],
  ['a deleted value that is back', [first, remove(true, [2, 3]), get('one', [4, 5])], get('one', [4, 5])],
  ['a delete that found nothing', [first, remove(false, [2, 3])], remove(false, [2, 3])],
  ['a delete that found something', [remove(true, [-2, -1]), first], remove(true, [-2, -1])],
  ['two deletes of one value', [first, remove(true, [2, 9]), remove(true, [2, 8])], remove(true, [2, 9])],
  [
    'a put that created what was there',
    [first, put('b', [2, 3], { created: true })],
    put('b', [2, 3], { created: true }),
  ],
  ['a put that replaced nothing', [put('b', [2, 3], { created: false })], put('b', [2, 3], { created: false })],
  [
    'a revision that does not grow',
    [first, second, put('b', [4, 5], { revision: 3 })],
    put('b', [4, 5], { revision: 3 }),
  ],
  ['a revision given twice', [first, put('b', [4, 5], { revision: 1 })], put('b', [4, 5], { revision: 1 })],
  ['a get with the revision of another put', [first, second, get(['two', 1], [4, 5])], get(['two', 1], [4, 5])],
  ['a get with a revision of no put', [first, get(['one', 2], [4, 5])], get(['one', 2], [4, 5])],
  [
    'two revisions of one unknown put',
    [unknown(put('x', [0, 1])), get(['x', 2], [2, 3]), get(['x', 3], [4, 5])],
    get(['x', 3], [4, 5]),
  ],
  [
    'one revision of two unknown puts',
    [
      unknown(put('x', [0, 1])),
      unknown(put('x', [0, 1])),
      get(['x', 2], [2, 3]),
      remove(true, [4, 5]),
      get(['x', 2], [6, 7]),
    ],
    get(['x', 2], [6, 7]),
  ],
  [
    'an unknown put with a revision below what it followed',
    [first, second, unknown(put('x', [4, 5])), get(['x', 2], [6, 7])],
    get(['x', 2], [6, 7]),
  ],
];

describe('a history is accepted with', () => {
  it.each(good)('%s', (_, operations) => {
    expect(checkHistory(operations)).toMatchObject({ type: 'linearizable', operations: operations.length });
    expect(isLinearizable(operations)).toBe(true);
  });
});

describe('a history is refused with', () => {
  it.each(bad)('%s', (_, operations, culprit) => {
    expect(isLinearizable(operations)).toBe(false);
    const { key, unplaced } = violation(operations);
    expect({ key, culprit: unplaced[0] }).toEqual({ key: 'k', culprit });
  });
});

describe('what is wrong', () => {
  it('is told of the key, with the order up to it and what it contradicts', () => {
    const late = unknown(put('late', [1, 2]));
    const operations = [first, second, late, get('two', [4, 5]), get('one', [6, 7]), get('one', [8, 9])];
    const after = put('other', [20, 21]);
    const elsewhere = { ...get(null, [0, 1]), key: 'another' };
    const found = violation([elsewhere, ...operations, after]);
    expect(found).toEqual({
      type: 'violation',
      key: 'k',
      reason: 'it read a value that was overwritten or deleted before',
      unplaced: [get('one', [6, 7]), second],
      linearized: [first, second, get('two', [4, 5])],
      pending: [late],
    });
    expect(describeViolation(found)).toEqual([
      'key "k" is not linearizable: it read a value that was overwritten or deleted before',
      '  [6, 7] 1 get -> "one"',
      'against:',
      '  [2, 3] 1 put "two" -> replaced, revision 4',
      'until then all is explained by this order:',
      '  [0, 1] 1 put "one" -> created, revision 1',
      '  [2, 3] 1 put "two" -> replaced, revision 4',
      '  [4, 5] 1 get -> "two"',
      'not yet in effect, or never:',
      '  [1, unknown] 1 put "late" -> unknown',
    ]);
  });

  it('is found whatever the order of the lines', () => {
    for (const [, operations] of bad) expect(checkHistory(operations.toReversed()).type).toBe('violation');
    for (const [, operations] of good) expect(checkHistory(operations.toReversed()).type).toBe('linearizable');
  });

  it('is told the same way each time', () => {
    for (const [, operations] of bad) expect(checkHistory(operations)).toEqual(checkHistory(operations));
  });
});

describe('an answer that its operation cannot have', () => {
  it.each([
    ['a put', { ...first, output: { deleted: true } }],
    ['a put', { ...first, output: null }],
    ['a get', { ...get(null, [0, 1]), output: { deleted: true } }],
    ['a delete', { ...remove(true, [0, 1]), output: null }],
    ['one that ended before it began', { ...first, call: 2 }],
  ])('is a mistake of the recorder: %s', (_, operation) => {
    expect(() => checkHistory([operation])).toThrow('an answered');
  });
});

function violation(operations: readonly Operation[]): Violation {
  const result = checkHistory(operations);
  if (result.type !== 'violation') throw new Error(`${result.type}: nothing wrong was found`);
  return result;
}
