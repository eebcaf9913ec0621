/**
 * Walks a msgpack value without making anything of it. A decoder allocates an array of the length that the bytes
 * announce, and 5 bytes announce four billion: this check comes first, so that what is decoded never takes more than a
 * constant times the bytes that have arrived. Layout: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
import { WireError, WireReader } from './wire.ts';

/** As deep as the encoder goes. */
const depthMax = 100;

/** Throws a WireError unless `bytes` is exactly one complete value, nested at most 100 deep. */
export function checkMsgpack(bytes: Buffer): void {
  const reader = new WireReader(bytes, 0);
  /** How many values are still to come at each level, outermost first. */
  const toCome = [1];
  while (toCome.length > 0) {
    const level = toCome.length - 1;
    const left = toCome[level] as number;
    if (left === 0) {
      toCome.pop();
      continue;
    }
    toCome[level] = left - 1;
    const children = passValue(reader);
    if (children === 0) continue;
    // Each value takes at least one byte, so no honest count exceeds what is left.
    if (children > reader.remaining()) throw new WireError(`msgpack: ${children} values announced, too few bytes`);
    if (toCome.length > depthMax) throw new WireError(`msgpack: nested deeper than ${depthMax}`);
    toCome.push(children);
  }
  reader.end();
}

/** Passes over one value's own bytes; returns how many values it contains. */
function passValue(reader: WireReader): number {
  const head = reader.u8();
  if (head <= 0x7f || head >= 0xe0) return 0; // small integers
  if (head <= 0x8f) return 2 * (head & 0x0f);
  if (head <= 0x9f) return head & 0x0f;
  if (head <= 0xbf) return pass(reader, head & 0x1f);
  switch (head) {
    case 0xc0: // nil, false, true
    case 0xc2:
    case 0xc3:
      return 0;
    case 0xc4: // binary and string by size of their length
    case 0xd9:
      return pass(reader, reader.u8());
    case 0xc5:
    case 0xda:
      return pass(reader, reader.u16());
    case 0xc6:
    case 0xdb:
      return pass(reader, reader.u32());
    case 0xc7: // extensions: a type byte more
      return pass(reader, reader.u8() + 1);
    case 0xc8:
      return pass(reader, reader.u16() + 1);
    case 0xc9:
      return pass(reader, reader.u32() + 1);
    case 0xcc: // integers and floats by width
    case 0xd0:
      return pass(reader, 1);
    case 0xcd:
    case 0xd1:
      return pass(reader, 2);
    case 0xca:
    case 0xce:
    case 0xd2:
      return pass(reader, 4);
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return pass(reader, 8);
    case 0xd4: // fixed extensions of 1, 2, 4, 8, 16 bytes, and the type byte
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return pass(reader, 1 + 2 ** (head - 0xd4));
    case 0xdc:
      return reader.u16();
    case 0xdd:
      return reader.u32();
    case 0xde:
      return 2 * reader.u16();
    case 0xdf:
      return 2 * reader.u32();
    default:
      throw new WireError('msgpack: 0xc1 is never used');
  }
}

function pass(reader: WireReader, length: number): 0 {
  reader.view(length);
  return 0;
}
