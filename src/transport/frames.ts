/** Every frame as a value: the one place where bytes of another node become something this node acts on. */
import { unreachable } from '../assert.ts';
import type { Hello } from '../replica/ports.ts';
import { decodeHello } from './hello.ts';
import { decodeMessages, type RaftEnvelope } from './messages.ts';
import { decodePayload } from './payloads.ts';
import { FrameType, WireError, WireReader } from './wire.ts';

export type Frame =
  | { readonly type: 'hello'; readonly hello: Hello }
  /** The listener's answer to a hello it does not accept; it closes the connection behind it. */
  | { readonly type: 'refusal'; readonly reason: string }
  | { readonly type: 'raft'; readonly envelopes: readonly RaftEnvelope[] }
  | { readonly type: 'ping' }
  | { readonly type: 'pong' }
  | { readonly type: 'request'; readonly id: number; readonly kind: string; readonly payload: unknown }
  | { readonly type: 'response'; readonly id: number; readonly payload: unknown }
  /** The request's handler failed, or the node would not run it. */
  | { readonly type: 'failure'; readonly id: number; readonly reason: string };

/**
 * `body` is a frame's type and payload, its checksum verified. Throws a WireError; keeps nothing of `body`, unless the
 * payload of a request is decoded in place.
 */
export function decodeFrame(body: Buffer, decodeRequest: (reader: WireReader) => unknown = decodePayload): Frame {
  const reader = new WireReader(body, 1);
  const type = frameType(body);
  switch (type) {
    case FrameType.hello:
      return { type: 'hello', hello: decodeHello(reader) };
    case FrameType.refusal:
      return { type: 'refusal', reason: reader.text(reader.remaining()) };
    case FrameType.raft:
      return { type: 'raft', envelopes: decodeMessages(reader) };
    case FrameType.ping:
    case FrameType.pong:
      reader.end();
      return { type: type === FrameType.ping ? 'ping' : 'pong' };
    case FrameType.request: {
      const id = reader.u32();
      const kind = reader.text(reader.u8());
      return { type: 'request', id, kind, payload: decodeRequest(reader) };
    }
    case FrameType.response:
      return { type: 'response', id: reader.u32(), payload: decodePayload(reader) };
    case FrameType.failure:
      return { type: 'failure', id: reader.u32(), reason: reader.text(reader.remaining()) };
    default:
      return unreachable(type);
  }
}

function frameType(body: Buffer): FrameType {
  const type = body[0] ?? 0;
  if (type < FrameType.hello || type > FrameType.failure) throw new WireError(`frame type ${type} does not exist`);
  return type as FrameType;
}
