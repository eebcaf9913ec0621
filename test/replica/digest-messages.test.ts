/** What a leader and its members say to each other when they are compared: what was meant arrives, what makes no sense is refused. */
import { expect, test } from 'vitest';
import {
  decodeDigestBeginAnswer,
  decodeDigestDiffers,
  decodeDigestDiffersAnswer,
  decodeDigestEnd,
  decodeDigestId,
  decodeDigestResultAnswer,
  encodeDigestResult,
  refusedDigest,
} from '../../src/replica/digest-messages.ts';

const id = { partition: 0, from: 1, to: 2, term: 3, index: 4 };
const sum = Buffer.alloc(32, 7);
const taken = { type: 'taken', term: 3, version: 1, sum, records: 5, bytes: 600, miscounted: undefined } as const;

test('what is asked arrives, and nothing besides', () => {
  expect(decodeDigestId({ ...id, more: 1 })).toEqual(id);
  expect(decodeDigestEnd({ ...id, compared: true, more: 1 })).toEqual({ ...id, compared: true });
  const differs = { ...id, version: 1, sum, holders: [1, 3] };
  expect(decodeDigestDiffers({ ...differs, more: 1 })).toEqual(differs);
});

test.each([
  ['nothing', null],
  ['a list', [id]],
  ['no partition', { ...id, partition: undefined }],
  ['the number that stands for the node itself', { ...id, partition: 0xffff_ffff }],
  ['a replica 0', { ...id, to: 0 }],
  ['a term 0', { ...id, term: 0 }],
  ['an index that is no whole number', { ...id, index: 1.5 }],
])('of %s nothing is asked', (_what, payload) => {
  expect(decodeDigestId(payload)).toBeUndefined();
  expect(decodeDigestEnd(Array.isArray(payload) ? payload : { ...payload, compared: true })).toBeUndefined();
  expect(decodeDigestDiffers(payload)).toBeUndefined();
});

test.each([
  [{ ...id }],
  [{ ...id, version: 1, sum: 'text', holders: [1] }],
  [{ ...id, version: 1, sum: Buffer.alloc(65), holders: [1] }],
  [{ ...id, version: -1, sum, holders: [1] }],
  [{ ...id, version: 1, sum, holders: [0] }],
  [{ ...id, version: 1, sum, holders: 1 }],
  [{ ...id, version: 1, sum, holders: Array.from({ length: 1001 }, () => 1) }],
])('a replica is not told that it differs by %j', (payload) => {
  expect(decodeDigestDiffers(payload)).toBeUndefined();
});

test('answers arrive', () => {
  for (const type of ['begun', 'busy', 'passed']) expect(decodeDigestBeginAnswer({ type })).toEqual({ type });
  expect(decodeDigestResultAnswer(encodeDigestResult({ type: 'reading' }))).toEqual({ type: 'reading' });
  for (const miscounted of [undefined, '1 key, and 2 are counted']) {
    const answer = { ...taken, miscounted };
    expect(decodeDigestResultAnswer(encodeDigestResult(answer))).toEqual(answer);
  }
  expect(decodeDigestDiffersAnswer({ type: 'believed' })).toEqual({ type: 'believed' });
  const refused = refusedDigest('r'.repeat(1000));
  expect(refused.reason).toHaveLength(500);
  for (const decode of [decodeDigestBeginAnswer, decodeDigestResultAnswer, decodeDigestDiffersAnswer]) {
    expect(decode(refused)).toEqual(refused);
    expect([decode(null), decode('begun'), decode({ type: 'sung' }), decode({ type: 'refused' })]).toEqual(
      Array.from({ length: 4 }),
    );
  }
});

test.each([
  { term: 'x' },
  { sum: 'text' },
  { sum: Buffer.alloc(65) },
  { records: -1 },
  { bytes: 0.5 },
  { miscounted: 7 },
  { version: null },
])('a digest with %j is none', (change) => {
  expect(decodeDigestResultAnswer({ ...encodeDigestResult(taken), ...change })).toBeUndefined();
});
