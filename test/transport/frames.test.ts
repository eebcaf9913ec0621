/** The frame and the handshake: their bytes, which never change, and everything that is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Hello, NodeId } from '../../src/replica/ports.ts';
import { decodeFrame, type Frame } from '../../src/transport/frames.ts';
import { encodeHello, helloBytes } from '../../src/transport/hello.ts';
import { FrameInbox } from '../../src/transport/inbox.ts';
import { messageBytes } from '../../src/transport/messages.ts';
import { FrameOutbox } from '../../src/transport/outbox.ts';
import { encodePayload } from '../../src/transport/payloads.ts';
import { FrameType, WireError } from '../../src/transport/wire.ts';
import { append, group, heartbeat, helloFrom, nodeA, nodeB } from './world.ts';

const bodyBytesMax = 2048;
const unformed: Hello = helloFrom(nodeA, 'node-2' as NodeId, { clusterId: undefined, incarnation: 0x1_0000_0002 });

describe('the bytes of each frame', () => {
  const helloHex =
    '464c4f54 0003 0001 01 0123456789abcdef0123456789abcdef 01 61 01 62 0000000000000001 11112222333344445555666677778888 0000';
  const unformedHex =
    '464c4f54 0003 0001 01 00000000000000000000000000000000 01 61 06 6e6f64652d32 0000000100000002 11112222333344445555666677778888 0000';
  const heartbeatHex =
    '07 00000007 00000001 00000002 0000000000000003 0000000000000004 0000000000000009 0000000000000005 0000000000000003 0000000000000004 00';
  const golden: readonly (readonly [string, Frame, Buffer, string])[] = [
    [
      'hello',
      { type: 'hello', hello: helloFrom(nodeA, nodeB) },
      helloFrame(helloFrom(nodeA, nodeB)),
      `00000038 65691e9a 01 ${helloHex}`,
    ],
    [
      'hello of a node not formed yet',
      { type: 'hello', hello: unformed },
      helloFrame(unformed),
      `0000003d 419beb49 01 ${unformedHex}`,
    ],
    [
      'hello of a bulk connection',
      { type: 'hello', hello: helloFrom(nodeA, nodeB, { lane: 'bulk' }) },
      helloFrame(helloFrom(nodeA, nodeB, { lane: 'bulk' })),
      `00000038 dee20335 01 ${helloHex.replace('0001 01', '0001 02')}`,
    ],
    [
      'refusal',
      { type: 'refusal', reason: 'no' },
      plainFrame(FrameType.refusal, Buffer.from('no')),
      '00000003 dab6379c 02 6e6f',
    ],
    [
      'Raft',
      { type: 'raft', envelopes: [{ partition: group, message: heartbeat(9) }] },
      raftFrame(1),
      `0000003f 23eb279f 03 ${heartbeatHex}`,
    ],
    ['ping', { type: 'ping' }, plainFrame(FrameType.ping), '00000001 d56f2b94 04'],
    ['pong', { type: 'pong' }, plainFrame(FrameType.pong), '00000001 a2681b02 05'],
    [
      'request',
      { type: 'request', id: 258, kind: 'get', payload: { a: 1 } },
      plainFrame(FrameType.request, Buffer.from([0, 0, 1, 2, 3]), Buffer.from('get'), encodePayload({ a: 1 })),
      '0000000d 7ceefbf0 06 00000102 03 676574 81a16101',
    ],
    [
      'response',
      { type: 'response', id: 258, payload: null },
      plainFrame(FrameType.response, Buffer.from([0, 0, 1, 2]), encodePayload(null)),
      '00000006 04575b1e 07 00000102 c0',
    ],
    [
      'failure',
      { type: 'failure', id: 258, reason: 'für' },
      plainFrame(FrameType.failure, Buffer.from([0, 0, 1, 2]), Buffer.from('für')),
      '00000009 97924711 08 00000102 66c3bc72',
    ],
  ];

  it.each(golden)('%s', (_, frame, bytes, hex) => {
    expect(bytes.toString('hex')).toBe(hex.replace(/\s/g, ''));
    expect(received(bytes)).toEqual([frame]);
  });
});

describe('the stream of chunks', () => {
  const stream = Buffer.concat([
    plainFrame(FrameType.ping),
    raftFrame(3),
    helloFrame(unformed),
    plainFrame(FrameType.pong),
  ]);
  const frames = received(stream);

  it('may be split at any two places', () => {
    expect(frames.map((frame) => frame.type)).toEqual(['ping', 'raft', 'hello', 'pong']);
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second += 13) {
        const chunks = [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)];
        expect(received(...chunks)).toEqual(frames);
      }
    }
  });

  it('may come byte by byte', () => {
    expect(received(...Array.from(stream, (_, i) => stream.subarray(i, i + 1)))).toEqual(frames);
  });

  it(
    'costs time in proportion to its length: a large frame in small chunks is gathered once',
    { timeout: 5000 },
    () => {
      const large = append(1, [Buffer.alloc(8 << 20, 1)]);
      const outbox = new FrameOutbox(100);
      outbox.addMessage(group, large, messageBytes(large));
      const bytes = Buffer.concat(outbox.take());
      const inbox = new FrameInbox(bytes.length);
      let whole: Buffer | undefined;
      // Gathering 131,072 chunks by concatenation would move 512 GiB.
      for (let at = 0; at < bytes.length; at += 64) {
        inbox.push(bytes.subarray(at, at + 64));
        whole = inbox.next();
      }
      expect(whole?.equals(bytes.subarray(8))).toBe(true);
    },
  );
});

describe('the receiver refuses', () => {
  it('every frame with any one byte changed, in the header to anything, behind it in any one bit or all', () => {
    const flips = Array.from({ length: 255 }, (_, i) => i + 1);
    for (const frame of [helloFrame(unformed), raftFrame(1), plainFrame(FrameType.ping)]) {
      const bytes = Buffer.concat([frame, Buffer.alloc(bodyBytesMax)]);
      for (let at = 0; at < frame.length; at++) {
        const right = bytes[at] as number;
        for (const flip of at < 9 ? flips : [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
          bytes[at] = right ^ flip;
          const inbox = new FrameInbox(bodyBytesMax);
          inbox.push(bytes);
          expect(() => inbox.next(), `byte ${at}`).toThrow(WireError);
        }
        bytes[at] = right;
      }
    }
  });

  it('a length above the bound as soon as the header is there, before memory is taken for it', () => {
    const header = Buffer.from('ffffffff00000000', 'hex');
    expect(() => received(header)).toThrow('4294967295 bytes');
    header.writeUInt32BE(bodyBytesMax + 1);
    expect(() => received(header)).toThrow(WireError);
    header.writeUInt32BE(bodyBytesMax);
    expect(received(header)).toEqual([]);
  });

  it('a length of 0', () => {
    expect(() => received(Buffer.alloc(8))).toThrow(WireError);
  });

  it('frame types that do not exist', () => {
    for (const type of [0, 9, 255]) expect(() => received(plainFrame(type as FrameType))).toThrow('does not exist');
  });

  it('a ping or pong with a payload', () => {
    expect(() => received(plainFrame(FrameType.ping, Buffer.from([1])))).toThrow(WireError);
  });

  it('payloads that announce more than has arrived, before they are decoded', () => {
    const fourBillion = Buffer.from('ddffffffff', 'hex');
    const request = plainFrame(FrameType.request, Buffer.from([0, 0, 0, 1, 1, 65]), fourBillion);
    expect(() => received(request)).toThrow('4294967295 values announced');
    const response = plainFrame(FrameType.response, Buffer.from([0, 0, 0, 1]), fourBillion);
    expect(() => received(response)).toThrow('4294967295 values announced');
  });

  it('requests and answers cut short', () => {
    expect(() => received(plainFrame(FrameType.request, Buffer.from([0, 0, 1])))).toThrow(WireError);
    expect(() => received(plainFrame(FrameType.request, Buffer.from([0, 0, 0, 1, 9, 65])))).toThrow(WireError);
    expect(() => received(plainFrame(FrameType.response, Buffer.from([0, 0, 0, 1])))).toThrow(WireError);
    expect(() => received(plainFrame(FrameType.failure, Buffer.from([0])))).toThrow(WireError);
  });

  it('hellos that are wrong anywhere', () => {
    const payload = helloFrame(helloFrom(nodeA, nodeB)).subarray(9);
    const changed = (at: number, byte: number): Buffer => {
      const copy = Buffer.from(payload);
      copy[at] = byte;
      return plainFrame(FrameType.hello, copy);
    };
    expect(() => received(changed(0, 0))).toThrow('magic');
    expect(() => received(changed(5, 1))).toThrow('speaks protocol version 1, this node speaks 3');
    expect(() => received(changed(7, 0))).toThrow('feature level 0');
    for (const lane of [0, 3, 255]) expect(() => received(changed(8, lane))).toThrow(`lane ${lane} does not exist`);
    expect(() => received(changed(26, 0x20))).toThrow('node id');
    expect(() => received(changed(25, 0))).toThrow('node id');
    expect(() => received(changed(29, 0x20))).toThrow('2^53');
    expect(() => received(changed(payload.length - 1, 1))).toThrow('cut short');
    expect(() => received(plainFrame(FrameType.hello, payload, Buffer.from([0])))).toThrow('too many');
    expect(received(changed(7, 9))).toHaveLength(1);
  });

  it('accepts a hello with an authentication blob, which it cannot check yet', () => {
    const payload = helloFrame(helloFrom(nodeA, nodeB)).subarray(9);
    const withBlob = Buffer.concat([payload.subarray(0, -2), Buffer.from([0, 3, 1, 2, 3])]);
    expect(received(plainFrame(FrameType.hello, withBlob))).toEqual([
      { type: 'hello', hello: helloFrom(nodeA, nodeB) },
    ]);
  });
});

it('any hello comes back as it was sent', () => {
  const hex32 = fc.stringMatching(/^[0-9a-f]{31}[1-9a-f]$/);
  const name = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/).map((text) => text as NodeId);
  const hello = fc.record({
    lane: fc.constantFrom('main' as const, 'bulk' as const),
    clusterId: fc.option(hex32, { nil: undefined }),
    nodeId: name,
    to: name,
    incarnation: fc.maxSafeNat(),
    nonce: hex32,
  });
  fc.assert(
    fc.property(hello, (sent) => {
      expect(received(helloFrame(sent))).toEqual([{ type: 'hello', hello: sent }]);
    }),
  );
});

it('random bytes on any frame type give a frame or a WireError, and nothing else', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 60 }), (type, payload) => {
      try {
        decodeFrame(Buffer.from([type, ...payload]));
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }),
    { numRuns: 1000 },
  );
});

describe('the outbox', () => {
  const length = messageBytes(heartbeat(0));

  it('puts what fits into one frame, in one piece', () => {
    const outbox = new FrameOutbox(9 + 10 * length);
    for (let round = 1; round <= 10; round++) outbox.addMessage(group, heartbeat(round), length);
    expect(outbox.bytes).toBe(9 + 10 * length);
    const pieces = outbox.take();
    expect(pieces.map((piece) => piece.length)).toEqual([9 + 10 * length]);
    expect(outbox.bytes).toBe(0);
    expect(outbox.take()).toEqual([]);
  });

  it('begins another frame when the page is full, and keeps the order among all frames', () => {
    const outbox = new FrameOutbox(9 + 2 * length);
    for (let round = 1; round <= 3; round++) outbox.addMessage(group, heartbeat(round), length);
    outbox.addFrame(FrameType.ping, 0, () => undefined);
    outbox.addMessage(group, heartbeat(4), length);
    const pieces = outbox.take();
    expect(received(...pieces).map((frame) => (frame.type === 'raft' ? frame.envelopes.length : frame.type))).toEqual([
      2,
      1,
      'ping',
      1,
    ]);
  });

  it('gives a message larger than a page a frame of its own', () => {
    const outbox = new FrameOutbox(100);
    const large = append(1, [Buffer.alloc(1000, 3)]);
    outbox.addMessage(group, heartbeat(1), length);
    outbox.addMessage(group, large, messageBytes(large));
    outbox.addMessage(group, heartbeat(2), length);
    expect(received(...outbox.take()).map((frame) => frame.type === 'raft' && frame.envelopes.length)).toEqual([
      1, 1, 1,
    ]);
  });

  it('gives the tail of a frame as it lies, the frame being what it would be in one piece', () => {
    const [head, tail] = [Buffer.from([0, 0, 1, 2, 3, 103, 101, 116]), encodePayload(Buffer.alloc(500, 3))];
    const outbox = new FrameOutbox(1000);
    outbox.addMessage(group, heartbeat(9), length);
    outbox.addFrame(FrameType.request, head.length, (page, at) => page.set(head, at), tail);
    outbox.addFrame(FrameType.ping, 0, () => undefined);
    const whole = [raftFrame(1), plainFrame(FrameType.request, head, tail), plainFrame(FrameType.ping)];
    expect(outbox.bytes).toBe(Buffer.concat(whole).length);
    const pieces = outbox.take();
    expect(Buffer.concat(pieces).equals(Buffer.concat(whole))).toBe(true);
    expect(pieces.map((piece) => piece.buffer === tail.buffer)).toEqual([false, true, false]);
    expect(outbox.bytes).toBe(0);
  });

  it('never writes to what it has given away', () => {
    const outbox = new FrameOutbox(1000);
    outbox.addMessage(group, heartbeat(1), length);
    const given = outbox.take();
    for (let round = 2; round < 100; round++) outbox.addMessage(group, heartbeat(round), length);
    outbox.take();
    expect(received(...given)).toEqual([{ type: 'raft', envelopes: [{ partition: group, message: heartbeat(1) }] }]);
  });
});

function received(...chunks: Buffer[]): Frame[] {
  const inbox = new FrameInbox(bodyBytesMax);
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    inbox.push(chunk);
    for (let body = inbox.next(); body !== undefined; body = inbox.next()) frames.push(decodeFrame(body));
  }
  return frames;
}

function plainFrame(type: FrameType, ...payload: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(payload);
  const outbox = new FrameOutbox(64);
  outbox.addFrame(type, bytes.length, (page, at) => page.set(bytes, at));
  return Buffer.concat(outbox.take());
}

function helloFrame(hello: Hello): Buffer {
  const bytes = Buffer.alloc(helloBytes(hello));
  expect(encodeHello(bytes, 0, hello)).toBe(bytes.length);
  return plainFrame(FrameType.hello, bytes);
}

function raftFrame(messages: number): Buffer {
  const outbox = new FrameOutbox(1024);
  for (let i = 0; i < messages; i++) outbox.addMessage(group, heartbeat(9 + i), messageBytes(heartbeat(9)));
  return Buffer.concat(outbox.take());
}
