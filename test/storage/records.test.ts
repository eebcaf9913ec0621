/**
 * The formats on disk, byte by byte. They are final: a change here makes every data directory unreadable, so it comes with
 * a new version byte and a way to read the old.
 */
import { describe, expect, test } from 'vitest';
import { crc32 } from 'node:zlib';
import { Scratch } from '../../src/bytes.ts';
import type { LogIndex, ReplicaId, Term } from '../../src/raft/types.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { encodeMark } from '../../src/storage/high-water.ts';
import {
  decodeDead,
  decodeEntry,
  decodeHardState,
  decodeLogStart,
  decodeReplica,
  decodeSequence,
  encodeDead,
  encodeEntry,
  encodeHardState,
  encodeLogStart,
  encodeReplica,
  encodeSequence,
} from '../../src/storage/records.ts';
import { type EncodedRecord } from '../../src/storage/sealing.ts';
import {
  decodeConfigurationRecord,
  decodeMachineState,
  decodeStagedSnapshot,
  decodeUnswept,
  encodeConfigurationRecord,
  encodeMachineState,
  encodeStagedSnapshot,
  encodeUnswept,
} from '../../src/storage/state-records.ts';
import {
  decodeDue,
  decodeRemembered,
  decodeRememberedAt,
  encodeDue,
  encodeRemembered,
  encodeRememberedAt,
} from '../../src/storage/state-entries.ts';
import { decodeValue, encodeValue } from '../../src/storage/value-record.ts';
import { bytes, present } from './building.ts';

const scratch = new Scratch();
const digest = Buffer.from(Array.from({ length: 16 }, (_, position) => position));
const anyChecksum: unknown = expect.any(Number);
const partition = 0x01020304 as PartitionId;
const entry = { index: 258 as LogIndex, term: 7 as Term, kind: 1 as const, body: bytes('put') };
const value = {
  value: bytes('world'),
  contentType: 'text/plain',
  revision: 258,
  incarnation: 1,
  expiresAt: 1_800_000_000_000,
};

const machineState = {
  appliedIndex: 258,
  appliedTerm: 7,
  logTime: 1_700_000_000_000,
  keys: 2,
  bytes: 2 ** 53 - 1,
  expiring: 1,
  remembered: 3,
};

const written: Record<
  string,
  {
    encode: () => EncodedRecord;
    decode: (key: Buffer, value: Buffer) => unknown;
    key: string;
    value: string;
    content: unknown;
  }
> = {
  'log entry': {
    encode: () => encodeEntry(scratch, partition, entry, 0xdeadbeef),
    decode: decodeEntry,
    key: '01020304 04 0000000000000102',
    //      version, kind, term, predecessor's checksum, body
    value: '01 01 0000000000000007 deadbeef 707574',
    content: { entry, previousChecksum: 0xdeadbeef, checksum: anyChecksum },
  },
  'hard state': {
    encode: () => encodeHardState(scratch, partition, { currentTerm: 7 as Term, votedFor: 3 as ReplicaId }),
    decode: decodeHardState,
    key: '01020304 01',
    value: '01 0000000000000007 0000000000000003',
    content: { currentTerm: 7, votedFor: 3 },
  },
  replica: {
    encode: () => encodeReplica(scratch, partition, 5 as ReplicaId),
    decode: decodeReplica,
    key: '01020304 0c',
    value: '01 0000000000000005',
    content: 5,
  },
  tombstone: {
    encode: () =>
      encodeDead(scratch, partition, {
        through: 5 as ReplicaId,
        firstIndex: 259 as LogIndex,
        lastIndex: 300 as LogIndex,
        configuration: bytes('who'),
      }),
    decode: decodeDead,
    key: '01020304 00',
    value: '01 0000000000000005 0000000000000103 000000000000012c 77686f',
    content: { through: 5, firstIndex: 259, lastIndex: 300, configuration: bytes('who') },
  },
  'log start': {
    encode: () =>
      encodeLogStart(scratch, partition, {
        firstIndex: 259 as LogIndex,
        previousTerm: 7 as Term,
        previousChecksum: 0xdeadbeef,
      }),
    decode: decodeLogStart,
    key: '01020304 02',
    value: '01 0000000000000103 0000000000000007 00000000deadbeef',
    content: { firstIndex: 259, previousTerm: 7, previousChecksum: 0xdeadbeef },
  },
  'machine state': {
    encode: () => encodeMachineState(scratch, partition, { machineState, area: 1, configurationIndex: 17 as LogIndex }),
    decode: decodeMachineState,
    key: '01020304 03',
    //      version, applied index, applied term, log time, keys, bytes, keys with a due time, results, live area, has a
    //      configuration, its index
    value:
      '01 0000000000000102 0000000000000007 0000018bcfe56800 0000000000000002 001fffffffffffff' +
      '0000000000000001 0000000000000003 0000000000000001 0000000000000001 0000000000000011',
    content: { machineState, area: 1, configurationIndex: 17 },
  },
  'machine state without a configuration of its own': {
    encode: () => encodeMachineState(scratch, partition, { machineState, area: 0, configurationIndex: undefined }),
    decode: decodeMachineState,
    key: '01020304 03',
    value:
      '01 0000000000000102 0000000000000007 0000018bcfe56800 0000000000000002 001fffffffffffff' +
      '0000000000000001 0000000000000003 0000000000000000 0000000000000000 0000000000000000',
    content: { machineState, area: 0, configurationIndex: undefined },
  },
  configuration: {
    encode: () => encodeConfigurationRecord(scratch, partition, { index: 17 as LogIndex, body: bytes('members') }),
    decode: decodeConfigurationRecord,
    key: '01020304 07',
    //      version, index, body
    value: '01 0000000000000011 6d656d62657273',
    content: { index: 17, body: bytes('members') },
  },
  'staged snapshot': {
    encode: () =>
      encodeStagedSnapshot(scratch, partition, {
        machineState,
        area: 1,
        configuration: { index: 17 as LogIndex, body: bytes('members') },
      }),
    decode: decodeStagedSnapshot,
    key: '01020304 08',
    //      version, what the machine state counts, area, configuration's index and body
    value:
      '01 0000000000000102 0000000000000007 0000018bcfe56800 0000000000000002 001fffffffffffff' +
      '0000000000000001 0000000000000003 0000000000000001 0000000000000011 6d656d62657273',
    content: { machineState, area: 1, configuration: { index: 17, body: bytes('members') } },
  },
  'staged snapshot without a configuration of its own': {
    encode: () => encodeStagedSnapshot(scratch, partition, { machineState, area: 0, configuration: undefined }),
    decode: decodeStagedSnapshot,
    key: '01020304 08',
    value:
      '01 0000000000000102 0000000000000007 0000018bcfe56800 0000000000000002 001fffffffffffff' +
      '0000000000000001 0000000000000003 0000000000000000 0000000000000000',
    content: { machineState, area: 0, configuration: undefined },
  },
  'sweeping mark': {
    encode: () => encodeUnswept(scratch, partition, bytes('key')),
    decode: decodeUnswept,
    key: '01020304 09',
    //      version, the key from which on it is not swept
    value: '01 6b6579',
    content: bytes('key'),
  },
  'value with everything': {
    encode: () => encodeValue(scratch, partition, 0, bytes('hello'), value),
    decode: decodeValue,
    key: '01020304 05 03 68656c6c6f',
    //      version, flags, revision, incarnation, due at, content type, value
    value: '01 03 0000000000000102 00000001 000001a3185c5000 000a 746578742f706c61696e 776f726c64',
    content: value,
  },
  'value of the other area': {
    encode: () => encodeValue(scratch, partition, 1, bytes('h'), { ...value, contentType: '', expiresAt: 0 }),
    decode: decodeValue,
    key: '01020304 0a 03 68',
    value: '01 00 0000000000000102 00000001 776f726c64',
    content: { ...value, contentType: '', expiresAt: 0 },
  },
  'value, bare and empty': {
    encode: () =>
      encodeValue(scratch, partition, 0, bytes('h'), { ...value, value: bytes(''), contentType: '', expiresAt: 0 }),
    decode: decodeValue,
    key: '01020304 05 03 68',
    value: '01 00 0000000000000102 00000001',
    content: { ...value, value: bytes(''), contentType: '', expiresAt: 0 },
  },
  'result kept for repeats': {
    encode: () =>
      encodeRemembered(scratch, { partition, area: 0 }, bytes('name'), {
        at: 259,
        digest,
        result: { type: 'not_found' },
      }),
    decode: decodeRemembered,
    key: '01020304 05 00 6e616d65',
    //      version, log time, digest, result
    value: '01 0000000000000103 000102030405060708090a0b0c0d0e0f 03',
    content: { at: 259, digest, result: { type: 'not_found' } },
  },
  'time at which a result was kept': {
    encode: () => encodeRememberedAt(scratch, { partition, area: 1 }, bytes('name'), 259),
    decode: decodeRememberedAt,
    //    log time, name
    key: '01020304 0a 01 0000000000000103 6e616d65',
    value: '01',
    content: { at: 259, name: bytes('name') },
  },
  'time at which a key is due': {
    encode: () =>
      encodeDue(scratch, { partition, area: 0 }, { key: bytes('h'), expiresAt: 260, revision: 258, incarnation: 1 }),
    decode: decodeDue,
    //    due at, key
    key: '01020304 05 02 0000000000000104 68',
    //      version, revision, incarnation
    value: '01 0000000000000102 00000001',
    content: { key: bytes('h'), expiresAt: 260, revision: 258, incarnation: 1 },
  },
  'batch sequence': {
    encode: () =>
      encodeSequence(scratch, {
        sequence: 66,
        firstSequence: 2,
        incarnation: 5,
        batchBytes: 4096,
        previousChecksum: 0xdeadbeef,
      }),
    decode: decodeSequence,
    key: 'ffffffff 06 0000000000000042',
    //      version, first sequence kept, incarnation, batch bytes, predecessor's checksum
    value: '01 0000000000000002 0000000000000005 0000000000001000 00000000deadbeef',
    content: {
      sequence: 66,
      firstSequence: 2,
      incarnation: 5,
      batchBytes: 4096,
      previousChecksum: 0xdeadbeef,
      checksum: anyChecksum,
    },
  },
};

function fromHex(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** Content, then the CRC-32 over key and content. */
function sealed(key: Buffer, content: Buffer): Buffer {
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(Buffer.concat([key, content])));
  return Buffer.concat([content, checksum]);
}

describe.each(Object.entries(written))('%s', (_name, golden) => {
  const key = fromHex(golden.key);
  const stored = sealed(key, fromHex(golden.value));

  test('is written as these bytes', () => {
    const record = golden.encode();
    expect(record.key.toString('hex')).toBe(key.toString('hex'));
    expect(record.value.toString('hex')).toBe(stored.toString('hex'));
    expect(record.checksum).toBe(stored.readUInt32BE(stored.length - 4));
  });

  test('is read back from them', () => {
    expect(golden.decode(key, stored)).toEqual(golden.content);
  });

  test('is refused with any bit of it turned, cut anywhere, or under another key', () => {
    const refused = (wrongKey: Buffer, wrongValue: Buffer): void =>
      expect(() => golden.decode(wrongKey, wrongValue)).toThrow(expect.objectContaining({ name: 'StorageDamage' }));
    for (let bit = 0; bit < 8 * stored.length; bit += 1) refused(key, turned(stored, bit));
    for (let length = 0; length < stored.length; length += 1) refused(key, stored.subarray(0, length));
    for (let bit = 0; bit < 8 * key.length; bit += 1) refused(turned(key, bit), stored);
  });

  test('of a version from the future is refused by name', () => {
    const newer = sealed(key, Buffer.concat([Buffer.from([2]), fromHex(golden.value).subarray(1)]));
    expect(() => golden.decode(key, newer)).toThrow('has version 2, known is 1');
  });
});

test.each([
  ['value of key "h" has fields beyond its end', '01020304 05 03 68', '01 02 0000000000000102 00000001 ffff 61'],
  [
    'machine state says 2 where only 0 and 1',
    '01020304 03',
    `01 ${'0000000000000000'.repeat(7)} 0000000000000002 ${'0000000000000000'.repeat(2)}`,
  ],
  [
    'staged snapshot says 3 where only 0 and 1',
    '01020304 08',
    `01 ${'0000000000000000'.repeat(7)} 0000000000000003 ${'0000000000000000'.repeat(2)}`,
  ],
])('%s: a good checksum alone is not believed', (message, hexKey, hex) => {
  const key = fromHex(hexKey);
  const decode = { 3: decodeMachineState, 5: decodeValue, 8: decodeStagedSnapshot }[key[4] as 3 | 5 | 8];
  expect(() => decode(key, sealed(key, fromHex(hex)))).toThrow(message);
});

function turned(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = present(copy[bit >> 3]) ^ (1 << (bit & 7));
  return copy;
}

test('these are the checksums, worked out once and for all', () => {
  const checksums = Object.values(written).map((golden) => golden.encode().checksum.toString(16));
  expect(checksums).toMatchInlineSnapshot(`
    [
      "6c19e0ac",
      "8898d5a4",
      "96828cca",
      "e0c4eeca",
      "ac44241c",
      "b9d95a2a",
      "43b4a5d8",
      "5ac9b0d8",
      "7a3d3d64",
      "76a4108d",
      "d95328b4",
      "de5afad",
      "fb97c7d1",
      "b7abe109",
      "fd56384e",
      "df6c7e80",
      "d01f3fdf",
      "78188a75",
    ]
  `);
});

test('a slot of the high-water mark', () => {
  //      "FHW1", batch, checksum of its sequence record, checksum of all that
  expect(encodeMark({ sequence: 66, checksum: 0xdeadbeef }).toString('hex')).toMatchInlineSnapshot(
    `"464857310000000000000042deadbeef73e44129"`,
  );
});
