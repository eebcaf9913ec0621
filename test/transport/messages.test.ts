/** The hot messages' bytes, which never change, and what the decoder refuses. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Entry, EntryKind, LogIndex, Message, ReplicaId, Term } from '../../src/raft/types.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { decodeMessages, encodeMessage, messageBytes } from '../../src/transport/messages.ts';
import { WireError, WireReader } from '../../src/transport/wire.ts';

const partition = 0x01020304 as PartitionId;
const envelope = { from: 5 as ReplicaId, to: 6 as ReplicaId, term: 9 as Term };
/** Partition, from, to, term: what follows the type byte in every message below. */
const envelopeHex = '01020304 00000005 00000006 0000000000000009';
const index = (value: number): LogIndex => value as LogIndex;
const term = (value: number): Term => value as Term;

const golden: readonly (readonly [Message, string])[] = [
  [
    { type: 'PreVoteRequest', ...envelope, lastLogIndex: index(0x1122334455), lastLogTerm: term(8) },
    `01 ${envelopeHex} 0000001122334455 0000000000000008`,
  ],
  [{ type: 'PreVoteResponse', ...envelope, granted: true }, `02 ${envelopeHex} 01`],
  [
    { type: 'VoteRequest', ...envelope, lastLogIndex: index(7), lastLogTerm: term(8), transfer: true },
    `03 ${envelopeHex} 0000000000000007 0000000000000008 01`,
  ],
  [
    { type: 'VoteResponse', ...envelope, granted: false, timeTerm: term(5), logTime: 21 },
    `04 ${envelopeHex} 00 0000000000000005 0000000000000015`,
  ],
  [
    {
      type: 'AppendEntriesRequest',
      ...envelope,
      prevLogIndex: index(40),
      prevLogTerm: term(7),
      leaderCommit: index(39),
      entries: [
        { index: index(41), term: term(8), kind: 0, body: Buffer.alloc(0) },
        { index: index(42), term: term(9), kind: 1, body: Buffer.from('hello') },
        { index: index(43), term: term(9), kind: 2, body: Buffer.from([0xff]) },
      ],
    },
    `05 ${envelopeHex} 0000000000000028 0000000000000007 0000000000000027 00000003
     0000000000000008 00 00000000
     0000000000000009 01 00000005 68656c6c6f
     0000000000000009 02 00000001 ff`,
  ],
  [
    {
      type: 'AppendEntriesResponse',
      ...envelope,
      success: false,
      index: index(40),
      hintIndex: index(30),
      hintTerm: term(3),
    },
    `06 ${envelopeHex} 00 0000000000000028 000000000000001e 0000000000000003`,
  ],
  [
    {
      type: 'Heartbeat',
      ...envelope,
      leaderCommit: index(39),
      readRound: 17,
      logTime: 0x1fffffffffffff,
      freshIndex: index(38),
      freshTime: 18,
      quiesce: true,
    },
    `07 ${envelopeHex} 0000000000000027 0000000000000011 001fffffffffffff 0000000000000026 0000000000000012 01`,
  ],
  [
    { type: 'HeartbeatResponse', ...envelope, readRound: 17, logTime: 19 },
    `08 ${envelopeHex} 0000000000000011 0000000000000013`,
  ],
  [{ type: 'TimeoutNow', ...envelope }, `09 ${envelopeHex}`],
  [{ type: 'ReplicaRemoved', ...envelope }, `0a ${envelopeHex}`],
];

describe('the bytes of each message', () => {
  it.each(golden)('%j', (message, hex) => {
    const bytes = Buffer.from(hex.replace(/\s/g, ''), 'hex');
    expect(encoded(message).toString('hex')).toBe(bytes.toString('hex'));
    expect(decoded(bytes)).toEqual([{ partition, message }]);
  });

  it('have a known length before they are written', () => {
    for (const [message] of golden) expect(encoded(message).length).toBe(messageBytes(message));
  });
});

describe('any message', () => {
  it('comes back as it was sent, alone or behind others', () => {
    fc.assert(
      fc.property(fc.array(anyMessage(), { maxLength: 5 }), (messages) => {
        const bytes = Buffer.concat(messages.map((message) => encoded(message)));
        expect(decoded(bytes)).toEqual(messages.map((message) => ({ partition, message })));
      }),
      { numRuns: 300 },
    );
  });

  it('is refused when it is cut short anywhere, or has a byte too many', () => {
    fc.assert(
      fc.property(anyMessage(), (message) => {
        const bytes = encoded(message);
        for (let length = 1; length < bytes.length; length++) {
          expect(() => decoded(bytes.subarray(0, length))).toThrow(WireError);
        }
        expect(() => decoded(Buffer.concat([bytes, Buffer.from([message.from])]))).toThrow(WireError);
      }),
      { numRuns: 50 },
    );
  });

  it('made of garbage gives a WireError or messages, and nothing else', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 90 }), (type, garbage) => {
        const bytes = Buffer.from([type, ...garbage]);
        try {
          expect(Buffer.concat(decoded(bytes).map(({ partition: id, message }) => encoded(message, id)))).toEqual(
            bytes,
          );
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('the decoder refuses', () => {
  const appendHex = (golden[4] as (typeof golden)[number])[1].replace(/\s/g, '');
  const refused: readonly (readonly [string, string])[] = [
    ['a type that does not exist', `09 ${envelopeHex} 00`],
    ['type 0', `00 ${envelopeHex} 00`],
    ['a sender without a replica id', '02 01020304 00000000 00000006 0000000000000009 01'],
    ['an addressee without a replica id', '02 01020304 00000005 00000000 0000000000000009 01'],
    ['a term above 2^53 - 1', '02 01020304 00000005 00000006 0020000000000000 01'],
    ['a boolean that is 2', `02 ${envelopeHex} 02`],
    ['more entries than the frame has bytes for', `05 ${envelopeHex} ${'0'.repeat(48)} ffffffff`],
    ['an entry kind that does not exist', appendHex.replace('01 00000005'.replace(' ', ''), '0300000005')],
    ['a no-op with a body', appendHex.replace('0100000005', '0000000005')],
    ['an entry of term 0', `05 ${envelopeHex} ${'0'.repeat(48)} 00000001 0000000000000000 00 00000000`],
    [
      'an entry of a later term than its leader',
      `05 ${envelopeHex} ${'0'.repeat(48)} 00000001 000000000000000a 00 00000000`,
    ],
    [
      'terms that fall',
      `05 ${envelopeHex} ${'0'.repeat(48)} 00000002 0000000000000005 00 00000000 0000000000000004 00 00000000`,
    ],
    [
      'an entry before the previous term',
      `05 ${envelopeHex} ${'0'.repeat(16)} 0000000000000006 ${'0'.repeat(16)} 00000001 0000000000000005 00 00000000`,
    ],
    ['a body longer than the frame', `05 ${envelopeHex} ${'0'.repeat(48)} 00000001 0000000000000005 01 7fffffff aa`],
    [
      'an index above 2^53 - 1',
      `05 ${envelopeHex} 001fffffffffffff ${'0'.repeat(32)} 00000001 0000000000000005 00 00000000`,
    ],
  ];

  it.each(refused)('%s', (_, hex) => {
    expect(() => decoded(Buffer.from(hex.replace(/\s/g, ''), 'hex'))).toThrow(WireError);
  });
});

it('bodies of a message share memory with each other, and with nothing else', () => {
  const [message] = golden[4] as (typeof golden)[number];
  const frame = encoded(message);
  const [envelopeRead] = decoded(frame);
  if (envelopeRead?.message.type !== 'AppendEntriesRequest') throw new Error('another message');
  const bodies = envelopeRead.message.entries.map((entry) => entry.body);
  expect(bodies.map((body) => body.buffer.byteLength)).toEqual([6, 6, 6]);
  frame.fill(0);
  expect(Buffer.from(bodies[1] as Uint8Array).toString()).toBe('hello');
});

it('a log with a gap is a bug of the sender, not something to send', () => {
  const gap: Message = {
    type: 'AppendEntriesRequest',
    ...envelope,
    prevLogIndex: index(1),
    prevLogTerm: term(1),
    leaderCommit: index(0),
    entries: [{ index: index(3), term: term(1), kind: 0, body: Buffer.alloc(0) }],
  };
  expect(() => encoded(gap)).toThrow('consecutive');
});

function encoded(message: Message, id: PartitionId = partition): Buffer {
  const page = Buffer.alloc(messageBytes(message) + 2, 0xee);
  const end = encodeMessage(page, 1, { partition: id, message });
  expect([page[0], page[page.length - 1]]).toEqual([0xee, 0xee]);
  return page.subarray(1, end);
}

function decoded(bytes: Buffer) {
  return decodeMessages(new WireReader(bytes, 0));
}

function anyMessage(): fc.Arbitrary<Message> {
  const replica = fc.integer({ min: 1, max: 0xffffffff }).map((id) => id as ReplicaId);
  const anyTerm = fc.maxSafeNat().map(term);
  const anyIndex = fc.maxSafeNat().map(index);
  const ends = { from: replica, to: replica, term: anyTerm };
  const lastLog = { lastLogIndex: anyIndex, lastLogTerm: anyTerm };
  const granted = fc.boolean();
  const plain = fc.oneof(
    fc.record({ type: fc.constant('PreVoteRequest' as const), ...ends, ...lastLog }),
    fc.record({ type: fc.constant('PreVoteResponse' as const), ...ends, granted }),
    fc.record({ type: fc.constant('VoteRequest' as const), ...ends, ...lastLog, transfer: fc.boolean() }),
    fc.record({
      type: fc.constant('VoteResponse' as const),
      ...ends,
      granted,
      timeTerm: anyTerm,
      logTime: fc.maxSafeNat(),
    }),
    fc.record({
      type: fc.constant('AppendEntriesResponse' as const),
      ...ends,
      success: fc.boolean(),
      index: anyIndex,
      hintIndex: anyIndex,
      hintTerm: anyTerm,
    }),
    fc.record({
      type: fc.constant('Heartbeat' as const),
      ...ends,
      leaderCommit: anyIndex,
      readRound: fc.maxSafeNat(),
      logTime: fc.maxSafeNat(),
      freshIndex: anyIndex,
      freshTime: fc.maxSafeNat(),
      quiesce: fc.boolean(),
    }),
    fc.record({
      type: fc.constant('HeartbeatResponse' as const),
      ...ends,
      readRound: fc.maxSafeNat(),
      logTime: fc.maxSafeNat(),
    }),
    fc.record({ type: fc.constantFrom('TimeoutNow' as const, 'ReplicaRemoved' as const), ...ends }),
  );
  return fc.oneof({ arbitrary: plain, weight: 3 }, { arbitrary: anyAppend(replica, anyIndex), weight: 1 });
}

function anyAppend(replica: fc.Arbitrary<ReplicaId>, anyIndex: fc.Arbitrary<LogIndex>): fc.Arbitrary<Message> {
  const entry = fc.record({ kind: fc.constantFrom<EntryKind>(0, 1, 2), body: fc.uint8Array({ maxLength: 20 }) });
  return fc
    .record({
      from: replica,
      to: replica,
      prevLogIndex: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 10 }).map(index),
      leaderCommit: anyIndex,
      // Terms never fall along a log: sorted, the first is the previous entry's and the last the leader's.
      terms: fc.array(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { minLength: 7, maxLength: 7 }),
      contents: fc.array(entry, { maxLength: 5 }),
    })
    .map(({ from, to, prevLogIndex, leaderCommit, terms, contents }) => {
      const [prevLogTerm, ...later] = terms.toSorted((a, b) => a - b).map(term) as [Term, ...Term[]];
      const entries = contents.map(({ kind, body }, i): Entry => {
        const bytes = kind === 0 ? Buffer.alloc(0) : Buffer.from(body);
        return { index: index(prevLogIndex + 1 + i), term: later[i] as Term, kind, body: bytes };
      });
      const leaderTerm = later.at(-1) as Term;
      return {
        type: 'AppendEntriesRequest',
        from,
        to,
        term: leaderTerm,
        prevLogIndex,
        prevLogTerm,
        entries,
        leaderCommit,
      };
    });
}
