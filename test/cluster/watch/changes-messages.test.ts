/** How nodes ask each other for changes: what was meant arrives, what makes no sense is refused. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeChanges,
  decodeQuestion,
  encodeChanges,
  encodeQuestion,
  type ChangesAnswer,
} from '../../../src/cluster/watch/changes-messages.ts';
import { revisionOf } from '../../../src/kv/revision.ts';
import type { PartitionId } from '../../../src/replica/ports.ts';
import { decodePayload, encodePayload } from '../../../src/transport/payloads.ts';
import { WireReader } from '../../../src/transport/wire.ts';

const partition = 7 as PartitionId;
const question = { partition, after: { incarnation: 2, index: 40 }, bytesMax: 65_536, waitMs: 5000 };
const version = { incarnation: 2, revision: revisionOf(2, 41) };
const key = Buffer.from([0xff, 0x00]);
const answer: ChangesAnswer = {
  type: 'changes',
  entries: [
    {
      index: 41,
      changes: [
        { type: 'put', key, value: Buffer.from('v'), contentType: 'text/plain', ...version },
        { type: 'delete', key: Buffer.from('a'), ...version },
        { type: 'expire', key: Buffer.from('b'), ...version },
      ],
    },
    {
      index: 43,
      changes: [{ type: 'put', key, value: Buffer.alloc(0), contentType: '', ...version, revision: revisionOf(2, 43) }],
    },
  ],
  through: { incarnation: 2, index: 50 },
};

test('what is asked arrives, and nothing besides', () => {
  expect(decodeQuestion({ ...encodeQuestion(question), more: 1 })).toEqual(question);
});

test.each<[string, unknown]>([
  ['nothing', null],
  ['a list', [encodeQuestion(question)]],
  ['bytes', Buffer.from('question')],
  ['no partition', { ...encodeQuestion(question), partition: undefined }],
  ['a partition beyond 32 bits', { ...encodeQuestion(question), partition: 2 ** 32 }],
  ['an incarnation that is a text', { ...encodeQuestion(question), incarnation: '2' }],
  ['an index below 0', { ...encodeQuestion(question), index: -1 }],
  ['an index beyond 2^53', { ...encodeQuestion(question), index: 2 ** 53 }],
  ['no bound on bytes', { ...encodeQuestion(question), bytesMax: Infinity }],
  ['half a millisecond', { ...encodeQuestion(question), waitMs: 0.5 }],
])('%s asks nothing', (_what, payload) => {
  expect(decodeQuestion(payload)).toBeUndefined();
});

test('answers arrive, over the wire too', () => {
  const answers: ChangesAnswer[] = [
    answer,
    { ...answer, entries: [] },
    { type: 'too_old', detail: 'the log begins at 60' },
    { type: 'not_here' },
  ];
  for (const one of answers) {
    expect(decodeChanges(encodeChanges(one))).toEqual(one);
    expect(decodeChanges(decodePayload(new WireReader(Buffer.from(encodePayload(encodeChanges(one))), 0)))).toEqual(
      one,
    );
  }
});

const encoded = encodeChanges(answer);
const put = ['put', key, Buffer.from('v'), 'text/plain'];

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['a list', [encoded]],
  ['a type that is none', { ...encoded, type: 'sung' }],
  ['what a node says to a question that makes no sense', { type: 'malformed' }],
  ['too old without a word why', { type: 'too_old' }],
  ['no incarnation', { ...encoded, incarnation: undefined }],
  ['an index that is no whole number', { ...encoded, index: 1.5 }],
  ['entries that are no list', { ...encoded, entries: { 0: [41] } }],
  ['an entry that is no list', { ...encoded, entries: [41] }],
  ['an entry without an index', { ...encoded, entries: [[]] }],
  ['an index below 0', { ...encoded, entries: [[-1, put]] }],
  ['a change that is no list', { ...encoded, entries: [[41, 'put']] }],
  ['a change of another type', { ...encoded, entries: [[41, ['move', key]]] }],
  ['a key that is a text', { ...encoded, entries: [[41, ['delete', 'a']]] }],
  ['a put without a value', { ...encoded, entries: [[41, put.slice(0, 2)]] }],
  ['a put without a content type', { ...encoded, entries: [[41, put.slice(0, 3)]] }],
  ['one bad change among good ones', { ...encoded, entries: [[41, put, ['delete'], put]] }],
  ['one bad entry among good ones', { ...encoded, entries: [[41, put], null, [43, put]] }],
])('%s is no answer', (_what, payload) => {
  expect(decodeChanges(payload)).toBeUndefined();
});

test('whatever comes, nothing is thrown', () => {
  const leaf = fc.oneof(fc.constantFrom('put', 'delete', 'changes'), fc.integer(), fc.uint8Array({ maxLength: 4 }));
  const payload = fc.oneof(
    fc.anything(),
    fc.record({
      type: fc.constantFrom('changes', 'too_old', 'not_here'),
      incarnation: fc.oneof(fc.nat(), fc.anything()),
      index: fc.oneof(fc.nat(), fc.anything()),
      entries: fc.array(fc.oneof(fc.anything(), fc.array(fc.oneof(leaf, fc.array(leaf))))),
    }),
  );
  fc.assert(
    fc.property(payload, (some) => {
      decodeQuestion(some);
      const decoded = decodeChanges(some);
      // What is taken makes sense: it can be told on.
      if (decoded !== undefined) expect(decodeChanges(encodeChanges(decoded))).toEqual(decoded);
    }),
    { numRuns: 1000 },
  );
});
