/** Records of a snapshot on the wire, byte by byte; and what is refused of a chunk that is not as it was made. */
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { Scratch } from '../../src/bytes.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { nothingCounted } from '../../src/storage/area-records.ts';
import { valueKey, withinArea } from '../../src/storage/keys.ts';
import { ChunkWriter, decodeChunk } from '../../src/storage/snapshot-chunk.ts';
import { encodeValue, sealUnder } from '../../src/storage/value-record.ts';
import { bytes, present } from './building.ts';

const scratch = new Scratch();
const partition = 0x01020304 as PartitionId;
const value = { value: bytes('world'), contentType: '', revision: 258, incarnation: 1, expiresAt: 0 };

function sealedValue(key: string, of = partition): Buffer {
  return Buffer.from(encodeValue(scratch, of, 0, bytes(key), value).value);
}

/** Where a value lies within its area. */
function nameOf(key: string): Buffer {
  return withinArea(valueKey(partition, 0, bytes(key)));
}

function chunkOf(keys: readonly string[], of = partition): Buffer {
  const writer = new ChunkWriter(partition, { bytesMax: 1000, memory: new Scratch() });
  for (const key of keys) writer.add(nameOf(key), sealedValue(key, of), 0);
  return writer.finish();
}

/** With a checksum that is right again. */
function changed(chunk: Buffer, change: (content: Buffer) => Buffer): Buffer {
  const content = change(Buffer.from(chunk.subarray(0, -4)));
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(content));
  return Buffer.concat([content, checksum]);
}

test('a chunk is written as these bytes, and read back from them', () => {
  const chunk = chunkOf(['a', 'bc']);
  //  version, partition, records | lengths, space and key, value: version, flags, revision, incarnation, value, checksum | checksum
  expect(chunk.toString('hex')).toMatchInlineSnapshot(
    `"01010203040000000200020000001703610100000000000000010200000001776f726c64dfb132650003000000170362630100000000000000010200000001776f726c64bdd0a24b1651c570"`,
  );
  expect(decodeChunk(partition, chunk)).toEqual([
    { name: nameOf('a'), value: sealedValue('a'), counts: { ...nothingCounted, keys: 1, bytes: 6 } },
    { name: nameOf('bc'), value: sealedValue('bc'), counts: { ...nothingCounted, keys: 1, bytes: 7 } },
  ]);
  expect(decodeChunk(partition, chunkOf([]))).toEqual([]);
});

test('records of the other area are written as those of area 0 are', () => {
  const writer = new ChunkWriter(partition, { bytesMax: 1000, memory: new Scratch() });
  for (const key of ['a', 'bc'])
    writer.add(nameOf(key), encodeValue(scratch, partition, 1, bytes(key), value).value, 1);
  expect(writer.finish()).toEqual(chunkOf(['a', 'bc']));
});

test('a chunk is put together where the last one was, and has room for what was asked for, or for one record', () => {
  const memory = new Scratch(200);
  const record = sealedValue('a');
  const write = (bytesMax: number): Buffer => {
    const writer = new ChunkWriter(partition, { bytesMax, memory });
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
      if (writer.hasRoom(nameOf(key), record)) writer.add(nameOf(key), sealedValue(key), 0);
    }
    return writer.finish();
  };
  const first = write(200);
  expect(decodeChunk(partition, first).length).toBe(6);
  const second = write(80);
  expect([second.buffer, decodeChunk(partition, second).length, second.length <= 80]).toEqual([first.buffer, 2, true]);
  expect(decodeChunk(partition, write(1)).length).toBe(1);
  const large = { ...value, value: Buffer.alloc(5000, 7) };
  const writer = new ChunkWriter(partition, { bytesMax: 80, memory });
  writer.add(nameOf('a'), encodeValue(scratch, partition, 0, bytes('a'), large).value, 0);
  expect(writer.hasRoom(nameOf('b'), record)).toBe(false);
  expect(decodeChunk(partition, writer.finish())).toMatchObject([{ counts: { keys: 1, bytes: 5001 } }]);
});

test('a value carried to the other area is what would have been written there', () => {
  const key = valueKey(partition, 1, bytes('a'));
  const carried = sealUnder(scratch, key, sealedValue('a'));
  const expected = encodeValue(new Scratch(), partition, 1, bytes('a'), value);
  expect([carried.key, carried.value]).toEqual([expected.key, expected.value]);
});

describe('is refused', () => {
  const chunk = chunkOf(['a', 'bc']);
  const refused = (wrong: Buffer, message: RegExp | string = /snapshot's chunk/): void => {
    expect(() => decodeChunk(partition, wrong)).toThrow(expect.objectContaining({ name: 'SnapshotDamage' }));
    expect(() => decodeChunk(partition, wrong)).toThrow(message);
  };

  test('with any bit turned, and cut anywhere', () => {
    for (let bit = 0; bit < 8 * chunk.length; bit += 1) {
      const turned = Buffer.from(chunk);
      turned[bit >> 3] = present(turned[bit >> 3]) ^ (1 << (bit & 7));
      refused(turned);
    }
    for (let length = 0; length < chunk.length; length += 1) refused(chunk.subarray(0, length));
  });

  test('with any bit turned, and cut anywhere, even under a good checksum of the chunk', () => {
    const content = chunk.length - 4;
    for (let bit = 0; bit < 8 * content; bit += 1) {
      refused(
        changed(chunk, (good) => {
          good[bit >> 3] = present(good[bit >> 3]) ^ (1 << (bit & 7));
          return good;
        }),
      );
    }
    for (let length = 0; length < content; length += 1) refused(changed(chunk, (good) => good.subarray(0, length)));
  });

  test.each([
    ['of another partition', changed(chunk, (good) => (good.writeUInt32BE(9, 1), good)), 'is one of partition 9'],
    [
      'of a version from the future',
      changed(chunk, (good) => (good.writeUInt8(2, 0), good)),
      'has version 2, known is 1',
    ],
    [
      'with more records than bytes',
      changed(chunk, (good) => (good.writeUInt32BE(3, 5), good)),
      'ends within a record',
    ],
    [
      'with a length beyond its end',
      changed(chunk, (good) => (good.writeUInt32BE(2 ** 32 - 1, 11), good)),
      'ends within',
    ],
    [
      'with fewer records than bytes',
      changed(chunk, (good) => (good.writeUInt32BE(1, 5), good)),
      'bytes after its records',
    ],
    ['out of order', chunkOf(['bc', 'a']), 'out of the order of its keys'],
    ['with a key twice', chunkOf(['a', 'a']), 'out of the order of its keys'],
    ["with another group's record", chunkOf(['a'], 7 as PartitionId), 'holds what is no record'],
  ])('%s', (_what, wrong, message) => refused(wrong, message));
});
