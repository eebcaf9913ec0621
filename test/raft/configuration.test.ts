/** A configuration as bytes: final, for they lie in every log. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ConfigurationFormatError,
  decodeConfiguration,
  emptyConfiguration,
  encodeConfiguration,
  membersOf,
} from '../../src/raft/configuration.ts';
import type { Configuration } from '../../src/raft/types.ts';
import { configurationOf, replica } from './member.ts';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesFrom = (...parts: readonly string[]) => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');

/** A change from 1, 2, 3 to 1, 2, 4, watched by 7; 5 and 6 are gone. */
const joint: Configuration = {
  voters: [1, 2, 4].map(replica),
  votersOutgoing: [1, 2, 3].map(replica),
  learners: [replica(7)],
  replicaIdMax: replica(7),
  incarnation: 1,
  hosts: new Map([
    [replica(1), 'a'],
    [replica(2), 'b'],
    [replica(3), 'c'],
    [replica(4), 'd.example'],
    [replica(7), ''],
  ]),
};

test('the bytes are these, for ever', () => {
  expect(hexOf(encodeConfiguration(joint))).toBe(
    hexOf(
      bytesFrom(
        '01 00000007 0005',
        '00000001 03 01 61',
        '00000002 03 01 62',
        '00000003 02 01 63',
        '00000004 01 09 642e6578616d706c65',
        '00000007 04 00',
      ),
    ),
  );
  expect(hexOf(encodeConfiguration(emptyConfiguration))).toBe('01000000000000');
});

test('a group that was begun anew says so, in bytes that an older program refuses by their version', () => {
  const alone: Configuration = {
    ...emptyConfiguration,
    voters: [replica(8)],
    replicaIdMax: replica(8),
    incarnation: 2,
    hosts: new Map([[replica(8), 'a']]),
  };
  expect(hexOf(encodeConfiguration(alone))).toBe('0200000008000000020001000000080101' + '61');
  expect(decodeConfiguration(encodeConfiguration(alone))).toEqual(alone);
  expect(() => decodeConfiguration(bytesFrom('02 00000008 00000001 0001', '00000008 01 01 61'))).toThrow(
    ConfigurationFormatError,
  );
});

test('what is read is what was written', () => {
  expect(decodeConfiguration(encodeConfiguration(joint))).toEqual(joint);
  expect(decodeConfiguration(encodeConfiguration(emptyConfiguration))).toEqual(emptyConfiguration);
});

test('any configuration comes back whole, by ascending ids', () => {
  const member = fc.record({
    id: fc.integer({ min: 1, max: 0xffff_ffff }),
    roles: fc.constantFrom(1, 2, 3, 4),
    host: fc.string({
      maxLength: 255,
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    }),
  });
  fc.assert(
    fc.property(fc.uniqueArray(member, { selector: ({ id }) => id, maxLength: 9 }), fc.nat(9), (members, spare) => {
      const having = (role: number) => members.filter(({ roles }) => roles & role).map(({ id }) => replica(id));
      const highest = Math.max(0, ...members.map(({ id }) => id));
      const configuration: Configuration = {
        voters: having(1),
        votersOutgoing: having(2),
        learners: having(4),
        replicaIdMax: replica(Math.min(0xffff_ffff, highest + spare)),
        incarnation: 1 + spare,
        hosts: new Map(members.map(({ id, host }) => [replica(id), host])),
      };
      const bytes = encodeConfiguration(configuration);
      const decoded = decodeConfiguration(bytes);
      const sorted = (ids: readonly number[]) => [...ids].sort((a, b) => a - b);
      expect(decoded).toEqual({
        ...configuration,
        voters: sorted(configuration.voters),
        votersOutgoing: sorted(configuration.votersOutgoing),
        learners: sorted(configuration.learners),
      });
      expect(encodeConfiguration(decoded)).toEqual(bytes);
    }),
  );
});

test('bytes within a larger buffer are read in their place', () => {
  const bytes = encodeConfiguration(joint);
  const frame = Buffer.concat([Buffer.from('before'), bytes, Buffer.from('after')]);
  expect(decodeConfiguration(frame.subarray(6, 6 + bytes.length))).toEqual(joint);
});

describe('refused are', () => {
  test('all beginnings of a configuration', () => {
    const bytes = encodeConfiguration(joint);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeConfiguration(bytes.subarray(0, length))).toThrow(
        new ConfigurationFormatError('a configuration is cut short'),
      );
    }
  });

  test.each([
    { what: 'another version', hex: '03 00000001 0000', message: 'configuration version 3: this node knows 1 and 2' },
    { what: 'bytes after it', hex: '01 00000000 0000 00', message: 'bytes after a configuration' },
    { what: 'replica 0', hex: '01 00000001 0001 00000000 01 00', message: 'names replica 0 with roles 1' },
    { what: 'an id above the highest', hex: '01 00000001 0001 00000002 01 00', message: 'replica 2 with roles 1' },
    { what: 'no role', hex: '01 00000001 0001 00000001 00 00', message: 'replica 1 with roles 0' },
    { what: 'an unknown role', hex: '01 00000001 0001 00000001 08 00', message: 'replica 1 with roles 8' },
    { what: 'a learner that votes', hex: '01 00000001 0001 00000001 05 00', message: 'replica 1 with roles 5' },
    {
      what: 'a replica named twice',
      hex: '01 00000001 0002 00000001 01 00 00000001 01 00',
      message: 'replica 1 with roles 1',
    },
    {
      what: 'ids that fall',
      hex: '01 00000002 0002 00000002 01 00 00000001 01 00',
      message: 'replica 1 with roles 1',
    },
  ])('$what', ({ hex, message }) => {
    const decode = () => decodeConfiguration(bytesFrom(hex));
    expect(decode).toThrow(ConfigurationFormatError);
    expect(decode).toThrow(message);
  });
});

test('a host that does not fit is a mistake of who names it', () => {
  const named = (host: string) => configurationOf([1], { hosts: new Map([[replica(1), host]]) });
  expect(() => encodeConfiguration(named('x'.repeat(256)))).toThrow('a host has at most 255 characters');
  expect(() => encodeConfiguration(named('ž'))).toThrow('a host is latin1');
});

test('members are named once each, whatever their roles', () => {
  expect(membersOf(joint)).toEqual([1, 2, 3, 4, 7]);
  expect(membersOf(emptyConfiguration)).toEqual([]);
});
