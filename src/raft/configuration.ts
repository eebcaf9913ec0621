/**
 * A configuration as the body of a log entry: all that any member needs to know of the group. Final like the entry
 * format; golden bytes in `test/raft/configuration.test.ts`. Integers are big-endian.
 *
 * ```
 *  0  u8   version (1)
 *  1  u32  highest replicaId ever given out
 *  5  u16  number of members
 *     each: u32 replicaId | u8 roles: 1 voter, 2 outgoing voter, 4 learner | u8 length | host, latin1
 * ```
 */
import { assert } from '../assert.ts';
import { noReplica, type Configuration, type ReplicaId } from './types.ts';

const version = 1;
const headerBytes = 7;
const Role = { voter: 1, outgoing: 2, learner: 4 } as const;

/** The bytes are no configuration of a version known here: a newer writer, and the replica stops. */
export class ConfigurationFormatError extends Error {
  override readonly name = 'ConfigurationFormatError';
}

/** Before a group's first configuration is known: it decides nothing, and its member never campaigns. */
export const emptyConfiguration: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  replicaIdMax: noReplica,
  hosts: new Map(),
};

/** Every member, each once, by ascending id. */
export function membersOf({ voters, votersOutgoing, learners }: Configuration): readonly ReplicaId[] {
  return [...new Set([...voters, ...votersOutgoing, ...learners])].sort((a, b) => a - b);
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const members = membersOf(configuration);
  const hosts = members.map((id) => configuration.hosts.get(id) ?? '');
  const bytes = new Uint8Array(headerBytes + hosts.reduce((sum, host) => sum + 6 + host.length, 0));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  view.setUint32(1, configuration.replicaIdMax);
  view.setUint16(5, members.length);
  let at = headerBytes;
  members.forEach((id, position) => {
    const host = hosts[position] ?? '';
    assert(host.length <= 255, 'a host has at most 255 characters');
    view.setUint32(at, id);
    view.setUint8(at + 4, rolesOf(configuration, id));
    view.setUint8(at + 5, host.length);
    at += 6;
    for (let i = 0; i < host.length; i++) {
      assert(host.charCodeAt(i) <= 255, 'a host is latin1');
      view.setUint8(at++, host.charCodeAt(i));
    }
  });
  return bytes;
}

/** Throws a ConfigurationFormatError for anything that `encodeConfiguration` does not write. */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return decode(view);
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigurationFormatError('a configuration is cut short');
    throw error;
  }
}

function decode(view: DataView): Configuration {
  const found = view.getUint8(0);
  if (found !== version)
    throw new ConfigurationFormatError(`configuration version ${found}: this node knows ${version}`);
  const replicaIdMax = view.getUint32(1) as ReplicaId;
  const voters: ReplicaId[] = [];
  const votersOutgoing: ReplicaId[] = [];
  const learners: ReplicaId[] = [];
  const hosts = new Map<ReplicaId, string>();
  let previous: ReplicaId = noReplica;
  let at = headerBytes;
  for (let left = view.getUint16(5); left > 0; left--) {
    const id = view.getUint32(at) as ReplicaId;
    const roles = view.getUint8(at + 4);
    const end = at + 6 + view.getUint8(at + 5);
    // A learner has no other role.
    const isRoles = roles === Role.learner || (roles > 0 && roles < Role.learner);
    if (id <= previous || id > replicaIdMax || !isRoles) {
      throw new ConfigurationFormatError(`a configuration names replica ${id} with roles ${roles}`);
    }
    if (roles & Role.voter) voters.push(id);
    if (roles & Role.outgoing) votersOutgoing.push(id);
    if (roles & Role.learner) learners.push(id);
    let host = '';
    for (at += 6; at < end; at++) host += String.fromCharCode(view.getUint8(at));
    hosts.set(id, host);
    previous = id;
  }
  if (at !== view.byteLength) throw new ConfigurationFormatError('bytes after a configuration');
  return { voters, votersOutgoing, learners, replicaIdMax, hosts };
}

function rolesOf({ voters, votersOutgoing, learners }: Configuration, id: ReplicaId): number {
  return (
    (voters.includes(id) ? Role.voter : 0) |
    (votersOutgoing.includes(id) ? Role.outgoing : 0) |
    (learners.includes(id) ? Role.learner : 0)
  );
}
