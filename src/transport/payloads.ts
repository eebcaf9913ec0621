/**
 * What a request or an answer carries: one msgpack value. On the main lane it is copied at both ends. On the bulk lane the
 * byte string that matters is large, so it is copied at neither: it is sent from where it lies, and lent to whoever
 * answers. `Transport.request` and `TransportHandlers.onRequest` say how long each must leave it alone, and may look at it.
 */
import { decode, Encoder } from '@msgpack/msgpack';
import { checkMsgpack } from './msgpack-check.ts';
import { WireError, type WireReader } from './wire.ts';

const encoder = new Encoder({ ignoreUndefined: true });
const noBytes = Buffer.alloc(0);

/** A payload as it travels: `tail` directly behind `head`. */
export interface EncodedPayload {
  readonly head: Uint8Array;
  /** The caller's own memory: the socket writes from it, so whoever asks leaves it alone until there is an answer. */
  readonly tail: Uint8Array;
}

export function payloadBytes({ head, tail }: EncodedPayload): number {
  return head.length + tail.length;
}

/** Properties that are undefined are left out. Throws for what msgpack can't carry (functions, cycles, symbols). */
export function encodePayload(payload: unknown): Uint8Array {
  return encoder.encode(payload);
}

/** msgpack's header of any byte string: its kind, and a u32 of its length. */
const bin32 = 0xc6;
const bin32HeaderBytes = 1 + 4;
/** And all of an empty one, as the encoder writes it: its kind, and a u8. */
const emptyBinBytes = 1 + 1;

/** The same, but a byte string that ends the payload stays where it is. */
export function encodeInPlace(payload: unknown): EncodedPayload {
  const ending = endingIn(payload);
  if (ending === undefined) return { head: encodePayload(payload), tail: noBytes };
  const { emptied, tail } = ending;
  const encoded = encoder.encodeSharedRef(emptied);
  const end = encoded.length - emptyBinBytes;
  const head = Buffer.allocUnsafe(end + bin32HeaderBytes);
  head.set(encoded.subarray(0, end));
  head[end] = bin32;
  head.writeUInt32BE(tail.length, end + 1);
  return { head, tail };
}

/** The byte string that stands last in a payload, and the payload with an empty one in its place. */
function endingIn(payload: unknown): { readonly emptied: unknown; readonly tail: Uint8Array } | undefined {
  if (payload instanceof Uint8Array) return { emptied: noBytes, tail: payload };
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return undefined;
  const [name, tail] = Object.entries(payload).at(-1) ?? [];
  if (name === undefined || !(tail instanceof Uint8Array)) return undefined;
  return { emptied: { ...payload, [name]: noBytes }, tail };
}

/** The rest of the frame as one msgpack value. Byte strings in it are views on a copy made here, not on the frame. */
export function decodePayload(reader: WireReader): unknown {
  return decodeBytes(Buffer.from(reader.view(reader.remaining())));
}

/** The same without the copy: byte strings in it are views on the frame. */
export function decodeInPlace(reader: WireReader): unknown {
  return decodeBytes(reader.view(reader.remaining()));
}

function decodeBytes(bytes: Buffer): unknown {
  checkMsgpack(bytes);
  try {
    return decode(bytes);
  } catch (error) {
    throw new WireError(`msgpack: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What networks in memory do instead of sending: they read the caller's memory when the payload arrives, no earlier than a socket might. */
export function arrived({ head, tail }: EncodedPayload): Buffer {
  return Buffer.concat([head, tail]);
}

/** And instead of using lent memory again: whoever has kept a view of it finds something else there. */
export function takeBack(bytes: Buffer): void {
  bytes.fill(0xdb);
}
