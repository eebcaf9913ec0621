/**
 * Uncompresses one block of Google's Snappy format (snappy/format_description.txt): LevelDB compresses index blocks too.
 * Throws a RangeError for what is no such block.
 */
export function uncompressSnappy(input: Buffer): Buffer {
  let offset = 0;
  const byte = (): number => {
    const next = input[offset];
    if (next === undefined) throw new RangeError('a compressed block is cut short');
    offset += 1;
    return next;
  };
  const littleEndian = (bytes: number): number => {
    let value = 0;
    for (let position = 0; position < bytes; position += 1) value += byte() * 2 ** (8 * position);
    return value;
  };
  let length = 0;
  for (let scale = 1; ; scale *= 128) {
    const next = byte();
    length += (next & 0x7f) * scale;
    if (next < 0x80) break;
    if (scale > 2 ** 28) throw new RangeError('a compressed block names an impossible length');
  }
  // No byte of input stands for more than 64 of output; a longer claim would only ask for memory.
  if (length > 64 * input.length) throw new RangeError('a compressed block names an impossible length');

  const output = Buffer.alloc(length);
  let written = 0;
  while (offset < input.length) {
    const tag = byte();
    if ((tag & 3) === 0) {
      const short = tag >>> 2;
      const bytes = (short < 60 ? short : littleEndian(short - 59)) + 1;
      if (offset + bytes > input.length || written + bytes > length) throw new RangeError('a literal is too long');
      input.copy(output, written, offset, offset + bytes);
      offset += bytes;
      written += bytes;
      continue;
    }
    const bytes = (tag & 3) === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    const distance = (tag & 3) === 1 ? (tag >>> 5) * 256 + byte() : littleEndian((tag & 3) === 2 ? 2 : 4);
    if (distance === 0 || distance > written || written + bytes > length)
      throw new RangeError('a copy is out of range');
    // Byte by byte: a copy may reach into what it writes.
    for (let end = written + bytes; written < end; written += 1) output[written] = output[written - distance] as number;
  }
  if (written !== length) throw new RangeError('a compressed block ends early');
  return output;
}
